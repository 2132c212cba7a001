package split

import (
	"context"
	"iter"
	"math"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// A Loop is this rank's part of a [Managed] loop.
type Loop struct {
	*member
	state   loopState
	current span   // being worked through; what comes after it is in the hand
	drawn   bool   // current is from the board or the shelf
	working int    // 1 while the body has an index
	pending report // what happened since the last one

	start time.Time     // of the loop
	mark  time.Duration // since start: when the work not yet reported began
}

type loopState int

const (
	idle loopState = iota
	running
	finished
)

// Managed splits the indices [0, n) among the ranks of c while the work goes on:
// rank 0 hands them out as ranks become free, each index to one rank.
//
// It is collective: every rank calls it with the same n, and ranges over All, or
// at least calls Err. It blocks no longer than sending a small message takes; All
// does the waiting. A rank that does not iterate holds nobody up.
//
// Where ctx ends, the loop ends with its cause: at the root for all ranks,
// elsewhere for that rank, whose indices go to others.
func Managed(ctx context.Context, c *mpi.Comm, n int, opts ...Option) *Loop {
	cfg := newConfig("Managed", n, opts)
	return newLoop(ctx, c, cfg)
}

// newLoop is called by what the user calls.
func newLoop(ctx context.Context, c *mpi.Comm, cfg *config) *Loop {
	cfg.unbounded = true
	return &Loop{member: join(ctx, c, cfg, 2, "", nil)}
}

// All yields this rank's indices, in an order that differs from run to run. It
// blocks while other ranks have the last indices, since those may come back: the
// loop is over when all n are done. What a rank takes next, one index or many,
// costs it some tens of nanoseconds where it shares memory with rank 0, or with
// others of its host, and else a short message there and back.
//
// Leaving the body early (break, return, a panic) counts the index that it had
// as done. This rank then takes no more, and what it had not begun goes to others.
// All can be ranged over once; a second time it yields nothing.
func (l *Loop) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		if l.state != idle {
			return
		}
		defer l.finish()
		if shift := l.newShift(func() {}); shift != nil { // only with TaskTimeout
			plain := yield
			yield = func(i int) bool {
				shift.begin(i)
				defer shift.end()
				return plain(i)
			}
		}
		for i, ok := l.first(); ok; i, ok = l.next() {
			l.working = 1
			if !yield(i) {
				return
			}
		}
	}
}

// Err returns why the loop ended early, nil if all n indices were done. Call it
// after the loop; before, it leaves the loop, so that this rank gets no index.
//
// At the root it waits for all ranks, and tells if all left the loop before all n
// were done: the error wraps [ErrIncomplete] and has the number. At other ranks
// that left early it returns nil. Other errors wrap [ErrDisagree], the cause of a
// context that ended, or what mpi reports, such as a *mpi.RankError.
func (l *Loop) Err() error {
	switch l.state {
	case running:
		return l.hand.reason()
	case idle:
		l.finish()
	}
	return l.result()
}

func (l *Loop) first() (int, bool) {
	l.state = running
	l.start = time.Now()
	return l.claim()
}

// next books the index that the body had as done and claims another one.
func (l *Loop) next() (int, bool) {
	l.book()
	return l.claim()
}

func (l *Loop) book() {
	if l.drawn {
		l.pending.drawn += l.working
	} else {
		l.pending.done += l.working
	}
	l.working = 0
}

// claim returns the next index of this rank. This is all that happens for most
// indices.
func (l *Loop) claim() (int, bool) {
	select {
	case <-l.ctx.Done():
		l.stop()
		return 0, false
	default:
	}
	if l.current.lo == l.current.hi && !l.refill() {
		return 0, false
	}
	i := l.current.lo
	l.current.lo++
	return i, true
}

// refill makes a run of indices current, and reports false when the loop is over
// for this rank.
func (l *Loop) refill() bool {
	for {
		got := l.hand.take(math.MaxInt)
		switch {
		case got.over:
			return false
		case got.ask != nothing:
			l.report(got.ask)
		case got.run.len() == 0:
			l.fetch()
			continue
		}
		l.current, l.drawn = got.run, got.drawn
		return true
	}
}

// fetch reports what is done, asks if no request is under way, and waits for the
// answer.
func (l *Loop) fetch() {
	asks := l.hand.ask()
	if asks {
		l.report(wantNow)
	}
	waited, err := l.link.wait()
	if err != nil {
		l.hand.close(l.cfg.errorf("%w", err), byItself)
	}
	if waited {
		end := time.Since(l.start)
		if asks {
			l.pending.wait = end - l.mark
		}
		l.mark = end
	}
}

// report tells the manager what is done, and asks for more if w says so.
func (l *Loop) report(w want) {
	l.account()
	l.pending.want = w
	err := l.link.report(&l.pending)
	l.pending = report{}
	if err != nil {
		l.hand.close(l.cfg.errorf("%w", err), byItself)
	}
}

// account adds the time since the last report to the pending one.
func (l *Loop) account() {
	end := time.Since(l.start)
	l.pending.busy = end - l.mark
	l.mark = end
}

// finish leaves the loop, however its body ended.
func (l *Loop) finish() {
	if l.state == running {
		l.pending.broke = l.working > 0
		l.book()
		l.account()
	}
	if l.pending.back = l.hand.giveBack(); l.drawn {
		l.pending.back = addSpan(l.pending.back, l.current)
	}
	l.state = finished
	l.leave(l.pending)
}
