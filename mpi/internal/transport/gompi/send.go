//go:build mpi

package gompi

import (
	"context"
	"encoding/binary"

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
		return t.send(ctx, p, tagUser+int(m.Tag), func(b []byte) int { return copy(b, m.Body) })
	case size <= maxLetter:
		return t.send(ctx, p, tagWhole, func(b []byte) int {
			n := putHeader(b, m)
			return n + copy(b[n:], m.Body)
		})
	case len(m.Body) <= maxPieces:
		return t.sendPieces(ctx, p, m)
	}
	return t.sendLarge(ctx, p, m)
}

// maxPieces is how long a body may be that goes in pieces.
const maxPieces = 64 << 10

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

// send sends one letter, which fill writes, and waits until MPI has taken it, or
// it is clear that this will last: the bytes are copied, and room is bounded.
func (t *Transport) send(ctx context.Context, p *peer, tag int, fill func(b []byte) int) error {
	var c *parcel
	var failed error
	var pace pace
	posted := false
	err := t.wait(ctx, &pace, func() bool {
		if !posted {
			if failed = t.gone(p); failed != nil {
				return true
			}
			if !p.room() {
				return false
			}
			posted = true
			c, failed = t.post(p, tag, fill(t.next().buf))
		}
		return c == nil || c.done || c.marks != nil || pace.long()
	})
	if failed != nil {
		return failed
	}
	return err
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

// begin writes the start of a message of several parts.
func begin(b []byte, id uint64, m *wire.Message) int {
	binary.LittleEndian.PutUint64(b, id)
	binary.LittleEndian.PutUint64(b[idLen:], uint64(len(m.Body)))
	return idLen + lengthLen + putHeader(b[idLen+lengthLen:], m)
}

// sendPieces sends m in as many letters as it takes. If ctx ends on the way, the
// rest is called off.
func (t *Transport) sendPieces(ctx context.Context, p *peer, m *wire.Message) error {
	id, at := t.number(), 0
	err := t.send(ctx, p, tagFirst, func(b []byte) int {
		n := begin(b, id, m)
		at = copy(b[n:], m.Body)
		return n + at
	})
	for err == nil && at < len(m.Body) {
		err = t.send(ctx, p, tagMore, func(b []byte) int {
			binary.LittleEndian.PutUint64(b, id)
			n := copy(b[idLen:], m.Body[at:])
			at += n
			return idLen + n
		})
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
		_, t.broken = t.post(p, tagVoid, putID(t.next().buf, id))
		t.help()
	}
}

func putID(b []byte, id uint64) int {
	binary.LittleEndian.PutUint64(b, id)
	return idLen
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
	id, o, announced := t.number(), &offer{to: p, body: m.Body}, false
	t.lock()
	t.offers[id] = o
	t.unlock()
	err := t.send(ctx, p, tagLarge, func(b []byte) int {
		announced = true
		return begin(b, id, m)
	})
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
