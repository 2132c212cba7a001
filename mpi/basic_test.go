package mpi_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

func TestBasic(t *testing.T) {
	for n := 1; n < 8; n++ {
		err := mpi.RunLocal(t.Context(), n, func(ctx context.Context, c *mpi.Comm) error {
			for root := range n {
				v, err := mpi.Bcast(ctx, c, root, fmt.Sprint("x", c.Rank()))
				if err != nil || v != fmt.Sprint("x", root) {
					return fmt.Errorf("%q %w", v, err)
				}
				vs, err := mpi.Gather(ctx, c, root, c.Rank())
				if err != nil || c.Rank() == root && len(vs) != n {
					return fmt.Errorf("%v %w", vs, err)
				}
				s, err := mpi.AllreduceSlice(ctx, c, []float64{1, float64(c.Rank())}, mpi.OpSum)
				if err != nil || s[0] != float64(n) {
					return fmt.Errorf("%v %w", s, err)
				}
			}
			return c.Barrier(ctx)
		})
		require.NoError(t, err)
	}
}

func TestMismatch(t *testing.T) {
	err := mpi.RunLocal(t.Context(), 3, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 2 {
			_, err := mpi.Bcast(ctx, c, 0, 1)
			return err
		}
		_, err := mpi.Gather(ctx, c, 0, 1)
		return err
	})
	fmt.Println(err)
	require.Error(t, err)
}
