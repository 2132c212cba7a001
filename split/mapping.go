package split

import (
	"context"
	"errors"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// Map runs work on each index of [0, n), on the ranks of c as they become free,
// and brings the results to the root in index order.
//
// It is collective: every rank calls it with the same n and R, and then ranges
// over All, or calls Err. Map itself blocks no longer than a small message
// takes. On each rank, [Workers] goroutines run work. The ctx that they pass to
// it ends with the caller's, and when the job of the map ends. Results
// travel as gob, plain ones without it, to the same effect; rank 0's own are
// what they would be had they travelled, so that the answer does not depend on
// the number of ranks. A result must not be changed once work has returned it.
//
// The first failing or panicking task ends the job on all ranks with a
// [*TaskError], unless [MaxFailures] allows for it. An R that gob can't carry
// whole is an error on every rank.
func Map[R any](ctx context.Context, c *mpi.Comm, n int, work func(ctx context.Context, i int) (R, error), opts ...Option) *Results[R] {
	return newResults(ctx, c, newConfig("Map", n, opts), work, true)
}

// MapUnordered is [Map] with the results as they complete, so that none waits for
// an earlier one.
func MapUnordered[R any](ctx context.Context, c *mpi.Comm, n int, work func(ctx context.Context, i int) (R, error), opts ...Option) *Results[R] {
	return newResults(ctx, c, newConfig("MapUnordered", n, opts), work, false)
}

// Collect is [Map] in one call. At the root it returns the results in index
// order, elsewhere nil. It blocks until the job is done on all ranks. If items
// failed that [MaxFailures] allows for, the root gets their zero values, all other
// results, and the error; otherwise an error comes without results.
func Collect[R any](ctx context.Context, c *mpi.Comm, n int, work func(ctx context.Context, i int) (R, error), opts ...Option) ([]R, error) {
	cfg := newConfig("Collect", n, opts)
	cfg.unbounded = true
	r := newResults(ctx, c, cfg, work, false)
	var all []R
	if c.IsRoot() && n >= 0 {
		all = make([]R, n)
	}
	for i, v := range r.All() {
		all[i] = v
	}
	err := r.Err()
	if err != nil && (r.missing() > 0 || !r.hand.is(complete)) {
		return nil, err
	}
	return all, err
}

var errNoWork = errors.New("work is nil; pass the function that does item i")

// newResults is called by what the user calls.
func newResults[R any](ctx context.Context, c *mpi.Comm, cfg *config, work func(context.Context, int) (R, error), ordered bool) *Results[R] {
	r := &Results[R]{work: work, ordered: ordered}
	r.stock.filled.L = &r.stock.mu
	cfg.problem = codec.Check[R]()
	if work == nil {
		cfg.problem = errNoWork
	}
	r.post.batch = codec.NewWriter[R]()
	r.post.later = func() { r.ask(nothing) }
	cfg.result, cfg.copies = codec.Describe[R], codec.Copies[R]()
	r.member = join(ctx, c, cfg, 2, "["+reflect.TypeFor[R]().String()+"]", &r.stock)
	r.post.hand = r.hand
	switch {
	case r.client != nil:
		r.posts, r.post.again = true, true
		r.hand.begun = map[int]struct{}{}
	case r.server != nil && r.server.keep != nil:
		r.posts = true
		r.past.open(r.server.keep)
		if cfg.copies {
			r.post.stock, r.post.spare = &r.stock, r.server.keep.spare
		}
	}
	r.stock.direct = r.server != nil && (!r.posts || cfg.copies)
	return r
}
