package split

import (
	"encoding/binary"
	"math"
	"slices"
	"time"
)

// A manager decides which rank does which index. It is a state machine: events
// come in through its methods, decisions go out through decided. It does no I/O,
// knows no clock, and starts nothing, so that a test can lead it through any
// course of events. It is not safe for concurrent use.
//
// Each index is in exactly one place: in the queue, among those to be tried again,
// held by one rank, or done. Of those that ranks took from the board the manager
// knows the number only, until they are reported.
type manager struct {
	cfg      *config
	n        int    // items; unknown until a rank of a ManagedSeq meets the end
	keys     uint64 // fingerprint
	todo     queue
	again    redo // beside todo
	seats    []seat
	hosts    []*host // other than rank 0's, that have a shelf
	stocked  []*host // of them: what is on their shelves can be taken back
	waiters  []int   // ranks whose request can't be answered yet, first come first
	resting  bool    // rank 0 has asked, and only manages
	goesOn   bool    // without ranks that are lost
	missing  int     // ranks that are
	suspects int     // ranks that have something in hand with which others were lost
	greeted  int     // ranks that said hello
	away     int     // ranks that left
	doubts   int     // ranks whose keys differ, asked where

	turn int           // chunks handed out
	held int           // indices granted to all ranks
	done int           // items finished
	took int           // indices of the board that were reported as done
	gave int           // and as given back
	busy time.Duration // spent on them
	cost time.Duration // of a request

	stopping bool          // nothing is handed out any more
	orderly  bool          // with over: everything that was handed out has come back
	left     time.Duration // until items should be done; 0: nobody knows
	given    time.Duration // left when the loop began
	slack    time.Duration // that items in hand have beyond

	ended  int    // ManagedSeq: the rank that met the end
	before int    // of done, in earlier runs
	kept   bool   // somebody wants to know what is done
	fresh  []span // done since he was told

	top     int // ManagedSeq: the index after the last one that is done
	topRank int // and who did it

	stored int // Map: results that wait at the root
	needed int // Map: the index that the root's loop waits for, or unknown

	failures []*TaskError
	failed   []int // of them, since somebody was told
	over     bool
	complete bool    // with over: all items are done, or have failed as MaxFailures allows
	err      error   // with over: how it ended
	verdict  verdict // the same, to be sent
	out      []decision
}

// A seat is what the manager knows about a rank.
type seat struct {
	held    []span // granted and not done, in the order in which they were granted
	grant   []span // room for the next grant
	prompt  bool   // the last request was answered at once, so that its time is a request's cost
	asked   bool   // for indices: it is in its loop
	greeted bool
	doubted bool // has other keys, and was asked where they begin to differ
	left    bool // sent its last report, or is lost
	lost    bool
	speed
	suspect bool   // holds an item with which a rank was lost, and nothing else
	did     []span // Managed, where the job goes on without lost ranks: what is done there
	ended   bool   // was told that the loop is over for it

	offer   *offer // of a place on the board or the shelf; nil: none
	offered bool   // it was told
	host    *host  // nil: it has no shelf
	seen    int    // batches on the shelf, at its latest report; or noShelf
}

// A speed is how fast a rank is, or a host, as far as is known.
type speed struct {
	count int           // items done
	busy  time.Duration // spent on them
}

// A report is what a rank tells the manager.
type report struct {
	want    want
	leave   bool          // this is the last report
	broke   bool          // the rank left its loop in the last item of done
	done    int           // so many of the first indices the rank holds are done
	drawn   int           // so many indices of the board or the shelf are done
	back    []span        // indices from there that the rank gives back
	seen    int           // batches on the shelf when it last took from it, or noShelf
	indices []int         // Map: these are done
	busy    time.Duration // spent on what is done
	wait    time.Duration // from the last request to its answer
	atEnd   bool          // the rank met the end of its items
	length  int           // with atEnd: their number

	failures []*TaskError // Map: these failed
	results  []byte       // Map: those of indices, a batch of a codec stream
}

// want says whether a rank asks for indices.
type want uint8

const (
	nothing want = iota
	wantNow      // the rank has none, and waits
	early        // the rank has some, and wants an answer at once, be it empty
	low          // the shelf of its host has few; no answer goes to the rank
)

// A hello is what a rank says when it calls the loop.
type hello struct {
	items int
	keys  uint64 // fingerprint
	err   string // why the rank can't take part
}

