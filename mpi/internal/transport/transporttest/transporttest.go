// Package transporttest is the one suite that every transport passes. It holds
// the contract of transport.Transport, and what the engine above relies on.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Harness makes the transports of one kind.
type Harness struct {
	// New returns the transports of n ranks, by rank. Run closes them.
	New func(t *testing.T, n int) []transport.Transport
	// Kill ends a transport as the death of its process would: connections break
	// without a goodbye. It is nil where ranks can't die alone.
	Kill func(transport.Transport)
}

// Run runs the suite, each test as a subtest of t.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"every field arrives", testFields},
		{"order", testOrder},
		{"sizes", testSizes},
		{"a huge message", testHuge},
		{"to oneself", testSelf},
		{"both send before they receive", testBothSend},
		{"all to all", testAllToAll},
		{"who owns the bytes", testOwnership},
		{"a cancelled Recv takes nothing", testCancelRecv},
		{"a cancelled Send, small", func(t *testing.T, s *suite) { testCancelSend(t, s, 3<<10) }},
		{"a cancelled Send, medium", func(t *testing.T, s *suite) { testCancelSend(t, s, 6<<10) }},
		{"a cancelled Send, large", func(t *testing.T, s *suite) { testCancelSend(t, s, 8<<20) }},
		{"an ended ctx sends nothing", testEndedCtx},
		{"a first Send is given up", testFirstSendGivenUp},
		{"a full inbox holds the sender", testBounded},
		{"Close unblocks Recv", testCloseRecv},
		{"Close unblocks Send", testCloseSend},
		{"after Close", testAfterClose},
		{"a peer that leaves", testLeave},
		{"a peer that dies", testDeath},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			test.run(t, &suite{Harness: h, ctx: ctx})
		})
	}
}

// suite is what a test of the suite needs.
type suite struct {
	Harness
	ctx context.Context // ends when a test hangs
}

func (s *suite) ranks(t *testing.T, n int) []transport.Transport {
	ts := s.New(t, n)
	t.Cleanup(func() {
		for _, tr := range ts {
			require.NoError(t, tr.Close())
		}
	})
	return ts
}

// message returns number i, with a body that no other number and size has.
func message(i, size int) *wire.Message {
	body := bytes.Clone(noise()[i%1000:][:size])
	return &wire.Message{Kind: wire.User, Tag: int32(i), Body: body}
}

// noise is what bodies are cut from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 64<<20+1+1000)
	rand.NewChaCha8([32]byte{2}).Read(b)
	return b
})

// arrived requires that m is message(i, size) of src.
func arrived(t *testing.T, m wire.Message, src, i, size int) {
	t.Helper()
	require.Equal(t, src, m.Src)
	require.EqualValues(t, i, m.Tag)
	require.Len(t, m.Body, size)
	require.True(t, bytes.Equal(noise()[i%1000:][:size], m.Body), "the body of message %d has changed on the way", i)
}

// receive takes the next message of tr, which must be message(i, size) of src.
func (s *suite) receive(t *testing.T, tr transport.Transport, src, i, size int) {
	t.Helper()
	m, err := tr.Recv(s.ctx)
	require.NoError(t, err)
	arrived(t, m, src, i, size)
}

// nothing requires that no message or error waits at tr, whose rank it is.
func (s *suite) nothing(t *testing.T, tr transport.Transport, rank int) {
	t.Helper()
	require.NoError(t, tr.Send(s.ctx, rank, message(999, 3)))
	s.receive(t, tr, rank, 999, 3)
}

// inParallel runs f(0) to f(n-1) and waits for all. Their errors fail t.
func inParallel(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for i := range n {
		require.NoError(t, errs[i], "goroutine %d", i)
	}
}

func testFields(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	for dst := range ts {
		sent := wire.Message{Kind: wire.Collective, Form: 7, Tag: -5, Comm: 1<<63 + 9, Seq: 1 << 40, Note: "Bcast\x00main.go:1", Body: []byte("body")}
		require.NoError(t, ts[0].Send(s.ctx, dst, &sent))
		got, err := ts[dst].Recv(s.ctx)
		require.NoError(t, err)
		require.Equal(t, sent, got, "to rank %d", dst)
	}
}

