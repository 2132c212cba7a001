//go:build mpi

package gompi

// #include "port.h"
// #include <stdlib.h>
import "C"

import (
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/transport"
)

// A parcel is memory that a letter is written into, and that belongs to MPI from
// when it is posted until it is done.
type parcel struct {
	c      *C.dlp_parcel // not Go's
	handle C.uintptr_t   // of that, for calls
	buf    []byte        // its data
	marks  *peer         // it is this peer's mark
	done   bool
}

func newParcel() *parcel {
	c := (*C.dlp_parcel)(C.malloc(C.sizeof_dlp_parcel))
	return &parcel{c: c, handle: C.uintptr_t(uintptr(unsafe.Pointer(c))), buf: unsafe.Slice((*byte)(unsafe.Pointer(&c.data)), maxLetter)}
}

// Flow control: of each window/2 bytes to a rank, one letter is sent so that MPI
// tells when the rank has taken it: a mark. While one is under way, no more than
// window/2 bytes follow it. MPI by itself would keep any number of small messages
// for a rank that computes.
const (
	window   = 4 << 20
	overhead = 64 // what a letter counts beside its bytes
)

// room reports whether p may be sent a letter.
func (p *peer) room() bool { return p.mark == nil || p.unmarked < window/2 }

// post sends l to p. It returns the parcel if MPI isn't done with it, nil if it is.
func (t *Transport) post(p *peer, l *letter) (*parcel, error) {
	if len(t.free) == 0 {
		t.free = append(t.free, newParcel())
	}
	c := t.free[len(t.free)-1]
	n := l.write(c.buf)
	p.known = true
	p.unmarked += n + overhead
	var sync C.int
	if p.mark == nil && p.unmarked >= window/2 {
		sync = 1
	}
	C.dlp_send(t.handle, c.handle, C.int(n), C.int(p.rank), C.int(l.tag), sync)
	switch err := check("MPI_Isend", c.c.code); {
	case err != nil:
		return nil, &transport.PeerError{Rank: p.rank, Err: err}
	case sync != 0:
		p.unmarked = 0
	}
	if c.c.done != 0 {
		return nil, nil
	}
	t.free = t.free[:len(t.free)-1]
	t.sent = append(t.sent, c)
	if sync != 0 {
		c.marks, p.mark = p, c
	}
	return c, nil
}

// reapParcels takes the memory of the parcels back that MPI is done with.
func (t *Transport) reapParcels() error {
	kept := t.sent[:0]
	for _, c := range t.sent {
		C.dlp_sent(c.handle)
		if err := check("MPI_Test", c.c.code); err != nil {
			return err
		}
		if c.c.done == 0 {
			kept = append(kept, c)
			continue
		}
		c.done = true
		if c.marks != nil {
			c.marks.mark = nil
		}
		t.free = append(t.free, &parcel{c: c.c, handle: c.handle, buf: c.buf}) // c is still looked at
	}
	clear(t.sent[len(kept):])
	t.sent = kept
	return nil
}
