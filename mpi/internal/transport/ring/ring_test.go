package ring

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory returns n bytes, aligned as far as it matters here.
func memory(n int) []byte {
	b := make([]byte, n+line)
	skip := -int(uintptr(unsafe.Pointer(&b[0]))) & (line - 1)
	return b[skip:][:n:n]
}

// end is one process's end of two rings.
type end struct {
	t     testing.TB
	w     *Writer
	f     *Frames
	knock chan struct{} // holds a token when the other end has knocked
	other *end
}

// ends returns the two ends of mem.
func ends(t testing.TB, mem []byte) (a, b *end) {
	a, b = &end{t: t, knock: make(chan struct{}, 1)}, &end{t: t, knock: make(chan struct{}, 1)}
	a.other, b.other = b, a
	for i, e := range []*end{a, b} {
		w, r, err := Pair(mem, i == 0)
		require.NoError(t, err)
		e.w, e.f = w, &Frames{Reader: r, MaxBody: wire.MaxBody}
	}
	return a, b
}

func (e *end) Memory(_ *wire.Message, n int) []byte { return make([]byte, n) }

func (e *end) Knock() {
	select {
	case e.other.knock <- struct{}{}:
	default:
	}
}

// room waits until need bytes may be put.
func (e *end) room(need, want int) int {
	for {
		room, err := e.w.Room(need)
		require.NoError(e.t, err)
		if room >= need {
			return room
		}
		e.w.Await(want)
		if room, err = e.w.Room(need); err == nil && room < need {
			<-e.knock
		}
	}
}

func (e *end) send(m *wire.Message) {
	head := wire.AppendUnsummed(nil, m)
	n := e.room(len(head), len(head))
	e.w.Put(head)
	for rest := e.w.Stream(e, m.Body, n-len(head)); len(rest) > 0; {
		rest = e.w.Stream(e, rest, e.room(1, min(len(rest), e.w.Size()/2)))
	}
}

func (e *end) receive() (m wire.Message) {
	for {
		ok, err := e.f.Next(e, &m)
		require.NoError(e.t, err)
		if ok {
			return m
		}
		if e.f.Sleep() {
			<-e.knock
			e.f.Wake()
		}
	}
}

// body is that of message k: mostly short, at times longer than the ring.
func body(k int) []byte {
	n := k * 7919 % 300
	if k%100 == 0 {
		n = k * 31 % (3 * MinSize)
	}
	return bytes.Repeat([]byte{byte(k)}, n)
}

func pause(r *rand.Rand) {
	for range r.IntN(4) {
		runtime.Gosched()
	}
}

// Everything arrives, whole and in order, whoever has to wait. Both ends sleep as
// soon as they can't go on: a knock that was missing would be waited for until the
// tests are stopped.
func TestFrames(t *testing.T) {
	const count = 5_000
	a, b := ends(t, memory(SegmentSize(MinSize)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := rand.New(rand.NewPCG(1, 1))
		for k := range count {
			a.send(&wire.Message{Kind: wire.User, Tag: int32(k), Note: strings.Repeat("n", k%50), Body: body(k)})
			pause(r)
		}
	}()
	r := rand.New(rand.NewPCG(2, 2))
	for k := range count {
		m := b.receive()
		require.EqualValues(t, k, m.Tag)
		require.Len(t, m.Note, k%50)
		require.True(t, bytes.Equal(body(k), m.Body), "message %d", k)
		pause(r)
	}
	<-done
}

// A body that has begun may move to other memory.
func TestMove(t *testing.T) {
	a, b := ends(t, memory(SegmentSize(MinSize)))
	want := bytes.Repeat([]byte("abcdefg"), MinSize/7)
	a.w.Put(wire.AppendUnsummed(nil, &wire.Message{Kind: wire.User, Body: want}))
	rest := a.w.Stream(a, want, 1000)
	var m wire.Message
	ok, err := b.f.Next(b, &m)
	require.NoError(t, err)
	require.False(t, ok)
	require.True(t, b.f.Open())
	require.Equal(t, len(want)-1000, b.f.Missing())
	b.f.Move(make([]byte, len(want)))
	require.Empty(t, a.w.Stream(a, rest, len(rest)))
	ok, err = b.f.Next(b, &m)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, want, m.Body)
	require.False(t, b.f.Open())
}

