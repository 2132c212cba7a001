package sock

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// sharing returns two ranks, of which 0 has a ring to 1.
func sharing(t *testing.T) (ctx context.Context, ts []*Transport, out *link) {
	if runtime.GOOS != "linux" {
		t.Skip("there is shared memory on Linux only")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ts = ranks(t, "shm", 2)
	t.Cleanup(func() {
		for _, tr := range ts {
			require.NoError(t, tr.Close())
		}
	})
	require.NoError(t, ts[0].Send(ctx, 1, text("first")))
	m, err := ts[1].Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "first", string(m.Body))
	out = ts[0].peers[1].link
	require.NotNil(t, out.out)
	<-ts[1].rings[0].roomy // the knock for it was heard
	require.Eventually(t, settled, time.Minute, time.Millisecond)
	return ctx, ts, out
}

// settled reports whether all goroutines that tend a ring wait for the next knock,
// and so leave what comes to whoever looks.
func settled() bool {
	all := make([]byte, 1<<20)
	for _, g := range strings.Split(string(all[:runtime.Stack(all, true)]), "\n\n") {
		state, _, _ := strings.Cut(g, "\n")
		if strings.Contains(g, ".tend(") && !strings.Contains(state, "[IO wait") {
			return false
		}
	}
	return true
}

// eventually waits until f reports true. It looks with tr.look held.
func eventually(t *testing.T, tr *Transport, f func() bool) {
	t.Helper()
	require.Eventually(t, func() bool {
		tr.look.Lock()
		defer tr.look.Unlock()
		return f()
	}, time.Minute, time.Millisecond)
}

var long = bytes.Repeat([]byte("0123456789"), 4000) // less than the ring takes, more than goes in one piece

// begin puts the header of a message with the body long, and n bytes of that.
func begin(l *link, n int) (rest []byte) {
	l.out.Put(wire.AppendUnsummed(nil, &wire.Message{Kind: wire.User, Tag: 3, Body: long}))
	return l.out.Stream(l, long, n)
}

// A Recv that sleeps is woken by a body of which it has a part.
func TestRecvSleepsInTheMiddleOfABody(t *testing.T) {
	ctx, ts, out := sharing(t)
	received := make(chan wire.Message)
	go func() {
		m, _ := ts[1].Recv(ctx)
		received <- m
	}()
	eventually(t, ts[1], func() bool { return ts[1].asleep })
	rest := begin(out, 1000)
	eventually(t, ts[1], func() bool { return ts[1].rings[0].in.Missing() == len(rest) })
	require.Empty(t, out.out.Stream(out, rest, len(rest)))
	require.Equal(t, string(long), string((<-received).Body))
}

// A Recv whose ctx has ended returns, whatever comes.
func TestRecvEndsWhileSomethingComes(t *testing.T) {
	_, ts, out := sharing(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	rest := begin(out, 1000)
	_, err := ts[1].Recv(ended)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, out.out.Stream(out, rest, len(rest)))
	m, err := ts[1].Recv(ended)
	require.NoError(t, err, "it is there")
	require.Equal(t, string(long), string(m.Body))
}

func placeOf(buf []byte) *transport.Place { return &transport.Place{Src: 0, Tag: -1, Buf: buf} }

// poll polls until there is a message.
func poll(t *testing.T, f func(m *wire.Message) bool) (m wire.Message) {
	t.Helper()
	require.Eventually(t, func() bool { return f(&m) }, time.Minute, time.Microsecond)
	return m
}

// The next message that fits goes straight into the place that was offered.
func TestPlace(t *testing.T) {
	ctx, ts, _ := sharing(t)
	buf := make([]byte, 5)
	place := placeOf(buf)
	require.NoError(t, ts[0].Send(ctx, 1, text("longer")))
	require.NoError(t, ts[0].Send(ctx, 1, text("four")))
	m := poll(t, func(m *wire.Message) bool { return ts[1].PollInto(place, m) })
	require.Equal(t, "longer", string(m.Body))
	require.False(t, place.Holds(m.Body))
	m = poll(t, ts[1].Poll)
	require.Equal(t, "four", string(m.Body))
	require.True(t, place.Holds(m.Body))
	require.NoError(t, ts[0].Send(ctx, 1, text("once")))
	m = poll(t, ts[1].Poll)
	require.Equal(t, "once", string(m.Body))
	require.False(t, place.Holds(m.Body), "it was for one message")
}

// A place that was taken back is left alone: by a message that has come into it in
// part,
func TestWithdrawInTheMiddleOfABody(t *testing.T) {
	_, ts, out := sharing(t)
	buf := make([]byte, len(long))
	rest := begin(out, 1000)
	require.False(t, ts[1].PollInto(placeOf(buf), &wire.Message{}))
	require.Equal(t, string(long[:1000]), string(buf[:1000]))
	ts[1].Withdraw()
	clear(buf)
	require.Empty(t, out.out.Stream(out, rest, len(rest)))
	m := poll(t, ts[1].Poll)
	require.Equal(t, string(long), string(m.Body))
	require.Equal(t, make([]byte, len(long)), buf)
}

