package split

import (
	"sync/atomic"
	"time"
	"unsafe"
)

// A board is where ranks take the indices of a loop from by themselves: those that
// share memory with the root need not ask its manager for what is simply the next
// one. The memory is one word with the next index, in a cache line of its own, another
// that says how far they may go, and a line for each rank's own notes.
type board struct {
	n     int
	next  *atomic.Uint64 // chunks taken in the lowest turnBits, above them the first index not taken
	limit *atomic.Int64  // indices from here on must wait
	notes []note
}

// A note is what a rank writes for the root to read.
type note struct {
	done *atomic.Int64 // items of the board that are done
	busy *atomic.Bool  // it has taken something, and may not be done with it
}

const (
	turnBits = 24
	turnMask = 1<<turnBits - 1
	maxIndex = 1 << (64 - turnBits)

	cacheLine = 128 // two, since processors fetch them in pairs
)

func boardSize(ranks int) int { return (2 + ranks) * cacheLine }

// boardOf reads mem, which is all zero for a new board, as a board of n indices.
// Its first 8 bytes must be aligned.
func boardOf(mem []byte, n int) *board {
	at := func(line, offset int) unsafe.Pointer { return unsafe.Pointer(&mem[line*cacheLine+offset]) }
	b := &board{n: n, next: (*atomic.Uint64)(at(0, 0)), limit: (*atomic.Int64)(at(1, 0))}
	for r := range len(mem)/cacheLine - 2 {
		b.notes = append(b.notes, note{done: (*atomic.Int64)(at(2+r, 0)), busy: (*atomic.Bool)(at(2+r, 8))})
	}
	return b
}

// fits reports whether so many ranks may add to the word of a board for n indices:
// each adds one chunk too many at most.
func fits(n, ranks int) bool { return n >= 0 && n < maxIndex/(ranks+2) }

// out is how many indices have been taken.
func (b *board) out() int { return min(int(b.next.Load()>>turnBits), b.n) }

// turn is how many chunks have been taken by draw.
func (b *board) turn() int { return int(b.next.Load() & turnMask) }

// draw takes as many indices as size says, given how many are left and how many
// chunks have been taken, up to end.
func (b *board) draw(end int, size func(left, turn int) int) span {
	for end = min(end, b.n); ; {
		w := b.next.Load()
		lo, turn := int(w>>turnBits), int(w&turnMask)
		if lo >= end {
			return span{}
		}
		hi := lo + min(max(size(b.n-lo, turn), 1), end-lo)
		if b.next.CompareAndSwap(w, uint64(hi)<<turnBits|uint64(min(turn+1, turnMask))) {
			return span{lo, hi}
		}
	}
}

// add takes k indices, or what is left, however far one may go. Where many ranks
// take at once it costs less than draw, which may have to try again.
func (b *board) add(k int) span {
	hi := int(b.next.Add(uint64(k)<<turnBits) >> turnBits)
	return span{min(hi-k, b.n), min(hi, b.n)}
}

// take takes index i if it is the next one.
func (b *board) take(i int) bool {
	w := b.next.Load()
	return int(w>>turnBits) == i && i < b.n && b.next.CompareAndSwap(w, uint64(i+1)<<turnBits|w&turnMask)
}

// close leaves nothing to take. It returns how many indices had been taken.
func (b *board) close() (out int) {
	return min(int(b.next.Swap(uint64(b.n)<<turnBits)>>turnBits), b.n)
}

// An offer is what a rank is told that may take from a board, or from a shelf.
type offer struct {
	name    string   // of the memory; "" offers nothing
	place   int      // of the rank's notes
	chunk   int      // rank 0's options
	policy  Chunking //
	bounded bool     // there is a limit
	shelf   bool     // name is that of a shelf, which has neither of these
}

// A drawer takes chunks from a board for one rank. It is not safe for concurrent
// use.
type drawer struct {
	offer
	board *board
	note  note
	ranks int

	start time.Time
	mark  time.Duration // since start: when the last chunk was taken
	last  int           // its size
	done  int           // indices in all chunks before it
	busy  time.Duration // spent on them
}

// drawCost is what it costs to take a chunk from a board while others do too.
const drawCost = 100 * time.Nanosecond

func newDrawer(b *board, o offer, ranks int) *drawer {
	return &drawer{offer: o, board: b, note: b.notes[o.place], ranks: ranks, start: time.Now()}
}

// draw takes the next chunk; an empty one if there is none.
func (d *drawer) draw() (run span) {
	d.done += d.last
	d.note.done.Store(int64(d.done))
	switch {
	case d.bounded:
		run = d.board.draw(int(d.board.limit.Load()), d.size)
	case d.chunk > 0:
		run = d.board.add(d.chunk)
	default:
		d.measure()
		run = d.board.draw(d.board.n, d.size)
	}
	if d.last = run.len(); d.last == 0 || d.done == 0 {
		d.note.busy.Store(d.last > 0)
	}
	return run
}

func (d *drawer) measure() {
	now := time.Since(d.start)
	if d.last > 0 { // else it has waited, or worked on something else
		d.busy += now - d.mark
	}
	d.mark = now
}

func (d *drawer) size(left, turn int) int {
	if d.chunk > 0 {
		return d.chunk
	}
	o := outlook{items: d.board.n, ranks: d.ranks, left: left, turn: turn, done: d.done, cost: drawCost}
	if d.done > 0 {
		o.mean = max(d.busy/time.Duration(d.done), 1)
	}
	if d.policy == Adaptive {
		return adaptiveDraw(o)
	}
	return policies[d.policy].size(o)
}