// Who sleeps is knocked for once; who does not, never.
func TestKnocks(t *testing.T) {
	a, b := ends(t, memory(SegmentSize(MinSize)))
	a.w.Put([]byte("x"))
	require.True(t, a.w.Publish(), "nobody has looked yet")
	a.w.Put([]byte("x"))
	require.False(t, a.w.Publish(), "one knock is enough")
	require.False(t, b.f.Reader.Sleep(2), "they are there")
	require.True(t, b.f.Reader.Sleep(4))
	a.w.Put([]byte("x"))
	require.False(t, a.w.Publish(), "not worth while")
	a.w.Put([]byte("x"))
	require.True(t, a.w.Publish())
	require.True(t, b.f.Reader.Sleep(5))
	b.f.Wake()
	a.w.Put([]byte("x"))
	require.False(t, a.w.Publish(), "it looks by itself")

	a.w.Put(make([]byte, MinSize-5))
	a.w.Publish()
	a.w.Await(10)
	b.f.Get(make([]byte, 9))
	require.False(t, b.f.Release(), "too little room")
	b.f.Get(make([]byte, 1))
	require.True(t, b.f.Release())
	b.f.Get(make([]byte, 1))
	require.False(t, b.f.Release(), "one knock is enough")
}

// Counts that make no sense are found out on both ends.
func TestBrokenCounts(t *testing.T) {
	for name, tail := range map[string]uint64{"backwards": 99, "more than fits": 100 + MinSize + 1, "far away": 1 << 63} {
		t.Run("tail "+name, func(t *testing.T) {
			_, b := ends(t, memory(SegmentSize(MinSize)))
			b.f.at, b.f.tail = 100, 100
			b.f.c.tail.Store(tail)
			require.False(t, b.f.Idle(), "somebody has to look")
			_, err := b.f.Next(b, &wire.Message{})
			require.ErrorIs(t, err, ErrBroken)
		})
	}
	for name, head := range map[string]uint64{"backwards": 49, "ahead": 101, "far away": 1 << 63} {
		t.Run("head "+name, func(t *testing.T) {
			a, _ := ends(t, memory(SegmentSize(MinSize)))
			a.w.at, a.w.head = 100, 50
			a.w.c.head.Store(head)
			_, err := a.w.Room(MinSize)
			require.ErrorIs(t, err, ErrBroken)
		})
	}
	for _, n := range []int{0, 1, page, page + 1, SegmentSize(MinSize) - 1, SegmentSize(MinSize + 1), SegmentSize(MinSize / 2), SegmentSize(2 * MaxSize)} {
		_, _, err := Pair(memory(n), true)
		require.ErrorIs(t, err, ErrBroken, "%d bytes", n)
	}
}

// Whatever stands in the memory, its reader ends: with messages, an error, or
// nothing more to read. It reads no byte that was not published.
func FuzzFrames(f *testing.F) {
	frame := func(m wire.Message) []byte { return append(wire.AppendUnsummed(nil, &m), m.Body...) }
	f.Add(uint64(0), uint64(0), []byte(nil))
	f.Add(uint64(0), uint64(41), []byte("no frame"))
	f.Add(uint64(MinSize-10), uint64(MinSize+40), frame(wire.Message{Kind: wire.User, Body: []byte("0123456789")}))
	f.Add(uint64(5), uint64(105), frame(wire.Message{Kind: wire.Collective, Note: "Barrier", Body: make([]byte, 53)}))
	f.Add(uint64(0), uint64(1<<40), frame(wire.Message{Kind: wire.User}))
	f.Fuzz(func(t *testing.T, at, tail uint64, in []byte) {
		const most = 1 << 16
		a, b := ends(t, memory(SegmentSize(MinSize)))
		b.f.MaxBody = most
		b.f.at, b.f.tail = at, at
		a.w.at = at
		a.w.Put(in[:min(len(in), MinSize)])
		b.f.c.tail.Store(tail)
		got := 0
		for range MinSize { // each frame has a header: there are fewer
			var m wire.Message
			ok, err := b.f.Next(b, &m)
			if err != nil {
				return
			}
			if !ok {
				require.LessOrEqual(t, b.f.at, tail)
				require.True(t, b.f.Open() || b.f.Idle())
				return
			}
			require.LessOrEqual(t, len(m.Body), most)
			got += wire.HeaderLen + len(m.Note) + len(m.Body)
			require.LessOrEqual(t, got, MinSize)
		}
		t.Fatal("there is no end to it")
	})
}

func BenchmarkFrame(b *testing.B) {
	for _, size := range []int{8, 4 << 10, 32 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			x, y := ends(b, memory(SegmentSize(MaxSize)))
			m := wire.Message{Kind: wire.User, Body: make([]byte, size)}
			into := &place{make([]byte, size)}
			var head []byte
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var got wire.Message
			for b.Loop() {
				head = wire.AppendUnsummed(head[:0], &m)
				room, _ := x.w.Room(len(head) + size)
				x.w.Put(head)
				x.w.Stream(x, m.Body, room-len(head))
				if ok, err := y.f.Next(into, &got); !ok {
					b.Fatal(err)
				}
			}
		})
	}
}

// place is a Host whose bodies all go to one place.
type place struct{ body []byte }

func (p *place) Memory(_ *wire.Message, n int) []byte { return p.body[:n] }
func (p *place) Knock()                               {}
