//go:build mpi

package gompi

import (
	"context"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Send delivers m to dst; see transport.Transport.
func (t *Transport) Send(ctx context.Context, dst int, m *wire.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p := &t.peers[dst]
	switch size := headerLen + len(m.Note) + len(m.Body); {
	case dst == t.w.Rank:
		return t.toSelf(m)
	case len(m.Body) <= maxLetter && t.plain(m):
		_, err := t.send(ctx, p, letter{tag: tagUser + int(m.Tag), body: m.Body})
		return err
	case size <= maxLetter:
		_, err := t.send(ctx, p, letter{tag: tagWhole, head: m, body: m.Body})
		return err
	case len(m.Body) <= maxPieces:
		return t.sendPieces(ctx, p, m)
	}
	return t.sendLarge(ctx, p, m)
}

// maxPieces is how long a body may be that goes in pieces. Longer ones are faster
// from memory to memory.
const maxPieces = 8 << 10

func (t *Transport) toSelf(m *wire.Message) error {
	c := *m
	c.Src, c.Body = t.w.Rank, clone(m.Body)
	t.lock()
	defer t.unlock()
	if t.closed() {
		return transport.ErrClosed
	}
	t.arrived.put(c)
	t.wake()
	return nil
}

// send sends one letter, and waits until MPI has taken it, or it is clear that this
// will last: the bytes are copied, and room is bounded. It reports whether the
// letter is on its way, which it may be when ctx has ended too.
func (t *Transport) send(ctx context.Context, p *peer, l letter) (posted bool, err error) {
	t.lock()
	posted, c, err := t.postIfRoom(p, &l)
	t.unlock()
	if err != nil || posted && c == nil {
		return posted, err
	}
	return t.sendLater(ctx, p, l, posted, c)
}

// postIfRoom posts l if p may be sent a letter. It returns the parcel if MPI isn't
// done with it.
func (t *Transport) postIfRoom(p *peer, l *letter) (posted bool, c *parcel, err error) {
	if err := t.gone(p); err != nil || !p.room() {
		return false, nil, err
	}
	c, err = t.post(p, l.tag, l.write(t.next().buf))
	return true, c, err
}

// sendLater waits for room for l, unless it was posted, and for MPI.
func (t *Transport) sendLater(ctx context.Context, p *peer, l letter, posted bool, c *parcel) (bool, error) {
	var failed error
	var pace pace
	err := t.wait(ctx, &pace, func() bool {
		if !posted {
			posted, c, failed = t.postIfRoom(p, &l)
			if failed != nil || !posted {
				return failed != nil
			}
		}
		return c == nil || c.done || c.marks != nil || pace.long()
	})
	if failed != nil {
		err = failed
	}
	return posted, err
}

// gone says why p can't be sent to, if it can't.
func (t *Transport) gone(p *peer) error {
	if t.closed() {
		return transport.ErrClosed
	}
	if p.left {
		return &transport.PeerError{Rank: p.rank, Err: transport.ErrLeft}
	}
	return nil
}

// number returns one for a message of several parts.
func (t *Transport) number() uint64 {
	t.lock()
	defer t.unlock()
	t.serial++
	return t.serial
}

// sendPieces sends m in as many letters as it takes. If ctx ends on the way, the
// rest is called off.
func (t *Transport) sendPieces(ctx context.Context, p *peer, m *wire.Message) (err error) {
	id, at := t.number(), 0
	l := letter{tag: tagFirst, id: id, head: m, length: len(m.Body)}
	for err == nil && at < len(m.Body) {
		l.body = m.Body[at:min(at+l.room(), len(m.Body))]
		var posted bool
		if posted, err = t.send(ctx, p, l); posted {
			at += len(l.body)
		}
		l = letter{tag: tagMore, id: id}
	}
	if err != nil && at > 0 && at < len(m.Body) {
		t.callOff(p, id)
	}
	return err
}

// callOff tells p that what has begun as id will not be finished.
func (t *Transport) callOff(p *peer, id uint64) {
	t.lock()
	defer t.unlock()
	if t.gone(p) == nil && t.broken == nil {
		t.broken = t.tell(p, tagVoid, id)
		t.help()
	}
}

// tell sends p a letter that is nothing but a number, room or not.
func (t *Transport) tell(p *peer, tag int, id uint64) error {
	l := letter{tag: tag, id: id}
	_, err := t.post(p, tag, l.write(t.next().buf))
	return err
}

// An offer is a large body that its receiver has been told of.
type offer struct {
	to   *peer
	body []byte
	held bool  // it is a copy: Send has returned
	sent *bulk // nil until it is asked for
}

// sendLarge announces m, and waits until its body, which p asks for, is gone, or
// keeps a copy if p is busy. If ctx ends before p asks, it is called off; after
// that it takes as long as it takes, since p waits for nothing else.
func (t *Transport) sendLarge(ctx context.Context, p *peer, m *wire.Message) error {
	id, o := t.number(), &offer{to: p, body: m.Body}
	t.lock()
	t.offers[id] = o
	t.unlock()
	announced, err := t.send(ctx, p, letter{tag: tagLarge, id: id, head: m, length: len(m.Body)})
	if err == nil {
		err = t.waitSent(ctx, p, o)
	}
	if err == nil {
		return nil
	}
	t.lock()
	asked := o.sent != nil
	if !asked {
		delete(t.offers, id)
	}
	t.unlock()
	switch {
	case asked:
		return t.waitSent(context.WithoutCancel(ctx), p, o)
	case announced:
		t.callOff(p, id)
	}
	return err
}

// waitSent waits until the body of o is gone, or a copy is kept.
func (t *Transport) waitSent(ctx context.Context, p *peer, o *offer) error {
	var gone error
	var pace pace
	keep := false
	err := t.wait(ctx, &pace, func() bool {
		if o.sent != nil {
			return o.sent.done
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
	if o.sent != nil || t.gone(p) != nil {
		t.held -= len(c)
		return false
	}
	o.body, o.held = c, true
	return true
}
