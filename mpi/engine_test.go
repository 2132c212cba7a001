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

func (s *script) Poll(*wire.Message) bool { return false }

// A call that finds another one reading goes to sleep. When that one has what it
// came for, whatever that was, the sleeper must read.
func TestWhoeverReadPassesOn(t *testing.T) {
	user, coll := wire.Message{Kind: wire.User, Src: 1, Comm: 7}, wire.Message{Kind: wire.Collective, Src: 1, Comm: 7}
	for name, first := range map[string]wire.Message{"a message": user, "a collective": coll} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s := &script{make(chan wire.Message)}
			e := newEngine(s, 0, 2, func(int) string { return "" })
			receive := func(kind wire.Kind, comm uint64) chan error {
				done := make(chan error, 1)
				go func() {
					c := &Comm{engine: e, id: comm, group: []int{0, 1}}
					done <- e.recv(ctx, &want{kind: kind, c: c, src: 1, size: -1}, &wire.Message{})
				}()
				return done
			}
			waits := func(calls int) {
				require.Eventually(t, func() bool {
					e.mu.Lock()
					defer e.mu.Unlock()
					return len(e.waiting) == calls
				}, time.Minute, time.Millisecond)
			}
			reader := receive(first.Kind, 7)
			waits(1)
			sleeper := receive(wire.User, 8)
			waits(2)
			s.arrived <- first
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
