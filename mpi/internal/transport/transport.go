// Package transport is the one seam between a communicator and the machine:
// everything above it (matching, collectives, typed values) is written once,
// everything below it moves whole messages between ranks.
package transport

import (
	"context"
	"errors"
	"fmt"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Transport carries messages between the ranks of one job.
//
// Send delivers m to rank dst and returns when m.Body may be reused: it was
// copied or written. Messages from one rank to another arrive whole, once, and
// in the order in which Send was called. Send may block while the receiver has
// no room; while it does, the transport goes on taking messages in, so that two
// ranks that send to each other both get on. A Send to oneself never blocks.
// Any number of goroutines may call Send. A Send whose ctx ends returns its
// cause; the message has then arrived whole or not at all.
//
// Recv returns the next message that has arrived, with Src set and a Body that
// is the caller's. It blocks until there is one or ctx ends. One goroutine at a
// time calls it.
//
// Both return a *PeerError when a peer is gone. Recv does so once for each
// peer, after the last message of that peer.
//
// Close tells the peers that this rank leaves in order, releases everything and
// makes blocked calls return ErrClosed. The caller sees to it that all messages
// have arrived before.
type Transport interface {
	Send(ctx context.Context, dst int, m *wire.Message) error
	Recv(ctx context.Context) (wire.Message, error)
	Close() error
}

// A Poller is a Transport that can say at once what has come.
type Poller interface {
	// Poll is Recv that does not wait for long: where nothing has come within some
	// microseconds it reports false. It leaves errors to Recv. It must not be
	// called while Recv is.
	Poll() (wire.Message, bool)
}

// Until returns a context that ends with ctx, and with ErrClosed when life does:
// what a call waits on that Close must get out of. stop frees it.
func Until(ctx, life context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	unwatch := context.AfterFunc(life, func() { cancel(ErrClosed) })
	return ctx, func() {
		unwatch()
		cancel(nil)
	}
}

// ErrClosed is returned by calls on a transport after Close.
var ErrClosed = errors.New("transport closed")

// ErrLeft is the Err of a PeerError about a peer that has closed in order.
var ErrLeft = errors.New("it has left the job")

// PeerError says that a peer can't be reached any more.
type PeerError struct {
	Rank int
	Err  error
}

func (e *PeerError) Error() string { return fmt.Sprintf("rank %d: %v", e.Rank, e.Err) }
func (e *PeerError) Unwrap() error { return e.Err }
