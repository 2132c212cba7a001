//go:build mpi

package gompi

// #include "port.h"
// #cgo noescape dlp_test
// #cgo nocallback dlp_test
import "C"

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Transport is one rank's end. All its fields are guarded by w.mu.
type Transport struct {
	w      *World
	port   *C.dlp_port
	handle C.uintptr_t // of port, for calls
	tagUB  int         // the largest tag
	spin   bool

	peers   []peer // by rank
	marks   marks
	arrived queue
	place   lodging
	free    []*parcel           // not in use
	sent    []*parcel           // that MPI isn't done with
	bulks   []*bulk             // large bodies on their way
	ops     map[*operation]bool // collectives under way: their memory is MPI's
	offers  map[uint64]*offer   // large bodies that receivers may ask for
	held    int                 // bytes in copies of those
	serial  uint64              // the last number given to a message of several parts
	waiting int                 // calls that poll
	over    bool                // Close was called
	life    chan struct{}       // closed then
	news    chan struct{}       // holds a token when a message has come that Recv may sleep through
	broken  error               // what MPI has said for the last time
	helper  sync.WaitGroup      // finish
	helping bool                // it runs
}

// peer is what a rank keeps of another.
type peer struct {
	rank     int
	known    bool                // messages have gone one way or the other
	left     bool                // it has said goodbye
	hidden   bool                // its memory can't be read
	marks    []byte              // its arena
	unmarked int                 // bytes sent to it since the last mark
	mark     *parcel             // of which MPI says when it has been taken
	coming   []*arrival          // in order; the first one is not whole
	begun    map[uint64]*arrival // by the sender's number
}

// New makes the transport of this rank. It is collective and blocks. spin says
// that each rank has a processor to itself, so that one that waits may use it up
// for some microseconds.
func (w *World) New(ctx context.Context, spin bool) (*Transport, error) {
	t := &Transport{
		w: w, spin: spin, peers: make([]peer, w.Size), offers: map[uint64]*offer{},
		life: make(chan struct{}), news: make(chan struct{}, 1),
	}
	for r := range t.peers {
		t.peers[r].rank = r
	}
	var err error
	if t.marks, err = newMarks(); err != nil {
		return nil, err
	}
	err = w.do(ctx, func() error {
		var tagUB C.int
		err := check("MPI_Comm_dup", C.dlp_open(&t.port, &tagUB))
		t.handle, t.tagUB = C.uintptr_t(uintptr(unsafe.Pointer(t.port))), int(tagUB)
		return err
	})
	return t, err
}

// lock takes the turn to call MPI. Whoever polls gives it up soon.
func (t *Transport) lock() {
	if !t.w.mu.TryLock() {
		t.lockSoon()
	}
}

// lockSoon waits for the turn.
func (t *Transport) lockSoon() {
	wanted := (*int32)(unsafe.Pointer(&t.port.wanted))
	atomic.AddInt32(wanted, 1)
	t.w.mu.Lock()
	atomic.AddInt32(wanted, -1)
}

// wanted reports whether somebody waits for his turn to call MPI.
func (t *Transport) wanted() bool {
	return atomic.LoadInt32((*int32)(unsafe.Pointer(&t.port.wanted))) != 0
}

func (t *Transport) unlock() { t.w.mu.Unlock() }

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (m wire.Message, err error) {
	err = t.wait(ctx, &pace{news: t.news}, func() bool { return t.arrived.take(&m) })
	return m, err
}

// Poll moves the next message to m if it comes soon; see transport.Poller. A rank
// that has a processor to itself gives it some microseconds.
func (t *Transport) Poll(m *wire.Message) bool {
	t.lock()
	ok := t.pollOnce(m)
	t.unlock()
	return ok
}

func (t *Transport) pollOnce(m *wire.Message) (ok bool) {
	if ok = t.arrived.take(m); ok || t.broken != nil || t.over {
		return ok
	}
	t.arrived.to = m
	tries := C.int(1)
	if t.spin {
		tries = pollTries
	}
	for range tries {
		var found bool
		found, t.broken = t.poll(look{tries: tries})
		coming := found || len(t.bulks) > 0
		if ok = t.arrived.to == nil; ok || !coming || t.broken != nil || t.wanted() {
			break
		}
	}
	t.arrived.to = nil
	return ok
}

