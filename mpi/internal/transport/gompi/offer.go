//go:build mpi

package gompi

import (
	"context"
	"sync/atomic"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// An offer is a large body that its receiver has been told of.
type offer struct {
	id   uint64
	to   *peer
	body []byte
	mark *atomic.Uint64 // of the view; nil: there is none, or none any more
	seen bool           // p has read it
	sent *bulk          // on its way; nil until p asks for it
	held bool           // it is a copy: Send has returned
}

// sendLarge announces m, and waits until its body is gone, as p has read or asked
// for it, or keeps a copy if p is busy. If ctx ends before that, it is called off;
// after p has asked it takes as long as it takes, since p waits for nothing else.
func (t *Transport) sendLarge(ctx context.Context, p *peer, m *wire.Message) error {
	t.lock()
	o := &offer{id: t.number(), to: p, body: m.Body}
	t.offers[o.id] = o
	v := t.marks.open(o)
	t.unlock()
	announced, err := t.send(ctx, p, &letter{tag: tagLarge, id: o.id, head: m, length: len(m.Body), view: &v})
	if err == nil {
		err = t.waitSent(ctx, p, o)
	}
	if err == nil {
		return nil
	}
	t.lock()
	t.withdrawOffer(o.id)
	asked := o.sent != nil
	t.unlock()
	switch {
	case o.seen:
		return nil
	case asked:
		return t.waitSent(context.WithoutCancel(ctx), p, o)
	case announced:
		t.callOff(p, o.id)
	}
	return err
}

// waitSent waits until the body of o is gone, or a copy is kept.
func (t *Transport) waitSent(ctx context.Context, p *peer, o *offer) error {
	var gone error
	t.lock()
	pace := pace{mark: o.mark} // which another call that polls may take away
	t.unlock()
	keep := false
	err := t.wait(ctx, &pace, func() bool {
		switch {
		case o.sent != nil:
			return o.sent.done
		case o.isSeen():
			t.withdrawOffer(o.id)
			return true
		}
		if gone = t.gone(p); gone == nil && pace.long() && t.held+len(o.body) <= transport.InboxLimit {
			t.held += len(o.body)
			keep = true
		}
		return gone != nil || keep
	})
	switch {
	case gone != nil:
		return gone
	case keep && !t.keep(p, o):
		return t.waitSent(ctx, p, o) // p has asked meanwhile
	}
	return err
}

// keep puts a copy, for which there is room, in the place of o's body. It reports
// whether that was in time.
func (t *Transport) keep(p *peer, o *offer) bool {
	c := clone(o.body)
	t.lock()
	defer t.unlock()
	if o.sent != nil || o.shut() || t.gone(p) != nil {
		t.held -= len(c)
		return false
	}
	o.body, o.held = c, true
	return true
}

// hand sends the body of an offer, unless it was called off.
func (t *Transport) hand(id uint64) (err error) {
	if o := t.withdrawOffer(id); o != nil {
		o.sent, err = t.sendBulk(id, o)
	}
	return err
}

// withdrawOffer strikes an offer out. It returns nil if that was done before.
func (t *Transport) withdrawOffer(id uint64) *offer {
	o := t.offers[id]
	if o != nil {
		delete(t.offers, id)
		o.shut()
	}
	return o
}
