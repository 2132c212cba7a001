package sock

import (
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A lodging is the place that a call offers for a body, and what becomes of it.
type lodging struct {
	transport.Place
	free  bool  // it is nobody's yet; else some message's, whole or not, if it has a Buf
	guest *link // that brings it, if it is not whole
}

// PollInto is Poll with a place for a body, which one that comes through memory
// may take; see transport.Placer.
func (t *Transport) PollInto(p *transport.Place, m *wire.Message) bool {
	t.look.Lock()
	defer t.look.Unlock()
	l := &t.place // field by field: to copy what was just written in parts takes long
	l.Src, l.Comm, l.Tag, l.Buf, l.free, l.guest = p.Src, p.Comm, p.Tag, p.Buf, true, nil
	return t.watch(m)
}

// Memory returns n bytes for the body of m, which l brings: the place that was
// offered, if m is the next message that fits it.
func (l *link) Memory(m *wire.Message, n int) []byte {
	t := l.t
	m.Src = l.peer.rank
	if !t.place.free || !t.place.Fits(m, n) || t.inbox.Fits(&t.place.Place) {
		return wire.NewBody(n)
	}
	t.place.free, t.place.guest = false, l
	return t.place.Buf[:n:n]
}

// settle notes that nothing more that l brings will come into a place that it has
// begun to fill.
func (t *Transport) settle(l *link) {
	if t.place.guest == l {
		t.place.guest = nil
	}
}

// Withdraw takes the place back that was offered; see transport.Placer.
func (t *Transport) Withdraw() {
	t.look.Lock()
	defer t.look.Unlock()
	if l := t.place.guest; l != nil {
		l.in.Move(wire.NewBody(len(l.in.Body())))
	}
	t.inbox.Evict(&t.place.Place)
	t.place = lodging{}
}
