package split_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// An index costs no memory where ranks share some: a million of them take what a
// thousand take.
func TestIndexAllocatesNothing(t *testing.T) {
	for name, opts := range map[string][]split.Option{"chunk 1": {split.Chunk(1)}, "default": nil} {
		t.Run(name, func(t *testing.T) {
			for _, ranks := range []int{1, 2, 3} {
				few, many := loopMallocs(t, ranks, 1000, opts), loopMallocs(t, ranks, 1_000_000, opts)
				require.Less(t, many, few+1000, "%d ranks", ranks)
			}
		})
	}
}

// loopMallocs counts the pieces of memory that a loop over n items allocates on all
// ranks.
func loopMallocs(t *testing.T, ranks, n int, opts []split.Option) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, mpi.RunLocal(t.Context(), ranks, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.Managed(ctx, c, n, opts...)
		for range loop.All() {
		}
		return loop.Err()
	}))
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}
