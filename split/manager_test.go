package split

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// A drive leads a manager through events by hand, and keeps what ranks are told.
type drive struct {
	*manager
	log []string
}

func newDrive(t *testing.T, ranks, n int, opts ...Option) *drive {
	cfg := newConfig("Managed", n, opts)
	require.NoError(t, cfg.check())
	d := &drive{manager: newManager(cfg, ranks)}
	for r := range ranks {
		d.hello(r, hello{items: n, keys: d.keys})
	}
	return d
}

func (d *drive) report(rank int, r *report) {
	d.manager.report(rank, r)
	d.note()
}

func (d *drive) consumed(k, needed int) {
	d.manager.consumed(k, needed)
	d.note()
}

func (d *drive) ask(rank, done int) { d.report(rank, &report{want: wantNow, done: done}) }

func (d *drive) note() {
	for _, x := range d.decided() {
		switch x.what {
		case kindGrant:
			d.log = append(d.log, fmt.Sprintf("%d gets %v", x.rank, x.grant.spans))
		case kindQuery:
			d.log = append(d.log, fmt.Sprintf("%d is asked", x.rank))
		case kindEnd:
			d.log = append(d.log, fmt.Sprintf("%d ends", x.rank))
		}
	}
}

// told returns what the ranks were told since the last call.
func (d *drive) told() []string {
	d.note()
	log := d.log
	d.log = nil
	return log
}

func TestManagerOneLoop(t *testing.T) {
	d := newDrive(t, 2, 3, Chunk(2), Window(10))
	d.ask(1, 0)
	require.Equal(t, []string{"1 gets [{0 2}]"}, d.told())
	d.ask(0, 0)
	require.Equal(t, []string{"0 gets [{2 3}]"}, d.told())
	d.ask(0, 1)
	require.Empty(t, d.told(), "rank 1 may give something back")
	d.ask(1, 2)
	require.Equal(t, []string{"0 ends", "1 ends"}, d.told())
	require.NoError(t, d.err)
}

func TestManagerWaitsForEveryHello(t *testing.T) {
	d := &drive{manager: newManager(newConfig("Managed", 0, nil), 3)}
	d.hello(0, hello{})
	d.hello(2, hello{})
	require.Empty(t, d.told())
	d.hello(1, hello{})
	require.Equal(t, []string{"0 ends", "1 ends", "2 ends"}, d.told())
}

func TestManagerHandsOnWhatALeaverHeld(t *testing.T) {
	d := newDrive(t, 3, 6, Chunk(4))
	d.ask(0, 0)
	d.ask(1, 0)
	d.ask(2, 0)
	require.Equal(t, []string{"0 gets [{0 4}]", "1 gets [{4 6}]"}, d.told())
	d.report(0, &report{leave: true, done: 1})
	require.Equal(t, []string{"0 ends", "2 gets [{1 4}]"}, d.told())
	d.report(1, &report{leave: true, done: 2})
	d.ask(2, 3)
	require.Equal(t, []string{"1 ends", "2 ends"}, d.told())
	require.NoError(t, d.err)
}

func TestManagerAllLeave(t *testing.T) {
	d := newDrive(t, 2, 100, Chunk(10))
	d.ask(0, 0)
	d.ask(1, 0)
	d.report(0, &report{leave: true, done: 1})
	d.report(1, &report{leave: true, done: 3})
	require.ErrorIs(t, d.err, ErrIncomplete)
	require.EqualError(t, d.err, "split: Managed: every rank left the loop: 96 of 100 items are left")
}

// A rank that is gone may still be heard of late; what it held is another rank's by then.
func TestManagerHearsNobodyWhoIsGone(t *testing.T) {
	for name, gone := range map[string]func(d *drive){
		"left": func(d *drive) { d.report(1, &report{leave: true}) },
		"lost": func(d *drive) { d.lose(1) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(t, 2, 1)
			d.ask(1, 0)
			gone(d)
			d.told()
			d.report(1, &report{want: wantNow, done: 1})
			d.report(1, &report{leave: true, done: 1})
			require.Empty(t, d.told())
			d.ask(0, 0)
			require.Equal(t, []string{"0 gets [{0 1}]"}, d.told())
			d.ask(0, 1)
			require.Equal(t, []string{"0 ends"}, d.told())
			require.NoError(t, d.err)
		})
	}
}

func TestManagerAnswersWhoAsksAhead(t *testing.T) {
	d := newDrive(t, 2, 3, Chunk(2))
	d.ask(0, 0)
	d.report(0, &report{want: early})
	d.report(1, &report{want: early})
	require.Equal(t, []string{"0 gets [{0 2}]", "0 gets [{2 3}]", "1 gets []"}, d.told())
}

