package codec

import (
	"bytes"
	"io"
	"math/big"
	"reflect"
	"testing"
	"time"
)

// everything has a field of every kind that gob knows.
type everything struct {
	B  bool
	I  int8
	U  uint64
	F  float32
	C  complex128
	S  string
	Bs []byte
	Ns []int32
	A  [2]uint16
	M  map[string]*tree
	P  **int
	E  any
	T  time.Time
	N  *big.Int
	X  []struct{}
}

func sample() everything {
	return everything{true, -1, 1 << 60, 1.5, 2i, "s", []byte("b"), []int32{1, -1}, [2]uint16{1, 2},
		map[string]*tree{"a": {Value: 1}}, ptr(ptr(1)), record{Name: "r"}, time.Unix(1, 0).UTC(), big.NewInt(9), []struct{}{{}, {}}}
}

func FuzzDecode(f *testing.F) {
	for _, encode := range []func() (Form, []byte, error){
		func() (Form, []byte, error) { return Encode(sample()) },
		func() (Form, []byte, error) { return Encode([]any{1, "x", record{}}) },
		func() (Form, []byte, error) { return Encode([]float64{1, 2}) },
		func() (Form, []byte, error) { return Encode((*record)(nil)) },
		func() (Form, []byte, error) { return Pack(record{Name: "r", Tags: []string{"x"}}) },
	} {
		form, body, err := encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(form), body)
	}
	f.Fuzz(func(t *testing.T, form uint8, body []byte) {
		again[everything](t, Form(form), body)
		again[*everything](t, Form(form), body)
		again[[]any](t, Form(form), body)
		again[[]float64](t, Form(form), body)
		again[map[string]int](t, Form(form), body)
		again[string](t, Form(form), body)
		again[bool](t, Form(form), body)
		again[record](t, Form(form), body)
		again[[][]record](t, Form(form), body)
	})
}

// again decodes body; a value that comes out must survive another journey.
func again[T any](t *testing.T, form Form, body []byte) {
	v, err := Decode[T](form, bytes.Clone(body))
	if err != nil {
		return
	}
	for _, encode := range []func(T) (Form, []byte, error){Encode[T], Pack[T]} {
		form, body, err = encode(v)
		if err != nil {
			return // a nil element, say, which gob decodes but does not encode
		}
		if _, err := Decode[T](form, body); err != nil {
			t.Fatalf("%v: second journey: %v", reflect.TypeFor[T](), err)
		}
	}
}

func FuzzReader(f *testing.F) {
	w := NewWriter[*everything]()
	v := sample()
	for _, v := range []*everything{&v, nil, &v} {
		if err := w.Append(v); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(w.Take(), 10)
	f.Add([]byte{streamStart, 2, 3}, 1)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		readAll[*everything](t, stream, cut)
		readAll[[]int32](t, stream, cut)
		readAll[string](t, stream, cut)
		readAll[float32](t, stream, cut)
		readAll[record](t, stream, cut)
		readAll[[][]record](t, stream, cut)
		readAll[[2][]bool](t, stream, cut)
	})
}

// readAll reads the stream in two batches, up to its end or an error.
func readAll[T any](t *testing.T, stream []byte, cut int) {
	if p := planFor[T](); p.walk != nil {
		stream = append(plainly[T](), stream...)
	}
	cut = min(max(cut, 0), len(stream))
	r := NewReader[T]()
	for _, batch := range [][]byte{stream[:cut], stream[cut:]} {
		r.Feed(batch)
		for range len(stream) + 1 {
			_, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return
			}
		}
		if len(r.src) > 0 {
			t.Fatal("values without bytes")
		}
	}
}