func testOrder(t *testing.T, s *suite) {
	count := 2000
	if testing.Short() { // and often
		count = 300
	}
	size := func(i int) int { return i * 7919 % 40000 }
	ts := s.ranks(t, 2)
	inParallel(t, 4, func(i int) error { // both ways at once
		me, peer := ts[i%2], 1-i%2
		for k := range count {
			if i < 2 {
				if err := me.Send(s.ctx, peer, message(k, size(k))); err != nil {
					return err
				}
				continue
			}
			m, err := me.Recv(s.ctx)
			if err != nil {
				return err
			}
			arrived(t, m, peer, k, size(k))
		}
		return nil
	})
}

func testSizes(t *testing.T, s *suite) {
	sizes := []int{0, 3<<20 + 1}
	for size := 1; size <= 2<<20; size *= 2 {
		sizes = append(sizes, size-1, size, size+1)
	}
	ts := s.ranks(t, 2)
	for i, size := range sizes {
		require.NoError(t, ts[0].Send(s.ctx, 1, message(i, size)))
		s.receive(t, ts[1], 0, i, size)
	}
}

func testHuge(t *testing.T, s *suite) {
	const size = 64<<20 + 1
	ts := s.ranks(t, 2)
	inParallel(t, 2, func(i int) error {
		if i == 0 {
			return ts[0].Send(s.ctx, 1, message(1, size))
		}
		s.receive(t, ts[1], 0, 1, size)
		return nil
	})
}

func testSelf(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	for i := range 100 { // more than an inbox takes from others
		require.NoError(t, ts[0].Send(s.ctx, 0, message(i, 1<<20)))
	}
	for i := range 100 {
		s.receive(t, ts[0], 0, i, 1<<20)
	}
}

func testBothSend(t *testing.T, s *suite) {
	const count, size = 30, 4 << 20 // 120 MiB, far beyond inbox and sockets
	ts := s.ranks(t, 2)
	inParallel(t, 2, func(me int) error {
		for i := range count {
			if err := ts[me].Send(s.ctx, 1-me, message(i, size)); err != nil {
				return err
			}
		}
		for i := range count {
			s.receive(t, ts[me], 1-me, i, size)
		}
		return nil
	})
}

func testAllToAll(t *testing.T, s *suite) {
	const n, senders, count = 4, 4, 40
	ts := s.ranks(t, n)
	inParallel(t, n*(senders+1), func(i int) error {
		me, g := i%n, i/n
		if g < senders {
			for k := range count {
				for dst := range n {
					m := message(k, k*k)
					m.Comm = uint64(g)
					if err := ts[me].Send(s.ctx, dst, m); err != nil {
						return err
					}
				}
			}
			return nil
		}
		next := map[[2]int]int{} // by rank and goroutine
		for range n * senders * count {
			m, err := ts[me].Recv(s.ctx)
			if err != nil {
				return err
			}
			from := [2]int{m.Src, int(m.Comm)}
			arrived(t, m, m.Src, next[from], next[from]*next[from])
			next[from]++
		}
		return nil
	})
}

func testOwnership(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	for dst := range ts {
		for _, size := range []int{1, 1 << 10, 6 << 10, 1 << 20} {
			inParallel(t, 2, func(i int) error {
				if i == 1 {
					for k := range 3 {
						m, err := ts[dst].Recv(s.ctx)
						if err != nil {
							return err
						}
						arrived(t, m, 0, k, size)
						clear(m.Body) // ours: nobody else sees it
					}
					return nil
				}
				var buf wire.Message
				for k := range 3 {
					m := message(k, size)
					buf.Kind, buf.Tag, buf.Body = m.Kind, m.Tag, append(buf.Body[:0], m.Body...)
					if err := ts[0].Send(s.ctx, dst, &buf); err != nil {
						return err
					}
					require.True(t, bytes.Equal(m.Body, buf.Body), "Send or Recv has changed the sender's bytes")
					clear(buf.Body) // ours again: the message is not changed
				}
				return nil
			})
		}
	}
}

