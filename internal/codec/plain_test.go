package codec

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestWhatIsPlain(t *testing.T) {
	if strconv.IntSize != 64 || !littleEndian {
		t.Skip("on this machine numbers travel as gob")
	}
	for _, v := range []any{1, "", false, []byte{}, record{}, []record{}, [2][][]string{}, grid{}, point{}, struct{ A, B record }{}, readings{}} {
		walk, _, _ := compile(reflect.TypeOf(v))
		require.NotNil(t, walk, "%T", v)
	}
	for _, v := range []any{struct{}{}, []struct{}{}, [0]int{}, blank{}, tree{}, nest{}, &record{}, map[int]int{}, []any{}, time.Time{}, struct{ T time.Time }{}, mood("")} {
		walk, _, _ := compile(reflect.TypeOf(v))
		require.Nil(t, walk, "%T", v)
	}
}

func TestLayoutsDiffer(t *testing.T) {
	seen := map[uint64]reflect.Type{}
	for _, v := range []any{
		1, int64(1), uint(1), 1.5, "", []int{}, [1]int{}, [2]int{}, [][]int{}, [][1]int{},
		struct{ A int }{}, struct{ B int }{}, struct{ A, B int }{}, struct{ B, A int }{}, struct{ A []int }{},
		struct{ A struct{ B int } }{}, struct{ A struct{ B, C int } }{}, struct {
			A struct{ B int }
			C int
		}{},
	} {
		typ := reflect.TypeOf(v)
		_, layout, _ := compile(typ)
		require.Nil(t, seen[layout], "%v and %v", typ, seen[layout])
		seen[layout] = typ
	}
	type named struct{ X, Y float64 }
	_, a, _ := compile(reflect.TypeFor[point]())
	_, b, _ := compile(reflect.TypeFor[named]())
	require.Equal(t, a, b)
}

// A type of n levels may have 2^n parts.
func TestManyPartsAreNotPlain(t *testing.T) {
	typ := reflect.TypeFor[[]int]()
	for range 12 {
		typ = reflect.SliceOf(reflect.StructOf([]reflect.StructField{{Name: "A", Type: typ}, {Name: "B", Type: typ}}))
	}
	walk, _, _ := compile(typ)
	require.Nil(t, walk)
}

func FuzzPlainIsGob(f *testing.F) {
	for seed := range uint64(50) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		m := maker{rand.New(rand.NewPCG(seed, 0))}
		typ := reflect.StructOf([]reflect.StructField{{Name: "V", Type: m.typ(4)}})
		if m.IntN(2) == 0 {
			typ = reflect.ArrayOf(2, m.typ(3))
		}
		walk, _, exact := compile(typ)
		if walk == nil {
			t.Fatal(typ, "is not plain")
		}
		for range 20 {
			v := reflect.New(typ)
			m.fill(v.Elem())
			want := throughGob(t, v)
			got := reflect.New(typ)
			b := walk.append(nil, v.UnsafePointer())
			for cut := range min(len(b), 50) {
				if _, err := walk.read(b[:cut], reflect.New(typ).UnsafePointer()); err == nil {
					t.Fatalf("%v: %d of %d bytes are enough", typ, cut, len(b))
				}
			}
			rest, err := walk.read(b, got.UnsafePointer())
			if err != nil || len(rest) > 0 {
				t.Fatalf("%v: %v, %d bytes left", typ, err, len(rest))
			}
			alike(t, want.Elem(), got.Elem())
			if exact {
				walk.blur(v.UnsafePointer())
				alike(t, want.Elem(), v.Elem())
			}
			m.spoil(typ, walk, b)
		}
	})
}

func throughGob(t *testing.T, v reflect.Value) reflect.Value {
	var b bytes.Buffer
	got := reflect.New(v.Type().Elem())
	require.NoError(t, gob.NewEncoder(&b).EncodeValue(v))
	require.NoError(t, gob.NewDecoder(&b).DecodeValue(got))
	return got
}

// A maker makes plain types, and values of them.
type maker struct{ *rand.Rand }

