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
	attempts int
	last     int // the rank that tried it last
}

func newRedo(ranks int) redo {
	return redo{trials: map[int]*trial{}, from: make([][]int, ranks)}
}

// tried counts an attempt at an item that was in vain.
func (a *redo) tried(rank, index int) *trial {
	t := a.trials[index]
	if t == nil {
		t = &trial{}
		a.trials[index] = t
	}
	t.attempts++
	t.last = rank
	return t
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

// take removes the item that has waited longest at another rank than this one; or
// at this one too, if nobody else is there.
func (a *redo) take(rank int, alone bool) (index int, ok bool) {
	for r := 0; r < len(a.from) && a.count > 0; r++ {
		if len(a.from[r]) > 0 && (r != rank || alone) {
			return a.takeAt(r, 0), true
		}
	}
	return 0, false
}

// takeThis is take of one item.
func (a *redo) takeThis(index, rank int, alone bool) bool {
	if a.count == 0 || a.trials[index] == nil {
		return false
	}
	for r := range a.from {
		if k := slices.Index(a.from[r], index); k >= 0 && (r != rank || alone) {
			a.takeAt(r, k)
			return true
		}
	}
	return false
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