func TestManagerNamesWhoDisagrees(t *testing.T) {
	keyed := Keys(func(i int) string { return fmt.Sprint("k", i) })
	for _, c := range []struct {
		name string
		opts []Option
		play func(m *manager)
		want string
	}{
		{
			"n", nil, func(m *manager) { m.hello(2, hello{items: 12}) },
			"split: Managed: ranks disagree: rank 0 has 10 items, rank 2 has 12; index 10 is the first that only one of them has",
		},
		{
			"keys here only", []Option{keyed}, func(m *manager) { m.hello(2, hello{items: 10}) },
			"split: Managed: ranks disagree: rank 0 passes Keys, rank 2 does not",
		},
		{
			"keys there only", nil, func(m *manager) { m.hello(2, hello{items: 10, keys: 5}) },
			"split: Managed: ranks disagree: rank 2 passes Keys, rank 0 does not",
		},
		{
			"a key", []Option{keyed}, func(m *manager) { m.hello(1, hello{items: 10, keys: 5}); m.differs(1, 3, "x") },
			`split: Managed: ranks disagree: item 3 is "k3" on rank 0 and "x" on rank 1; it is the first that differs`,
		},
		{
			"a key, with a rank that leaves", []Option{keyed},
			func(m *manager) { m.hello(1, hello{items: 10, keys: 5}); m.report(1, &report{leave: true}) },
			"split: Managed: ranks disagree: the keys of rank 0 and rank 1 differ",
		},
		{
			"keys that change", []Option{keyed}, func(m *manager) { m.hello(1, hello{items: 10, keys: 5}); m.differs(1, unknown, "") },
			"split: Managed: ranks disagree: the keys of rank 0 and rank 1 differ from call to call",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newManager(newConfig("Managed", 10, c.opts), 3)
			m.hello(0, hello{items: 10, keys: m.keys})
			m.report(0, &report{want: wantNow})
			c.play(m)
			require.EqualError(t, m.err, c.want)
			require.ErrorIs(t, m.err, ErrDisagree)
			ends := 0
			for _, d := range m.decided() {
				if d.what == kindEnd {
					ends++
				}
			}
			require.Equal(t, 3, ends)
		})
	}
}

func TestManagerDoesNotEndInDoubt(t *testing.T) {
	m := newManager(newConfig("Managed", 1, []Option{Keys(func(int) string { return "a" })}), 2)
	m.hello(0, hello{items: 1, keys: m.keys})
	m.hello(1, hello{items: 1, keys: m.keys + 1})
	m.report(0, &report{want: wantNow})
	m.report(0, &report{want: wantNow, done: 1})
	require.False(t, m.over)
	m.differs(1, 0, "b")
	require.ErrorIs(t, m.err, ErrDisagree)
}

func TestManagerMeetsTheEndOfASequence(t *testing.T) {
	d := newDrive(t, 3, unknown, Chunk(4))
	d.ask(0, 0)
	d.ask(1, 0)
	d.ask(2, 0)
	require.Equal(t, []string{"0 gets [{0 4}]", "1 gets [{4 8}]", "2 gets [{8 12}]"}, d.told())
	d.report(1, &report{want: wantNow, done: 2, atEnd: true, length: 6})
	d.report(2, &report{want: wantNow, atEnd: true, length: 6})
	require.Empty(t, d.told())
	d.ask(0, 4)
	require.Equal(t, []string{"0 ends", "1 ends", "2 ends"}, d.told())
	require.NoError(t, d.err)
}

func TestManagerNamesWhoseSequenceDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		play func(d *drive)
		want string
	}{
		"two ends": {
			func(d *drive) {
				d.report(0, &report{atEnd: true, length: 3})
				d.report(1, &report{atEnd: true, length: 5})
			},
			"split: ManagedSeq: ranks disagree: rank 0 met the end of the items after 3, rank 1 after 5; index 3 is the first that only one of them has",
		},
		"done before the end was met": {
			func(d *drive) {
				d.report(1, &report{done: 4})
				d.report(0, &report{atEnd: true, length: 3})
			},
			"split: ManagedSeq: ranks disagree: rank 0 met the end of the items after 3, rank 1 has more; index 3 is the first that only one of them has",
		},
		"done afterwards": {
			func(d *drive) {
				d.report(0, &report{atEnd: true, length: 5})
				d.report(1, &report{done: 4})
			},
			"split: ManagedSeq: ranks disagree: rank 0 met the end of the items after 5, rank 1 has more; index 5 is the first that only one of them has",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(t, 2, unknown, Chunk(4))
			d.cfg.call = "ManagedSeq"
			d.ask(0, 0)
			d.ask(1, 0)
			c.play(d)
			require.EqualError(t, d.err, c.want)
			require.ErrorIs(t, d.err, ErrDisagree)
		})
	}
}

