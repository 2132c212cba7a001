//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"context"
	"runtime"
	"time"
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/transport"
)

// A group is a communicator of MPI.
type group struct {
	t    *Transport
	comm C.MPI_Comm
}

// groupTags is how many tags tell the communicators apart that are made at one
// time; every MPI allows as many.
const groupTags = 1 << 15

// Group makes a communicator of MPI; see transport.Collective. It holds the lock
// while it waits for the other ranks, which nothing else does: they all are about
// to call it.
func (t *Transport) Group(id uint64, ranks []int) (transport.Group, error) {
	members := make([]C.int, len(ranks))
	for i, r := range ranks {
		members[i] = C.int(r)
	}
	g := &group{t: t}
	t.lock()
	defer t.unlock()
	if t.over {
		return nil, transport.ErrClosed
	}
	err := check("MPI_Comm_create_group", C.dlp_group(C.int(len(members)), &members[0], C.int(id%groupTags), &g.comm))
	if err != nil {
		return nil, err
	}
	return g, nil
}

// An operation is a collective of MPI. Its memory is MPI's until it is done.
type operation struct {
	t        *Transport
	requests []C.MPI_Request // one for each GiB
	pin      runtime.Pinner
	bytes    int
	done     bool
}

// begin posts an operation on the memory of so many bytes. If that fails, or it is
// never done, its memory stays MPI's for ever.
func (g *group) begin(call string, bytes int, memory [][]byte, post func(requests *C.MPI_Request) C.int) (transport.Operation, error) {
	o := &operation{t: g.t, bytes: bytes, requests: make([]C.MPI_Request, C.dlp_pieces(C.int64_t(bytes)))}
	for _, b := range memory {
		o.pin.Pin(unsafe.SliceData(b))
	}
	g.t.lock()
	defer g.t.unlock()
	if err := g.t.hopeless(context.Background()); err != nil {
		o.pin.Unpin()
		return nil, err
	}
	if g.t.ops == nil {
		g.t.ops = map[*operation]bool{}
	}
	g.t.ops[o] = true
	return o, check(call, post(&o.requests[0]))
}

// Bcast begins MPI_Ibcast; see transport.Group.
func (g *group) Bcast(root int, body []byte) (transport.Operation, error) {
	return g.begin("MPI_Ibcast", len(body), [][]byte{body}, func(requests *C.MPI_Request) C.int {
		return C.dlp_ibcast(g.comm, unsafe.Pointer(unsafe.SliceData(body)), C.int64_t(len(body)), C.int(root), requests)
	})
}

// Reduce begins MPI_Ireduce or MPI_Iallreduce; see transport.Group.
func (g *group) Reduce(root int, op transport.Op, size int, v, result []byte) (transport.Operation, error) {
	memory := [][]byte{v}
	if len(result) > 0 {
		memory = append(memory, result)
	}
	return g.begin("MPI_Ireduce", len(v), memory, func(requests *C.MPI_Request) C.int {
		return C.dlp_ireduce(g.comm, unsafe.Pointer(unsafe.SliceData(v)), unsafe.Pointer(unsafe.SliceData(result)), C.int64_t(len(v)),
			C.int(size), C.int(op), C.int(root), requests)
	})
}

// eagerTime is how long a call waits for a byte without sleeping: those it waits
// for are all at work on it.
const eagerTime = 4 * time.Nanosecond

// Wait blocks until o is done; see transport.Operation.
func (o *operation) Wait(ctx context.Context) error {
	var failed error
	err := o.t.wait(ctx, &pace{start: time.Now().Add(time.Duration(o.bytes) * eagerTime)}, func() bool {
		failed = o.test()
		return failed != nil || o.done
	})
	if failed != nil {
		return failed
	}
	return err
}

// test asks MPI whether o is done, and takes its memory back if so.
func (o *operation) test() error {
	if o.done {
		return nil
	}
	var done C.int
	if err := check("MPI_Test", C.dlp_test(C.int(len(o.requests)), &o.requests[0], &done)); err != nil {
		return err
	}
	if done != 0 {
		o.done = true
		o.pin.Unpin()
		delete(o.t.ops, o)
	}
	return nil
}