// A grant is what a rank may work on.
type grant struct {
	spans []span
	ahead int   // ask for more when fewer than this are left
	offer offer // of the board, with a rank's first grant
}

// A decision is what a rank must be told.
type decision struct {
	rank   int
	what   kind
	grant  grant      // with kindGrant
	batch  batchGrant // with kindBatch
	hashes []byte     // with kindQuery: 8 bytes a key
	end    *verdict   // with kindEnd
	err    error      // with kindEnd: the same, for rank 0
	how    ending     // with kindEnd, for rank 0
}

const firstCost = 20 * time.Microsecond // of a request, before one was measured

func newManager(cfg *config, ranks int) *manager {
	m := &manager{cfg: cfg, n: cfg.items, cost: firstCost, needed: unknown, seats: make([]seat, ranks)}
	if ranks > 1 {
		m.keys = cfg.fingerprint()
	}
	m.todo = newQueue(m.n, cfg.turns())
	m.again = newRedo(ranks)
	return m
}

// resume books the items that earlier runs have done, before all events. kept says
// that somebody wants to know what this one does.
func (m *manager) resume(done []bool, kept bool) {
	m.kept = kept
	if !slices.Contains(done, true) {
		return
	}
	order := m.cfg.turns()
	if order == nil {
		order = make([]int, m.n)
		for i := range order {
			order[i] = i
		}
	}
	rest := make([]int, 0, len(order))
	for _, i := range order {
		if !done[i] {
			rest = append(rest, i)
		}
	}
	m.todo = newQueue(m.n, rest)
	m.done = m.n - len(rest)
	m.before = m.done
}

// share lets ranks take from b by themselves: ranks says which, by their place on
// the board. It comes before all events.
func (m *manager) share(b *board, name string, ranks []int) {
	m.todo.board = b
	for place, r := range ranks {
		m.seats[r].offer = &offer{name: name, place: place, chunk: m.cfg.chunk, policy: m.cfg.policy, bounded: !m.cfg.unbounded}
	}
	m.open()
}

// decided returns the decisions since the last call, to be sent in this order. The
// spans of a grant stay as they are until that rank asks again.
func (m *manager) decided() []decision {
	m.open()
	out := m.out
	m.out = m.out[:0]
	return out
}

// hello is the event that a rank called the loop.
func (m *manager) hello(rank int, h hello) {
	s := &m.seats[rank]
	if m.over || s.greeted {
		return
	}
	s.greeted = true
	m.greeted++
	switch {
	case h.err != "":
		m.end(m.cfg.errorf("rank %d can't take part: %s", rank, h.err))
	case h.items != m.cfg.items:
		m.end(m.cfg.errorf("%w: rank 0 has %d items, rank %d has %d; index %d is the first that only one of them has",
			ErrDisagree, m.cfg.items, rank, h.items, min(m.cfg.items, h.items)))
	case (h.keys == 0) != (m.keys == 0):
		with, without := 0, rank
		if m.keys == 0 {
			with, without = rank, 0
		}
		m.end(m.cfg.errorf("%w: rank %d passes Keys, rank %d does not", ErrDisagree, with, without))
	case h.keys != m.keys:
		m.doubts++
		s.doubted = true
		m.emit(decision{rank: rank, what: kindQuery, hashes: m.hashes()})
	}
	if m.again.count > 0 {
		m.serve() // nobody waits any more for this one to come
	}
	m.settle()
}

func (m *manager) hashes() []byte {
	b := make([]byte, 0, 8*m.cfg.items)
	for i := range m.cfg.items {
		b = binary.LittleEndian.AppendUint64(b, m.cfg.keyHash(i))
	}
	return b
}

// differs is the event that a rank found the first key that is not rank 0's.
func (m *manager) differs(rank, index int, key string) {
	if index < 0 || index >= m.cfg.items {
		m.end(m.cfg.errorf("%w: the keys of rank 0 and rank %d differ from call to call", ErrDisagree, rank))
		return
	}
	m.end(m.cfg.errorf("%w: item %d is %q on rank 0 and %q on rank %d; it is the first that differs",
		ErrDisagree, index, m.cfg.key(index), key, rank))
}

// silent is the event that a rank does not say where its keys differ.
func (m *manager) silent(rank int) {
	m.end(m.cfg.errorf("%w: the keys of rank 0 and rank %d differ", ErrDisagree, rank))
}

