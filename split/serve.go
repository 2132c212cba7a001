package split

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/dlprun/dlp/mpi"
)

// A server runs the manager at the root. Other ranks reach it by messages, which
// a goroutine of its own takes in. Rank 0 reaches it by calls: its requests cost
// a mutex, and neither a message nor a switch of goroutines.
type server struct {
	comm *mpi.Comm
	cfg  *config
	ctx  context.Context // the caller's
	hand *hand           // of rank 0
	sink sink            // of a Map
	keep *keeper         // nil: there is no journal

	in      mailbox // of run
	arrival report  // the last that came there
	entries []entry // room for those of a mail

	mu      sync.Mutex
	m       *manager
	outbox  *outbox
	busy    bool          // a leader's mail is being read: what it causes goes out when all is
	over    chan struct{} // closed when the loop is over
	closed  bool
	loan    *loan
	meter   *meter
	shared  *mpi.SharedMemory // of the board, if other ranks may use it
	users   atomic.Int32      // of shared and keep: run, and rank 0's own part
	unwatch func() bool       // of ctx, for stop
	last    time.Time         // when items should be done; zero: there is no hurry
	clock   *time.Timer       // looks at last
	onOver  func()

	leaderOf []int         // by rank; 0: none
	ranksOf  map[int][]int // by leader

	posting sync.Mutex      // held while letters are sent, so that they keep their order
	sent    *outbox         // those that were sent last
	always  context.Context // the caller's without its end: all ranks must be told
}

// A sink is where the results of a Map go at the root.
type sink interface {
	// arrived is told what a rank reports, before the manager counts it.
	arrived(rank int, r *report)

	// failed is told which items have failed for good, before the loop is seen to be
	// over.
	failed(indices []int)
}

const tag mpi.Tag = 0 // of all messages; the first byte says what they are

func newServer(ctx context.Context, comm *mpi.Comm, cfg *config, hand *hand, to sink) *server {
	s := &server{
		comm: comm, cfg: cfg, ctx: ctx, hand: hand, sink: to,
		in: mailbox{comm: comm, tag: tag}, outbox: &outbox{}, sent: &outbox{},
		over: make(chan struct{}), always: context.WithoutCancel(ctx),
	}
	s.leaderOf, s.ranksOf = ledRanks(comm)
	problem := cfg.check()
	if problem == nil && cfg.journal != "" {
		s.keep, problem = openKeeper(cfg, comm)
	}
	if problem != nil { // the others may have work for a manager, if only to be sent home
		s.m = newManager(&config{call: cfg.call, label: cfg.label}, comm.Size())
	} else {
		s.m = newManager(cfg, comm.Size())
		s.m.goesOn = comm.GoesOn()
		if s.keep != nil {
			s.m.resume(s.keep.done, to == nil)
		}
		s.share()
		s.meter = newMeter(cfg, s.progress)
	}
	s.mu.Lock()
	s.users.Store(1)
	if comm.Size() > 1 {
		s.users.Store(2)
		s.loan = borrowProcessor()
	}
	s.unwatch = context.AfterFunc(ctx, s.stop)
	s.startClock()
	s.mu.Unlock()
	if s.keep != nil {
		go s.keep.write(func(err error) { s.end(cfg.errorf("%w", err)) })
	}
	switch {
	case problem != nil:
		s.end(problem)
	case ctx.Err() != nil:
		s.stop()
	default:
		s.event(func(m *manager) { m.hello(0, hello{items: cfg.items, keys: m.keys}) })
	}
	if comm.Size() == 1 {
		comm.Free() // nothing is ever sent
		return s
	}
	go s.run()
	return s
}

