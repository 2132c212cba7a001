package gather

import (
	"context"
	"fmt"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// How many bytes a batch has, or a little more: one of numbers, and one of what is
// encoded, which the root decodes while the rank encodes the next.
const (
	batchSize = 1 << 20
	streamed  = 128 << 10
)

// Slice returns the items of all ranks, one after another in rank order, at the
// root, and nil elsewhere. The ranks may have different numbers of items; if
// there are none at all the root gets an empty slice. It is collective.
//
// The root returns when everything has come, another rank when what it sent is
// received but for the last MiB or two. local stays the caller's; items that
// are strings or slices of numbers share their memory with the root's own.
// Slices of numbers travel as their memory, without being encoded.
//
// Errors: a T that cannot travel whole, on every rank; an item that cannot (an
// interface may hold one), at its rank and at the root; those of Send and Recv.
func Slice[T any](ctx context.Context, c *mpi.Comm, local []T) ([]T, error) {
	return gatherSlice(ctx, c, "Slice", local)
}

// gatherSlice is what Slice and List do. The user's call is two frames up.
func gatherSlice[T any](ctx context.Context, c *mpi.Comm, op string, local []T) (all []T, err error) {
	defer wrap(&err, c, op)
	if err := codec.Check[T](); err != nil {
		return nil, err
	}
	p, err := open(c, fmt.Sprintf("%s(%v)", op, reflect.TypeFor[T]()), 2)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	mem, numbers := codec.Memory(local)
	to := &sender{c: p, items: len(local)}
	switch {
	case numbers && p.IsRoot():
		return assemble(ctx, p, local, receiveMemory[T])
	case numbers:
		return nil, sendMemory(ctx, to, mem)
	case p.IsRoot():
		return assemble(ctx, p, local, receiveItems[T])
	default:
		return nil, sendItems(ctx, to, local)
	}
}

// sendItems sends the items as one stream.
func sendItems[T any](ctx context.Context, s *sender, local []T) error {
	if err := streamItems(ctx, s, local, streamed); err != nil {
		return err
	}
	return s.settle(ctx)
}

// streamItems sends the items in batches of size bytes, until the root has enough.
func streamItems[T any](ctx context.Context, s *sender, local []T, size int) error {
	w := codec.NewWriter[T]()
	for _, v := range local {
		if err := w.Append(v); err != nil {
			return s.fail(ctx, err)
		}
		if w.Len() < size {
			continue
		}
		batch := w.Take()
		if err := s.send(ctx, more, batch); err != nil {
			return err
		}
		if s.over {
			break
		}
		w.Reuse(batch)
	}
	return s.send(ctx, last, w.Take())
}

// receiveItems receives and decodes what another rank sends. It is an error if
// the items do not fill the room.
func receiveItems[T any](ctx context.Context, r *receiver, room []T) (problem, lost error) {
	items := codec.NewReader[T]()
	got := room[:0:len(room)]
	problem, lost = r.each(ctx, func(batch []byte) (err error) {
		items.Feed(batch)
		got, err = items.AppendAll(got)
		return err
	})
	if problem == nil && lost == nil && len(got) != len(room) {
		problem = fmt.Errorf("rank %d sent %d items where %d were due", r.rank, len(got), len(room))
	}
	return problem, lost
}

// first returns the first error that is one.
func first(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