// wait polls, taking in all that comes, until done reports that what the caller
// waits for has happened. done is called with the lock held. wait gives up when
// ctx ends, t is closed, or MPI fails.
func (t *Transport) wait(ctx context.Context, p *pace, done func() bool) error {
	t.lock()
	t.waiting++
	defer func() {
		t.waiting--
		t.help()
		t.unlock()
	}()
	for {
		if done() {
			return nil
		}
		if err := t.hopeless(ctx); err != nil {
			return err
		}
		found, err := t.poll(p.look(t.spin))
		if err != nil {
			t.broken = err
			return err
		}
		if found && !t.wanted() {
			continue
		}
		t.unlock()
		if found {
			runtime.Gosched()
		} else {
			p.pause(ctx, t)
		}
		t.lock()
	}
}

// hopeless says why a call can't wait any longer.
func (t *Transport) hopeless(ctx context.Context) error {
	switch {
	case t.over:
		return transport.ErrClosed
	case t.broken != nil:
		return t.broken
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	default:
		return nil
	}
}

// A look says how to look for messages.
type look struct {
	tries, yield C.int
	mark         *atomic.Uint64 // once it is seen, looking ends; may be nil
}

// poll looks for messages, and for what has become of those that are on their
// way. It reports whether there was a message.
func (t *Transport) poll(l look) (bool, error) {
	if len(t.bulks)+len(t.ops) > 0 {
		l.tries = 1 // a body may come meanwhile
	}
	C.dlp_poll(t.handle, l.tries, l.yield, C.uintptr_t(uintptr(unsafe.Pointer(l.mark))))
	if err := check("MPI_Test", t.port.code); err != nil {
		return false, err
	}
	found := t.port.found != 0
	if found {
		if err := t.take(); err != nil {
			return true, err
		}
	}
	if len(t.sent)+len(t.bulks) == 0 {
		return found, nil
	}
	return found, t.reap()
}

// reap finishes what MPI is done with.
func (t *Transport) reap() error {
	if len(t.sent) > 0 {
		if err := t.reapParcels(); err != nil {
			return err
		}
	}
	if len(t.bulks) > 0 {
		return t.reapBulks()
	}
	return nil
}

// unfinished reports whether something is under way that a peer may be waiting
// for, and that goes on only while this rank polls.
func (t *Transport) unfinished() bool {
	unmarked := func(c *parcel) bool { return c.marks == nil }
	return t.held > 0 || len(t.bulks) > 0 || slices.ContainsFunc(t.sent, unmarked)
}

// expecting reports whether somebody who knows this rank has not said goodbye.
func (t *Transport) expecting() bool {
	return slices.ContainsFunc(t.peers, func(p peer) bool { return p.known && !p.left })
}

// help starts a goroutine that finishes what is under way, if no call polls.
func (t *Transport) help() {
	if t.waiting > 0 || t.helping || !t.unfinished() || t.over || t.broken != nil {
		return
	}
	t.helping = true
	t.helper.Go(t.finish)
}

// finish polls until what is under way is finished, a call polls instead, or t
// is closed. It takes new messages in while there is room for them.
func (t *Transport) finish() {
	var p pace
	for {
		t.lock()
		if t.waiting > 0 || !t.unfinished() || t.over || t.broken != nil {
			t.helping = false
			t.unlock()
			return
		}
		var err error
		if t.arrived.bytes <= transport.InboxLimit {
			_, err = t.poll(look{tries: 1})
		} else {
			err = t.reap()
		}
		t.broken = err
		t.unlock()
		p.pause(context.Background(), t)
	}
}

// What Close waits for: that what is on its way arrives, and that those to whom it
// says goodbye do so too, as MPI libraries complain of messages that nobody took.
const (
	arriveTime = time.Second
	byeTime    = 200 * time.Millisecond
)

// Close says goodbye to those whom this rank has spoken with; see
// transport.Transport. It waits a second at most for what is still on its way.
func (t *Transport) Close() error {
	t.lock()
	if t.over {
		t.unlock()
		return nil
	}
	t.over = true
	close(t.life)
	t.unlock()
	t.helper.Wait()
	t.lock()
	defer t.unlock()
	err := t.broken
	for r := range t.peers {
		if p := &t.peers[r]; p.known && !p.left && err == nil {
			err = t.tell(p, tagBye, 0)
		}
	}
	for start := time.Now(); err == nil; _, err = t.poll(look{tries: yieldTries, yield: 1}) {
		waited := time.Since(start)
		if (!t.unfinished() || waited > arriveTime) && (!t.expecting() || waited > byeTime) {
			break
		}
	}
	return errors.Join(err, check("MPI_Cancel", C.dlp_close(t.handle)))
}
