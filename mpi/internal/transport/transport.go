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

// A Dropper is a Transport that can give up a peer which others know to be lost.
type Dropper interface {
	// Drop makes Recv return the *PeerError of a peer soon, behind what has come
	// from it, though the connection with it may seem to live, or there was none.
	Drop(rank int, why error)
}

// A Poller is a Transport that can say at once what has come.
type Poller interface {
	// Poll is Recv, into m, that does not wait for long: where nothing has come within
	// some microseconds it reports false. It leaves errors to Recv. It must not be
	// called while Recv is.
	Poll(m *wire.Message) bool
}

// A Placer is a Poller that can put a body straight where its receiver wants it.
type Placer interface {
	Poller

	// PollInto is Poll, and offers a place for the body of the next message that
	// fits it. The offer stands until that one, whichever call returns it, has its
	// Body there, or Withdraw is called. There is one offer at a time. p is not kept.
	PollInto(p *Place, m *wire.Message) bool

	// Withdraw takes the offer back. When it returns, nothing refers to the place
	// any more, nor writes to it; a message that Recv has not returned yet has its
	// Body elsewhere. It blocks while MPI or the system is at it, which is not for
	// long.
	Withdraw()
}

// A Place is memory that a call which waits for a message offers for its body.
type Place struct {
	Src  int
	Comm uint64
	Tag  int32 // below 0: any
	Buf  []byte
}

// Fits reports whether the body of m, of n bytes, may go there.
func (p *Place) Fits(m *wire.Message, n int) bool {
	return m.Src == p.Src && m.Comm == p.Comm && (p.Tag < 0 || m.Tag == p.Tag) && m.Kind == wire.User && 0 < n && n <= len(p.Buf)
}

// Holds reports whether body is in the place.
func (p *Place) Holds(body []byte) bool {
	return len(body) > 0 && len(p.Buf) > 0 && &body[0] == &p.Buf[0]
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