// report is the event that a rank reports.
func (m *manager) report(rank int, r *report) {
	s := &m.seats[rank]
	if s.left {
		return
	}
	s.seen = r.seen
	suspects := m.suspects // with this rank's, which may be done now
	if !m.over {
		m.account(rank, r)
		m.calm(s)
	}
	switch {
	case r.leave:
		m.leave(rank)
	case m.over:
	case r.want == early:
		m.answer(rank, r.want)
	case r.want == low:
		m.restock(s)
		m.serve()
	case r.want == wantNow && m.rests(rank):
		m.resting = true
	case r.want == wantNow:
		m.waiters = append(m.waiters, rank)
		again := s.asked
		s.asked = true
		s.prompt = m.serve() && again
	case m.again.count > 0 || suspects > 0:
		m.serve() // a rank may be waiting for just that
	}
	m.settle()
}

// account books what r says is done.
func (m *manager) account(rank int, r *report) {
	s := &m.seats[rank]
	m.busy += r.busy
	s.busy += r.busy
	count := r.done + r.drawn + len(r.indices) + len(r.failures)
	s.count += count
	if s.host != nil {
		s.host.busy += r.busy
		s.host.count += count
	}
	if s.prompt && r.wait > 0 {
		m.cost += (r.wait - m.cost) / 4
		s.prompt = false
	}
	if r.atEnd { // first: what the rank held beyond was not done
		if m.atEnd(rank, r.length); m.over {
			return
		}
	}
	if !m.popDone(rank, r.done) || !m.bookDrawn(s, r.drawn, r.back) {
		m.end(m.strange(rank))
		return
	}
	if n := len(m.fresh); r.broke && n > 0 {
		m.fresh[n-1].hi--
	}
	for _, i := range r.indices {
		if !m.remove(s, i) && !m.bookDrawn(s, 1, nil) {
			m.end(m.strange(rank))
			return
		}
		m.stored++
	}
	for _, f := range r.failures {
		if !m.remove(s, f.Index) && !m.bookDrawn(s, 1, nil) {
			m.end(m.strange(rank))
			return
		}
		if m.failure(rank, f); m.over {
			return
		}
	}
}

// failure is told of an attempt at an item, booked as done, that was in vain. The
// item goes out again, or it has failed.
func (m *manager) failure(rank int, f *TaskError) {
	t := m.again.failed(rank, f.Index)
	if f.Attempts = t.attempts(); t.fails <= m.cfg.retries {
		m.done--
		m.again.add(f.Index)
		return
	}
	m.fail(f)
}

// fail books that an item has failed for good.
func (m *manager) fail(f *TaskError) {
	m.failed = append(m.failed, f.Index)
	if m.failures = append(m.failures, f); len(m.failures) > m.cfg.maxFailures {
		m.end(joinFailures(m.failures))
	}
}

// strange is the error about a rank that did what it was not given. In a
// ManagedSeq that happens to a rank that walks a longer sequence than others.
func (m *manager) strange(rank int) error {
	if m.cfg.items == unknown && m.n != unknown {
		return m.cfg.errorf("%w: rank %d met the end of the items after %d, rank %d has more; index %d is the first that only one of them has",
			ErrDisagree, m.ended, m.n, rank, m.n)
	}
	return m.cfg.errorf("rank %d reports items that it does not hold; do all ranks run the same program?", rank)
}

// popDone books the first k indices that rank holds as done.
func (m *manager) popDone(rank, k int) bool {
	s := &m.seats[rank]
	used := 0
	for ; k > 0; used++ {
		if used == len(s.held) {
			return false
		}
		first := &s.held[used]
		n := min(k, first.len())
		switch did := (span{first.lo, first.lo + n}); {
		case m.kept:
			m.fresh = addSpan(m.fresh, did)
		case m.goesOn:
			s.did = addSpan(s.did, did)
		}
		first.lo += n
		k -= n
		m.done += n
		m.held -= n
		if first.lo > m.top {
			m.top, m.topRank = first.lo, rank
		}
		if first.len() > 0 {
			break
		}
	}
	s.held = append(s.held[:0], s.held[used:]...)
	return k == 0
}