var leaves = []reflect.Type{
	reflect.TypeFor[bool](), reflect.TypeFor[string](), reflect.TypeFor[int](), reflect.TypeFor[int8](), reflect.TypeFor[uint16](),
	reflect.TypeFor[int32](), reflect.TypeFor[uint64](), reflect.TypeFor[uintptr](), reflect.TypeFor[float32](), reflect.TypeFor[float64](),
	reflect.TypeFor[complex64](), reflect.TypeFor[complex128](), reflect.TypeFor[celsius](), reflect.TypeFor[byte](),
}

func (m maker) typ(depth int) reflect.Type {
	switch kind := m.IntN(8); {
	case depth == 0 || kind < 3:
		return leaves[m.IntN(len(leaves))]
	case kind < 5:
		return reflect.SliceOf(m.typ(depth - 1))
	case kind < 6:
		return reflect.ArrayOf(1+m.IntN(3), m.typ(depth-1))
	}
	fields := make([]reflect.StructField, 1+m.IntN(4))
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: m.typ(depth - 1)}
	}
	return reflect.StructOf(fields)
}

func (m maker) float() float64 {
	return []float64{0, math.Copysign(0, -1), 1.5, math.Inf(-1), math.NaN(), m.Float64()}[m.IntN(6)]
}

func (m maker) fill(v reflect.Value) {
	switch k := v.Kind(); {
	case k == reflect.Bool:
		v.SetBool(m.IntN(2) == 0)
	case k == reflect.String:
		v.SetString([]string{"", "a", "Grüße", string(make([]byte, 200))}[m.IntN(4)])
	case v.CanInt():
		v.SetInt(int64(m.Uint64()) >> m.IntN(65))
	case v.CanUint():
		v.SetUint(m.Uint64() >> m.IntN(65))
	case v.CanFloat():
		v.SetFloat(m.float())
	case v.CanComplex():
		v.SetComplex(complex(m.float(), m.float()))
	case k == reflect.Struct:
		for i := range v.NumField() {
			m.fill(v.Field(i))
		}
	case k == reflect.Slice && m.IntN(4) == 0:
		return // it stays nil
	default:
		if k == reflect.Slice {
			n := m.IntN(4)
			v.Set(reflect.MakeSlice(v.Type(), n, n))
		}
		for i := range v.Len() {
			m.fill(v.Index(i))
		}
	}
}

// spoil decodes what is not what was encoded: whatever comes, it is no panic.
func (m maker) spoil(typ reflect.Type, walk steps, b []byte) {
	for range 5 {
		bad := bytes.Clone(b)
		for range 1 + m.IntN(3) {
			bad[m.IntN(len(bad))] = byte(m.Uint32())
		}
		v := reflect.New(typ)
		if _, err := walk.read(bad, v.UnsafePointer()); err == nil {
			walk.append(nil, v.UnsafePointer()) // it is whole
		}
	}
}

// alike compares bit by bit, but for what is no number.
func alike(t *testing.T, a, b reflect.Value) {
	t.Helper()
	same := true
	switch a.Kind() {
	case reflect.Struct:
		for i := range a.NumField() {
			alike(t, a.Field(i), b.Field(i))
		}
	case reflect.Array, reflect.Slice:
		if same = a.Len() == b.Len() && (a.Kind() == reflect.Array || a.IsNil() == b.IsNil()); same {
			for i := range a.Len() {
				alike(t, a.Index(i), b.Index(i))
			}
		}
	case reflect.Float32, reflect.Float64:
		same = equalBits(a.Float(), b.Float())
	case reflect.Complex64, reflect.Complex128:
		same = equalBits(real(a.Complex()), real(b.Complex())) && equalBits(imag(a.Complex()), imag(b.Complex()))
	default:
		same = a.Equal(b)
	}
	if !same {
		t.Fatalf("%v: %#v and %#v", a.Type(), a, b)
	}
}

func equalBits(a, b float64) bool {
	return math.Float64bits(a) == math.Float64bits(b) || a != a && b != b
}

// What a length claims is not believed before there are as many bytes.
func TestLengthsAreBounded(t *testing.T) {
	type wide struct{ A [1000]string }
	walk, _, _ := compile(reflect.TypeFor[[]wide]())
	claim := append([]byte{201}, make([]byte, 199_999)...) // 200 elements, of 1000 bytes at least
	for i := range claim[1:] {
		claim[1+i] = 1
	}
	var v []wide
	_, err := walk.read(claim, unsafe.Pointer(&v))
	require.Error(t, err)
	require.Nil(t, v)
}