func testCancelRecv(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	cause := context.DeadlineExceeded
	ctx, cancel := context.WithTimeout(s.ctx, time.Millisecond)
	defer cancel()
	_, err := ts[1].Recv(ctx)
	require.ErrorIs(t, err, cause)
	require.NoError(t, ts[0].Send(s.ctx, 1, message(1, 100)))
	s.receive(t, ts[1], 0, 1, 100)
}

// patience is how long a Send must take to be called blocked. Nothing depends on
// it being right: a Send that would have ended by itself may be cancelled too.
const patience = 50 * time.Millisecond

// fill sends messages of a size from ts[0] to 1, who does not receive, until one
// is cancelled. It returns that one's number.
func (s *suite) fill(t *testing.T, ts []transport.Transport, size int) int {
	t.Helper()
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(s.ctx, patience)
		err := ts[0].Send(ctx, 1, message(i, size))
		cancel()
		if err != nil {
			require.NoError(t, s.ctx.Err(), "nothing ever blocks")
			require.ErrorIs(t, err, context.DeadlineExceeded)
			return i
		}
	}
}

func testCancelSend(t *testing.T, s *suite, size int) {
	ts := s.ranks(t, 2)
	cut := s.fill(t, ts, size)
	again := s.fillFrom(t, ts, cut+1, size) // in its wake
	inParallel(t, 2, func(i int) error {
		if i == 0 {
			return ts[0].Send(s.ctx, 1, message(again+1, size))
		}
		for next := 0; next <= again+1; next++ {
			m, err := ts[1].Recv(s.ctx)
			if err != nil {
				return err
			}
			for next >= cut && next <= again && int(m.Tag) != next {
				next++ // a cancelled one may be missing, but not broken
			}
			arrived(t, m, 0, next, size)
		}
		return nil
	})
	s.nothing(t, ts[1], 1)
}

