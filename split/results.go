package split

import (
	"context"
	"iter"
	"sync"

	"github.com/dlprun/dlp/internal/codec"
)

// Results is this rank's part of a [Map] or [MapUnordered].
type Results[R any] struct {
	*member
	work    func(context.Context, int) (R, error)
	ordered bool
	state   loopState
	post    post[R]  // away from the root: results on their way there
	stock   stock[R] // at the root: results that wait for its loop
	came    int      // at the root: items that the loop was through with
	left    error    // at the root: its loop was left early

	posts bool               // results leave this rank in batches: not the root's, without a journal
	past  past[R]            // at the root: what earlier runs have left
	next  int                // Map, at the root: the index that its loop waits for
	early map[int]outcome[R] // and what has come of those behind it
}

// All runs this rank's part of the map. At the root it yields each index and its
// result, in index order (Map) or as they complete (MapUnordered), without the
// items that failed. Elsewhere it yields nothing, and works until the job is
// done.
//
// It blocks until the job is over on all ranks and the tasks of this rank have
// returned. The body of the root's loop delays nobody, until [Window]
// results wait for it. Leaving it early stops the map on all ranks. All can be
// ranged over once; a second time it yields nothing.
func (r *Results[R]) All() iter.Seq2[int, R] {
	return func(yield func(int, R) bool) {
		if r.state != idle || r.link == nil {
			return
		}
		r.state = running
		ctx, cancel := context.WithCancel(r.ctx)
		var crew sync.WaitGroup
		defer func() {
			r.finish(func() {
				cancel()
				crew.Wait()
			})
			r.state = finished
		}()
		r.hand.whenOver(func() {
			cancel()
			r.stock.wake()
		})
		for range r.cfg.workers {
			crew.Add(1)
			go r.worker(ctx, &crew)
		}
		if r.server != nil {
			r.consume(yield)
		} else {
			r.listen(ctx)
		}
	}
}

// Err returns why the map ended early, nil if all n items were done. Without All
// before it, it does the work first and drops the results.
//
// It is the same on all ranks: a [*TaskError]; with [MaxFailures], all of them,
// joined by errors.Join in index order; an error that wraps [ErrIncomplete] if the
// root left its loop, [ErrDisagree], the cause of a context that ended; or what
// mpi reports, such as a *mpi.RankError.
func (r *Results[R]) Err() error {
	if r.state == running {
		return r.hand.reason()
	}
	for range r.All() {
	}
	if err := r.result(); err != nil {
		return err
	}
	return r.left
}

// consume yields what has come until all n items have, the loop fails, or its
// body leaves.
func (r *Results[R]) consume(yield func(int, R) bool) {
	readers := map[int]*codec.Reader[R]{}
	deliver := r.asTheyCome(yield)
	if r.ordered {
		deliver = r.inOrder(yield)
	}
	for r.recall(deliver) {
		batches := r.stock.take(r.hand)
		if len(batches) == 0 {
			return
		}
		for _, b := range batches {
			if !r.unpack(b, readers, deliver) {
				return
			}
		}
	}
}

// unpack delivers what is in b, and reports whether to go on.
func (r *Results[R]) unpack(b batch[R], readers map[int]*codec.Reader[R], deliver func(int, outcome[R]) bool) bool {
	for _, i := range b.failed {
		if !deliver(i, outcome[R]{failed: true}) {
			return false
		}
	}
	reader := readers[b.from]
	if reader == nil {
		reader = codec.NewReader[R]()
		readers[b.from] = reader
	}
	reader.Feed(b.body)
	for k, i := range b.indices {
		out := outcome[R]{waited: true}
		var err error
		if b.values != nil {
			out.value = b.values[k]
		} else if out.value, err = reader.Next(); err != nil {
			r.server.end(r.cfg.errorf("the result of item %d from rank %d: %w", i, b.from, err))
			return false
		}
		if !deliver(i, out) {
			return false
		}
	}
	return true
}

// An outcome is what became of an item.
type outcome[R any] struct {
	value  R
	waited bool // it counted as one that waits at the root
	failed bool
}

// asTheyCome returns a function that yields each outcome at once.
func (r *Results[R]) asTheyCome(yield func(int, R) bool) func(int, outcome[R]) bool {
	return func(i int, out outcome[R]) bool {
		return r.pass(i, out, unknown, yield)
	}
}

// inOrder returns a function that yields the outcomes in index order.
func (r *Results[R]) inOrder(yield func(int, R) bool) func(int, outcome[R]) bool {
	r.early = map[int]outcome[R]{}
	r.server.consumed(0, r.next)
	return func(i int, out outcome[R]) bool {
		if r.early[i] = out; i != r.next {
			return true
		}
		for {
			out, ok := r.early[r.next]
			if !ok {
				return true
			}
			delete(r.early, r.next)
			r.next++
			if !r.pass(r.next-1, out, r.next, yield) {
				return false
			}
		}
	}
}

// pass yields the result of item i, unless it failed. The manager hears before
// that the result does not wait any more, and that needed is the next one wanted.
func (r *Results[R]) pass(i int, out outcome[R], needed int, yield func(int, R) bool) bool {
	r.came++
	if !r.cfg.unbounded {
		taken := 0
		if out.waited {
			taken = 1
		}
		r.server.consumed(taken, needed)
	}
	if !out.failed && !yield(i, out.value) {
		return false
	}
	if r.ctx.Err() != nil {
		r.stop()
		return false
	}
	return true
}

// missing is how many items have neither come nor failed, at the root.
func (r *Results[R]) missing() int { return r.cfg.items - r.came }

// listen takes in what the manager says until the loop is over for this rank.
func (r *Results[R]) listen(ctx context.Context) {
	for !r.hand.is(byItself) {
		if err := r.client.receive(ctx); err != nil {
			r.hand.close(r.cfg.errorf("%w", err), byItself)
		}
	}
}

// finish ends this rank's part, and at the root, if its loop was left early,
// everybody's. dismiss waits for the tasks to return.
func (r *Results[R]) finish(dismiss func()) {
	if r.server == nil {
		r.client.leave(r.post.close())
		dismiss()
		return
	}
	if n := r.missing(); n > 0 {
		err := r.cfg.errorf("the root left the loop: %d of %d %w", n, r.cfg.items, ErrIncomplete)
		if r.ctx.Err() != nil { // that is why
			err = r.cfg.errorf("%w", context.Cause(r.ctx))
		}
		if !r.server.end(err) {
			r.left = err // all was done, but not all was taken
		}
	}
	dismiss() // the loop may have the last result before the manager has the report of it
	r.leave(r.post.close())
}
