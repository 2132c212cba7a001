package mpi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// An engine is the one reader of a rank's transport. There is no goroutine
// behind it: a call that waits for a message takes messages in until its own
// has come, and files the others for whoever asks. When several calls wait, one
// of them reads and the rest sleep.
type engine struct {
	t    transport.Transport
	poll transport.Poller     // the same; nil if it can't
	into transport.Placer     // the same
	coll transport.Collective // the same; nil if it has none
	rank int                  // in the world
	size int
	host func(rank int) string

	mu      sync.Mutex
	inboxes map[uint64]*inbox // by communicator
	waiting []*waiter
	reading bool            // a call is in t.Recv
	polled  wire.Message    // what a poll brings
	place   transport.Place // the buffer of a waiter that the transport was offered, if any
	err     error           // why nothing works any more
	down    atomic.Bool     // err is set
	dead    chan struct{}   // closed when err is set
	left    []bool          // ranks that have said Left
	leaving bool            // this rank is in Finalize
	private int             // communicators that a library still works on
	owed    []bool          // ranks that wait for this one, to be told when it leaves
	turn    chan struct{}   // holds a token while a group is made

	goesOn   bool        // without ranks that are lost
	severed  atomic.Bool // and this is one of them: it has lost rank 0, which the hub has not
	losses   []*loss     // by rank; guarded by mu
	bereaved atomic.Bool // one of them is known to all calls
}

// inbox holds what has arrived for one communicator and was not asked for yet,
// in order of arrival.
type inbox struct {
	user, coll []wire.Message
	calls      callLog
	mourned    map[int]bool // lost ranks that a Recv from AnySource has told of
}

// want is what a waiter waits for.
type want struct {
	kind wire.Kind
	c    *Comm
	src  int // in the world, or AnySource
	tag  Tag
	seq  uint64
	op   string // for errors: "Recv", "Barrier"
	note string // for those who are asked: what is called, and where
	size int    // at most so many bytes, if 0 or more: a longer message is left where it is
	into []byte // with size: where they are to be in the end
	last bool   // this is Finalize: those who have left are no reason to give up

	together bool // the loss of any rank is a reason to
}

func (w *want) fits(m *wire.Message) bool {
	if m.Kind != w.kind || m.Comm != w.c.id || m.Seq != w.seq || w.src != AnySource && m.Src != w.src {
		return false
	}
	return w.tag == AnyTag || Tag(m.Tag) == w.tag
}

func newEngine(t transport.Transport, rank, size int, host func(int) string) *engine {
	poll, _ := t.(transport.Poller)
	into, _ := t.(transport.Placer)
	coll, _ := t.(transport.Collective)
	return &engine{
		t: t, poll: poll, into: into, coll: coll, rank: rank, size: size, host: host, inboxes: map[uint64]*inbox{},
		dead: make(chan struct{}), left: make([]bool, size), owed: make([]bool, size), turn: make(chan struct{}, 1),
	}
}

// inbox returns comm's, made on first use. The caller holds e.mu.
func (e *engine) inbox(comm uint64) *inbox {
	b := e.inboxes[comm]
	if b == nil {
		b = &inbox{}
		e.inboxes[comm] = b
	}
	return b
}

// fewMessages is how many an inbox keeps room for, and moves to keep it.
const fewMessages = 8

// take moves the first message in b that fits to m.
func (b *inbox) take(w *want, m *wire.Message) (bool, error) {
	list := &b.user
	if w.kind == wire.Collective {
		list = &b.coll
	}
	for i := range *list {
		if !w.fits(&(*list)[i]) {
			continue
		}
		*m = (*list)[i]
		if w.size >= 0 && len(m.Body) > w.size {
			return false, ErrTruncated
		}
		if i > 0 || cap(*list) <= fewMessages {
			*list = slices.Delete(*list, i, i+1) // the next one needs no memory
			return true, nil
		}
		(*list)[0] = wire.Message{}
		if *list = (*list)[1:]; len(*list) == 0 {
			*list = nil
		}
		return true, nil
	}
	return false, nil
}

// take moves the first message that has come and fits w to m. The caller holds
// e.mu.
func (e *engine) take(w *want, m *wire.Message) (bool, error) {
	ok, err := w.c.arrivals().take(w, m)
	if ok && !e.place.Holds(w.into) {
		e.evict(m)
	}
	return ok, err
}

// send delivers m to a world rank.
func (e *engine) send(ctx context.Context, op string, dst int, m *wire.Message) error {
	if e.down.Load() {
		return e.failed(op)
	}
	if e.bereaved.Load() {
		if err := e.needs(op, dst); err != nil {
			return err
		}
	}
	if err := e.t.Send(ctx, dst, m); err != nil {
		return e.broken(ctx, op, err)
	}
	return nil
}