func TestManagerEndlessSequence(t *testing.T) {
	d := newDrive(t, 2, unknown)
	for range 100 {
		d.report(1, &report{want: wantNow, done: min(d.turn, 1), busy: time.Second})
	}
	d.report(0, &report{leave: true})
	d.report(1, &report{leave: true})
	require.True(t, d.over)
	require.NoError(t, d.err)
}

func TestManagerFailures(t *testing.T) {
	fail := func(i int) *report {
		return &report{failures: []*TaskError{{Index: i, Rank: 1, Err: errors.New("no")}}}
	}
	d := newDrive(t, 2, 4, Chunk(4), MaxFailures(1))
	d.ask(1, 0)
	d.report(1, fail(2))
	require.False(t, d.over)
	d.report(1, fail(0))
	require.True(t, d.over)
	require.EqualError(t, d.err, "split: item 0 failed on rank 1 (): no\nsplit: item 2 failed on rank 1 (): no")

	d = newDrive(t, 2, 4, Chunk(4), MaxFailures(1))
	d.ask(1, 0)
	d.report(1, fail(2))
	d.report(1, &report{indices: []int{3, 0, 1}, want: wantNow})
	require.True(t, d.over)
	var failed *TaskError
	require.ErrorAs(t, d.err, &failed)
	require.Equal(t, 2, failed.Index)
}

func TestManagerLetsAnotherRankTryAgain(t *testing.T) {
	fail := func(i int) *report {
		return &report{failures: []*TaskError{{Index: i, Err: errors.New("no")}}}
	}
	d := newDrive(t, 3, 3, Chunk(1), Retries(2))
	d.ask(1, 0)
	d.ask(2, 0)
	d.ask(0, 0)
	d.told()
	d.report(1, fail(0))
	d.ask(1, 0)
	require.Empty(t, d.told(), "the others are there")
	d.ask(2, 1)
	require.Equal(t, []string{"2 gets [{0 1}]"}, d.told())
	d.report(2, fail(0))
	require.Equal(t, []string{"1 gets [{0 1}]"}, d.told(), "the last to try was another one")
	d.report(1, fail(0))
	require.EqualError(t, d.err, "split: item 0 failed on rank 0 () at attempt 3: no")

	d = newDrive(t, 2, 2, Chunk(1), Retries(1))
	d.ask(1, 0)
	d.ask(0, 0)
	d.report(1, fail(0))
	d.ask(1, 0)
	d.told()
	d.report(0, &report{leave: true, done: 1})
	require.Equal(t, []string{"0 ends", "1 gets [{0 1}]"}, d.told(), "nobody else is left")
}

func TestManagerDedicated(t *testing.T) {
	d := newDrive(t, 2, 4, Chunk(2), Dedicated())
	d.ask(0, 0)
	d.ask(1, 0)
	require.Equal(t, []string{"1 gets [{0 2}]"}, d.told())
	d.report(1, &report{leave: true, done: 1})
	require.Equal(t, []string{"1 ends", "0 gets [{1 3}]"}, d.told(), "nobody else is left")

	d = newDrive(t, 1, 4, Chunk(2), Dedicated())
	d.ask(0, 0)
	require.Equal(t, []string{"0 gets [{0 2}]"}, d.told())
}

func TestManagerRefusesWhatWasNotHeld(t *testing.T) {
	for name, r := range map[string]report{
		"count":  {done: 3},
		"index":  {indices: []int{2}},
		"failed": {failures: []*TaskError{{Index: 7, Err: context.Canceled}}},
	} {
		d := newDrive(t, 2, 10, Chunk(2))
		d.ask(1, 0)
		d.report(1, &r)
		require.ErrorContains(t, d.err, "rank 1 reports items that it does not hold", name)
	}
}

func TestManagerWindow(t *testing.T) {
	d := newDrive(t, 2, 100, Chunk(1), Window(2))
	d.ask(0, 0)
	d.report(0, &report{indices: []int{0}, want: wantNow})
	d.report(0, &report{indices: []int{1}, want: wantNow})
	d.report(0, &report{indices: []int{2}, want: wantNow})
	require.Equal(t, []string{"0 gets [{0 1}]", "0 gets [{1 2}]", "0 gets [{2 3}]", "0 gets [{3 4}]"}, d.told())
	d.ask(1, 0)
	d.report(0, &report{indices: []int{3}, want: wantNow})
	require.Empty(t, d.told(), "two wait, and one for each rank")
	d.consumed(1, unknown)
	require.Equal(t, []string{"1 gets [{4 5}]"}, d.told())
	d.consumed(1, unknown)
	require.Equal(t, []string{"0 gets [{5 6}]"}, d.told())
}