// bookDrawn books done indices of the board as done, and puts back into the queue
// what the rank that took them does not want.
func (m *manager) bookDrawn(s *seat, done int, back []span) bool {
	if s.host != nil {
		return m.bookShelf(s.host, done, back)
	}
	if done+countSpans(back) > m.drawn() {
		return false
	}
	m.done += done
	m.took += done
	m.gave += countSpans(back)
	m.todo.giveBack(back)
	return true
}

// drawn is how many indices of the board ranks have, as far as they have not
// reported.
func (m *manager) drawn() int { return m.todo.drawn() - m.took - m.gave }

// remove books index i, held at s, as done.
func (m *manager) remove(s *seat, i int) bool {
	for k := range s.held {
		h := &s.held[k]
		if i < h.lo || i >= h.hi {
			continue
		}
		m.done++
		m.held--
		switch {
		case h.len() == 1:
			s.held = append(s.held[:k], s.held[k+1:]...)
		case i == h.lo:
			h.lo++
		case i == h.hi-1:
			h.hi--
		default:
			rest := append([]span{{i + 1, h.hi}}, s.held[k+1:]...)
			h.hi = i
			s.held = append(s.held[:k+1], rest...)
		}
		return true
	}
	return false
}

// atEnd is told that the sequence of a rank has n items. What was handed out
// beyond is void: the ranks that hold it will meet the end themselves.
func (m *manager) atEnd(rank, n int) {
	switch {
	case m.n == n:
	case m.n != unknown:
		m.end(m.cfg.errorf("%w: rank %d met the end of the items after %d, rank %d after %d; index %d is the first that only one of them has",
			ErrDisagree, m.ended, m.n, rank, n, min(m.n, n)))
	case m.top > n:
		m.end(m.cfg.errorf("%w: rank %d met the end of the items after %d, rank %d has more; index %d is the first that only one of them has",
			ErrDisagree, rank, n, m.topRank, n))
	default:
		m.n, m.ended = n, rank
		m.todo.cut(n)
		m.again.cut(n)
		m.held = 0
		for r := range m.seats {
			s := &m.seats[r]
			s.held = cutSpans(s.held, n)
			m.held += countSpans(s.held)
			m.calm(s)
		}
	}
}

// leave is the last event of a rank. What it holds goes to others.
func (m *manager) leave(rank int) {
	s := &m.seats[rank]
	s.left = true
	m.away++
	back := countSpans(s.held)
	m.held -= back
	m.todo.giveBack(m.again.giveBack(s.held))
	s.held = nil
	m.calm(s)
	for i, r := range m.waiters {
		if r == rank {
			m.waiters = append(m.waiters[:i], m.waiters[i+1:]...)
			break
		}
	}
	if s.doubted {
		m.silent(rank)
	}
	m.vacate(s.host)
	m.dismiss(rank)
	if m.over {
		return
	}
	if m.resting && !m.rests(0) {
		m.resting = false
		m.waiters = append(m.waiters, 0)
	}
	m.serve()
}

// rests reports whether a rank gets nothing because it only manages: rank 0 does,
// as long as another one is there.
func (m *manager) rests(rank int) bool {
	return rank == 0 && m.cfg.dedicated && m.away < len(m.seats)-1
}

// alone reports whether no other rank is there that could work.
func (m *manager) alone(rank int) bool {
	for r := range m.seats {
		if s := &m.seats[r]; r != rank && s.greeted && !s.left && !m.rests(r) {
			return false
		}
	}
	return true
}

// consumed is the event that the root's loop took k results, and waits for that
// of index needed next; unknown if it takes any.
func (m *manager) consumed(k, needed int) {
	m.stored -= k
	m.needed = needed
	if !m.over {
		m.serve()
	}
}

// stop is the event that the job is to come to an end: nothing is handed out any
// more, and the loop ends when all that ranks have is done.
func (m *manager) stop() {
	if m.over || m.stopping {
		return
	}
	m.stopping = true
	m.todo.seal()
	m.clearAll()
	m.settle()
}

// clock is the event that so much time is left. The loop stops when an item as long
// as the mean of those so far would take longer.
func (m *manager) clock(left time.Duration) {
	if m.given == 0 {
		m.given = left
	}
	switch {
	case left <= -m.slack:
		m.expire()
	case m.meanAfter(m.given-left) > left || left <= 0:
		m.stop()
	default:
		m.left = left
	}
}

