package split

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A fleet is hosts of ranks in virtual time, with a manager, hands and shelves as a
// Managed loop has them. Rank 0 is alone on the first host. A message takes a while,
// and one by a leader twice as long.
type fleet struct {
	m       *manager
	hosts   int
	ranks   int // of a host
	led     bool
	item    func(rank, i int) time.Duration
	now     time.Duration
	turn    int
	events  happenings
	workers []*worker
	shelves []*shelf
	seen    []int           // by index: how often it was done
	heard   []time.Duration // when reports of other hosts reached rank 0
	batches []time.Duration // when it gave a host a batch
}

// A worker is a rank that is in its loop.
type worker struct {
	rank    int
	hand    *hand
	pending report
	waits   bool
	since   time.Duration // when it asked
	leaves  int           // after so many items, unless 0
	gone    bool
	drawn   bool
	left    span // of what it took
}

const flight = 20 * time.Microsecond // of a message

func newFleet(hosts, ranks, items int, item func(rank, i int) time.Duration, opts ...Option) *fleet {
	f := &fleet{hosts: hosts, ranks: ranks, item: item, seen: make([]int, items)}
	size := 1 + (hosts-1)*ranks
	cfg := newConfig("Managed", items, opts)
	cfg.unbounded = true
	f.m = newManager(cfg, size)
	for r := range size {
		f.workers = append(f.workers, &worker{rank: r, hand: newHand()})
	}
	return f
}

// slowHost says how long items take whose mean is given, if the first of the hosts is
// slower than the others.
func slowHost(ranks int, mean time.Duration, times int) func(rank, i int) time.Duration {
	return func(rank, i int) time.Duration {
		took := itemTime(i) * mean / time.Millisecond
		if rank > 0 && rank <= ranks {
			took *= time.Duration(times)
		}
		return took
	}
}

// lead gives each host a leader and a shelf.
func (f *fleet) lead() *fleet {
	f.led = true
	for h := 1; h < f.hosts; h++ {
		words := make([]uint64, shelfSize(f.ranks)/8)
		f.shelves = append(f.shelves, shelfOf(bytesOf(words)))
		var ranks []int
		for place := range f.ranks {
			ranks = append(ranks, 1+(h-1)*f.ranks+place)
		}
		f.m.leads(ranks[0], ranks, fmt.Sprint("shelf ", h))
	}
	return f
}

func (f *fleet) hostOf(rank int) int { return (rank - 1) / f.ranks }

// run goes through the loop, and returns how long it took.
func (f *fleet) run() time.Duration {
	for _, w := range f.workers {
		f.m.hello(w.rank, hello{items: len(f.seen)})
	}
	for _, w := range f.workers {
		f.at(time.Duration(w.rank)*time.Nanosecond, func() { f.work(w) })
	}
	for f.events.Len() > 0 {
		e := heap.Pop(&f.events).(happening)
		f.now = e.at
		e.what()
	}
	return f.now
}

func (f *fleet) at(after time.Duration, what func()) {
	f.turn++
	heap.Push(&f.events, happening{f.now + after, f.turn, what})
}

// way is how long a message between rank 0 and a rank takes.
func (f *fleet) way(rank int) time.Duration {
	switch {
	case rank == 0:
		return 0
	case f.led:
		return 2 * flight
	}
	return flight
}

// work has a rank do what it has, or ask for more.
func (f *fleet) work(w *worker) {
	if w.gone {
		return
	}
	if w.left.len() == 0 {
		got := w.hand.take(1 << 30)
		if got.over {
			return
		}
		if got.ask != nothing {
			f.tell(w, got.ask)
		}
		if got.run.len() == 0 {
			if w.waits = true; w.hand.ask() {
				w.since = f.now
				f.tell(w, wantNow)
			}
			return
		}
		w.left, w.drawn = got.run, got.drawn
	}
	i := w.left.lo
	w.left.lo++
	took := f.item(w.rank, i)
	f.at(took, func() {
		f.seen[i]++
		w.pending.busy += took
		if w.drawn {
			w.pending.drawn++
		} else {
			w.pending.done++
		}
		if w.leaves--; w.leaves == 0 {
			f.leave(w)
			return
		}
		f.work(w)
	})
}