func TestManagerGivesWhatTheRootWaitsForOutOfTurn(t *testing.T) {
	d := newDrive(t, 1, 5, Chunk(1), Window(1), Order([]int{4, 3, 2, 1, 0}))
	d.consumed(0, 0)
	d.ask(0, 0)
	d.report(0, &report{indices: []int{4}, want: wantNow})
	d.report(0, &report{indices: []int{3}, want: wantNow})
	require.Equal(t, []string{"0 gets [{4 5}]", "0 gets [{3 4}]", "0 gets [{0 1}]"}, d.told())
	d.report(0, &report{indices: []int{0}})
	d.consumed(1, 1)
	d.ask(0, 0)
	require.Equal(t, []string{"0 gets [{1 2}]"}, d.told())
}

func TestManagerLearnsTheCostOfARequest(t *testing.T) {
	d := newDrive(t, 2, 100, Chunk(1))
	d.report(1, &report{want: wantNow})
	d.report(1, &report{want: wantNow, done: 1, wait: time.Hour})
	require.Equal(t, firstCost, d.cost, "the first one waits for the root to come")
	d.report(1, &report{want: wantNow, done: 1, wait: firstCost + 4*time.Microsecond})
	require.Equal(t, firstCost+time.Microsecond, d.cost)
}

func TestManagerProgress(t *testing.T) {
	d := newDrive(t, 3, 10, Chunk(2))
	d.ask(1, 0)
	d.ask(2, 0)
	d.ask(1, 2)
	require.Equal(t, snapshot{done: 2, items: 10, ranks: 3, busy: 2}, d.progress())
}

// Nothing is handed out after a stop, and the loop ends when what was is done.
func TestManagerStops(t *testing.T) {
	m := newManager(newConfig("Managed", 10, []Option{Chunk(3)}), 2)
	m.hello(0, hello{items: 10})
	m.hello(1, hello{items: 10})
	m.report(0, &report{want: wantNow})
	require.Equal(t, []span{{0, 3}}, m.decided()[0].grant.spans)
	m.stop()
	m.report(1, &report{want: wantNow})
	require.Empty(t, m.decided())
	m.report(0, &report{want: early, done: 2})
	require.Empty(t, m.decided()[0].grant.spans, "an answer, but nothing in it")
	m.report(0, &report{want: wantNow, done: 1})
	end := m.decided()
	require.Len(t, end, 2)
	require.EqualError(t, end[0].err, "split: Managed: incomplete: 3 of 10 items are done; no journal keeps them")
	for _, kind := range []error{ErrIncomplete, mpi.ErrStopped} {
		require.ErrorIs(t, end[0].err, kind)
		require.ErrorIs(t, end[1].end.err(), kind, "on the other rank")
	}
}

// What ranks have taken from a board before it stops is waited for.
func TestManagerStopsABoard(t *testing.T) {
	m := newManager(newConfig("Map", 10, []Option{Chunk(4)}), 1)
	b := newBoard(10, 1)
	m.share(b, "", []int{0})
	m.hello(0, hello{items: 10})
	require.Equal(t, span{0, 4}, b.add(4))
	m.stop()
	require.Zero(t, b.add(4).len())
	require.False(t, m.over)
	m.report(0, &report{indices: []int{0, 1, 2}})
	require.False(t, m.over)
	m.report(0, &report{indices: []int{3}})
	require.True(t, m.over)
	require.ErrorContains(t, m.err, "incomplete: 4 of 10 items are done")
}

// No more goes out than fits into the time that is left, reckoned by the mean.
func TestManagerWatchesTheClock(t *testing.T) {
	m := newManager(newConfig("Managed", 1000, []Option{Chunk(50)}), 1)
	m.hello(0, hello{items: 1000})
	granted := func(r report) int {
		m.report(0, &r)
		n := 0
		for _, d := range m.decided() {
			n += countSpans(d.grant.spans)
		}
		return n
	}
	m.clock(time.Hour)
	require.Equal(t, 50, granted(report{want: wantNow}), "nothing is known yet")
	m.clock(100 * time.Second)
	require.Equal(t, 10, granted(report{want: wantNow, done: 50, busy: 500 * time.Second}))
	m.clock(11 * time.Second)
	require.Equal(t, 1, granted(report{want: wantNow, done: 10, busy: 100 * time.Second}))
	m.clock(9 * time.Second)
	require.False(t, m.over, "an item is still in hand")
	require.Zero(t, granted(report{want: wantNow, done: 1, busy: 10 * time.Second}))
	require.ErrorContains(t, m.err, "incomplete: 61 of 1000 items are done")

	m = newManager(newConfig("Managed", 1000, nil), 1)
	m.hello(0, hello{items: 1000})
	granted(report{want: wantNow})
	m.clock(0)
	require.ErrorIs(t, m.err, mpi.ErrStopped, "in hand or not")
}