// fillFrom tries one more message after fill, numbered i.
func (s *suite) fillFrom(t *testing.T, ts []transport.Transport, i, size int) int {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	if err := ts[0].Send(ctx, 1, message(i, size)); err != nil {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	return i
}

func testEndedCtx(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	ctx, cancel := context.WithCancelCause(s.ctx)
	cause := context.Canceled
	cancel(cause)
	for dst := range ts {
		require.ErrorIs(t, ts[0].Send(ctx, dst, message(1, 10)), cause)
		require.NoError(t, ts[0].Send(s.ctx, dst, message(2, 10)))
		s.receive(t, ts[dst], 0, 2, 10)
	}
}

// A Send that is given up while it connects, or before, is all that is lost: nobody
// takes its rank for dead.
func testFirstSendGivenUp(t *testing.T, s *suite) {
	const n = 5
	ts := s.ranks(t, n)
	inParallel(t, n, func(src int) error {
		for i := 1; i < n; i++ {
			dst := (src + i) % n
			ctx, cancel := context.WithTimeout(s.ctx, time.Duration(rand.Int64N(int64(connecting))))
			err := ts[src].Send(ctx, dst, message(1, 10))
			cancel()
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			if err := ts[src].Send(s.ctx, dst, message(2, 10)); err != nil {
				return err
			}
		}
		return nil
	})
	for dst := range ts {
		for sources := 1; sources < n; {
			m, err := ts[dst].Recv(s.ctx)
			require.NoError(t, err)
			if m.Tag == 2 {
				sources++
			}
		}
		s.nothing(t, ts[dst], dst)
	}
}

// connecting is the time in which two ranks of one host connect, mostly.
const connecting = 2 * time.Millisecond

func testBounded(t *testing.T, s *suite) {
	const size = 1 << 20
	ts := s.ranks(t, 2)
	blocked := s.fill(t, ts, size)
	require.Less(t, blocked*size, transport.InboxLimit+128<<20, "what may wait, here and in the sockets, is bounded")
	for i := range blocked {
		s.receive(t, ts[1], 0, i, size)
	}
	// Now there is room again.
	inParallel(t, 2, func(i int) error {
		if i == 0 {
			return ts[0].Send(s.ctx, 1, message(blocked+1, size))
		}
		m, err := ts[1].Recv(s.ctx)
		if err == nil && int(m.Tag) == blocked { // the cancelled one
			arrived(t, m, 0, blocked, size)
			m, err = ts[1].Recv(s.ctx)
		}
		if err == nil {
			arrived(t, m, 0, blocked+1, size)
		}
		return err
	})
}

func testCloseRecv(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	inParallel(t, 2, func(i int) error {
		if i == 0 {
			return ts[0].Close()
		}
		_, err := ts[0].Recv(s.ctx)
		require.ErrorIs(t, err, transport.ErrClosed)
		return nil
	})
}

func testCloseSend(t *testing.T, s *suite) {
	const size = 1 << 20
	ts := s.ranks(t, 2)
	s.fill(t, ts, size)
	inParallel(t, 4, func(i int) error {
		if i == 0 {
			return ts[0].Close()
		}
		var err error
		for err == nil { // sockets may find more room yet
			err = ts[0].Send(s.ctx, 1, message(i, size))
		}
		require.ErrorIs(t, err, transport.ErrClosed)
		return nil
	})
}

func testAfterClose(t *testing.T, s *suite) {
	ts := s.ranks(t, 2)
	require.NoError(t, ts[0].Send(s.ctx, 1, message(1, 10)))
	s.receive(t, ts[1], 0, 1, 10)
	require.NoError(t, ts[0].Close())
	require.NoError(t, ts[0].Close(), "twice")
	require.ErrorIs(t, ts[0].Send(s.ctx, 1, message(2, 10)), transport.ErrClosed)
	require.ErrorIs(t, ts[0].Send(s.ctx, 0, message(2, 10)), transport.ErrClosed)
	_, err := ts[0].Recv(s.ctx)
	require.ErrorIs(t, err, transport.ErrClosed)
}

func testLeave(t *testing.T, s *suite) {
	ts := s.ranks(t, 3)
	for dst := range 2 {
		require.NoError(t, ts[2].Send(s.ctx, dst, message(1, 100)))
	}
	require.NoError(t, ts[2].Close())
	for dst := range 2 {
		s.receive(t, ts[dst], 2, 1, 100) // what it had sent arrives
		var gone *transport.PeerError
		for err := error(nil); err == nil; { // a few may still be written into nothing
			err = ts[dst].Send(s.ctx, 2, message(2, 1<<20))
			if err != nil {
				require.ErrorAs(t, err, &gone)
			}
		}
		require.Equal(t, 2, gone.Rank)
		s.nothing(t, ts[dst], dst) // to leave is no fault
	}
	require.NoError(t, ts[0].Send(s.ctx, 1, message(3, 100)))
	s.receive(t, ts[1], 0, 3, 100)
}

func testDeath(t *testing.T, s *suite) {
	if s.Kill == nil {
		return // its ranks can't die alone
	}
	ts := s.ranks(t, 3)
	require.NoError(t, ts[0].Send(s.ctx, 2, message(0, 10)))
	s.receive(t, ts[2], 0, 0, 10)
	for dst := range 2 {
		for i := range 3 {
			require.NoError(t, ts[2].Send(s.ctx, dst, message(i, 1<<i)))
		}
	}
	s.Kill(ts[2])
	for dst := range 2 {
		for i := range 3 {
			s.receive(t, ts[dst], 2, i, 1<<i)
		}
		_, err := ts[dst].Recv(s.ctx)
		var gone *transport.PeerError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, 2, gone.Rank)
		for err = nil; err == nil; {
			err = ts[dst].Send(s.ctx, 2, message(2, 10))
		}
		require.ErrorAs(t, err, &gone)
		require.Equal(t, 2, gone.Rank)
		s.nothing(t, ts[dst], dst) // it is said once
	}
	require.NoError(t, ts[0].Send(s.ctx, 1, message(3, 100)))
	s.receive(t, ts[1], 0, 3, 100)
}