// recv blocks until a message that fits w has come, and moves it to m, which is zero:
// its source, form, tag and body at least. With ErrTruncated m is the message that
// stays.
func (e *engine) recv(ctx context.Context, w *want, m *wire.Message) error {
	e.mu.Lock()
	ok, err := e.atOnce(w, m)
	if !ok && err == nil {
		err = e.await(ctx, w, m)
	}
	if e.place.Holds(w.into) {
		e.withdraw(m)
	}
	e.mu.Unlock()
	return err
}

// passOn lets a blocked call read if nobody does. A call that has read, and may have
// been found reading by one that then went to sleep, ends with it. The caller holds
// e.mu.
func (e *engine) passOn() {
	if !e.reading && len(e.waiting) > 0 {
		e.waiting[0].signal()
	}
}

// atOnce looks for a message that fits w among those that have come, and takes in
// what the transport has at hand. It spares most calls the books of a blocked
// one. The caller holds e.mu.
func (e *engine) atOnce(w *want, m *wire.Message) (bool, error) {
	for {
		ok, err := e.take(w, m)
		if ok || err != nil || e.reading || e.poll == nil {
			return ok, err
		}
		if err := e.hopeless(w); err != nil {
			return false, err
		}
		if !e.pollFor(w) {
			return false, nil
		}
		if p := &e.polled; p.Kind == wire.User && w.fits(p) && (w.size < 0 || len(p.Body) <= w.size) {
			// What a receiver is told, and no more: to copy all of what was just
			// written in parts holds up the processor.
			m.Src, m.Form, m.Tag, m.Body, p.Body = p.Src, p.Form, p.Tag, p.Body, nil
			return true, nil
		}
		e.file()
	}
}

// pollFor looks for what the transport has at hand, and offers it the buffer of w,
// if that has one and nobody else's is offered. The message is e.polled. The caller
// holds e.mu, and keeps it, as that takes some microseconds at most: to give it back
// and take it again costs each message more than others would gain.
func (e *engine) pollFor(w *want) bool {
	if e.into == nil || len(w.into) == 0 || e.place.Buf != nil || w.src == AnySource {
		return e.poll.Poll(&e.polled)
	}
	p := &e.place
	p.Src, p.Comm, p.Tag, p.Buf = w.src, w.c.id, int32(w.tag), w.into
	return e.into.PollInto(p, &e.polled)
}

// file dispatches e.polled. The caller holds e.mu.
func (e *engine) file() {
	e.dispatch(&e.polled)
	e.polled.Body = nil
}

// withdraw takes back the buffer that the transport was offered, at the end of the
// call that has offered it and got m. The caller holds e.mu, which is released
// meanwhile.
func (e *engine) withdraw(m *wire.Message) {
	if !e.place.Holds(m.Body) {
		e.mu.Unlock()
		e.into.Withdraw()
		e.mu.Lock()
		filed := e.inbox(e.place.Comm).user
		for i := range filed {
			e.evict(&filed[i])
		}
	}
	e.place = transport.Place{}
}

// evict gives m memory of its own if its body is in a buffer that was offered. The
// caller holds e.mu.
func (e *engine) evict(m *wire.Message) {
	if e.place.Holds(m.Body) {
		m.Body = slices.Clone(m.Body)
	}
}

// await enters a blocked call into the books, and waits. The caller holds e.mu,
// which is released meanwhile.
func (e *engine) await(ctx context.Context, w *want, m *wire.Message) error {
	self := e.wait(w)
	defer e.unwait(self)
	for {
		ok, err := e.take(w, m)
		if ok || err != nil {
			return err
		}
		if err := e.hopeless(w); err != nil {
			return err
		}
		if err := e.sleep(ctx, self); err != nil {
			if e.err != nil { // that may be why ctx ended
				err = withOp(e.err, w.op)
			}
			return err
		}
	}
}