func (f *fleet) leave(w *worker) {
	w.gone = true
	w.hand.close(nil, byItself)
	w.pending.leave = true
	if w.pending.back = w.hand.giveBack(); w.drawn {
		w.pending.back = addSpan(w.pending.back, w.left)
	}
	f.tell(w, nothing)
}

// tell sends a report to the manager.
func (f *fleet) tell(w *worker, ask want) {
	r := w.pending
	r.want, r.seen = ask, w.hand.seen()
	w.pending = report{}
	f.at(f.way(w.rank), func() {
		if w.rank != 0 {
			f.heard = append(f.heard, f.now)
		}
		f.m.report(w.rank, &r)
		f.act()
	})
}

// act does what the manager has decided.
func (f *fleet) act() {
	for _, d := range f.m.decided() {
		w := f.workers[d.rank]
		switch d.what {
		case kindGrant:
			d.grant.spans = append([]span(nil), d.grant.spans...)
			f.at(f.way(d.rank), func() { f.granted(w, d.grant) })
		case kindBatch:
			f.batches = append(f.batches, f.now)
			f.at(f.way(d.rank), func() {
				if rest := f.shelves[f.hostOf(d.rank)].place(d.batch); len(rest) > 0 {
					panic("a shelf is full")
				}
			})
		case kindClear:
			f.at(f.way(d.rank), func() { f.returned(d.rank, f.shelves[f.hostOf(d.rank)].clear()) })
		case kindEnd:
			f.at(f.way(d.rank), func() { w.hand.close(d.err, d.how) })
		}
	}
}

func (f *fleet) granted(w *worker, g grant) {
	if g.offer.shelf {
		w.hand.shelved(newPicker(f.shelves[f.hostOf(w.rank)], g.offer.place))
	}
	w.hand.put(g)
	if w.waits {
		w.waits = false
		w.pending.wait = f.now - w.since
		f.work(w)
	}
}

func (f *fleet) returned(leader int, back []span) {
	f.at(f.way(leader), func() {
		f.m.returned(leader, back)
		f.act()
	})
}

// well fails t unless each index was done once.
func (f *fleet) well(t *testing.T) {
	t.Helper()
	require.True(t, f.m.complete, "%v", f.m.err)
	for i, n := range f.seen {
		if n != 1 {
			require.Equal(t, 1, n, "index %d", i)
		}
	}
}

// Rank 0 hears of a batch, not of each chunk of a rank: the more ranks a host has, the
// more that saves.
func TestLeaderAsksForItsHost(t *testing.T) {
	const hosts, ranks, items = 11, 16, 100_000
	for name, opts := range map[string][]Option{"Adaptive": nil, "Chunk": {Chunk(1)}, "Single": {Policy(Single)}, "Order": {Order(rand.Perm(items))}} {
		alone := newFleet(hosts, ranks, items, slowHost(ranks, time.Millisecond, 1), opts...)
		alone.run()
		alone.well(t)
		led := newFleet(hosts, ranks, items, slowHost(ranks, time.Millisecond, 1), opts...).lead()
		took := led.run()
		led.well(t)
		heard, batches := inMiddle(took, led.heard), inMiddle(took, led.batches)
		require.Positive(t, batches, name)
		require.LessOrEqual(t, heard, 3*batches/2, "%s: reports for %d batches", name, batches)
		require.Less(t, 2*len(led.heard), len(alone.heard), name)
	}
}

