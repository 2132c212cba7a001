package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	job = Header{Items: 100, Keys: 7, Label: "sizes", Result: "int"}
	run = Run{Started: time.Unix(1e9, 0).UTC(), Ranks: 4}
)

// memory is a File that takes so many bytes and fails then, with what fits of the
// last write in it.
type memory struct {
	data []byte
	at   int64
	room int64
	sync func() error // if it is not nil
}

var errFull = errors.New("no space left on device")

func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(m.data).ReadAt(b, at)
}

func (m *memory) Write(b []byte) (int, error) {
	n := min(int64(len(b)), m.room-m.at)
	if beyond := m.at + n - int64(len(m.data)); beyond > 0 {
		m.data = append(m.data, make([]byte, beyond)...)
	}
	copy(m.data[m.at:], b[:n])
	m.at += n
	if n < int64(len(b)) {
		return int(n), errFull
	}
	return int(n), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	if m.at = offset; whence == io.SeekEnd {
		m.at += int64(len(m.data))
	}
	return m.at, nil
}

func (m *memory) Truncate(n int64) error { m.data = m.data[:n]; return nil }
func (m *memory) Close() error           { return nil }

func (m *memory) Sync() error {
	if m.sync == nil {
		return nil
	}
	return m.sync()
}

// batches are what the tests append: number k has k indices.
func batchOf(k int) Batch {
	b := Batch{Run: 1, Rank: k % 3, Indices: []int{}, Body: bytes.Repeat([]byte{byte(k)}, k*5)}
	for i := range k {
		b.Indices = append(b.Indices, k*k+i)
	}
	return b
}

// largeOf is batchOf with a body that is written by itself.
func largeOf(k int) Batch {
	b := batchOf(k)
	b.Body = bytes.Repeat([]byte{byte(k)}, largeBody+k)
	return b
}

// written returns a journal of n batches, and where each of its records ends.
func written(t *testing.T, n int) (data []byte, ends []int) {
	m := &memory{room: 1 << 20}
	j, _, err := open(m, job, run, nil)
	require.NoError(t, err)
	ends = append(ends, len(m.data))
	for k := range n {
		require.NoError(t, j.Append(batchOf(k)))
		ends = append(ends, len(m.data))
	}
	require.NoError(t, j.Close())
	return m.data, ends
}

// reopened opens data again, adds nothing, and returns what was there.
func reopened(data []byte) (m *memory, got []Batch, torn int64, err error) {
	m = &memory{data: bytes.Clone(data), room: 1 << 20}
	_, torn, err = open(m, job, run, collect(&got))
	return m, got, torn, err
}

// collect returns a visitor's function that appends to got.
func collect(got *[]Batch) func(Batch) error {
	return func(b Batch) error {
		if b.Indices == nil {
			b.Indices = []int{}
		}
		*got = append(*got, b)
		return nil
	}
}

func requireBatches(t *testing.T, n int, got []Batch) {
	t.Helper()
	require.Len(t, got, n)
	for k := range got {
		require.Equal(t, batchOf(k), got[k])
	}
}

func TestReplay(t *testing.T) {
	data, _ := written(t, 10)
	m, got, torn, err := reopened(data)
	require.NoError(t, err)
	require.Zero(t, torn)
	requireBatches(t, 10, got)
	require.Equal(t, data, m.data[:len(data)])

	runs := 0
	_, err = Scan(bytes.NewReader(m.data), int64(len(m.data)), Visitor{
		Header: func(h Header) error { require.Equal(t, job, h); return nil },
		Run:    func(r Run) error { require.Equal(t, run, r); runs++; return nil },
	})
	require.NoError(t, err)
	require.Equal(t, 2, runs)
}

// What earlier runs have left is read while this one appends.
func TestEarlier(t *testing.T) {
	data, _ := written(t, 10)
	m := &memory{data: data, room: 1 << 20}
	j, _, err := open(m, job, run, nil)
	require.NoError(t, err)
	var got []Batch
	for e := j.Earlier(); ; {
		require.NoError(t, j.Append(batchOf(100)))
		b, err := e.Next()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.NoError(t, collect(&got)(b))
	}
	requireBatches(t, 10, got)
}

