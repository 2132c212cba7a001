package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// However a rank ends, whichever it is, RunLocal names it, and it alone; the
// others' calls fail with a RankError about it.
func TestRunLocalNamesTheRankThatFailed(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		end  func(*mpi.Comm) error
		want string
	}{
		"an error": {func(*mpi.Comm) error { return broken }, "rank %d: broken"},
		"a panic":  {func(*mpi.Comm) error { panic(broken) }, "rank %d: panic: broken"},
		"a Goexit": {func(*mpi.Comm) error { runtime.Goexit(); return nil }, "rank %d: the goroutine of run was ended (runtime.Goexit)"},
		"Abort":    {func(c *mpi.Comm) error { c.Abort(3, "no"); return nil }, "rank %d: the job was aborted with status 3: aborted: no"},
	} {
		t.Run(name, func(t *testing.T) {
			const n = 3
			for victim := range n {
				errs := make([]error, n)
				err := local(t, n, func(ctx context.Context, c *mpi.Comm) error {
					if c.Rank() == victim {
						return test.end(c)
					}
					errs[c.Rank()] = c.Barrier(ctx)
					if c.Rank() == (victim+1)%n {
						return ctx.Err() // a consequence too
					}
					return errs[c.Rank()]
				})
				require.EqualError(t, err, fmt.Sprintf(test.want, victim))
				for r, err := range errs {
					var gone *mpi.RankError
					if r != victim {
						require.ErrorAs(t, err, &gone)
						require.Equal(t, victim, gone.Rank)
						require.Equal(t, "Barrier", gone.Op)
					}
				}
			}
		})
	}
}

func TestSplit(t *testing.T) {
	require.NoError(t, local(t, 6, func(ctx context.Context, c *mpi.Comm) error {
		none, err := c.Split(ctx, -c.Rank()-1, 0)
		require.NoError(t, err)
		require.Nil(t, none, "a color below 0")
		some, err := c.Split(ctx, c.Rank()-5, 0)
		require.NoError(t, err)
		require.Equal(t, c.Rank() == 5, some != nil)

		half, err := c.Split(ctx, c.Rank()%2, 7) // equal keys: by rank
		require.NoError(t, err)
		require.Equal(t, c.Rank()/2, half.Rank())
		third, err := half.Split(ctx, boolInt(half.Rank() > 0), -half.Rank()) // nested, and turned round
		require.NoError(t, err)
		ranks, err := mpi.Allgather(ctx, third, c.Rank())
		require.NoError(t, err)
		require.Equal(t, [][]int{{0}, {1}, {4, 2}, {5, 3}, {4, 2}, {5, 3}}[c.Rank()], ranks)
		return nil
	}))
}

// What is sent on one communicator can't be received on another.
func TestDupIsolates(t *testing.T) {
	require.NoError(t, local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		a, err := c.Dup(ctx)
		require.NoError(t, err)
		b, err := a.Dup(ctx)
		require.NoError(t, err)
		comms := []*mpi.Comm{c, a, b}
		if !c.IsRoot() {
			for i, to := range comms {
				require.NoError(t, mpi.SendValue(ctx, to, 0, 0, i))
			}
			return nil
		}
		for i := range comms { // in the other order
			i = len(comms) - 1 - i
			got, _, err := mpi.RecvValue[int](ctx, comms[i], mpi.AnySource, mpi.AnyTag)
			require.NoError(t, err)
			require.Equal(t, i, got)
		}
		return nil
	}))
}
