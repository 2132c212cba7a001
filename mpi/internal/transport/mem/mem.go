// Package mem is the transport between ranks that are goroutines of one
// process.
package mem

import (
	"context"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Transport is one rank's end.
type Transport struct {
	rank    int
	inboxes []*transport.Inbox // of all ranks
	life    context.Context    // ends with Close
	end     context.CancelFunc
}

// New returns the transports of n ranks, by rank.
func New(n int) []*Transport {
	inboxes := make([]*transport.Inbox, n)
	for i := range inboxes {
		inboxes[i] = transport.NewInbox()
	}
	ts := make([]*Transport, n)
	for i := range ts {
		ts[i] = &Transport{rank: i, inboxes: inboxes}
		ts[i].life, ts[i].end = context.WithCancel(context.Background())
	}
	return ts
}

// Send copies m into dst's inbox; see transport.Transport.
func (t *Transport) Send(ctx context.Context, dst int, m *wire.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if t.life.Err() != nil {
		return transport.ErrClosed
	}
	c := *m
	c.Src = t.rank
	if c.Body = nil; len(m.Body) > 0 {
		c.Body = wire.NewBody(len(m.Body))
		copy(c.Body, m.Body)
	}
	if t.inboxes[dst].Offer(c) {
		return nil
	}
	own := t.inboxes[t.rank]
	if dst == t.rank {
		return own.PutNow(c)
	}
	// dst has no room, or has left.
	own.Block()
	defer own.Unblock()
	ctx, stop := transport.Until(ctx, t.life)
	defer stop()
	err := t.inboxes[dst].Put(ctx, c)
	if err == transport.ErrClosed && t.life.Err() == nil {
		err = &transport.PeerError{Rank: dst, Err: transport.ErrLeft}
	}
	return err
}

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (wire.Message, error) {
	return t.inboxes[t.rank].Recv(ctx)
}

// Poll moves the next message to m if there is one; see transport.Poller.
func (t *Transport) Poll(m *wire.Message) bool { return t.inboxes[t.rank].Poll(m) }

// Close leaves; see transport.Transport.
func (t *Transport) Close() error {
	t.end()
	t.inboxes[t.rank].Close()
	return nil
}