// meanAfter is how long an item takes, in a loop that has taken so long. Ranks that take
// from the board may report when that is empty, and not before. As long as they have
// noted more than was reported, the mean is what so many items have taken of their time.
func (m *manager) meanAfter(spent time.Duration) time.Duration {
	o := m.outlook()
	if n := m.unreported(); n > o.done {
		return spent * time.Duration(o.ranks) / time.Duration(n+o.done)
	}
	return o.mean
}

// expire is the event that there is no time to wait for what ranks have.
func (m *manager) expire() { m.end(m.incomplete()) }

func (m *manager) incomplete() error {
	what := "run it again to go on"
	if m.cfg.journal == "" {
		what = "no journal keeps them"
	}
	if m.n == unknown {
		return m.cfg.errorf("%w: %d items are done; %s", errStopped, m.done, what)
	}
	return m.cfg.errorf("%w: %d of %d items are done; %s", errStopped, m.progress().done, m.n, what)
}

// end is the event that the loop is over, on all ranks: well, or with err.
func (m *manager) end(err error) {
	if m.over {
		return
	}
	m.over, m.err = true, err
	m.verdict = newVerdict(err, m.endedByTasks())
	m.waiters = nil
	for r := range m.seats {
		m.dismiss(r)
	}
}

// settle ends the loop if nothing is to be done any more, or nobody is there to
// do it. It waits for all ranks to say hello, so that a disagreement is seen.
func (m *manager) settle() {
	switch {
	case m.over:
	case m.n != unknown && m.done == m.n && m.greeted == len(m.seats) && m.doubts == 0:
		m.complete = true
		m.end(joinFailures(m.failures))
	case m.stopping && m.held == 0 && m.drawn() == 0 && m.done != m.n:
		m.orderly = true
		m.expire()
	case m.away == len(m.seats) && m.n == unknown:
		m.end(nil) // nobody knows whether anything is left
	case m.away == len(m.seats):
		m.end(m.cfg.errorf("every rank left the loop: %d of %d %w", m.n-m.done, m.n, ErrIncomplete))
	}
}

// dismiss tells a rank, once, that the loop is over for it.
func (m *manager) dismiss(rank int) {
	s := &m.seats[rank]
	if s.ended {
		return
	}
	s.ended = true
	how := byManager
	if m.complete || m.orderly {
		how = complete
	}
	m.emit(decision{rank: rank, what: kindEnd, end: &m.verdict, err: m.err, how: how})
}

func (m *manager) endedByTasks() []*TaskError {
	if len(m.failures) > m.cfg.maxFailures || m.complete {
		return m.failures
	}
	return nil
}

// serve answers those who wait, first come first, and reports whether none is
// left. If one can't have anything, none can, unless what there is is for another
// one, or this one has enough.
func (m *manager) serve() bool {
	for k := 0; k < len(m.waiters); {
		switch {
		case m.answer(m.waiters[k], wantNow):
			m.waiters = slices.Delete(m.waiters, k, k+1)
		case m.again.count == 0 && m.suspects == 0:
			if m.todo.left() == 0 {
				m.clearAll()
			}
			return false
		default:
			k++
		}
	}
	return len(m.waiters) == 0
}

// answer gives rank its next chunk. If there is none it gives nothing, or an
// empty grant to a rank that does not wait, and reports false.
func (m *manager) answer(rank int, w want) bool {
	s := &m.seats[rank]
	if m.restock(s) {
		m.emit(decision{rank: rank, what: kindGrant}) // look there
		return true
	}
	g := grant{spans: s.grant[:0]}
	m.choose(rank, &g)
	got := len(g.spans) > 0
	if got {
		m.turn++
		m.held += countSpans(g.spans)
		for _, sp := range g.spans {
			s.held = addSpan(s.held, sp)
		}
	}
	s.grant = g.spans
	if got || w == early {
		if s.offer != nil && !s.offered {
			s.offered = true
			g.offer = *s.offer
		}
		m.emit(decision{rank: rank, what: kindGrant, grant: g})
	}
	return got
}