// Wherever a journal was cut off: every record before that is there, and it goes
// on from there.
func TestTruncatedAtEveryByte(t *testing.T) {
	data, ends := written(t, 10)
	for n := range len(data) + 1 {
		whole := 0 // batches
		for k, end := range ends {
			if end <= n {
				whole = k
			}
		}
		m, got, torn, err := reopened(data[:n])
		require.NoError(t, err, "%d bytes", n)
		requireBatches(t, whole, got)
		require.LessOrEqual(t, torn, int64(n))
		_, got, torn, err = reopened(m.data)
		require.NoError(t, err, "%d bytes, again", n)
		requireBatches(t, whole, got)
		require.Zero(t, torn, "cut off already")
	}
}

// What was torn may be longer than what comes in its place.
func TestLongTailIsCutOff(t *testing.T) {
	data, _ := written(t, 3)
	body := make([]byte, 1<<16)
	long := append(appendBatch(nil, &Batch{Indices: []int{3}, Body: body}), body...)
	m, got, torn, err := reopened(append(data, long[:len(long)-1]...))
	require.NoError(t, err)
	requireBatches(t, 3, got)
	require.Equal(t, len(long)-1, int(torn))
	_, got, torn, err = reopened(m.data)
	require.NoError(t, err)
	requireBatches(t, 3, got)
	require.Zero(t, torn, "cut off already")
}

// Whichever bytes are others: the last record is cut off, and elsewhere opening
// fails and leaves the file alone. Nothing whole is ever thrown away.
func TestDamagedAtEveryByte(t *testing.T) {
	data, ends := written(t, 10)
	last := ends[len(ends)-2]
	for n := range data {
		for _, length := range []int{1, 50} {
			other := bytes.Clone(data)
			end := min(n+length, len(data))
			for k := n; k < end; k++ {
				other[k] ^= 0x10
			}
			m, got, torn, err := reopened(other)
			if n >= last {
				require.NoError(t, err, "byte %d", n)
				requireBatches(t, 9, got)
				require.Equal(t, len(data)-last, int(torn))
				continue
			}
			if end > last && n > len(magic) {
				continue // all that stands behind it is damaged too
			}
			require.Error(t, err, "bytes %d to %d", n, end)
			require.Equal(t, other, m.data, "byte %d", n)
			if n >= len(magic) {
				require.ErrorContains(t, err, "it is damaged at byte ")
			}
		}
	}
}

// What a power failure may leave where the last second was: nothing whole, up to
// the end.
func TestEndOfNoise(t *testing.T) {
	data, _ := written(t, 10)
	noise := rand.NewChaCha8([32]byte{1})
	for _, n := range []int{1, 15, 16, 17, 4096, 100_000} {
		tail := make([]byte, n)
		for _, random := range []bool{false, true} {
			if random {
				noise.Read(tail)
			}
			_, got, torn, err := reopened(append(bytes.Clone(data), tail...))
			require.NoError(t, err)
			requireBatches(t, 10, got)
			require.Equal(t, n, int(torn))
		}
	}
}

// Wherever the disk is full: the error comes at once and stays, and what was
// appended before is whole.
func TestFullAtEveryByte(t *testing.T) {
	data, ends := written(t, 6)
	for room := range len(data) {
		m := &memory{room: int64(room)}
		j, _, err := open(m, job, run, nil)
		appended := 0
		for k := 0; k < 6 && err == nil; k++ {
			if err = j.Append(batchOf(k)); err == nil {
				appended++
			}
		}
		require.ErrorIs(t, err, errFull, "room for %d bytes", room)
		if room < ends[0] {
			continue // it could not be begun
		}
		m.room = 1 << 20
		require.ErrorIs(t, j.Append(batchOf(0)), errFull, "more after an error, though there is room again")
		require.ErrorIs(t, j.Close(), errFull)
		_, got, torn, err := reopened(m.data)
		require.NoError(t, err)
		require.Zero(t, torn)
		requireBatches(t, appended, got)
	}
}

func TestOtherJob(t *testing.T) {
	data, _ := written(t, 1)
	for want, h := range map[string]Header{
		"its number of items is 100, this job's 101":                   {Items: 101, Keys: 7, Label: "sizes", Result: "int"},
		"its label is \"sizes\", this job's \"ages\"":                  {Items: 100, Keys: 7, Label: "ages", Result: "int"},
		"its results are of type int, this job's string":               {Items: 100, Keys: 7, Label: "sizes", Result: "string"},
		"its results are of type int, this job's none":                 {Items: 100, Keys: 7, Label: "sizes"},
		"its keys have the fingerprint 7, this job's ff; name another": {Items: 100, Keys: 255, Label: "sizes", Result: "int"},
	} {
		m := &memory{data: bytes.Clone(data), room: 1 << 20}
		_, _, err := open(m, h, run, func(Batch) error { return errors.New("replayed") })
		require.ErrorContains(t, err, want)
		require.Equal(t, data, m.data)
	}
}

