package split

import (
	"math"
	"slices"
)

// A span is the run of indices lo, lo+1, ... hi-1.
type span struct{ lo, hi int }

func (s span) len() int { return s.hi - s.lo }

// addSpan appends s to spans, as one with the last of them where they touch.
func addSpan(spans []span, s span) []span {
	if s.lo >= s.hi {
		return spans
	}
	if n := len(spans); n > 0 && spans[n-1].hi == s.lo {
		spans[n-1].hi = s.hi
		return spans
	}
	return append(spans, s)
}

// cutSpans drops the indices of spans from limit on, in place.
func cutSpans(spans []span, limit int) []span {
	kept := spans[:0]
	for _, s := range spans {
		kept = addSpan(kept, span{s.lo, min(s.hi, limit)})
	}
	return kept
}

// indicesOf lists the indices of spans.
func indicesOf(spans []span) (indices []int) {
	for _, s := range spans {
		for i := s.lo; i < s.hi; i++ {
			indices = append(indices, i)
		}
	}
	return indices
}

func countSpans(spans []span) (n int) {
	for _, s := range spans {
		n += s.len()
	}
	return n
}

// A queue holds the indices that no rank has, in the order in which they go
// out: first those that came back, then the others, as order says.
type queue struct {
	back   []span
	next   int    // position of the first that never went out
	n      int    // positions
	order  []int  // index at each position; nil: the position itself
	gone   []bool // with order only: indices that went out, or are not in it
	early  int    // how many of gone are still ahead of next
	board  *board // what stands for next, if ranks take from the queue by themselves
	popped int    // with board only: indices of it that went out through pop and take
	sealed bool   // with board only: it is closed, and next stands for it
}

func newQueue(n int, order []int) queue {
	if n == unknown {
		n = math.MaxInt
	}
	q := queue{n: n, order: order}
	if order != nil {
		q.n = len(order) // fewer than n, if some are done
		q.gone = slices.Repeat([]bool{true}, n)
		for _, i := range order {
			q.gone[i] = false
		}
	}
	return q
}

// left returns the number of indices in q.
func (q *queue) left() int { return q.n - q.out() - q.early + countSpans(q.back) }

// out is how many positions went out, not counting what came back.
func (q *queue) out() int {
	if q.board != nil && !q.sealed {
		return q.board.out()
	}
	return q.next
}

// seal keeps ranks from taking indices from the board. Nothing is popped any more.
func (q *queue) seal() {
	if q.board != nil && !q.sealed {
		q.next, q.sealed = q.board.close(), true
	}
}

// drawn is how many indices ranks have taken from the board by themselves.
func (q *queue) drawn() int {
	if q.board == nil {
		return 0
	}
	return q.out() - q.popped
}

// pop moves k indices, or all if there are fewer, from q to spans.
func (q *queue) pop(k int, spans []span) []span {
	for k > 0 && len(q.back) > 0 {
		first := &q.back[0]
		n := min(k, first.len())
		spans = addSpan(spans, span{first.lo, first.lo + n})
		k -= n
		if first.lo += n; first.len() == 0 {
			q.back = q.back[1:]
		}
	}
	if k > 0 && q.board != nil {
		run := q.board.draw(q.n, func(int, int) int { return k })
		q.popped += run.len()
		return addSpan(spans, run)
	}
	if q.order == nil {
		k = min(k, q.n-q.next)
		q.next += k
		return addSpan(spans, span{q.next - k, q.next})
	}
	for ; k > 0 && q.next < q.n; q.next++ {
		i := q.order[q.next]
		if q.gone[i] {
			q.early--
			continue
		}
		q.gone[i] = true
		spans = addSpan(spans, span{i, i + 1})
		k--
	}
	return spans
}

// take removes index i out of turn, and reports whether it was there.
func (q *queue) take(i int) bool {
	for k, s := range q.back {
		if s.lo <= i && i < s.hi {
			rest := append(addSpan(addSpan(nil, span{s.lo, i}), span{i + 1, s.hi}), q.back[k+1:]...)
			q.back = append(q.back[:k:k], rest...)
			return true
		}
	}
	switch {
	case q.board != nil:
		if !q.board.take(i) {
			return false
		}
		q.popped++
	case q.order == nil:
		if i != q.next || q.next >= q.n {
			return false
		}
		q.next++
	default:
		if i >= len(q.gone) || q.gone[i] {
			return false
		}
		q.gone[i] = true
		q.early++
	}
	return true
}

// giveBack returns spans to q, to go out before all others.
func (q *queue) giveBack(spans []span) {
	for _, s := range spans {
		q.back = addSpan(q.back, s)
	}
}

// cut drops the indices from n on: the sequence turned out to be that long.
func (q *queue) cut(n int) {
	q.n, q.next = n, min(q.next, n)
	q.back = cutSpans(q.back, n)
}