// choose takes what rank is to get next: first what was tried in vain.
func (m *manager) choose(rank int, g *grant) {
	s, room := &m.seats[rank], m.room()
	if s.suspect || m.stopping {
		return
	}
	if i, ok := m.retry(rank, room); ok {
		g.spans = addSpan(g.spans, span{i, i + 1})
		if m.again.suspect(i) {
			s.suspect = true
			m.suspects++
		}
		return
	}
	o := m.outlook()
	o.own, o.did = m.paceOf(s), s.count
	chunk := min(m.size(o), o.left, m.fit(o))
	switch {
	case chunk == 0:
	case room > 0:
		chunk = min(chunk, ceilDiv(room, len(m.seats)))
		g.spans = m.todo.pop(chunk, g.spans)
		if o.left -= chunk; rank != 0 {
			g.ahead = ahead(o, chunk)
		}
	case m.needed >= 0 && m.todo.take(m.needed):
		g.spans = addSpan(g.spans, span{m.needed, m.needed + 1})
	}
}

// retry takes an item that rank is to try again.
func (m *manager) retry(rank, room int) (index int, ok bool) {
	if m.again.count == 0 {
		return 0, false
	}
	by := taker{rank: rank, alone: m.alone(rank), only: m.only(rank), idle: len(m.seats[rank].held) == 0}
	if room > 0 {
		return m.again.take(by)
	}
	return m.needed, m.again.takeThis(m.needed, by)
}

func (m *manager) outlook() outlook {
	o := outlook{items: m.n, ranks: m.workers(), left: m.todo.left(), turn: m.turn, done: m.done - m.before, cost: m.cost}
	if m.todo.board != nil {
		o.turn = m.todo.board.turn()
	}
	if o.done > 0 {
		o.mean = max(m.busy/time.Duration(o.done), 1)
	}
	return o
}

// mean is how long an item takes; 0 if that was not measured for as long as some
// requests take.
func (p *speed) mean(cost time.Duration) time.Duration {
	if p.busy < longItem*cost || p.count == 0 {
		return 0
	}
	return max(p.busy/time.Duration(p.count), 1)
}

// paceOf is how long an item takes at s, or, as long as little is known of it, at the
// ranks of its host; 0 if nobody knows.
func (m *manager) paceOf(s *seat) time.Duration {
	own := s.mean(m.cost)
	if own == 0 && s.host != nil {
		own = s.host.mean(m.cost)
	}
	return own
}

// fit is how many indices can be done in the time that is left.
func (m *manager) fit(o outlook) int {
	if m.left == 0 || o.mean == 0 {
		return math.MaxInt
	}
	return max(int(m.left/o.mean), 1)
}

// workers is how many ranks work, if all of them come.
func (m *manager) workers() int {
	n := len(m.seats) - m.missing
	if m.cfg.dedicated && n > 1 {
		n--
	}
	return n
}

// size is how many indices the policy gives; it may be more than are left.
func (m *manager) size(o outlook) int {
	if m.cfg.chunk > 0 {
		return m.cfg.chunk
	}
	return max(policies[m.cfg.policy].size(o), 1)
}

// room is how many indices may go out before the root's loop takes results. It
// counts one for each rank beyond the window, so that a small one does not leave
// ranks idle.
func (m *manager) room() int {
	if m.cfg.unbounded {
		return math.MaxInt
	}
	return m.cfg.window + len(m.seats) - m.stored - m.held - m.drawn()
}

// open tells ranks that take from the board how far they may go.
func (m *manager) open() {
	b := m.todo.board
	if b == nil {
		return
	}
	if m.over || m.stopping {
		b.close()
	} else if !m.cfg.unbounded {
		b.limit.Store(int64(b.out() + m.room()))
	}
}

// done and n for the progress, and how many ranks have work.
func (m *manager) progress() snapshot {
	p := snapshot{done: m.done, before: m.before, items: m.n, ranks: len(m.seats) - m.missing}
	for i := range m.seats {
		s := &m.seats[i]
		busy := len(s.held) > 0
		if s.host != nil {
			busy = busy || s.host.active() && s.seen != noShelf && !s.left
		} else if s.offer != nil {
			busy = busy || m.todo.board.notes[s.offer.place].busy.Load() && !s.left
		}
		if busy {
			p.busy++
		}
	}
	p.done += m.unreported()
	for _, h := range m.hosts {
		p.done += max(h.noted-h.done, 0)
	}
	return p
}

// unreported is how many items of the board are done and not reported, by what ranks note.
func (m *manager) unreported() int {
	if m.todo.board == nil {
		return 0
	}
	n := -m.took
	for i := range m.todo.board.notes {
		n += int(m.todo.board.notes[i].done.Load())
	}
	return max(n, 0)
}

func (m *manager) emit(d decision) { m.out = append(m.out, d) }
