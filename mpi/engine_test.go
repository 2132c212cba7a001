package mpi

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// script is a transport whose messages come when the test says.
type script struct {
	polling chan struct{} // told when Poll begins
	polled  chan wire.Message
	arrived chan wire.Message
}

func (s *script) Send(context.Context, int, *wire.Message) error { return nil }
func (s *script) Close() error                                   { return nil }

func (s *script) Recv(ctx context.Context) (wire.Message, error) {
	select {
	case m := <-s.arrived:
		return m, nil
	case <-ctx.Done():
		return wire.Message{}, context.Cause(ctx)
	}
}

func (s *script) Poll(m *wire.Message) bool {
	s.polling <- struct{}{}
	*m = <-s.polled
	return m.Kind != 0
}

// A call that finds another one reading goes to sleep. When that one has what it
// came for, whatever that was and however it got it, the sleeper must read.
func TestWhoeverReadPassesOn(t *testing.T) {
	user, coll := wire.Message{Kind: wire.User, Src: 1, Comm: 7}, wire.Message{Kind: wire.Collective, Src: 1, Comm: 7}
	for name, first := range map[string]wire.Message{"a message": user, "a collective": coll} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &script{make(chan struct{}), make(chan wire.Message), make(chan wire.Message)}
			e := newEngine(s, 0, 2, func(int) string { return "" })
			receive := func(kind wire.Kind, comm uint64) chan error {
				done := make(chan error, 1)
				go func() {
					c := &Comm{engine: e, id: comm, group: []int{0, 1}}
					done <- e.recv(ctx, &want{kind: kind, c: c, src: 1, size: -1}, &wire.Message{})
				}()
				return done
			}
			reader := receive(first.Kind, 7)
			<-s.polling
			sleeper := receive(wire.User, 8)
			require.Eventually(t, func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return len(e.waiting) == 1
			}, time.Minute, time.Millisecond)
			s.polled <- first
			require.NoError(t, <-reader)
			select {
			case s.arrived <- wire.Message{Kind: wire.User, Src: 1, Comm: 8}:
			case <-ctx.Done():
				t.Fatal("nobody reads")
			}
			require.NoError(t, <-sleeper)
		})
	}
}
