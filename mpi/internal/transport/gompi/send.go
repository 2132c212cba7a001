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
		_, err := t.send(ctx, p, &letter{tag: tagUser + int(m.Tag), body: m.Body})
		return err
	case size <= maxLetter:
		_, err := t.send(ctx, p, &letter{tag: tagWhole, head: m, body: m.Body})
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
	if t.over {
		return transport.ErrClosed
	}
	t.arrived.put(&c)
	t.wake()
	return nil
}

// send sends one letter, and waits until MPI has taken it, or it is clear that this
// will last: the bytes are copied, and room is bounded. It reports whether the
// letter is on its way, which it may be when ctx has ended too.
func (t *Transport) send(ctx context.Context, p *peer, l *letter) (posted bool, err error) {
	t.lock()
	posted, c, err := t.postIfRoom(p, l)
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
	c, err = t.post(p, l)
	return true, c, err
}

// sendLater waits for room for l, unless it was posted, and for MPI.
func (t *Transport) sendLater(ctx context.Context, p *peer, l *letter, posted bool, c *parcel) (bool, error) {
	var failed error
	var pace pace
	err := t.wait(ctx, &pace, func() bool {
		if !posted {
			posted, c, failed = t.postIfRoom(p, l)
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
	if t.over {
		return transport.ErrClosed
	}
	if p.left {
		return &transport.PeerError{Rank: p.rank, Err: transport.ErrLeft}
	}
	return nil
}

// number returns one for a message of several parts.
func (t *Transport) number() uint64 {
	t.serial++
	return t.serial
}

// sendPieces sends m in as many letters as it takes. If ctx ends on the way, the
// rest is called off.
func (t *Transport) sendPieces(ctx context.Context, p *peer, m *wire.Message) (err error) {
	t.lock()
	id, at := t.number(), 0
	t.unlock()
	l := letter{tag: tagFirst, id: id, head: m, length: len(m.Body)}
	for err == nil && at < len(m.Body) {
		l.body = m.Body[at:min(at+l.room(), len(m.Body))]
		var posted bool
		if posted, err = t.send(ctx, p, &l); posted {
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
	_, err := t.post(p, &letter{tag: tag, id: id})
	return err
}
