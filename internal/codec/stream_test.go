package codec

import (
	"encoding/binary"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// drain returns what is left in the reader.
func drain[T any](t *testing.T, r *Reader[T]) []T {
	t.Helper()
	var got []T
	for {
		v, err := r.Next()
		if err == io.EOF {
			return got
		}
		require.NoError(t, err)
		got = append(got, v)
	}
}

func TestStreamSendsTypesOnce(t *testing.T) {
	w := NewWriter[tree]()
	require.NoError(t, w.Append(tree{Value: 1}))
	first := len(w.Take())
	require.NoError(t, w.Append(tree{Value: 1}))
	require.Equal(t, w.Len(), len(w.buf))
	require.Less(t, w.Len(), first/2)
}

func TestStreamBatches(t *testing.T) {
	w, r := NewWriter[record](), NewReader[record]()
	require.Nil(t, w.Take())
	r.Feed(nil)
	require.Empty(t, drain(t, r))
	var want []record
	for i := range 100 {
		v := record{Name: fmt.Sprint(i), Count: i}
		want = append(want, v)
		require.NoError(t, w.Append(v))
		if i%7 == 0 { // more than one batch may wait
			r.Feed(w.Take())
		}
	}
	r.Feed(w.Take())
	require.Equal(t, want, drain(t, r))
}

func TestBatchBelongsToCaller(t *testing.T) {
	w, r := NewWriter[[]byte](), NewReader[[]byte]()
	require.NoError(t, w.Append([]byte("abc")))
	batch := w.Take()
	r.Feed(batch)
	got := drain(t, r)
	require.NoError(t, w.Append([]byte("xyz")))
	clear(batch)
	require.Equal(t, [][]byte{[]byte("abc")}, got)
	r.Feed(w.Take())
	require.Equal(t, [][]byte{[]byte("xyz")}, drain(t, r))
}

func TestReuseOfABatch(t *testing.T) {
	w, r := NewWriter[[]string](), NewReader[[]string]()
	require.NoError(t, w.Append([]string{"abc", ""}))
	batch := w.Take()
	r.Feed(batch)
	first := drain(t, r)
	w.Reuse(batch)
	require.Nil(t, w.Take())
	w.Reuse(batch)
	require.NoError(t, w.Append([]string{"x"}))
	again := w.Take()
	require.Same(t, &batch[0], &again[0])
	r.Feed(again)
	require.Equal(t, [][]string{{"x"}}, drain(t, r))
	require.Equal(t, [][]string{{"abc", ""}}, first)
}

func TestAppendAllKeepsWhatWasWhole(t *testing.T) {
	r := NewReader[string]()
	r.Feed(plainly[string](2, 'a', 9, 'b'))
	all, err := r.AppendAll(nil)
	require.EqualError(t, err, "decoding string: wrong length in the stream")
	require.Equal(t, []string{"a"}, all)
	all, again := r.AppendAll(all)
	require.Equal(t, err, again)
	require.Equal(t, []string{"a"}, all)
}

func TestAppendAllOfNumbers(t *testing.T) {
	r := NewReader[uint16]()
	r.Feed(plainly[uint16](1, 0, 2, 0, 3))
	all, err := r.AppendAll([]uint16{9})
	require.EqualError(t, err, "decoding uint16: unexpected EOF")
	require.Equal(t, []uint16{9, 1, 2}, all)
	r = NewReader[uint16]()
	r.Feed(plainly[int16](1, 0))
	all, err = r.AppendAll(nil)
	require.EqualError(t, err, "decoding uint16: "+strange)
	require.Empty(t, all)
}

// grumpy fails or panics on request, after its type has been announced.
type grumpy struct {
	A, B any
	Mood mood
}

type mood string

func (m mood) GobEncode() ([]byte, error) {
	switch m {
	case "fails":
		return nil, fmt.Errorf("not today")
	case "panics":
		panic("not today")
	}
	return []byte(m), nil
}

func (m *mood) GobDecode(b []byte) error {
	*m = mood(b)
	return nil
}

func TestFailedAppendLeavesStreamUsable(t *testing.T) {
	type unregistered struct{ X int }
	good := func(i int) grumpy { return grumpy{i, record{Name: "r"}, "good"} }
	for name, bad := range map[string]grumpy{
		"error":                              {record{}, nil, "fails"},
		"panic":                              {record{}, nil, "panics"},
		"unregistered":                       {A: unregistered{1}},
		"unregistered after a type was sent": {A: record{}, B: unregistered{1}},
		"found by the look":                  {A: record{}, B: leaky{}},
	} {
		t.Run(name, func(t *testing.T) {
			for at := range 4 { // where among three good values
				w, r := NewWriter[grumpy](), NewReader[grumpy]()
				var want []grumpy
				for i := range 4 {
					if i == at {
						before := w.Len()
						func() {
							defer func() { _ = recover() }()
							require.Error(t, w.Append(bad))
						}()
						require.Equal(t, before, w.Len())
						continue
					}
					require.NoError(t, w.Append(good(i)))
					want = append(want, good(i))
				}
				r.Feed(w.Take())
				require.Equal(t, want, drain(t, r))
			}
		})
	}
}

func TestReaderErrors(t *testing.T) {
	for name, c := range map[string]struct {
		next func([]byte) error
		in   []byte
		want string
	}{
		"no start":         {next[tree], []byte{streamValue, 1}, "decoding codec.tree: unexpected mark 1 in the stream"},
		"nil tree":         {next[tree], []byte{streamNil}, "decoding codec.tree: unexpected mark 0 in the stream"},
		"unknown mark":     {next[*record], []byte{7}, "decoding *codec.record: unexpected mark 7 in the stream"},
		"nothing but mark": {next[tree], []byte{streamStart}, "decoding codec.tree: unexpected EOF"},
		"huge gob":         {next[tree], []byte{streamStart, 0xfc, 0x3f, 0xff, 0xff, 0xff, 1}, "decoding codec.tree: unexpected EOF"},
		"no layout":        {next[int64], []byte{1, 2, 3}, "decoding int64: " + strange},
		"strange layout":   {next[int64], plainly[uint64](make([]byte, 8)...), "decoding int64: " + strange},
		"short number":     {next[int64], plainly[int64](1, 2, 3), "decoding int64: unexpected EOF"},
		"short record":     {next[record], plainly[record](2, 'a'), "decoding codec.record: unexpected EOF"},
		"no bool":          {next[bool], plainly[bool](2), "decoding bool: byte 2 is no bool"},
		"huge string":      {next[string], plainly[string](binary.AppendUvarint(nil, 1<<63)...), "decoding string: wrong length in the stream"},
		"endless length":   {next[string], plainly[string](0xff, 0xff), "decoding string: wrong length in the stream"},
		"nil string":       {next[string], plainly[string](0), "decoding string: wrong length in the stream"},
		"too many numbers": {next[[]int32], plainly[[]int32](2, 1, 2, 3), "decoding []int32: wrong length in the stream"},
		"too many records": {next[[]record], plainly[[]record](append([]byte{3}, make([]byte, 30)...)...), "decoding []codec.record: wrong length in the stream"},
		"bad type":         {next[chan int], nil, "chan int: cannot leave its process: send what it stands for"},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, c.next(c.in), c.want) })
	}
}

const strange = "it was encoded from other fields or kinds; use one version of the program"

// plainly returns a stream of T's with the given bytes after the layout.
func plainly[T any](b ...byte) []byte {
	return append(binary.LittleEndian.AppendUint64(nil, planFor[T]().layout), b...)
}

// next returns the error of reading the first value of batch, which must stay.
func next[T any](batch []byte) error {
	r := NewReader[T]()
	r.Feed(batch)
	_, err := r.Next()
	r.Feed([]byte{1})
	if all, again := r.AppendAll(nil); again != err || len(all) > 0 {
		return fmt.Errorf("first %v, then %v", err, again)
	}
	if _, again := r.Next(); again != err {
		return fmt.Errorf("first %v, then %v", err, again)
	}
	return err
}