// Ranks that take from the board report when that is empty: until then the mean is by what
// they note.
func TestManagerWatchesTheClockOfABoard(t *testing.T) {
	const n = 1000
	board := boardOf(make([]byte, boardSize(2)), n)
	m := newManager(newConfig("Managed", n, nil), 2)
	m.share(board, "memory", []int{0, 1})
	m.hello(0, hello{items: n})
	m.hello(1, hello{items: n})
	m.clock(100 * time.Second)
	for _, note := range board.notes {
		require.Equal(t, 10, board.add(10).len())
		note.done.Store(9)
	}
	m.clock(91 * time.Second)
	require.False(t, m.stopping, "an item takes a second")
	m.clock(6 * time.Second)
	require.True(t, m.stopping, "it has come to take ten")
	require.False(t, m.over, "items are in hand")
	require.Zero(t, board.add(1).len())
	m.expire()
	require.ErrorContains(t, m.err, "incomplete: 18 of 1000 items are done")
}

// A world is a model of ranks that do everything that ranks may do, in any
// order: their messages take their time, but keep their order.
type world struct {
	t       testing.TB
	r       *rand.Rand
	m       *manager
	ranks   []*modelRank
	hosts   []*modelHost
	length  int // of the sequence
	did     map[int]int
	bad     map[int]int // how often each of these is to fail
	tried   map[int]int // how often it has
	kills   map[int]int // how many ranks were lost with it in hand
	last    map[int]int // the rank at which it failed last
	mapped  bool
	stops   bool         // at some time it is asked to come to an end
	window  []int        // results at the root
	next    int          // the one that its loop wants, or unknown
	skipped int          // that have failed, and that its loop knows of
	past    map[int]bool // what earlier runs have done
	unsure  []int        // Managed with a journal: at these a rank left
}

// A modelHost is one with a leader: what its ranks are told goes that way.
type modelHost struct {
	leader int
	shelf  *shelf
	down   []decision
	up     [][]span // what comes back from the shelf
}

type modelRank struct {
	host    *modelHost
	picker  *picker    // once it has an offer
	up      []report   // on their way to the manager
	down    []decision // on their way here
	hand    []int
	drawer  *drawer // once it has an offer
	drawn   []int   // from the board, and not begun
	asked   bool
	silent  int // items done and not reported (Managed)
	last    int // of them
	quiet   int // the same, of the board
	indices []int
	fails   []*TaskError
	mine    []int // Managed: what it has done
	met     bool  // the end
	told    bool
	left    bool
	ended   bool
	greeted bool
	dead    bool
	buried  bool // the manager knows
	aloof   bool // comes, and never asks
}

func newWorld(t testing.TB, seed uint64) *world {
	r := rand.New(rand.NewPCG(seed, 1))
	w := &world{
		t: t, r: r, length: r.IntN(60), did: map[int]int{}, past: map[int]bool{}, mapped: r.IntN(2) == 0,
		bad: map[int]int{}, tried: map[int]int{}, kills: map[int]int{}, last: map[int]int{}, next: unknown,
	}
	opts := []Option{Chunk(r.IntN(5)), MaxFailures(1000), Retries(r.IntN(4))}
	if r.IntN(3) == 0 {
		opts = append(opts, Dedicated())
	}
	n := w.length
	if w.mapped {
		opts = append(opts, Window(1+r.IntN(5)*r.IntN(20)))
		if r.IntN(2) == 0 {
			w.next = 0
		}
		for range r.IntN(w.length + 1) {
			w.bad[r.IntN(w.length)] = 1 + r.IntN(5)
		}
	} else if r.IntN(3) == 0 {
		n = unknown
	}
	if n != unknown {
		if r.IntN(2) == 0 {
			opts = append(opts, Policy(Chunking(r.IntN(len(policies)))))
		}
		if r.IntN(2) == 0 {
			opts = append(opts, Order(r.Perm(n)))
		}
	}
	cfg := newConfig("Map", n, opts)
	if !w.mapped {
		cfg.unbounded = true
	}
	require.NoError(t, cfg.check())
	w.ranks = make([]*modelRank, 1+r.IntN(5))
	w.m = newManager(cfg, len(w.ranks))
	w.m.goesOn, w.stops = r.IntN(2) == 0, r.IntN(2) == 0
	if n != unknown && r.IntN(3) == 0 {
		w.resume()
	}
	if n != unknown && w.m.todo.order == nil && !w.m.kept && !w.m.goesOn && r.IntN(2) == 0 {
		w.share()
	}
	for i := range w.ranks {
		w.ranks[i] = &modelRank{aloof: i > 0 && !w.mapped && !cfg.dedicated && r.IntN(6) == 0}
	}
	if r.IntN(2) == 0 {
		w.lead()
	}
	w.m.consumed(0, w.next)
	return w
}

