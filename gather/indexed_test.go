package gather

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

func TestIndexed(t *testing.T) {
	matrix(t, func(ctx context.Context, c *mpi.Comm, size int) error {
		return errors.Join(
			indexedIs(ctx, c, recordsOf(-1, size)),
			indexedIs(ctx, c, numbersOf(-1, size)),
			indexedIs(ctx, c, [][]byte{bytesOf(1, size), nil, {}, bytesOf(2, size)}),
			indexedIs(ctx, c, []*int{nil, new(int), nil}),
		)
	})
}

// indexedIs gives each item to some rank, the last first, and wants all of them back.
func indexedIs[T any](ctx context.Context, c *mpi.Comm, wanted []T) error {
	x := NewIndexed[T](len(wanted))
	for i := len(wanted) - 1; i >= 0; i-- {
		if i*i%c.Size() == c.Rank() {
			x.Set(i, wanted[i])
		}
	}
	got, err := x.Gather(ctx, c)
	if err != nil {
		return err
	}
	if !c.IsRoot() {
		return want(got == nil, "rank %d has %d items", c.Rank(), len(got))
	}
	return want(got != nil && (len(wanted) == 0 || equal(got, wanted)), "wrong %T of %d", got, len(got))
}

func TestIndexedErrors(t *testing.T) {
	type set = func(x *Indexed[int], rank int)
	roundRobin := func(x *Indexed[int], rank int) {
		for i := rank; i < 10; i += 3 {
			x.Set(i, i)
		}
	}
	for name, c := range map[string]struct {
		n    func(rank int) int
		set  set
		want string
	}{
		"missing": {ten, func(x *Indexed[int], rank int) { x.Set(rank*4, 1) },
			"7 of 10 indices are missing: 1, 2, 3, 5, 6 and 2 more; set each index once, on one rank"},
		"doubled": {ten, func(x *Indexed[int], rank int) {
			roundRobin(x, rank)
			if rank > 0 {
				x.Set(3, 3)
			}
		}, "1 set more than once: 3 by ranks 0, 1 and 2; set each index once, on one rank"},
		"doubled on one rank": {ten, func(x *Indexed[int], rank int) {
			roundRobin(x, rank)
			x.Set(rank, rank)
		}, "3 set more than once: 0 twice by rank 0, 1 twice by rank 1 and 2 twice by rank 2; set each"},
		"out of range": {ten, func(x *Indexed[int], rank int) {
			roundRobin(x, rank)
			if rank == 2 {
				x.Set(10, 0)
				x.Set(-1, 0)
			}
		}, "2 out of range [0, 10): 10 by rank 2 and -1 by rank 2; set each"},
		"all at once": {ten, func(x *Indexed[int], rank int) { x.Set(rank/2, 1); x.Set(11, 1) },
			"8 of 10 indices are missing: 2, 3, 4, 5, 6 and 3 more; 1 set more than once: 0 by ranks 0 and 1; " +
				"3 out of range [0, 10): 11 by rank 0, 11 by rank 1 and 11 by rank 2; set each"},
		"negative n": {func(int) int { return -3 }, roundRobin, "n is -3; pass NewIndexed the number of items, 0 or more"},
		"another n": {func(rank int) int { return 10 + rank/2 }, roundRobin,
			"rank 0 has n = 10, rank 2 has n = 11; pass the same n to NewIndexed on every rank"},
		"negative n on one rank": {func(rank int) int { return 10 - 11*(rank/2) }, roundRobin, "rank 0 has n = 10, rank 2 has n = -1"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range errorsOf(t, 3, func(ctx context.Context, comm *mpi.Comm) error {
				x := NewIndexed[int](c.n(comm.Rank()))
				c.set(x, comm.Rank())
				_, err := x.Gather(ctx, comm)
				return err
			}) {
				require.ErrorContains(t, err, "gather: Indexed.Gather: "+c.want)
			}
		})
	}
}

func ten(int) int { return 10 }

func TestIndexedBadValues(t *testing.T) {
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := NewIndexed[leaky](0).Gather(ctx, c)
		return err
	}) {
		require.ErrorContains(t, err, "gather: Indexed.Gather: gather.leaky: field total is unexported; ")
	}
	for _, n := range sizes {
		for bad := range n {
			for _, err := range errorsOf(t, n, func(ctx context.Context, c *mpi.Comm) error {
				x := NewIndexed[any](4 * n)
				for i, v := range anys(c.Rank(), bad) {
					x.Set(4*c.Rank()+i, v)
				}
				_, err := x.Gather(ctx, c)
				return err
			}) {
				require.ErrorContains(t, err, "type not registered for interface: gather.unregistered")
			}
		}
	}
}

func TestIndexedGatherTwice(t *testing.T) {
	run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		x := NewIndexed[int](2)
		x.Set(c.Rank(), c.Rank())
		_, err := x.Gather(ctx, c)
		_, again := x.Gather(ctx, c)
		return errors.Join(err, again)
	})
}
