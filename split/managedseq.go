package split

import (
	"context"
	"iter"

	"github.com/dlprun/dlp/mpi"
)

// A SeqLoop is this rank's part of a [ManagedSeq] loop.
type SeqLoop[T any] struct {
	loop  *Loop
	items iter.Seq[T]
}

// ManagedSeq is [Managed] for what can only be walked (rows, lines), of a length
// that nobody knows: rank 0 hands out indices until a rank meets the end. Every
// rank walks items itself, over those that other ranks take, so that walking
// should cost little beside the work on an item. A rank that meets the end walks
// no further, and ranks that have no need do not walk there.
//
// It is collective: every rank passes the same items, in the same order; two
// ranks that meet different ends are an error on every rank. items may be
// endless if all ranks leave the loop. If a rank leaves early, what it had not
// begun goes to others, which may then walk items once more from the start.
//
// Where ctx ends, the loop ends as Managed does.
func ManagedSeq[T any](ctx context.Context, c *mpi.Comm, items iter.Seq[T], opts ...Option) *SeqLoop[T] {
	cfg := newConfig("ManagedSeq", unknown, opts)
	return &SeqLoop[T]{loop: newLoop(ctx, c, cfg), items: items}
}

// All yields this rank's items, each with its index. Apart from the items it is
// as [Loop.All].
func (l *SeqLoop[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		if l.loop.state != idle {
			return
		}
		defer l.loop.finish()
		if shift := l.loop.newShift(func() {}); shift != nil {
			plain := yield
			yield = func(i int, item T) bool {
				shift.begin(i)
				defer shift.end()
				return plain(i, item)
			}
		}
		for i, ok := l.loop.first(); ok; {
			i, ok = l.walk(i, yield)
		}
	}
}

// walk walks items from the start, yields that of index i and then those of the
// indices claimed after it, as long as they lie ahead. It returns the first that
// does not, or false when the loop is over for this rank.
func (l *SeqLoop[T]) walk(i int, yield func(int, T) bool) (int, bool) {
	at, more := 0, true
	for item := range l.items {
		if at == i {
			l.loop.working = 1
			if !yield(i, item) {
				return 0, false
			}
			if i, more = l.loop.next(); !more || i <= at {
				return i, more
			}
		}
		at++
	}
	return l.loop.endAt(at)
}

// Err returns why the loop ended early, nil if all items were done. It is as
// [Loop.Err], but if all ranks leave before one of them has met the end, nobody
// knows whether anything is left, and it returns nil.
func (l *SeqLoop[T]) Err() error { return l.loop.Err() }

// endAt notes that the items end before index n, drops what was granted beyond,
// and claims again.
func (l *Loop) endAt(n int) (int, bool) {
	l.pending.atEnd, l.pending.length = true, n
	l.current = span{}
	l.hand.cut(n)
	return l.claim()
}
