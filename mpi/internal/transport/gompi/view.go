//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/shm"
)

// A view is what a receiver on the sender's host needs to read a large body out of
// the sender's memory, so that it need not ask for it. The sender may want its
// memory back at any moment, and must not wait for that. So there is a mark in
// memory that both share, and whoever changes it first decides: a receiver that
// does so when it has read has read the body, and not what came after it.
type view struct {
	arena []byte // name of the shared memory, which has the mark; empty: there is no view
	pid   uint64
	body  uint64 // the address
	mark  uint64 // where in the arena; what stands there is the offer's number
}

const (
	viewFixed = 1 + 3*8 // bytes of a view in a letter, beside the name
	maxArena  = 127     // bytes of a name
	viewLen   = viewFixed + maxArena
)

// maxView is how long a body may be that is read so. The reading takes the lock
// for as long as it lasts.
const maxView = 1 << 20

// put writes v to b and returns how long it is.
func (v *view) put(b []byte) int {
	b[0] = byte(len(v.arena))
	binary.LittleEndian.PutUint64(b[1:], v.pid)
	binary.LittleEndian.PutUint64(b[9:], v.body)
	binary.LittleEndian.PutUint64(b[17:], v.mark)
	return viewFixed + copy(b[viewFixed:], v.arena)
}

// getView reads what put has written, and returns what follows. The view refers to
// b.
func getView(b []byte) (view, []byte) {
	end := viewFixed + int(b[0])
	return view{
		arena: b[viewFixed:end],
		pid:   binary.LittleEndian.Uint64(b[1:]),
		body:  binary.LittleEndian.Uint64(b[9:]),
		mark:  binary.LittleEndian.Uint64(b[17:]),
	}, b[end:]
}

// marks are those of this rank's views.
type marks struct {
	arena  *shm.Arena // keeps the memory alive
	name   []byte     // the arena's
	offset int
	set    []atomic.Uint64
}

// A mark is 0, or the number of the offer that is shown, or seen when its receiver
// has read it.
const seen = C.dlp_seen

const maxViews = 64 // that are open at once

// newMarks returns no marks where nobody could look at them.
func newMarks() (marks, error) {
	if !canRead {
		return marks{}, nil
	}
	arena, err := shm.New()
	if errors.Is(err, shm.ErrNone) {
		return marks{}, nil
	}
	if err != nil || len(arena.Name()) > maxArena {
		return marks{}, err
	}
	offset, block, err := arena.Alloc(8 * maxViews)
	if err != nil {
		return marks{}, err
	}
	set := unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&block[0])), maxViews)
	return marks{arena: arena, name: []byte(arena.Name()), offset: offset, set: set}, nil
}

// open returns a view of o's body, if there is room for its mark.
func (m *marks) open(o *offer) view {
	if len(o.body) > maxView {
		return view{}
	}
	for i := range m.set {
		if m.set[i].Load() != 0 {
			continue
		}
		o.mark = &m.set[i]
		o.mark.Store(o.id)
		body := uintptr(unsafe.Pointer(unsafe.SliceData(o.body)))
		return view{arena: m.name, pid: uint64(os.Getpid()), body: uint64(body), mark: uint64(m.offset + 8*i)}
	}
	return view{}
}

// isSeen reports whether the receiver has read o's body through its view.
func (o *offer) isSeen() bool { return o.seen || o.mark != nil && o.mark.Load() == seen }

// shut ends the view of o's body. It reports whether the receiver has seen it: if
// not, it won't.
func (o *offer) shut() bool {
	if o.mark == nil {
		return o.seen
	}
	o.seen = o.mark.Swap(0) == seen
	o.mark = nil
	return o.seen
}

// look reads the body of p's offer id, if v shows it. It reports whether it has got
// all of it; then the sender knows.
func (t *Transport) look(p *peer, id uint64, v *view, body []byte) bool {
	if len(v.arena) == 0 || p.hidden {
		return false
	}
	var err error
	if p.marks == nil {
		p.marks, err = shm.Open(string(v.arena))
	}
	if err == nil {
		err = readMemory(int(v.pid), uintptr(v.body), body)
	}
	if err != nil {
		p.hidden = true // it would not be different next time
		return false
	}
	return (*atomic.Uint64)(unsafe.Pointer(&p.marks[v.mark])).CompareAndSwap(id, seen)
}
