package gather

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

func TestSlice(t *testing.T) {
	matrix(t, func(ctx context.Context, c *mpi.Comm, size int) error {
		return errors.Join(
			sliceIs(ctx, c, func(rank int) []byte { return bytesOf(rank, size) }),
			sliceIs(ctx, c, func(rank int) []float64 { return numbersOf(rank, size*(rank%2)) }), // not all have some
			sliceIs(ctx, c, func(rank int) [][]byte { return [][]byte{nil, bytesOf(rank, size), {}} }),
			sliceIs(ctx, c, func(rank int) []record { return recordsOf(rank, size) }),
			sliceIs(ctx, c, func(rank int) []bool { return slices.Repeat([]bool{rank%2 == 0, true}, size/256) }),
			sliceIs(ctx, c, func(rank int) []*record { return []*record{nil, {Rank: rank}} }),
		)
	})
}

// sliceIs gathers with Slice and List what f makes, and compares with the serial answer.
func sliceIs[T any](ctx context.Context, c *mpi.Comm, f func(rank int) []T) error {
	got, err := Slice(ctx, c, f(c.Rank()))
	if err != nil {
		return err
	}
	var l List[T]
	l.Append(f(c.Rank())...)
	list, err := l.Gather(ctx, c)
	if err != nil {
		return err
	}
	var wanted []T
	if c.IsRoot() {
		wanted = serial(c.Size(), f)
	}
	return want(equal(got, wanted) && equal(list, wanted) && (got != nil) == c.IsRoot(), "rank %d: wrong %T of %d", c.Rank(), got, len(got))
}

func TestSliceOfNothing(t *testing.T) {
	run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		numbers, err := Slice[int](ctx, c, nil)
		words, err2 := Slice[string](ctx, c, nil)
		return errors.Join(err, err2, want((numbers != nil) == c.IsRoot() && (words != nil) == c.IsRoot() && len(numbers)+len(words) == 0, "%v %v", numbers, words))
	})
}

func TestSliceLosesTheSameOnEveryRank(t *testing.T) {
	for _, n := range sizes {
		run(t, n, func(ctx context.Context, c *mpi.Comm) error {
			got, err := Slice(ctx, c, []record{{Tags: []string{}}})
			for rank, r := range got {
				err = errors.Join(err, want(r.Tags == nil, "rank %d: an empty slice", rank))
			}
			return err
		})
	}
}

func TestSliceErrors(t *testing.T) {
	for _, err := range errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error { _, err := Slice[leaky](ctx, c, nil); return err }) {
		require.ErrorContains(t, err, "gather: Slice: gather.leaky: field total is unexported; ")
	}
	for _, n := range sizes {
		for bad := range n {
			errs := errorsOf(t, n, func(ctx context.Context, c *mpi.Comm) error {
				_, err := Slice(ctx, c, anys(c.Rank(), bad))
				return err
			})
			for rank, err := range errs {
				if rank == 0 || rank == bad {
					require.ErrorContains(t, err, "gather: Slice: ")
					require.ErrorContains(t, err, "type not registered for interface: gather.unregistered")
				} else {
					require.NoError(t, err)
				}
			}
			if bad > 0 {
				require.ErrorContains(t, errs[0], "rank "+string(rune('0'+bad))+": ")
			}
		}
	}
}

func TestListKeepsItsItems(t *testing.T) {
	run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		var l List[int]
		l.Append()
		l.Append(1, 2)
		if _, err := l.Gather(ctx, c); err != nil {
			return err
		}
		l.Append(3)
		got, err := l.Gather(ctx, c)
		return errors.Join(err, want(!c.IsRoot() || slices.Equal(got, []int{1, 2, 3, 1, 2, 3}), "got %v", got))
	})
}