// sleep lets self read one message, or wait for whoever is reading. The caller
// holds e.mu, which is released meanwhile.
func (e *engine) sleep(ctx context.Context, self *waiter) error {
	if e.reading {
		e.mu.Unlock()
		defer e.mu.Lock()
		select {
		case <-self.wake:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	e.reading = true
	e.mu.Unlock()
	m, err := e.t.Recv(ctx)
	e.mu.Lock()
	e.reading = false
	if err != nil {
		return e.notReceived(ctx, err)
	}
	e.dispatch(&m)
	return nil
}

// notReceived heeds an error of t.Recv. It returns one that is of that call alone.
// The caller holds e.mu, which may be released meanwhile.
func (e *engine) notReceived(ctx context.Context, err error) error {
	var gone *transport.PeerError
	switch {
	case errors.As(err, &gone) && e.goesOn && gone.Rank != Root:
		e.cutOff(gone)
	case errors.As(err, &gone):
		e.mu.Unlock()
		e.peerGone(ctx, gone)
		e.mu.Lock()
	case ctx.Err() != nil:
		return err
	default:
		e.failLocked(err)
	}
	return nil
}

// hopeless says why a message that fits w can't come any more.
func (e *engine) hopeless(w *want) error {
	if e.err != nil {
		return withOp(e.err, w.op)
	}
	if err := e.missing(w); err != nil {
		return err
	}
	if w.last {
		return nil
	}
	if w.src != AnySource {
		if e.left[w.src] {
			return &RankError{Rank: w.src, Host: e.host(w.src), Op: w.op, Err: ErrFinalized}
		}
		return nil
	}
	last := -1
	for _, r := range w.c.group {
		if r != e.rank && !e.left[r] && e.gone(r) == nil {
			return nil
		}
		last = r
	}
	if len(w.c.group) < 2 {
		return nil // alone: another goroutine of this rank may yet send
	}
	if gone := e.gone(last); gone != nil {
		return withOp(gone, w.op)
	}
	return &RankError{Rank: last, Host: e.host(last), Op: w.op, Err: ErrFinalized}
}

// dispatch files m and wakes whom it is for. The caller holds e.mu.
func (e *engine) dispatch(m *wire.Message) {
	if e.bereaved.Load() && e.gone(m.Src) != nil {
		return // too late: its loss was told
	}
	switch m.Kind {
	case wire.User:
		b := e.inbox(m.Comm)
		b.user = append(b.user, *m)
	case wire.Collective:
		if b := e.inbox(m.Comm); e.foreseen(b, m) {
			b.coll = append(b.coll, *m)
		}
	case wire.Ask:
		e.asked(*m)
		return
	case wire.Mismatch:
		e.mismatched(e.inbox(m.Comm), m)
		return
	case wire.Left:
		e.left[m.Src] = true
		e.wakeAll()
		return
	default: // Wake: whoever reads looks again
		return
	}
	for _, w := range e.waiting {
		if w.want.fits(m) {
			w.signal()
		}
	}
}

// fail makes every call, blocked or to come, return err. The first one counts.
func (e *engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failLocked(err)
}

func (e *engine) failLocked(err error) {
	if e.err == nil {
		e.err = err
		e.down.Store(true)
		close(e.dead)
	}
	e.wakeAll()
	e.rouse()
}

func (e *engine) failed(op string) error {
	if !e.down.Load() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return withOp(e.err, op)
}

// verdictTime is how long a broken connection waits for a better explanation:
// the launcher often knows by which signal a rank died.
const verdictTime = 1500 * time.Millisecond

// peerGone waits for the launcher's word about a peer whose connection broke, at most
// as long as ctx lasts. Where none comes the connection's own counts, which is said only
// once: also if nobody waits for it any more.
func (e *engine) peerGone(ctx context.Context, gone *transport.PeerError) {
	time.AfterFunc(verdictTime, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.err == nil {
			e.severed.Store(e.goesOn)
			e.failLocked(&RankError{Rank: gone.Rank, Host: e.host(gone.Rank), Err: gone.Err})
		}
	})
	select {
	case <-e.dead:
	case <-ctx.Done():
	}
}

// broken turns the error of a transport's Send into what a caller understands.
func (e *engine) broken(ctx context.Context, op string, err error) error {
	var gone *transport.PeerError
	if errors.As(err, &gone) {
		if e.goesOn && gone.Rank != Root {
			return e.unreachable(ctx, op, gone)
		}
		if e.peerGone(ctx, gone); !e.down.Load() {
			return context.Cause(ctx)
		}
	}
	if failed := e.failed(op); failed != nil {
		return failed
	}
	return err
}

// withOp names the call that meets err.
func withOp(err error, op string) error {
	var gone *RankError
	if errors.As(err, &gone) {
		c := *gone
		c.Op = op
		return &c
	}
	var differ *MismatchError
	if errors.As(err, &differ) {
		return err
	}
	return fmt.Errorf("mpi: %s: %w", op, err)
}

// close gives the transport up. Calls that still wait fail with err.
func (e *engine) close(err error) error {
	e.fail(err)
	return e.t.Close()
}