// resume lets earlier runs have done some of the items.
func (w *world) resume() {
	done := make([]bool, w.length)
	for i := range done {
		if done[i] = w.r.IntN(2) == 0; done[i] {
			w.past[i] = true
			w.did[i]++
		}
	}
	w.m.resume(done, !w.mapped)
}

// share lets some ranks take from a board.
func (w *world) share() {
	some := w.r.Perm(len(w.ranks))[:1+w.r.IntN(len(w.ranks))]
	w.m.share(newBoard(w.length, len(some)), "a board", some)
}

// lead gives some of the ranks that don't take from a board leaders, of up to two hosts.
func (w *world) lead() {
	for range 1 + w.r.IntN(2) {
		words := make([]uint64, shelfSize(len(w.ranks))/8)
		h, ranks := &modelHost{shelf: shelfOf(bytesOf(words))}, []int(nil)
		for r := 1; r < len(w.ranks); r++ {
			if s := &w.m.seats[r]; s.offer == nil && w.ranks[r].host == nil && w.r.IntN(3) > 0 {
				w.ranks[r].host = h
				ranks = append(ranks, r)
			}
		}
		if len(ranks) > 0 {
			h.leader = ranks[0]
			w.hosts = append(w.hosts, h)
			w.m.leads(h.leader, ranks, "a shelf")
		}
	}
}

// relay lets a leader do what it is told, and the manager hear what it gives back.
func (w *world) relay(h *modelHost) {
	if len(h.up) > 0 && w.r.IntN(2) == 0 {
		w.m.returned(h.leader, h.up[0])
		h.up = h.up[1:]
		return
	}
	if len(h.down) == 0 {
		return
	}
	d := h.down[0]
	h.down = h.down[1:]
	switch d.what {
	case kindBatch:
		require.Empty(w.t, h.shelf.place(d.batch))
	case kindClear:
		h.up = append(h.up, h.shelf.clear())
	default:
		w.ranks[d.rank].down = append(w.ranks[d.rank].down, d)
	}
}

func (w *world) run() {
	steps := 0
	for !w.done() {
		w.step(w.r.IntN(len(w.ranks)))
		if steps++; steps > 200_000 {
			w.t.Fatalf("no end: %+v", *w.m)
		}
	}
}

func (w *world) done() bool {
	for _, k := range w.ranks {
		if !k.buried && (!k.ended || !k.left || len(k.up)+len(k.down) > 0) {
			return false
		}
	}
	for _, h := range w.hosts {
		if len(h.down)+len(h.up) > 0 {
			return false
		}
	}
	return w.m.over
}

func (w *world) step(rank int) {
	k := w.ranks[rank]
	for _, h := range w.hosts {
		w.relay(h)
	}
	switch w.r.IntN(6) {
	case 0, 1:
		w.listen(rank, k)
	case 2: // the rank hears
		if len(k.down) > 0 && !k.dead {
			w.hear(k, k.down[0])
			k.down = k.down[1:]
		}
	case 3, 4: // the rank works or asks
		if w.m.goesOn && rank > 0 && w.r.IntN(50) == 0 {
			w.kill(k)
		}
		if !k.left && !k.dead && !k.aloof {
			w.work(rank, k)
		}
	case 5: // the root's loop takes a result
		if w.consume(); w.stops && w.r.IntN(500) == 0 {
			w.m.stop()
		}
	}
	w.skip()
	for _, d := range w.m.decided() {
		d.grant.spans = append([]span(nil), d.grant.spans...)
		w.watch(d)
		if k := w.ranks[d.rank]; k.host != nil {
			k.host.down = append(k.host.down, d)
		} else {
			k.down = append(k.down, d)
		}
	}
	if !w.m.cfg.unbounded {
		// One more may have gone out of turn.
		require.LessOrEqual(w.t, w.m.stored, w.m.cfg.window+len(w.ranks)+1)
	}
}

// listen lets the manager hear of a rank: what it said, and in the end that it is lost.
func (w *world) listen(rank int, k *modelRank) {
	switch {
	case !k.greeted && (!k.dead || w.r.IntN(2) == 0):
		k.greeted = true
		w.m.hello(rank, hello{items: w.m.cfg.items})
	case len(k.up) > 0:
		r := &k.up[0]
		k.up = k.up[1:]
		if !w.m.over {
			w.window = append(w.window, r.indices...)
			for _, i := range r.indices {
				w.did[i]++
			}
			for _, f := range r.failures {
				w.tried[f.Index]++
				w.last[f.Index] = rank
			}
			w.keep(k, r)
		}
		w.m.report(rank, r)
	case k.dead && !k.buried:
		k.buried = true
		if !w.m.over {
			for _, i := range indicesOf(w.m.seats[rank].held) {
				w.kills[i]++
				w.last[i] = rank
			}
			k.mine = nil
		}
		w.m.lost(rank, "there", errors.New("killed"))
	}
}

