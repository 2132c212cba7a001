//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"runtime"
	"slices"
	"unsafe"
)

// A bulk is a large body on its way, out or in, between the memory of the two
// ranks. Its memory is MPI's until it is done.
type bulk struct {
	requests []C.MPI_Request // one for each GiB
	pin      runtime.Pinner
	coming   *arrival // whose body it is, on the way in
	offer    *offer   // on the way out
	done     bool
}

func newBulk(body []byte) *bulk {
	b := &bulk{requests: make([]C.MPI_Request, C.dlp_pieces(C.int64_t(len(body))))}
	b.pin.Pin(unsafe.SliceData(body))
	return b
}

// bulkTag is the MPI tag of a body. Those that are on their way between two ranks
// have different ones.
func (t *Transport) bulkTag(id uint64) C.int { return C.int(id % uint64(t.tagUB)) }

func (t *Transport) sendBulk(id uint64, o *offer) (*bulk, error) {
	body := o.body
	b := newBulk(body)
	b.offer = o
	t.bulks = append(t.bulks, b)
	return b, check("MPI_Isend", C.dlp_send_bulk(t.handle, unsafe.Pointer(unsafe.SliceData(body)), C.int64_t(len(body)), C.int(o.to.rank), t.bulkTag(id), &b.requests[0]))
}

func (t *Transport) recvBulk(a *arrival) (*bulk, error) {
	body := a.m.Body
	b := newBulk(body)
	b.coming = a
	t.bulks = append(t.bulks, b)
	return b, check("MPI_Irecv", C.dlp_recv_bulk(t.handle, unsafe.Pointer(unsafe.SliceData(body)), C.int64_t(len(body)), C.int(a.from.rank), t.bulkTag(a.id), &b.requests[0]))
}

// drop strikes b out: MPI is done with it.
func (t *Transport) drop(b *bulk) {
	t.bulks = slices.DeleteFunc(t.bulks, func(other *bulk) bool { return other == b })
}

// takeBack ends the receiving of a body, of one request, unless it has begun to
// come.
func (b *bulk) takeBack() (back bool, err error) {
	var taken C.int
	err = check("MPI_Cancel", C.dlp_take_back(&b.requests[0], &taken))
	if taken != 0 {
		b.pin.Unpin()
	}
	return taken != 0, err
}

// cancel takes back the receiving of a body that will not be sent.
func (b *bulk) cancel() error {
	defer b.pin.Unpin()
	return check("MPI_Cancel", C.dlp_cancel(C.int(len(b.requests)), &b.requests[0]))
}

// reapBulks finishes the bodies that have come or gone.
func (t *Transport) reapBulks() error {
	kept := t.bulks[:0]
	for _, b := range t.bulks {
		var done C.int
		if err := check("MPI_Test", C.dlp_test(C.int(len(b.requests)), &b.requests[0], &done)); err != nil {
			return err
		}
		if done == 0 {
			kept = append(kept, b)
			continue
		}
		b.done = true
		b.pin.Unpin()
		if b.coming != nil {
			t.complete(b.coming)
		} else if b.offer.held {
			t.held -= len(b.offer.body)
		}
	}
	clear(t.bulks[len(kept):])
	t.bulks = kept
	return nil
}
