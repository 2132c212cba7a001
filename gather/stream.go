package gather

import (
	"context"
	"fmt"
	"io"
	"iter"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// streamBatch is how many bytes a batch of a Stream has, or a little more.
const streamBatch = 256 << 10

// Items are the items of all ranks on their way to the root. Stream makes them.
type Items[T any] struct {
	ctx   context.Context
	world *mpi.Comm
	local []T
	begun bool
	c     *call // once begun
	err   error
}

// Stream is Slice for results that are too many for the root's memory: the root
// gets them one by one, while at most two batches of about 256 KiB of each rank
// wait there. Stream itself does nothing yet; [Items.All] or [Items.Err] is the
// collective call, which every rank has to make. local must not change until
// that is done.
func Stream[T any](ctx context.Context, c *mpi.Comm, local []T) *Items[T] {
	return &Items[T]{ctx: ctx, world: c, local: local}
}

// All returns, at the root, the rank and the item of each item, in rank order,
// and those of one rank in their order. Elsewhere it yields nothing, and sends
// until the root has taken this rank's items. Only the first use does so; any
// later one yields nothing.
//
// If the root leaves the loop, it ends for all ranks: the remaining items are
// dropped, and Err is nil. The root holds the others up while it is in the
// loop's body, once they have sent what may wait.
func (s *Items[T]) All() iter.Seq2[int, T] {
	return func(yield func(int, T) bool) { s.run(yield) }
}

// Err returns why the items did not all arrive, nil if they did or the root
// left its loop. If All was not used, Err does its work first, and the root
// drops the items.
//
// Errors: a T that cannot travel whole, on every rank; an item that cannot, at
// its rank, at the root, and at those ranks whose turn had not come; those of
// Send and Recv.
func (s *Items[T]) Err() error {
	s.run(func(int, T) bool { return true })
	return s.err
}

// run does the work, if it is not done. The user's call is two frames up.
func (s *Items[T]) run(yield func(int, T) bool) {
	if s.begun {
		return
	}
	s.begun = true
	defer wrap(&s.err, s.world, "Stream")
	if s.err = codec.Check[T](); s.err != nil {
		return
	}
	s.c, s.err = open(s.world, fmt.Sprintf("Stream(%v)", reflect.TypeFor[T]()), 2)
	if s.err != nil {
		return
	}
	defer s.c.Free()
	if s.c.IsRoot() {
		s.err = s.receive(yield)
	} else {
		s.err = s.send()
	}
}

func (s *Items[T]) send() error {
	to := &sender{c: s.c}
	if err := streamItems(s.ctx, to, s.local, streamBatch); err != nil {
		return err
	}
	return to.part(s.ctx)
}

// receive takes the ranks' items one rank after the other. As soon as one is
// through, it may go.
func (s *Items[T]) receive(yield func(int, T) bool) error {
	for rank := range s.c.Size() {
		r := &receiver{c: s.c, rank: rank}
		var left bool
		var err error
		if rank == s.c.Rank() {
			left, err = s.yieldOwn(yield)
		} else {
			left, err = s.yieldFrom(r, yield)
		}
		if left || err != nil {
			return s.stop(r, err)
		}
		if rank == s.c.Rank() {
			continue
		}
		if err := s.c.Send(s.ctx, rank, bye, nil); err != nil {
			return s.stop(&receiver{c: s.c, rank: rank + 1}, err)
		}
	}
	return nil
}

// yieldOwn yields the root's items, and reports whether the loop was left.
func (s *Items[T]) yieldOwn(yield func(int, T) bool) (left bool, err error) {
	cloner := codec.NewCloner[T]()
	for _, v := range s.local {
		v, err := cloner.Clone(v)
		if err != nil {
			return false, err
		}
		if !yield(s.c.Rank(), v) {
			return true, nil
		}
	}
	return false, nil
}

// yieldFrom yields another rank's.
func (s *Items[T]) yieldFrom(r *receiver, yield func(int, T) bool) (left bool, err error) {
	items := codec.NewReader[T]()
	for {
		batch, err := r.next(s.ctx)
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		items.Feed(batch)
		for {
			v, err := items.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				return false, fmt.Errorf("from rank %d: %w", r.rank, err)
			}
			if !yield(r.rank, v) {
				return true, nil
			}
		}
	}
}

// stop ends the conversation early, with the ranks from r's on: err is nil if
// the root has seen enough.
func (s *Items[T]) stop(r *receiver, err error) error {
	lost := farewell(s.ctx, s.c, r.rank, err)
	for r.rank < s.c.Size() {
		if r.rank != s.c.Rank() {
			if e := r.drop(s.ctx); e != nil && lost == nil {
				lost = e
			}
		}
		r = &receiver{c: s.c, rank: r.rank + 1}
	}
	if err == nil {
		err = lost
	}
	return err
}