func TestNoJournal(t *testing.T) {
	for _, text := range []string{"a,b,c\n", "dlp journal 2\n", "dlp jourmal"} {
		_, _, _, err := reopened([]byte(text))
		require.ErrorContains(t, err, "it is no journal")
	}
	header := appendJSON([]byte(magic), kindHeader, job)
	for _, record := range [][]byte{
		appendJSON(nil, kindHeader, job),
		appendRecord(nil, func(b []byte) []byte { return append(b, '?') }, nil),
		appendRecord(nil, func(b []byte) []byte { return append(b, kindBatch, 0x80) }, nil),
		appendRecord(nil, func(b []byte) []byte { return append(b, kindBatch, 0, 9) }, nil),
		appendRecord(nil, func(b []byte) []byte { return append(b, kindRun, '{') }, nil),
	} {
		_, _, _, err := reopened(append(bytes.Clone(header), record...))
		require.ErrorContains(t, err, fmt.Sprintf("the record at byte %d: it can't be read", len(header)))
	}
	_, _, _, err := reopened(append([]byte(magic), appendBatch(nil, &Batch{})...))
	require.ErrorContains(t, err, "a header must come first")
}

func TestErrorOfReplay(t *testing.T) {
	data, _ := written(t, 3)
	m := &memory{data: bytes.Clone(data), room: 1 << 20}
	_, _, err := open(m, job, run, func(Batch) error { return errFull })
	require.ErrorIs(t, err, errFull)
	require.Equal(t, data, m.data)
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	j, _, err := Open(path, job, run, nil)
	require.NoError(t, err)
	require.NoError(t, j.Append(batchOf(4)))

	// Another process can read it, but not open it.
	var got []Batch
	extent, err := ScanFile(path, Visitor{Batch: func(b Batch) error { got = append(got, b); return nil }})
	require.NoError(t, err)
	require.Zero(t, extent.Torn)
	require.Equal(t, []Batch{batchOf(4)}, got)
	_, _, err = Open(path, job, run, nil)
	require.ErrorContains(t, err, path+": it is open already, in another job or another loop")

	require.NoError(t, j.Close())
	require.ErrorIs(t, j.Append(batchOf(4)), errClosed)
	j, _, err = Open(path, job, run, nil)
	require.NoError(t, err)
	require.NoError(t, j.Close())
}

func TestUnwritable(t *testing.T) {
	_, _, err := Open(filepath.Join(t.TempDir(), "none", "j"), job, run, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = Open(t.TempDir(), job, run, nil)
	require.Error(t, err)
	_, _, err = Open(os.DevNull, job, run, nil)
	require.ErrorContains(t, err, "it is not a regular file")
}

// The disk is told a second after the journal was opened, or after the first of many
// appends, and by Close.
func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var syncs atomic.Int32
		j, _, err := open(&memory{room: 1 << 20, sync: func() error { syncs.Add(1); return nil }}, job, run, nil)
		require.NoError(t, err)
		require.Zero(t, syncs.Load())
		for k := range 100 {
			require.NoError(t, j.Append(batchOf(k)))
			time.Sleep(syncDelay / 200)
		}
		require.Zero(t, syncs.Load())
		time.Sleep(syncDelay)
		require.EqualValues(t, 1, syncs.Load())
		time.Sleep(10 * syncDelay)
		require.EqualValues(t, 1, syncs.Load(), "nothing is new")
		require.NoError(t, j.Append(batchOf(1)))
		require.NoError(t, j.Close())
		require.EqualValues(t, 2, syncs.Load())
		require.NoError(t, j.Close())
		require.EqualValues(t, 2, syncs.Load())
	})
}

