package codec

import (
	"bytes"
	"encoding/gob"
	"io"
	"math"
	"math/big"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type record struct {
	Name  string
	Count int
	Score float64
	Tags  []string
}

type tree struct {
	Value int
	Left  *tree
	Kids  []tree
	Named map[string]*tree
}

type (
	floats   []float64
	celsius  float32
	readings []celsius
	nest     []nest
	grid     [2][3]int16
	blank    struct {
		_ [0]func()
		A int
	}
	point struct{ X, Y float64 }
)

func TestMain(m *testing.M) {
	gob.Register(record{})
	gob.Register(leaky{})
	m.Run()
}

// roundTrip sends v alone, cloned, and twice through a stream, and wants to see want.
func roundTrip[T any](t *testing.T, name string, v, want T, form Form) {
	t.Run(name, func(t *testing.T) {
		require.NoError(t, Check[T]())
		f, body, err := Encode(v)
		require.NoError(t, err)
		require.Equal(t, form, f)
		got, err := Decode[T](f, bytes.Clone(body))
		require.NoError(t, err)
		require.Equal(t, want, got)

		f, body, err = Pack(v)
		require.NoError(t, err)
		if form == Gob && planFor[T]().walk != nil {
			require.Equal(t, Plain, f)
		} else {
			require.Equal(t, form, f)
		}
		got, err = Decode[T](f, bytes.Clone(body))
		require.NoError(t, err)
		require.Equal(t, want, got)

		got, err = Clone(v)
		require.NoError(t, err)
		require.Equal(t, want, got)
		got, err = NewCloner[T]().Clone(v)
		require.NoError(t, err)
		require.Equal(t, want, got)
		clones := make([]T, 2)
		require.NoError(t, CloneAll(clones, []T{v, v}))
		require.Equal(t, []T{want, want}, clones)

		w, r := NewWriter[T](), NewReader[T]()
		for i := range 3 { // each batch of two values
			require.NoError(t, w.Append(v))
			require.NoError(t, w.Append(v))
			batch := w.Take()
			require.Zero(t, w.Len())
			r.Feed(batch)
			if i == 1 {
				all, err := r.AppendAll([]T{v})
				require.NoError(t, err)
				require.Equal(t, []T{v, want, want}, all)
				w.Reuse(batch)
				continue
			}
			for range 2 {
				got, err := r.Next()
				require.NoError(t, err)
				require.Equal(t, want, got)
			}
			_, err := r.Next()
			require.Equal(t, io.EOF, err)
		}
	})
}

func same[T any](t *testing.T, name string, v T, form Form) {
	t.Helper()
	roundTrip(t, name, v, v, form)
}

func TestRoundTrip(t *testing.T) {
	word := Raw // how an int travels
	if strconv.IntSize != 64 {
		word = Gob
	}
	same(t, "bool", true, Raw)
	same(t, "int", -7, word)
	same(t, "int8", int8(math.MinInt8), Raw)
	same(t, "uint64", uint64(math.MaxUint64), Raw)
	same(t, "float32", float32(1.5), Raw)
	same(t, "negative zero", math.Copysign(0, -1), Raw)
	same(t, "complex", complex(1, math.Inf(-1)), Raw)
	same(t, "named number", celsius(36.6), Raw)
	same(t, "string", "Grüße", Raw)
	same(t, "empty string", "", Raw)
	same(t, "long string", strings.Repeat("x", 3<<20+1), Raw)

	same(t, "bytes", []byte("abc"), Raw)
	same(t, "empty bytes", []byte{}, Raw)
	same(t, "nil bytes", []byte(nil), Nil)
	same(t, "numbers", []int{1, -2, 3}, word)
	same(t, "complex numbers", []complex128{1, 2i}, Raw)
	same(t, "named slice", floats{math.Pi, math.Copysign(0, -1)}, Raw)
	same(t, "named elements", readings{1, 2, 3}, Raw)
	same(t, "empty named slice", floats{}, Raw)
	same(t, "nil named slice", floats(nil), Nil)
	same(t, "many numbers", make([]int64, 1<<18), Raw)
	same(t, "bools", []bool{true, false}, Gob)

	same(t, "struct", record{"a", 1, 2.5, []string{"x", "y"}}, Gob)
	same(t, "zero struct", record{}, Gob)
	same(t, "empty struct", struct{}{}, Gob)
	same(t, "empty structs", []struct{}{{}, {}}, Gob)
	same(t, "blank field", blank{A: 1}, Gob)
	same(t, "array", grid{{1, 2, 3}}, Gob)
	same(t, "empty array", [0]int{}, Gob)
	same(t, "slice", []string{"a", ""}, Gob)
	same(t, "empty slice", []string{}, Gob)
	same(t, "nil slice", []string(nil), Nil)
	same(t, "map", map[string][]int{"a": {1}, "b": {2, 3}}, Gob)
	same(t, "empty map", map[string]int{}, Gob)
	same(t, "nil map", map[string]int(nil), Nil)

	same(t, "pointer", &record{Name: "a"}, Gob)
	same(t, "pointer to zero", new(int), Gob)
	same(t, "pointer to pointer", ptr(ptr(3)), Gob)
	same(t, "pointer to pointer to time", ptr(ptr(time.Unix(1, 2).UTC())), Gob)
	same(t, "nil pointer", (*record)(nil), Nil)
	same(t, "pointer to nil interface", new(any), Gob)
	same(t, "interface", any(record{Name: "a"}), Gob)
	same(t, "nil interface", any(nil), Nil)
	same(t, "nil error", error(nil), Nil)
	same(t, "interfaces", []any{1, nil, "x", []int{2}}, Gob)

	same(t, "tree", tree{Value: 1, Left: &tree{Value: 2}, Kids: []tree{{Value: 3}}, Named: map[string]*tree{"k": {Value: 4}}}, Gob)
	same(t, "time", time.Unix(1, 2).UTC(), Gob)
	same(t, "big.Int", *big.NewInt(5), Gob)
	same(t, "*big.Int", big.NewInt(-5), Gob)
	same(t, "array of big.Int", [2]big.Int{*big.NewInt(1), *big.NewInt(2)}, Gob)
	same(t, "map of *big.Int", map[string]*big.Int{"a": big.NewInt(1)}, Gob)
	same(t, "netip.Addr", netip.MustParseAddr("::1"), Gob)
	same(t, "event of its own", ownEvent{time.Unix(1, 0).UTC(), "a"}, Gob)
	same(t, "embedded time alone", struct{ time.Time }{time.Unix(1, 0).UTC()}, Gob)
}

// What gob blurs, an own value must lose as well.
func TestCloneBlursLikeGob(t *testing.T) {
	negative := math.Copysign(0, -1)
	type inner struct{ Z [2]point }
	roundTrip(t, "negative zero in a field", inner{[2]point{{1, negative}}}, inner{[2]point{{1, 0}}}, Gob)
	roundTrip(t, "negative complex zero", struct{ C complex64 }{complex64(complex(negative, negative))}, struct{ C complex64 }{}, Gob)
	roundTrip(t, "pointer to zero in a field", struct{ P *int }{new(int)}, struct{ P *int }{}, Gob)
	roundTrip(t, "empty slice in a field", record{Tags: []string{}}, record{}, Gob)
	roundTrip(t, "pointer in an interface", any(ptr(1)), any(1), Gob)

	got, err := Clone(point{1, negative})
	require.NoError(t, err)
	require.False(t, math.Signbit(got.Y))
}

func TestCloneSharesWhatIsExact(t *testing.T) {
	v := []float64{1, 2}
	got, err := Clone(v)
	require.NoError(t, err)
	require.Same(t, &v[0], &got[0])
	require.Zero(t, testing.AllocsPerRun(100, func() { _, _ = Clone(point{1, 2}) }))
}

func TestRawSharesMemory(t *testing.T) {
	v := floats{1, 2, 3}
	_, body, err := Encode(v)
	require.NoError(t, err)
	v[0] = 0
	require.Equal(t, make([]byte, 8), body[:8])

	got, err := Decode[floats](Raw, body)
	require.NoError(t, err)
	require.Same(t, &v[0], &got[0])
	require.Equal(t, len(got), cap(got))
}

func TestMemory(t *testing.T) {
	v := readings{1, 2}
	mem, ok := Memory(v)
	require.True(t, ok)
	require.Len(t, mem, 8)
	clear(mem)
	require.Equal(t, readings{0, 0}, v)
	for _, n := range []readings{nil, {}} {
		mem, ok = Memory(n)
		require.True(t, ok)
		require.Empty(t, mem)
	}
	for _, ok := range []bool{second(Memory([]bool{true})), second(Memory([]string{"a"})), second(Memory([]record{{}})), second(Memory([]chan int{nil}))} {
		require.False(t, ok)
	}
}

func second[A, B any](_ A, b B) B { return b }

func TestDecodeUnaligned(t *testing.T) {
	_, body, err := Encode([]float64{1, 2})
	require.NoError(t, err)
	shifted := append(make([]byte, 1, 17), body...)[1:]
	got, err := Decode[[]float64](Raw, shifted)
	require.NoError(t, err)
	require.Equal(t, []float64{1, 2}, got)
}

func TestDecodeErrors(t *testing.T) {
	_, err := Decode[record](Fault, []byte("rank 3: no such file"))
	require.EqualError(t, err, "rank 3: no such file")

	for _, encode := range []func(record) (Form, []byte, error){Encode[record], Pack[record]} {
		form, body, err := encode(record{Name: "abc"})
		require.NoError(t, err)
		for _, n := range []int{0, 1, 8, len(body) / 2, len(body) - 1} {
			_, err = Decode[record](form, body[:n])
			require.ErrorContains(t, err, "decoding codec.record: ")
			require.NotErrorIs(t, err, io.EOF)
		}
		_, err = Decode[record](form, append(bytes.Clone(body), 0))
		require.EqualError(t, err, "decoding codec.record: 1 bytes too many")
	}
	_, body, err := Pack(record{Name: "abc"})
	require.NoError(t, err)
	_, err = Decode[point](Plain, body)
	require.ErrorContains(t, err, "decoding codec.point: it was encoded from other fields or kinds")
	_, err = Decode[[]int32](Plain, body)
	require.ErrorContains(t, err, "decoding []int32: ")
	_, err = Decode[map[string]int](Plain, body)
	require.ErrorContains(t, err, "decoding map[string]int: ")
	_, err = Decode[record](Raw, body)
	require.ErrorContains(t, err, "decoding codec.record: raw bytes")
	_, err = Decode[record](Nil, nil)
	require.ErrorContains(t, err, "decoding codec.record: a nil of 0 bytes")
	_, err = Decode[[]int](Nil, []byte{1})
	require.ErrorContains(t, err, "decoding []int: a nil of 1 bytes")
	_, err = Decode[record](Form(9), nil)
	require.EqualError(t, err, "decoding codec.record: unknown form(9)")
	_, err = Decode[int32](Raw, make([]byte, 5))
	require.EqualError(t, err, "decoding int32: 5 bytes instead of 4")
	_, err = Decode[bool](Raw, []byte{2})
	require.EqualError(t, err, "decoding bool: byte 2 is no bool")
	_, err = Decode[[]int32](Raw, make([]byte, 5))
	require.EqualError(t, err, "decoding []int32: 5 bytes are no multiple of 4")
	_, err = Decode[poison](Gob, encodePoison(t))
	require.EqualError(t, err, "decoding codec.poison: panic: bad blood")
}

// poison panics when it is decoded.
type poison struct{}

func (poison) GobEncode() ([]byte, error) { return []byte{1}, nil }
func (*poison) GobDecode(b []byte) error  { panic("bad blood") }

func encodePoison(t *testing.T) []byte {
	_, body, err := Encode(poison{})
	require.NoError(t, err)
	return body
}

func TestEncodeErrors(t *testing.T) {
	type unregistered struct{ A int }
	loop := &tree{}
	loop.Left = loop
	turtle := nest{nil}
	turtle[0] = turtle
	family := map[string]*tree{"a": {}}
	family["a"].Named = family

	for name, c := range map[string]struct {
		err  func() error
		want string
	}{
		"unregistered":          {failing(any(unregistered{1})), "encoding interface {}: gob: type not registered for interface: codec.unregistered"},
		"leaky, in an any":      {failing([]any{1, leaky{1, 2}}), "an interface in it holds codec.leaky: field b is unexported"},
		"nil in a slice":        {failing([]*int{nil}), "encoding []*int: gob: encodeArray: nil element"},
		"nil behind a pointer":  {failing(new(*int)), "encoding **int: it points to a nil pointer"},
		"typed nil in an any":   {failing(any((*int)(nil))), "cannot encode nil pointer of type *int"},
		"pointer to itself":     {failing(loop), "the *codec.tree contains itself"},
		"slice in itself":       {failing(turtle), "the codec.nest contains itself"},
		"map in itself":         {failing(family), "contains itself"},
		"a type with no chance": {failing(make(chan int)), "chan int: cannot leave its process"},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, c.err(), c.want) })
	}
}

// failing returns the error that Encode, Clone and Append agree on.
func failing[T any](v T) func() error {
	return func() error {
		_, _, err := Encode(v)
		_, cloned := Clone(v)
		w := NewWriter[T]()
		appended := w.Append(v)
		all := CloneAll(make([]T, 1), []T{v})
		for _, other := range []error{cloned, appended, all} {
			if err == nil || other == nil || err.Error() != other.Error() || w.Len() > 0 {
				return nil
			}
		}
		return err
	}
}

func TestDeepIsNotCyclic(t *testing.T) {
	var list *tree
	for i := range 3 * suspiciousDepth {
		list = &tree{Value: i, Left: list}
	}
	got, err := Clone(list)
	require.NoError(t, err)
	require.Equal(t, list.Left.Left.Value, got.Left.Left.Value)
}

func ptr[T any](v T) *T { return &v }
