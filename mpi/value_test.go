package mpi_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

type secretive struct {
	Name string
	age  int
}

// A type that gob can't carry whole is an error on every rank, at the call, and
// leaves the communicator usable.
func TestTypesThatCannotTravel(t *testing.T) {
	require.NoError(t, local(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		v := secretive{"x", 1}
		first := func(a, b secretive) secretive { return a }
		for _, test := range []struct {
			op  string
			err error
		}{
			{"SendValue", mpi.SendValue(ctx, c, 0, 0, v)},
			{"Bcast", drop(mpi.Bcast(ctx, c, 0, v))},
			{"Gather", drop(mpi.Gather(ctx, c, 1, v))},
			{"Scatter", drop(mpi.Scatter(ctx, c, 0, []secretive{v, v, v}))},
			{"Allgather", drop(mpi.Allgather(ctx, c, v))},
			{"Reduce", drop(mpi.Reduce(ctx, c, 0, v, first))},
			{"Allreduce", drop(mpi.Allreduce(ctx, c, v, first))},
			{"OnRoot", drop(mpi.OnRoot(ctx, c, func(context.Context) (secretive, error) { return v, nil }))},
		} {
			require.ErrorContains(t, test.err, "mpi: "+test.op+": mpi_test.secretive: field age is unexported", "rank %d", c.Rank())
		}
		return c.Barrier(ctx)
	}))
}

type unregistered struct{ X int }

// A value that only turns out to be unfit when it is encoded is an error too,
// wherever somebody waits for it: on the rank that has it, and where it was due.
func TestValuesThatCannotTravel(t *testing.T) {
	bad := any(unregistered{1})
	first := func(a, b any) any { return a }
	for name, test := range map[string]struct {
		do   func(ctx context.Context, c *mpi.Comm, at int, v any) error
		fail func(rank, at int) bool // who gets an error when rank at has the value
	}{
		"Bcast from it": {
			func(ctx context.Context, c *mpi.Comm, at int, v any) error { return drop(mpi.Bcast(ctx, c, at, v)) },
			func(rank, at int) bool { return true },
		},
		"Gather": {
			func(ctx context.Context, c *mpi.Comm, at int, v any) error { return drop(mpi.Gather(ctx, c, 1, v)) },
			func(rank, at int) bool { return rank == at || rank == 1 },
		},
		"Scatter to it": {
			func(ctx context.Context, c *mpi.Comm, at int, _ any) error {
				vs := make([]any, c.Size())
				vs[at] = bad
				return drop(mpi.Scatter(ctx, c, 1, vs))
			},
			func(rank, at int) bool { return rank == at || rank == 1 },
		},
		"Allgather": {
			func(ctx context.Context, c *mpi.Comm, at int, v any) error { return drop(mpi.Allgather(ctx, c, v)) },
			func(rank, at int) bool { return true },
		},
		"Reduce": {
			func(ctx context.Context, c *mpi.Comm, at int, v any) error {
				return drop(mpi.Reduce(ctx, c, 1, v, first))
			},
			func(rank, at int) bool { return rank == at || rank == 1 },
		},
		"Allreduce": {
			func(ctx context.Context, c *mpi.Comm, at int, v any) error {
				return drop(mpi.Allreduce(ctx, c, v, first))
			},
			func(rank, at int) bool { return true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			for at := range n {
				require.NoError(t, local(t, n, func(ctx context.Context, c *mpi.Comm) error {
					v := any(nil)
					if c.Rank() == at {
						v = bad
					}
					err := test.do(ctx, c, at, v)
					if test.fail(c.Rank(), at) {
						require.ErrorContains(t, err, "unregistered", "rank %d, the value is rank %d's", c.Rank(), at)
					} else if name != "Scatter to it" { // later ones may fail with it
						require.NoError(t, err, "rank %d, the value is rank %d's", c.Rank(), at)
					}
					return c.Barrier(ctx) // all of that was one call
				}))
			}
		})
	}
}

func TestReduceSliceOfDifferentLengths(t *testing.T) {
	for n := 2; n <= 5; n++ {
		for odd := range n {
			for root := range n {
				require.NoError(t, local(t, n, func(ctx context.Context, c *mpi.Comm) error {
					v := make([]float64, 3)
					if c.Rank() == odd {
						v = v[:2]
					}
					_, err := mpi.ReduceSlice(ctx, c, root, v, mpi.OpSum)
					if c.Rank() == root {
						require.ErrorContains(t, err, "elements", "%d ranks, root %d, odd %d", n, root, odd)
					}
					_, err = mpi.AllreduceSlice(ctx, c, v, mpi.OpSum)
					require.ErrorContains(t, err, "elements", "%d ranks, rank %d, odd %d", n, c.Rank(), odd)
					return c.Barrier(ctx)
				}))
			}
		}
	}
}

func TestReduceSliceOperations(t *testing.T) {
	require.NoError(t, local(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		r := c.Rank()
		v := []int8{int8(r), int8(r + 1), -3}
		for op, want := range [][]int8{{3, 6, -9}, {0, 6, -27}, {0, 1, -3}, {2, 3, -3}} {
			got, err := mpi.AllreduceSlice(ctx, c, v, mpi.Op(op))
			require.NoError(t, err)
			require.Equal(t, want, got, "%v", mpi.Op(op))
		}
		require.Equal(t, []int8{int8(r), int8(r + 1), -3}, v, "the argument is not changed")
		got, err := mpi.ReduceSlice(ctx, c, 1, []int{}, mpi.OpSum)
		require.NoError(t, err)
		require.Empty(t, got)
		return nil
	}))
}

func TestOnRootFails(t *testing.T) {
	cause := errors.New("no such file")
	require.NoError(t, local(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		_, err := mpi.OnRoot(ctx, c, func(context.Context) (int, error) { return 0, cause })
		if c.IsRoot() {
			require.ErrorIs(t, err, cause)
		} else {
			require.EqualError(t, err, "mpi: OnRoot: rank 0: no such file")
		}
		return c.Barrier(ctx)
	}))
}

// What arrives is the same wherever it comes from: empty is not nil, and the
// root's own value has made the journey too.
func TestOwnValueIsLikeTheOthers(t *testing.T) {
	require.NoError(t, local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		type box struct{ List []int }
		vs, err := mpi.Allgather(ctx, c, box{List: []int{}})
		require.NoError(t, err)
		require.Equal(t, []box{{}, {}}, vs)
		lists, err := mpi.Gather(ctx, c, 0, []int{})
		require.NoError(t, err)
		if c.IsRoot() {
			require.Equal(t, [][]int{{}, {}}, lists)
		}
		s, err := mpi.Bcast[[]string](ctx, c, 1, nil)
		require.NoError(t, err)
		require.Nil(t, s)
		return nil
	}))
}