// by one that has come whole, and waits for Recv,
func TestWithdrawOfAWholeBody(t *testing.T) {
	ctx, ts, _ := sharing(t)
	buf := make([]byte, 100)
	require.False(t, ts[1].PollInto(placeOf(buf), &wire.Message{}))
	ts[1].look.Lock() // as Recv would
	ts[1].asleep = true
	require.True(t, ts[1].rings[0].in.Sleep())
	ts[1].look.Unlock()
	require.NoError(t, ts[0].Send(ctx, 1, text("four")))
	eventually(t, ts[1], func() bool { return !ts[1].inbox.Empty() })
	require.Equal(t, "four", string(buf[:4]))
	ts[1].Withdraw()
	clear(buf)
	m, err := ts[1].Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "four", string(m.Body))
}

// and by the next one.
func TestWithdrawOfAnEmptyPlace(t *testing.T) {
	ctx, ts, _ := sharing(t)
	buf := make([]byte, 100)
	require.False(t, ts[1].PollInto(placeOf(buf), &wire.Message{}))
	ts[1].Withdraw()
	require.NoError(t, ts[0].Send(ctx, 1, text("four")))
	m := poll(t, ts[1].Poll)
	require.Equal(t, "four", string(m.Body))
	require.Equal(t, make([]byte, 100), buf)
}

// A sender that dies in the middle of a message leaves nothing of it, in a place
// neither.
func TestTornMessage(t *testing.T) {
	ctx, ts, out := sharing(t)
	require.NoError(t, ts[0].Send(ctx, 1, text("whole")))
	begin(out, 1000)
	ts[0].kill()
	var m wire.Message
	for ok := ts[1].PollInto(placeOf(make([]byte, len(long))), &m); !ok; ok = ts[1].Poll(&m) {
	}
	_, err := ts[1].Recv(ctx)
	var gone *transport.PeerError
	require.ErrorAs(t, err, &gone)
	require.Equal(t, 0, gone.Rank)
	ts[1].Withdraw()
}

// What is no frame breaks the connection, and is the peer's fault.
func TestGarbageInMemory(t *testing.T) {
	for name, spoil := range map[string]func(l *link){
		"no frame":           func(l *link) { l.out.Put(make([]byte, wire.HeaderLen)) },
		"a part of a header": func(l *link) { l.out.Put(make([]byte, 7)) },
		"a wrong sum":        func(l *link) { l.out.Put(append([]byte{1}, wire.AppendUnsummed(nil, text("x"))[1:]...)) },
	} {
		for _, asleep := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				ctx, ts, out := sharing(t)
				failed := make(chan error)
				receive := func() {
					_, err := ts[1].Recv(ctx)
					failed <- err
				}
				if asleep {
					go receive()
					eventually(t, ts[1], func() bool { return ts[1].asleep })
				}
				spoil(out)
				if out.out.Publish() {
					out.Knock()
				}
				if !asleep {
					go receive()
				}
				err := <-failed
				var gone *transport.PeerError
				require.ErrorAs(t, err, &gone)
				require.ErrorIs(t, err, wire.ErrFrame)
				require.Equal(t, 0, gone.Rank)
			})
		}
	}
}

// Words on the socket that are none, and a goodbye in the middle of a message.
func TestGarbageOnTheSocketOfARing(t *testing.T) {
	for name, spoil := range map[string]func(l *link){
		"a word":           func(l *link) { l.conn.Write([]byte("..x")) },
		"an early goodbye": func(l *link) { begin(l, 1000); l.conn.Write([]byte{sayBye}) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, ts, out := sharing(t)
			spoil(out)
			_, err := ts[1].Recv(ctx)
			var gone *transport.PeerError
			require.ErrorAs(t, err, &gone)
			require.ErrorIs(t, err, wire.ErrFrame)
		})
	}
}

// A message into a place takes no memory but the place, on either end.
func TestMessagesThroughMemoryAllocateNothing(t *testing.T) {
	ctx, ts, _ := sharing(t)
	for _, size := range []int{0, 8, 4 << 10, 40 << 10} {
		var got wire.Message
		m, place := &wire.Message{Kind: wire.User, Body: make([]byte, size)}, placeOf(make([]byte, size))
		require.Zero(t, testing.AllocsPerRun(1000, func() {
			if err := ts[0].Send(ctx, 1, m); err != nil {
				panic(err)
			}
			if !ts[1].PollInto(place, &got) {
				panic("nothing came")
			}
		}), "%d bytes", size)
	}
}

// All rings of a host stay within a bound, however many ranks it has.
func TestRingSize(t *testing.T) {
	require.Equal(t, 1<<20, RingSize(2))
	for ranks := range 65 {
		require.LessOrEqual(t, ranks*(ranks-1)*RingSize(ranks), ringBudget)
	}
	require.Equal(t, 64<<10, RingSize(10_000))
}
