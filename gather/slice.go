package gather

import (
	"context"
	"fmt"
	"io"
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
	defer wrap(&err, op)
	if err := codec.Check[T](); err != nil {
		return nil, err
	}
	p, err := open(c, fmt.Sprintf("%s(%v)", op, reflect.TypeFor[T]()), 2)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	mem, plain := codec.Memory(local)
	switch {
	case plain && p.IsRoot():
		return receiveMemory(ctx, p, local)
	case plain:
		return nil, sendMemory(ctx, &sender{c: p}, mem)
	case p.IsRoot():
		return receiveItems(ctx, p, local)
	default:
		return nil, sendItems(ctx, &sender{c: p}, local)
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
		if err := s.send(ctx, more, w.Take()); err != nil {
			return err
		}
		if s.over {
			break
		}
	}
	return s.send(ctx, last, w.Take())
}

// receiveItems receives and decodes from all ranks at once.
func receiveItems[T any](ctx context.Context, c *call, local []T) ([]T, error) {
	parts := make([][]T, c.Size())
	problems := make([]error, c.Size())
	lost := eachRank(ctx, c, func(ctx context.Context, rank int) (lost error) {
		if rank == c.Rank() {
			parts[rank], problems[rank] = cloneAll(local)
			return nil
		}
		items := codec.NewReader[T]()
		r := receiver{c: c, rank: rank}
		problems[rank], lost = r.each(ctx, func(batch []byte) (err error) {
			items.Feed(batch)
			parts[rank], err = appendAll(parts[rank], items)
			return err
		})
		return lost
	})
	if lost != nil {
		farewell(ctx, c, 0, lost) // those who can still hear it
		return nil, lost
	}
	if err := first(problems); err != nil {
		return nil, err
	}
	return concat(parts), nil
}

// appendAll appends all items of the reader's batch.
func appendAll[T any](all []T, items *codec.Reader[T]) ([]T, error) {
	for {
		v, err := items.Next()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, v)
	}
}

// cloneAll returns the items as if they had travelled.
func cloneAll[T any](local []T) ([]T, error) {
	own := make([]T, len(local))
	cloner := codec.NewCloner[T]()
	for i, v := range local {
		var err error
		if own[i], err = cloner.Clone(v); err != nil {
			return nil, err
		}
	}
	return own, nil
}

// concat returns the parts as one slice, never nil.
func concat[T any](parts [][]T) []T {
	n := 0
	for _, part := range parts {
		n += len(part)
	}
	all := make([]T, 0, n)
	for rank, part := range parts {
		all = append(all, part...)
		parts[rank] = nil // to be collected before the next is copied
	}
	return all
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
