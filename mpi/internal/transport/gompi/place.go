//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"context"
	"errors"
	"time"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A lodging is the place that a call offers for a body, and what becomes of it.
type lodging struct {
	transport.Place
	free  bool     // it is nobody's yet; else some message's, whole or not, if it has a Buf
	guest *arrival // that message, if it is not whole
}

// PollInto is Poll with a place for a body; see transport.Placer.
func (t *Transport) PollInto(p *transport.Place, m *wire.Message) bool {
	t.lock()
	l := &t.place // field by field: to copy what was just written in parts takes long
	l.Src, l.Comm, l.Tag, l.Buf, l.free, l.guest = p.Src, p.Comm, p.Tag, p.Buf, true, nil
	ok := t.pollOnce(m)
	t.unlock()
	return ok
}

// memory returns n bytes for the body of m, which p is sending: the place that was
// offered, if m is the next message that fits it.
func (t *Transport) memory(p *peer, m *wire.Message, n int) []byte {
	switch {
	case n == 0:
		return nil
	case !t.place.free || n > C.dlp_most || !t.place.Fits(m, n) || len(p.coming) > 0 || t.arrived.has(p.rank):
		return wire.NewBody(n)
	}
	t.place.free = false
	return t.place.Buf[:n:n]
}

// withdrawTime is how long Withdraw waits for a body that MPI is writing: its
// sender is in a call, so that it soon is whole.
const withdrawTime = 5 * time.Second

var errStuck = errors.New("a message stopped on its way into a buffer whose receiver has given up")

// Withdraw takes the place back that was offered; see transport.Placer.
func (t *Transport) Withdraw() {
	t.lock()
	t.place.free = false
	a := t.place.guest
	moved := a == nil || t.move(a)
	t.unlock()
	var stuck error
	if !moved {
		ctx, cancel := context.WithTimeoutCause(context.Background(), withdrawTime, errStuck)
		stuck = t.wait(ctx, &pace{}, func() bool { return a.whole })
		cancel()
	}
	t.lock()
	defer t.unlock()
	if stuck != nil && t.broken == nil && !t.over {
		t.broken = stuck
	}
	t.arrived.evict(&t.place.Place)
	t.place = lodging{}
}

// move lets the body of a, which is coming into the place, come into memory of its
// own. It reports false if MPI is writing it.
func (t *Transport) move(a *arrival) bool {
	if a.bulk == nil {
		a.m.Body = clone(a.m.Body) // with what has come of it
		return true
	}
	back, err := a.bulk.takeBack()
	if err == nil && back {
		t.drop(a.bulk)
		a.m.Body = wire.NewBody(len(a.m.Body))
		a.bulk, err = t.recvBulk(a)
	}
	if err != nil {
		t.broken = err
	}
	return back
}