// A batch is at most half of what is left, and a little of its ranks' time; there is none
// for a host whose ranks must come to rank 0: to try something again, or to stop.
func TestBatchOfAHost(t *testing.T) {
	const ranks, items = 4, 1_000_000
	halfway := func(left int, took time.Duration, opts ...Option) (*manager, *host) {
		f := newFleet(3, ranks, items, nil, opts...).lead()
		f.m.todo.pop(items-left, nil)
		f.m.done, f.m.busy = items-left, time.Duration(items-left)*time.Millisecond
		h := f.m.hosts[0]
		h.count, h.busy = items/10, items/10*took
		for _, r := range h.ranks {
			f.m.seats[r].seen = 0
		}
		return f.m, h
	}
	m, h := halfway(items/2, 20*time.Microsecond)
	work := time.Duration(countSpans(m.batch(h).spans)) * 20 * time.Microsecond
	require.Positive(t, work)
	require.LessOrEqual(t, work, ranks*mostWork)

	m, h = halfway(2000, 20*time.Microsecond)
	require.Equal(t, 1000, countSpans(m.batch(h).spans), "it is much faster than the others")

	for name, hinder := range map[string]func(){
		"something is to be tried again": func() { m.again.failed(5, 7); m.again.add(7) },
		"the loop is to stop":            func() { m.stop() },
		"its speed is not known":         func() { h.busy = 0 },
	} {
		m, h = halfway(items/2, 20*time.Microsecond)
		require.NotEmpty(t, m.batch(h).spans)
		hinder()
		require.Empty(t, m.batch(h).spans, name)
	}

	m, h = halfway(items/2, 20*time.Microsecond)
	h.batches, h.held = 1, 1
	m.clear(h)
	m.clear(h)
	require.Len(t, m.decided(), 1, "it is told once")

	f := newFleet(3, ranks, items, nil, Policy(Static))
	f.m.leads(1, []int{1, 2, 3, 4}, "a shelf")
	require.Empty(t, f.m.hosts, "how much a rank gets is for the policy to say")
}

// inMiddle counts what happens in the middle third of a loop that takes so long.
func inMiddle(took time.Duration, times []time.Duration) (n int) {
	for _, at := range times {
		if at > took/3 && at < 2*took/3 {
			n++
		}
	}
	return n
}

// The loop takes as long as its work divided by the speed of all, though one host is ten
// times as slow, and at the end others do what it has on its shelf.
func TestSlowHostHoldsUpNobody(t *testing.T) {
	const hosts, ranks, times = 11, 8, 10
	for _, c := range []struct {
		mean  time.Duration
		items int
		opts  []Option
	}{
		{10 * time.Microsecond, 1_000_000, nil},
		{100 * time.Microsecond, 100_000, nil},
		{100 * time.Microsecond, 100_000, []Option{Chunk(1)}},
		{time.Millisecond, 50_000, nil},
		{5 * time.Millisecond, 20_000, nil},
		{50 * time.Millisecond, 20_000, nil},
		{time.Second, 20_000, nil},
	} {
		f := newFleet(hosts, ranks, c.items, slowHost(ranks, c.mean, times), c.opts...).lead()
		took := f.run()
		f.well(t)
		speed := 1 + ranks*(hosts-2) + float64(ranks)/times
		bound := float64(c.items) * float64(c.mean) / speed
		require.LessOrEqual(t, float64(took), 1.1*bound, "%d items of %v: %v", c.items, c.mean, took)
	}
}

// A host whose items turn out to take longer than those it was measured by gives back
// what it has on its shelf.
func TestShelfIsClearedAtTheEnd(t *testing.T) {
	const hosts, ranks, items = 5, 4, 20_000
	var f *fleet
	f = newFleet(hosts, ranks, items, func(rank, i int) time.Duration {
		if rank > 0 && rank <= ranks && f.now > 500*time.Millisecond {
			return 100 * time.Millisecond // where it was 1
		}
		return time.Millisecond
	})
	took := f.lead().run()
	f.well(t)
	require.Positive(t, f.m.hosts[0].cleared)
	require.Less(t, took, 1600*time.Millisecond, "13 ranks need 1423 ms")
}

// Whoever leaves early, all is done once by those that stay.
func TestLeadersAndRanksThatLeave(t *testing.T) {
	const hosts, ranks, items = 4, 3, 3000
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 2))
		f := newFleet(hosts, ranks, items, slowHost(ranks, time.Millisecond, 3)).lead()
		for range r.IntN(hosts * ranks) {
			f.workers[1+r.IntN(len(f.workers)-1)].leaves = 1 + r.IntN(400)
		}
		f.run()
		f.well(t)
	}
}

// A happening is something that happens at some time.
type happening struct {
	at   time.Duration
	turn int
	what func()
}

// happenings is a heap, the earliest first.
type happenings []happening

func (q happenings) Len() int { return len(q) }
func (q happenings) Less(i, j int) bool { // messages keep their order
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].turn < q[j].turn
}
func (q happenings) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *happenings) Push(x any)   { *q = append(*q, x.(happening)) }
func (q *happenings) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
