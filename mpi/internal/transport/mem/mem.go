// Package mem is the transport between ranks that are goroutines of one
// process.
package mem

import (
	"bytes"
	"context"
	"errors"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Transport is one rank's end.
type Transport struct {
	rank    int
	inboxes []*transport.Inbox // of all ranks
}

var errLeft = errors.New("it has left the job")

// New returns the transports of n ranks, by rank.
func New(n int) []*Transport {
	inboxes := make([]*transport.Inbox, n)
	for i := range inboxes {
		inboxes[i] = transport.NewInbox()
	}
	ts := make([]*Transport, n)
	for i := range ts {
		ts[i] = &Transport{rank: i, inboxes: inboxes}
	}
	return ts
}

// Send copies m into dst's inbox; see transport.Transport.
func (t *Transport) Send(ctx context.Context, dst int, m *wire.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c := *m
	c.Src, c.Body = t.rank, bytes.Clone(m.Body)
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
	err := t.inboxes[dst].Put(ctx, c)
	if err == transport.ErrClosed && !own.Closed() {
		err = &transport.PeerError{Rank: dst, Err: errLeft}
	}
	return err
}

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (wire.Message, error) {
	return t.inboxes[t.rank].Recv(ctx)
}

// Close leaves; see transport.Transport.
func (t *Transport) Close() error {
	t.inboxes[t.rank].Close()
	return nil
}