// keep notes what a journal has once r has come: it outlives the rank.
func (w *world) keep(k *modelRank, r *report) {
	if !w.m.kept {
		return
	}
	for _, i := range k.mine[:r.done] {
		w.did[i]++
	}
	if r.broke {
		w.unsure = append(w.unsure, k.last)
	}
	k.mine = k.mine[r.done:]
}

// kill lets a rank die: some of its last messages may not have left it.
func (w *world) kill(k *modelRank) {
	if !k.dead {
		k.dead = true
		k.up = k.up[:w.r.IntN(len(k.up)+1)]
	}
}

// skip lets the root's loop go past what has failed.
func (w *world) skip() {
	if w.m.over {
		return
	}
	before, failed := w.next, w.skipped
	for w.next != unknown && slices.Contains(w.m.failed, w.next) {
		w.next++
	}
	if w.skipped = len(w.m.failed); w.next != before || w.next == unknown && w.skipped > failed {
		w.m.consumed(0, w.next)
	}
}

// watch looks whether what rank 0 gets is for it to do, and whether an item that
// has failed goes to another rank.
func (w *world) watch(d decision) {
	for _, i := range indicesOf(d.batch.spans) {
		require.NotContains(w.t, w.last, i, "what has failed somewhere is on a shelf")
	}
	others := 0
	for r := range w.m.seats {
		if s := &w.m.seats[r]; r != d.rank && s.greeted && !s.left {
			others++
		}
	}
	takers := 0 // other than rank 0, of what ranks were lost by
	for r, s := range w.m.seats {
		if r > 0 && r != d.rank && !s.left && (s.asked || !s.greeted) {
			takers++
		}
	}
	for _, i := range indicesOf(d.grant.spans) {
		if w.kills[i] > 0 {
			require.Len(w.t, indicesOf(w.m.seats[d.rank].held), 1, "a rank has more than what ranks were lost by")
			require.False(w.t, d.rank == 0 && takers > 0, "rank 0 has item %d, by which ranks were lost", i)
		}
	}
	if w.m.cfg.dedicated && d.rank == 0 {
		require.True(w.t, len(d.grant.spans) == 0 || others == 0, "rank 0 only manages")
	}
	for _, i := range indicesOf(d.grant.spans) {
		if at, ok := w.last[i]; !ok || at != d.rank {
			continue
		}
		if w.kills[i] > 0 {
			require.Zero(w.t, takers, "item %d has failed here", i)
		} else if !w.m.cfg.dedicated || others > 1 {
			require.Zero(w.t, others, "item %d has failed here", i)
		}
	}
}

func (w *world) consume() {
	if w.past[w.next] {
		w.next++
		w.m.consumed(0, w.next)
		return
	}
	at := 0
	if w.next != unknown {
		at = slices.Index(w.window, w.next)
	}
	if at < 0 || at >= len(w.window) {
		return
	}
	w.window = slices.Delete(w.window, at, at+1)
	if w.next != unknown {
		w.next++
	}
	w.m.consumed(1, w.next)
}

func (w *world) hear(k *modelRank, d decision) {
	require.False(w.t, k.ended, "nothing comes after the end")
	switch d.what {
	case kindGrant:
		k.asked = false
		if o := d.grant.offer; o.shelf {
			k.picker = newPicker(k.host.shelf, o.place)
		} else if o.name != "" {
			k.drawer = newDrawer(w.m.todo.board, o, len(w.ranks))
		}
		for _, s := range d.grant.spans {
			for i := s.lo; i < s.hi; i++ {
				if !k.met || i < w.length {
					k.hand = append(k.hand, i)
				}
			}
		}
	case kindEnd:
		k.ended = true
		if !k.left {
			require.Empty(w.t, k.drawn, "ended with work in hand")
			for _, i := range k.hand {
				require.GreaterOrEqual(w.t, i, w.length, "ended with work in hand")
			}
			w.report(k, report{leave: true})
		}
	}
}

func (w *world) report(k *modelRank, r report) {
	r.done, r.drawn, r.indices, r.failures = k.silent, k.quiet, k.indices, k.fails
	if k.met && !k.told {
		k.told, r.atEnd, r.length = true, true, w.length
	}
	r.busy = time.Duration(w.r.IntN(1000)) * time.Duration(r.done+r.drawn+len(r.indices))
	if r.seen = noShelf; k.host != nil {
		r.busy *= 10_000 // or there is no batch
		if k.picker != nil {
			r.seen = k.picker.seen
		}
	}
	k.silent, k.quiet, k.indices, k.fails = 0, 0, nil, nil
	k.left = r.leave
	if r.leave {
		for _, i := range k.drawn {
			r.back = addSpan(r.back, span{i, i + 1})
		}
		k.hand, k.drawn = nil, nil
	}
	k.up = append(k.up, r)
}

