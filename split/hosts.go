package split

// This file is what the manager does about hosts other than rank 0's, whose ranks share
// a shelf. As long as there is plenty left it gives such a host a batch for all of its
// ranks. At the beginning, at the end, and where items are long, each of them gets its
// own chunks, as ranks without a shelf do.

// A host is what the manager knows about one whose ranks have a shelf.
type host struct {
	leader  int
	ranks   []int
	held    int // indices given to it that were not reported
	batches int // given to it
	cleared int // of them, before the shelf was cleared
	done    int // of the shelf: reported
	noted   int // the same, and done without a report
	speed
}

// A batchGrant is what the ranks of a host may work on.
type batchGrant struct {
	spans []span
	chunk int // that a rank takes at a time
	low   int // one of them asks for more when fewer than this are left
}

const (
	mostRuns = shelfSlots / 2 // in a batch: one is gone, or nearly, when the next comes
	noShelf  = -1             // what a rank without one has seen of it
)

// leads is the event that a rank leads those of its host, which share a shelf of that
// name, "" if they have none.
func (m *manager) leads(leader int, ranks []int, name string) {
	if name == "" || m.kept || m.n == unknown || m.goesOn || m.cfg.chunk == 0 && m.cfg.policy > Single {
		return
	}
	h := &host{leader: leader, ranks: ranks}
	for place, r := range ranks {
		s := &m.seats[r]
		s.host, s.seen, s.offer = h, noShelf, &offer{name: name, place: place, shelf: true}
	}
	m.hosts = append(m.hosts, h)
}

// pickers is how many ranks of h take from its shelf.
func (m *manager) pickers(h *host) (n int) {
	for _, r := range h.ranks {
		if s := &m.seats[r]; s.seen != noShelf && !s.left {
			n++
		}
	}
	return n
}

// restock answers a rank by its host's shelf, and reports whether it should look there:
// it has not seen the latest batch, or another one is on its way.
func (m *manager) restock(s *seat) bool {
	h := s.host
	if h == nil || s.seen == noShelf || m.over {
		return false
	}
	if s.seen < h.batches {
		return true
	}
	b := m.batch(h)
	if len(b.spans) == 0 {
		return false
	}
	if h.cleared == h.batches {
		m.stocked = append(m.stocked, h)
	}
	h.batches++
	m.turn++
	k := countSpans(b.spans)
	h.held += k
	m.held += k
	m.emit(decision{rank: h.leader, what: kindBatch, batch: b})
	return true
}

// batch takes from the queue what h is to get: no more than half of what its ranks
// would have to do if the rest were divided by speed, nor than they do in mostWork, so
// that a slow host holds up nobody. It is empty where that is less than a chunk each.
func (m *manager) batch(h *host) (b batchGrant) {
	o := m.outlook()
	if o.own = h.mean(m.cost); o.own == 0 || m.stopping || m.again.count > 0 {
		return b
	}
	b.chunk = max(int(longItem*drawCost/o.own), 1)
	if m.cfg.chunk > 0 || m.cfg.policy == Single {
		b.chunk = max(m.cfg.chunk, 1)
	}
	each := min(weighed(o.left/(2*o.ranks), o), int(mostWork/o.own), o.done, m.fit(o))
	if room := m.room(); room < o.left {
		each = min(each, max(room, 0)/len(m.seats))
	}
	if each < b.chunk && (each == 0 || m.cfg.chunk > 0) {
		return b
	}
	pickers := m.pickers(h)
	b.spans = m.todo.pop(min(pickers*each, ceilDiv(o.left, 2), longestRun), nil)
	if len(b.spans) > mostRuns {
		m.todo.giveBack(b.spans[mostRuns:])
		b.spans = b.spans[:mostRuns]
	}
	got := countSpans(b.spans)
	b.chunk = min(b.chunk, ceilDiv(got, pickers))
	b.low = min(pickers*(int(4*m.cost/o.own)+1), got)
	return b
}

// clear asks for what nobody has taken from the shelf of h since the latest batch. It
// comes back by returned.
func (m *manager) clear(h *host) {
	if h.cleared == h.batches || m.over {
		return
	}
	if h.cleared = h.batches; h.held > 0 {
		m.emit(decision{rank: h.leader, what: kindClear})
	}
}

// clearAll is for when nothing else is left for those who wait, or nothing more is to
// be begun.
func (m *manager) clearAll() {
	for _, h := range m.stocked {
		m.clear(h)
	}
	m.stocked = m.stocked[:0]
}

// returned is the event that a leader gives back what nobody has taken.
func (m *manager) returned(leader int, back []span) {
	if h := m.seats[leader].host; !m.over && (h == nil || !m.bookShelf(h, 0, back)) {
		m.end(m.strange(leader))
	}
	m.serve()
	m.settle()
}

// bookShelf is bookDrawn for ranks that have a shelf.
func (m *manager) bookShelf(h *host, done int, back []span) bool {
	k := done + countSpans(back)
	if k > h.held {
		return false
	}
	h.held -= k
	m.held -= k
	h.done += done
	m.done += done
	m.todo.giveBack(back)
	return true
}

// active reports whether ranks have something from the shelf, as far as is known.
func (h *host) active() bool { return h.held > max(h.noted-h.done, 0) }

// noted is the event that so many indices of a leader's shelf are done, as far as its
// ranks have noted.
func (m *manager) noted(leader, n int) {
	if h := m.seats[leader].host; h != nil {
		h.noted = n
	}
}

// vacate takes back what is on a shelf from which nobody takes any more.
func (m *manager) vacate(h *host) {
	if h != nil && m.pickers(h) == 0 {
		m.clear(h)
	}
}
