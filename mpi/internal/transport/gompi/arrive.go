//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// An arrival is a message that is not whole yet, or one that waits behind such a
// one of the same rank, so that the order is kept.
type arrival struct {
	m     wire.Message
	from  *peer
	id    uint64 // the sender's
	got   int    // bytes of a body that comes in pieces
	bulk  *bulk  // that brings a large body
	whole bool
}

// take files the letter that dlp_poll has found.
func (t *Transport) take() error {
	p, tag := &t.peers[t.port.src], int(t.port.tag)
	b := unsafe.Slice((*byte)(t.port.data), int(t.port.len))
	p.known = true
	if tag >= tagUser {
		t.user(p, int32(tag-tagUser), b)
		return nil
	}
	if tag == tagWhole {
		m, body := header(b)
		t.whole(p, &m, body)
		return nil
	}
	if tag == tagBye {
		t.goodbye(p)
		return nil
	}
	id, b := binary.LittleEndian.Uint64(b), b[idLen:]
	switch tag {
	case tagFirst:
		length, b := length(b)
		m, body := header(b)
		m.Src = p.rank
		m.Body = t.memory(p, &m, length)
		t.more(t.begin(p, id, m), body)
	case tagMore:
		t.more(p.begun[id], b)
	case tagLarge:
		length, b := length(b)
		w, b := getView(b)
		m, _ := header(b)
		m.Src = p.rank
		m.Body = t.memory(p, &m, length)
		return t.fetch(p, id, m, &w)
	case tagGo:
		return t.hand(id)
	case tagVoid:
		return t.forget(p.begun[id])
	}
	return nil
}

// user delivers a plain message of a user. It is written where it goes.
func (t *Transport) user(p *peer, tag int32, body []byte) {
	var own wire.Message
	m := &own
	if len(p.coming) == 0 {
		m = t.arrived.blank(m)
	}
	m.Kind, m.Form, m.Tag, m.Comm, m.Seq, m.Note = wire.User, plainForm, tag, 0, 0, ""
	t.whole(p, m, body)
}

// whole delivers m, which p has sent in one letter, with a copy of body.
func (t *Transport) whole(p *peer, m *wire.Message, body []byte) {
	m.Src = p.rank
	m.Body = t.memory(p, m, len(body))
	copy(m.Body, body)
	t.deliver(p, m)
}

// goodbye notes that p has left: what is kept for it is kept in vain.
func (t *Transport) goodbye(p *peer) {
	p.left = true
	for id, o := range t.offers {
		if o.to == p && o.held {
			t.held -= len(o.body)
			t.withdrawOffer(id)
		}
	}
}

// clone returns a copy that is Go's; of nothing, nil.
func clone(b []byte) []byte { return append([]byte(nil), b...) }

// deliver lets Recv have m, unless an earlier message of p is not whole.
func (t *Transport) deliver(p *peer, m *wire.Message) {
	if len(p.coming) > 0 {
		p.coming = append(p.coming, &arrival{m: *m, whole: true})
		return
	}
	t.arrived.put(m)
	if t.waiting > 1 {
		t.wake()
	}
}

// wake ends the nap of Recv.
func (t *Transport) wake() {
	select {
	case t.news <- struct{}{}:
	default:
	}
}

// begin enters m, a message of several parts, into the books.
func (t *Transport) begin(p *peer, id uint64, m wire.Message) *arrival {
	a := &arrival{from: p, id: id, m: m}
	if t.place.Holds(a.m.Body) {
		t.place.guest = a
	}
	p.coming = append(p.coming, a)
	if p.begun == nil {
		p.begun = map[uint64]*arrival{}
	}
	p.begun[id] = a
	return a
}

// more adds a piece.
func (t *Transport) more(a *arrival, b []byte) {
	a.got += copy(a.m.Body[a.got:], b)
	if a.got == len(a.m.Body) {
		t.complete(a)
	}
}

// fetch reads the body of m, which p has announced, or lets it come.
func (t *Transport) fetch(p *peer, id uint64, m wire.Message, v *view) (err error) {
	if t.look(p, id, v, m.Body) {
		t.deliver(p, &m)
		return nil
	}
	a := t.begin(p, id, m)
	if a.bulk, err = t.recvBulk(a); err != nil {
		return err
	}
	return t.tell(a.from, tagGo, a.id)
}

// forget strikes a message out that its sender has called off.
func (t *Transport) forget(a *arrival) error {
	if a == nil {
		return nil // it has arrived
	}
	if a.bulk != nil {
		if err := a.bulk.cancel(); err != nil {
			return err
		}
		t.drop(a.bulk)
	}
	t.settle(a)
	p := a.from
	p.coming = slices.DeleteFunc(p.coming, func(b *arrival) bool { return b == a })
	delete(p.begun, a.id)
	t.flush(p)
	return nil
}

// complete delivers a, and what has waited behind it.
func (t *Transport) complete(a *arrival) {
	a.whole = true
	t.settle(a)
	delete(a.from.begun, a.id)
	t.flush(a.from)
}

// settle notes that nothing more of a will come into a place that it may have.
func (t *Transport) settle(a *arrival) {
	if t.place.guest == a {
		t.place.guest = nil
	}
}

func (t *Transport) flush(p *peer) {
	list := p.coming
	p.coming = nil
	for i, a := range list {
		if !a.whole {
			p.coming = list[i:]
			return
		}
		t.deliver(p, &a.m)
	}
}