func (w *world) work(rank int, k *modelRank) {
	switch {
	case w.r.IntN(200) == 0 && rank != 0: // a Map's root leaves with the whole map
		w.report(k, report{leave: true, broke: w.m.kept && k.silent > 0 && w.r.IntN(2) == 0})
	case len(k.hand) > 0 && w.r.IntN(5) == 0 && !k.asked:
		k.asked = true
		ask := early
		if w.mapped && w.r.IntN(2) == 0 { // a worker that has nothing to do beside others
			ask = wantNow
		}
		w.report(k, report{want: ask})
	case len(k.hand) > 0 && k.hand[0] >= w.length:
		k.met = true
		k.hand = slices.DeleteFunc(k.hand, func(i int) bool { return i >= w.length })
	case len(k.hand) > 0:
		if !w.try(rank, k, k.hand[0]) {
			k.silent++
			k.last = k.hand[0]
		}
		k.hand = k.hand[1:]
	case len(k.drawn) > 0:
		if !w.try(rank, k, k.drawn[0]) {
			k.quiet++
		}
		k.drawn = k.drawn[1:]
	case k.drawer != nil && w.draw(k):
	case k.picker != nil && w.pick(k):
	case !k.asked:
		k.asked = true
		w.report(k, report{want: wantNow})
	case len(k.indices)+len(k.fails)+k.quiet > 0: // what is done must not wait for the answer
		w.report(k, report{})
	}
}

// try does an item, and reports whether the rank names it when it reports.
func (w *world) try(rank int, k *modelRank, i int) bool {
	if w.tried[i] < w.bad[i] {
		k.fails = append(k.fails, &TaskError{Index: i, Rank: rank, Err: errors.New("no")})
		return true
	}
	if w.mapped {
		k.indices = append(k.indices, i)
	} else {
		k.mine = append(k.mine, i)
	}
	return w.mapped
}

func (w *world) draw(k *modelRank) bool {
	run := k.drawer.draw()
	for i := run.lo; i < run.hi; i++ {
		k.drawn = append(k.drawn, i)
	}
	return run.len() > 0
}

func (w *world) pick(k *modelRank) bool {
	run, ask := k.picker.pick()
	for i := run.lo; i < run.hi; i++ {
		k.drawn = append(k.drawn, i)
	}
	if ask != nothing {
		w.report(k, report{want: ask})
	}
	return run.len() > 0
}

func (w *world) check() {
	for _, k := range w.ranks {
		for _, i := range k.mine {
			w.did[i]++
		}
	}
	if errors.Is(w.m.err, ErrIncomplete) {
		require.True(w.t, w.stops, "rank 0 never leaves")
		if w.m.stopping && w.m.orderly {
			require.Equal(w.t, len(w.did)+len(w.m.failures), w.m.done, "what ranks had when it stopped was done")
		}
		return
	}
	failed := 0
	for i := range w.length {
		if w.past[i] {
			require.Zero(w.t, w.tried[i]+w.kills[i])
			continue
		}
		if w.tried[i] <= w.m.cfg.retries && w.kills[i] < mostKilled {
			require.Equal(w.t, w.bad[i], w.tried[i], "attempts at item %d before the last", i)
			continue
		}
		failed++
		k := slices.IndexFunc(w.m.failures, func(f *TaskError) bool { return f.Index == i })
		require.GreaterOrEqual(w.t, k, 0, "item %d has failed", i)
		require.Equal(w.t, w.tried[i]+w.kills[i], w.m.failures[k].Attempts)
		require.Equal(w.t, w.last[i], w.m.failures[k].Rank)
	}
	require.Len(w.t, w.m.failures, failed)
	require.Equal(w.t, failed > 0, w.m.err != nil)
	require.Len(w.t, w.did, w.length-failed)
	for i, times := range w.did {
		require.Equal(w.t, 1, times, "index %d", i)
	}
	if w.m.kept {
		told := append(indicesOf(w.m.fresh), w.unsure...)
		for i := range w.past {
			told = append(told, i)
		}
		for _, f := range w.m.failures { // it must be tried again
			told = append(told, f.Index)
		}
		require.ElementsMatch(w.t, upTo(w.length), told)
	}
}

func TestManagerModel(t *testing.T) {
	for seed := range uint64(6000) {
		w := newWorld(t, seed)
		w.run()
		w.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzManager(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		w := newWorld(t, seed)
		w.run()
		w.check()
	})
}
