package split

import "sync"

// A hand holds the indices that were granted to this rank and that it has not
// begun. Grants are put in by whoever hears from the manager, and taken out by
// whoever works. Where there are none it takes from the board or the shelf, if the
// rank was offered one.
type hand struct {
	mu      sync.Mutex
	changed sync.Cond // something was put in, or it is over
	spans   []span
	head    int // of spans: those before are used up
	count   int // indices in spans
	drawer  *drawer
	picker  *picker          // from the shelf of this rank's host; excludes drawer
	drawn   span             // taken from the board, and not begun
	begun   map[int]struct{} // taken from the board by tasks of a map, and not finished; nil where nobody counts
	ahead   int              // ask for more when fewer than this are left
	asked   bool
	limit   int // indices from here on do not exist, or unknown
	ending  ending
	err     error // why it is over
	onOver  func()
}

// An ending says how the loop ended for this rank; each includes those before.
type ending uint8

const (
	notYet    ending = iota
	byItself         // the rank stopped
	byManager        // the manager has sent its last message
	complete         // and, at the root, the loop is complete
)

func newHand() *hand {
	h := &hand{limit: unknown}
	h.changed.L = &h.mu
	return h
}

// put adds a grant, the answer to the one request that was under way.
func (h *hand) put(g grant) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.head == len(h.spans) {
		h.spans, h.head = h.spans[:0], 0
	}
	h.spans = append(h.spans, g.spans...)
	h.count += countSpans(g.spans)
	h.ahead, h.asked = g.ahead, false
	if h.limit != unknown {
		h.cutLocked(h.limit)
	}
	h.changed.Broadcast()
}

// cut drops the indices from limit on, now and later.
func (h *hand) cut(limit int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutLocked(limit)
}

func (h *hand) cutLocked(limit int) {
	h.limit = limit
	h.spans = cutSpans(append(h.spans[:0], h.spans[h.head:]...), limit)
	h.head, h.count = 0, countSpans(h.spans)
}

// offered gives h a board to take from. A second one is dropped.
func (h *hand) offered(d *drawer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.drawer == nil {
		h.drawer = d
	}
}

// shelved gives h a shelf to take from.
func (h *hand) shelved(p *picker) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.picker = p
}

// seen is how many batches of the shelf this rank knew of when it last took from it, or
// noShelf.
func (h *hand) seen() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.picker == nil {
		return noShelf
	}
	return h.picker.seen
}

// taken is what a hand gives to whoever works.
type taken struct {
	run   span // empty if there is nothing
	drawn bool // run is from the board or the shelf
	ask   want // what to tell the manager, without waiting: early, low or nothing
	over  bool // the loop has ended for this rank
}

// take removes a run of at most limit indices.
func (h *hand) take(limit int) (got taken) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ending > notYet:
		return taken{over: true}
	case h.count > 0:
		return h.takeGranted(limit)
	case h.drawn.len() > 0:
	case h.drawer != nil:
		h.drawn = h.drawer.draw()
	case h.picker != nil:
		h.drawn, got.ask = h.picker.pick()
	default:
		return taken{}
	}
	n := min(limit, h.drawn.len())
	h.drawn.lo += n
	got.run, got.drawn = span{h.drawn.lo - n, h.drawn.lo}, true
	if h.begun != nil && n > 0 {
		h.begun[got.run.lo] = struct{}{}
	}
	return got
}

// finished notes that a task is through with index i.
func (h *hand) finished(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.begun, i)
}

// takeGranted stops where it is time to ask. The caller holds h.mu.
func (h *hand) takeGranted(limit int) taken {
	first, got := &h.spans[h.head], taken{}
	n := min(first.len(), limit)
	if h.ahead > 0 && !h.asked {
		if spare := h.count - h.ahead; spare > 0 {
			n = min(n, spare)
		} else {
			got.ask, h.asked = early, true
		}
	}
	h.count -= n
	first.lo += n
	got.run = span{first.lo - n, first.lo}
	if first.len() == 0 {
		h.head++
	}
	return got
}

// giveBack returns what was taken from the board and not begun, or by tasks that
// have not finished it. The caller sees to it that nothing more is taken.
func (h *hand) giveBack() []span {
	h.mu.Lock()
	defer h.mu.Unlock()
	back := addSpan(nil, h.drawn)
	h.drawn = span{}
	for i := range h.begun {
		back = append(back, span{i, i + 1})
	}
	return back
}

// ask notes that the caller asks the manager for more, and reports false if a
// request is under way.
func (h *hand) ask() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	asks := !h.asked
	h.asked = true
	return asks
}

// wait blocks until a request is answered or the loop is over for this rank, and
// reports whether it had to.
func (h *hand) wait() (waited bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.waitsLocked() {
		waited = true
		h.changed.Wait()
	}
	return waited
}

// close ends the loop for this rank, with the err of the first call.
func (h *hand) close(err error, how ending) {
	h.mu.Lock()
	first := h.ending == notYet
	h.ending = max(h.ending, how)
	if !first {
		h.mu.Unlock()
		return
	}
	h.err = err
	onOver := h.onOver
	h.changed.Broadcast()
	h.mu.Unlock()
	if onOver != nil {
		onOver()
	}
}

// whenOver has f called when the loop ends for this rank, or now if it has.
func (h *hand) whenOver(f func()) {
	h.mu.Lock()
	h.onOver = f
	over := h.ending > notYet
	h.mu.Unlock()
	if over {
		f()
	}
}

// is reports whether the loop has ended for this rank, that way.
func (h *hand) is(how ending) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ending >= how
}

// reason returns why the loop is over for this rank, nil if it is not or went
// well.
func (h *hand) reason() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// waits reports whether this rank has nothing to do until a request is answered.
func (h *hand) waits() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.waitsLocked()
}

func (h *hand) waitsLocked() bool { return h.count == 0 && h.asked && h.ending == notYet }