// share puts the indices on a board, where rank 0, and the ranks that share memory
// with it, take them by themselves, if they go out in their own order and nobody
// wants to know which of them a rank of a Managed has done.
func (s *server) share() {
	n, size := s.cfg.items, s.comm.Size()
	if s.m.todo.order != nil || s.m.kept || !fits(n, size) {
		return
	}
	if s.m.rests(0) && s.comm.LocalSize() == 1 {
		return // nobody is there to take from it
	}
	if s.m.goesOn {
		return // who is lost can't say what it has taken
	}
	ranks, mem, name := []int{0}, []byte(nil), ""
	for r := 1; r < size; r++ {
		if s.comm.Local(r) {
			ranks = append(ranks, r)
		}
	}
	if len(ranks) > 1 {
		shared, err := s.comm.ShareMemory(boardSize(len(ranks)))
		if err != nil {
			return // the manager grants everything
		}
		s.shared, mem, name = shared, shared.Bytes, shared.Name
	} else {
		words := make([]uint64, boardSize(1)/8)
		mem = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), boardSize(1))
	}
	s.m.share(boardOf(mem, n), name, ranks)
	if !s.m.rests(0) {
		s.hand.offered(newDrawer(s.m.todo.board, *s.m.seats[0].offer, size))
	}
}

// whenOver has f called when the loop is over, or now if it is.
func (s *server) whenOver(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.onOver = f; s.closed {
		f()
	}
}

// done says that a user of the board and the journal is done with them.
func (s *server) done() {
	if s.users.Add(-1) > 0 {
		return
	}
	if s.shared != nil {
		s.shared.Free()
	}
	_ = s.closeJournal() // result returns its error
}

func (s *server) closeJournal() error {
	s.mu.Lock()
	complete := s.m.complete
	s.mu.Unlock()
	return s.keep.close(complete)
}

// stop is called when the caller's ctx has ended.
func (s *server) stop() {
	if errors.Is(context.Cause(s.ctx), mpi.ErrStopped) {
		s.event((*manager).expire)
		return
	}
	s.end(s.cfg.errorf("rank 0 stopped: %w", context.Cause(s.ctx)))
}

// run takes messages in until every other rank has sent its last one.
func (s *server) run() {
	defer s.comm.Free()
	defer s.done()
	for !s.alone() {
		body, status, lent, err := s.in.recv(s.always, mpi.AnySource)
		if gone, ok := errors.AsType[*mpi.RankError](err); ok && status.Source != 0 {
			s.event(func(m *manager) { m.lost(status.Source, gone.Host, gone.Err) })
			continue
		}
		if err == nil {
			err = s.receive(status.Source, body, lent)
		}
		if err != nil {
			s.end(s.cfg.errorf("%w", err))
			return
		}
	}
}

func (s *server) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	away := s.m.away
	if s.m.seats[0].left {
		away--
	}
	return away == len(s.m.seats)-1
}

// receive takes in one message. lent says that its bytes don't stay as they are.
func (s *server) receive(rank int, b []byte, lent bool) error {
	if len(b) == 0 {
		return errMalformed
	}
	switch body := b[1:]; kind(b[0]) {
	case kindHello:
		h, err := decodeHello(body)
		if err != nil {
			return err
		}
		s.event(func(m *manager) { m.hello(rank, h) })
	case kindReport:
		r := &s.arrival
		if err := r.decode(body); err != nil {
			return err
		}
		if lent {
			r.results = bytes.Clone(r.results)
		}
		s.reportOf(rank, r)
	case kindDiffers:
		index, key, err := decodeDiffers(body)
		if err != nil {
			return err
		}
		s.event(func(m *manager) { m.differs(rank, index, key) })
	case kindStop:
		s.event((*manager).stop)
	case kindMail:
		return s.receiveMail(rank, body, lent)
	case kindLeads:
		if len(s.ranksOf[rank]) == 0 {
			return errMalformed
		}
		s.event(func(m *manager) { m.leads(rank, s.ranksOf[rank], string(body)) })
	case kindReturned:
		p := &parser{b: body}
		back := p.spans(nil)
		if err := p.end(); err != nil {
			return err
		}
		s.event(func(m *manager) { m.returned(rank, back) })
	default:
		return errMalformed
	}
	return nil
}