// Batches that are appended together stand in the file one after the other, however
// large they are.
func TestAppendMany(t *testing.T) {
	for _, batches := range [][]Batch{
		{batchOf(1), batchOf(2)},
		{largeOf(1), batchOf(2), batchOf(3), largeOf(4), largeOf(5)},
		{batchOf(1), largeOf(2), batchOf(3)},
	} {
		m := &memory{room: 1 << 20}
		j, _, err := open(m, job, run, nil)
		require.NoError(t, err)
		require.NoError(t, j.Append(batches...))
		require.NoError(t, j.Append(batches...), "again, in the same memory")
		require.NoError(t, j.Close())
		_, got, torn, err := reopened(m.data)
		require.NoError(t, err)
		require.Zero(t, torn)
		require.Equal(t, append(batches, batches...), got)
	}
}

// Batches that are appended together fail together, whichever of them the disk has no
// room for.
func TestAppendManyFails(t *testing.T) {
	batches := []Batch{batchOf(1), largeOf(2), largeOf(3), batchOf(4)}
	m := &memory{room: 1 << 20}
	j, _, err := open(m, job, run, nil)
	require.NoError(t, err)
	whole := len(m.data)
	require.NoError(t, j.Append(batches...))
	for room := whole; room < len(m.data); room += 97 {
		full := &memory{room: int64(room)}
		j, _, err := open(full, job, run, nil)
		require.NoError(t, err)
		require.ErrorIs(t, j.Append(batches...), errFull)
		require.Len(t, full.data, whole, "room for %d bytes", room)
	}
}

// What is cut off stays off, whatever a power failure does to what comes after it.
func TestSyncAfterCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &memory{room: 1 << 20}
		j, _, err := open(m, job, run, nil)
		require.NoError(t, err)
		require.NoError(t, j.Append(batchOf(1)))
		require.NoError(t, j.Close())
		m.data = m.data[:len(m.data)-1]
		var told []int
		m.sync = func() error { told = append(told, len(m.data)); return nil }
		j, torn, err := open(m, job, run, nil)
		require.NoError(t, err)
		require.Positive(t, torn)
		require.Len(t, told, 1)
		require.Less(t, told[0], len(m.data), "before the run's own record")
		require.NoError(t, j.Leave())
	})
}

// A job that is done does not wait for the disk.
func TestLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		syncs := 0
		m := &memory{room: 1 << 20, sync: func() error { syncs++; return nil }}
		j, _, err := open(m, job, run, nil)
		require.NoError(t, err)
		require.NoError(t, j.Append(batchOf(1)))
		require.NoError(t, j.Leave())
		require.NoError(t, j.Close())
		require.ErrorIs(t, j.Append(batchOf(1)), errClosed)
		time.Sleep(10 * syncDelay)
		require.Zero(t, syncs)
		_, got, torn, err := reopened(m.data)
		require.NoError(t, err)
		require.Zero(t, torn)
		require.Equal(t, []Batch{batchOf(1)}, got)
	})
}

// While the disk takes its time, others append. What it says is the next Append's
// error, and Close's.
func TestSlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var slow atomic.Bool
		j, _, err := open(&memory{room: 1 << 20, sync: func() error {
			if slow.Load() {
				time.Sleep(time.Hour)
				return errFull
			}
			return nil
		}}, job, run, nil)
		require.NoError(t, err)
		slow.Store(true)
		start := time.Now()
		require.NoError(t, j.Append(batchOf(1)))
		time.Sleep(2 * syncDelay) // the disk is at it
		require.NoError(t, j.Append(batchOf(2)))
		require.Equal(t, 2*syncDelay, time.Since(start))
		time.Sleep(2 * time.Hour)
		require.ErrorIs(t, j.Append(batchOf(3)), errFull)
		require.ErrorIs(t, j.Close(), errFull)
	})
}

// Nothing that a file may hold makes Scan fail in another way than by an error, and
// what it takes for whole it reads again the same.
func FuzzScan(f *testing.F) {
	m := &memory{room: 1 << 20}
	j, _, err := open(m, job, run, nil)
	require.NoError(f, err)
	require.NoError(f, j.Append(batchOf(3)))
	f.Add(m.data)
	f.Add(m.data[:len(m.data)-1])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, data []byte) {
		count := func(data []byte) (n int, e Extent, err error) {
			e, err = Scan(bytes.NewReader(data), int64(len(data)), Visitor{Batch: func(Batch) error { n++; return nil }})
			return n, e, err
		}
		n, extent, err := count(data)
		require.Equal(t, int64(len(data)), extent.Whole+extent.Torn)
		if err != nil {
			return
		}
		again, rest, err := count(data[:extent.Whole])
		require.NoError(t, err)
		require.Zero(t, rest.Torn)
		require.Equal(t, n, again)
	})
}
