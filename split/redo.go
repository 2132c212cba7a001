package split

import "slices"

// redo holds what was tried in vain, and is to be tried once more: if possible by
// another rank than the last one. It belongs to a manager.
type redo struct {
	trials map[int]*trial // by index; what was never tried in vain is not there
	from   [][]int        // by rank: the indices that it was the last to try, first come first
	count  int            // indices in from
}

// A trial is what is known of an item that was tried in vain.
type trial struct {
	fails int   // attempts that failed
	ranks []int // that were lost with it in hand
	last  int   // the rank that tried it last
}

func (t *trial) attempts() int { return t.fails + len(t.ranks) }

func newRedo(ranks int) redo {
	return redo{trials: map[int]*trial{}, from: make([][]int, ranks)}
}

// failed counts an attempt at an item that failed.
func (a *redo) failed(rank, index int) *trial {
	t := a.tried(rank, index)
	t.fails++
	return t
}

// killed counts an attempt at an item with which its rank was lost.
func (a *redo) killed(rank, index int) *trial {
	t := a.tried(rank, index)
	t.ranks = append(t.ranks, rank)
	return t
}

func (a *redo) tried(rank, index int) *trial {
	t := a.trials[index]
	if t == nil {
		t = &trial{}
		a.trials[index] = t
	}
	t.last = rank
	return t
}

// suspect reports whether a rank was lost with an item in hand.
func (a *redo) suspect(index int) bool {
	t := a.trials[index]
	return t != nil && len(t.ranks) > 0
}

// add puts in an item that was tried in vain.
func (a *redo) add(index int) {
	last := a.trials[index].last
	a.from[last] = append(a.from[last], index)
	a.count++
}

// giveBack puts in those of spans that were tried in vain, and returns the others.
func (a *redo) giveBack(spans []span) (others []span) {
	if len(a.trials) == 0 {
		return spans
	}
	for _, i := range indicesOf(spans) {
		if a.trials[i] != nil {
			a.add(i)
		} else {
			others = addSpan(others, span{i, i + 1})
		}
	}
	return others
}

// A taker is who wants something to try again.
type taker struct {
	rank  int
	alone bool // nobody else is there: it gets what it was the last to try, too
	only  bool // the same of suspects, which are not for rank 0 as long as others can take them
	idle  bool // it has nothing in hand: it gets suspects, too
}

// take removes the item that has waited longest of those for this taker that one
// rank was the last to try.
func (a *redo) take(by taker) (index int, ok bool) {
	for r := 0; r < len(a.from) && a.count > 0; r++ {
		if len(a.from[r]) > 0 && a.may(by, r, a.from[r][0]) {
			return a.takeAt(r, 0), true
		}
	}
	return 0, false
}

// takeThis is take of one item.
func (a *redo) takeThis(index int, by taker) bool {
	if a.count == 0 || a.trials[index] == nil {
		return false
	}
	last := a.trials[index].last
	k := slices.Index(a.from[last], index)
	if k < 0 || !a.may(by, last, index) {
		return false
	}
	a.takeAt(last, k)
	return true
}

// may keeps suspects from rank 0, without which the job can't go on, as long as others
// can take them.
func (a *redo) may(by taker, last, index int) bool {
	if !a.suspect(index) {
		return last != by.rank || by.alone
	}
	return by.idle && (by.only || by.rank != 0 && last != by.rank)
}

// cut drops the indices from n on: the sequence turned out to be that long.
func (a *redo) cut(n int) {
	a.count = 0
	for r := range a.from {
		a.from[r] = slices.DeleteFunc(a.from[r], func(i int) bool { return i >= n })
		a.count += len(a.from[r])
	}
}

func (a *redo) takeAt(rank, k int) int {
	index := a.from[rank][k]
	if k == 0 { // the usual one, whatever waits behind it
		a.from[rank] = a.from[rank][1:]
	} else {
		a.from[rank] = slices.Delete(a.from[rank], k, k+1)
	}
	a.count--
	return index
}