// receiveMail takes in what the ranks of a leader have said.
func (s *server) receiveMail(leader int, b []byte, lent bool) error {
	noted, entries, err := decodeMail(b, s.entries[:0])
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.busy = true
	s.m.noted(leader, noted)
	s.mu.Unlock()
	for _, e := range entries {
		if e.rank < 0 || e.rank >= len(s.leaderOf) || s.leaderOf[e.rank] != leader {
			err = errMalformed
		} else if err == nil {
			err = s.receive(e.rank, e.body, lent)
		}
	}
	clear(entries)
	s.entries = entries
	s.mu.Lock()
	s.busy = false
	s.act()
	return err
}

func (s *server) reportOf(rank int, r *report) {
	s.keep.append(rank, r.indices, r.results)
	s.mu.Lock()
	if s.sink != nil && !s.m.over && len(r.indices) > 0 {
		s.sink.arrived(rank, r)
	}
	if !s.last.IsZero() {
		s.m.clock(time.Until(s.last))
	}
	s.m.report(rank, r)
	s.keep.append(rank, indicesOf(s.m.fresh), nil)
	s.m.fresh = s.m.fresh[:0]
	s.act()
}

// event lets the manager take in an event, and does what it decides.
func (s *server) event(f func(m *manager)) {
	s.mu.Lock()
	f(s.m)
	s.act()
}

// end ends the loop on all ranks, and reports whether it was not over before.
func (s *server) end(err error) (first bool) {
	s.event(func(m *manager) {
		first = !m.over
		m.end(err)
	})
	return first
}

// act does what the manager has decided. The caller holds s.mu, which is
// released.
func (s *server) act() {
	if s.sink != nil && len(s.m.failed) > 0 { // before the loop is seen to be over
		s.sink.failed(s.m.failed)
		s.m.failed = nil
	}
	if s.m.over && !s.closed {
		s.closed = true
		s.unwatch()
		if s.clock != nil {
			s.clock.Stop()
		}
		s.loan.giveBack()
		s.meter.stop(s.m.progress())
		close(s.over)
		if s.onOver != nil {
			s.onOver()
		}
	}
	for _, d := range s.m.decided() {
		switch {
		case d.rank != 0:
			s.outbox.add(&d, s.leaderOf[d.rank])
			if d.what == kindQuery {
				s.expectAnswer(d.rank)
			}
		case d.what == kindGrant:
			s.hand.put(d.grant)
		case d.what == kindEnd:
			s.hand.close(d.err, d.how)
		}
	}
	post := len(s.outbox.letters) > 0 && !s.busy
	s.mu.Unlock()
	if post {
		s.post()
	}
}

// expectAnswer gives a rank that was asked for its first differing key some time:
// it may be far from looking at its messages.
func (s *server) expectAnswer(rank int) {
	time.AfterFunc(patience, func() {
		s.event(func(m *manager) { m.silent(rank) })
	})
}

// patience is how long a rank may take to say where its keys differ, and how long
// a message may take to leave a rank whose context has ended.
const patience = 5 * time.Second

// post sends the letters in the outbox. Whoever caused them does it; nobody sends
// to a rank while another goroutine does.
func (s *server) post() {
	s.posting.Lock()
	defer s.posting.Unlock()
	s.mu.Lock()
	s.outbox, s.sent = s.sent, s.outbox
	s.mu.Unlock()
	s.sent.each(s.leaderOf, func(to int, body []byte) {
		// An error means that the rank or the job is gone; run hears of it too.
		_ = s.comm.Send(s.always, to, tag, body)
	})
}

// report is rank 0's. Results and indices of r are kept.
func (s *server) report(r *report) error {
	s.reportOf(0, r)
	return nil
}

// wait is for rank 0, whose hand is filled by whoever runs the manager.
func (s *server) wait() (waited bool, err error) { return s.hand.wait(), nil }

// consumed says that the root's loop took k results, and waits for that of index
// needed, if that is one.
func (s *server) consumed(k, needed int) {
	s.mu.Lock()
	s.m.consumed(k, needed)
	s.act()
}

// result waits for the end of the loop on all ranks and returns how it ended.
func (s *server) result() error {
	<-s.over
	err := s.closeJournal()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m.err == nil && err != nil {
		return s.cfg.errorf("%w", err)
	}
	return s.m.err
}

func (s *server) progress() snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m.progress()
}
