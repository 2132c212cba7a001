package split_test

import (
	"context"
	"runtime"
	"slices"
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
				hosts := slices.Repeat([]string{"a"}, ranks)
				few, many := loopMallocs(t, hosts, 1000, opts), loopMallocs(t, hosts, 1_000_000, opts)
				require.Less(t, many, few+1000, "%d ranks", ranks)
			}
		})
	}
}

// Nor does it by message, which each index of a sequence takes here, there and back: to
// ranks that speak with rank 0 themselves, and to ranks that have a leader.
func TestMessageAllocatesNothing(t *testing.T) {
	if raced {
		t.Skip("under the race detector pools lose what they hold")
	}
	for name, hosts := range map[string][]string{"single": {"a", "b"}, "singles": {"a", "b", "c"}, "led": {"a", "b", "b"}} {
		t.Run(name, func(t *testing.T) {
			few, many := seqMallocs(t, hosts, 1000), seqMallocs(t, hosts, 100_000)
			require.Less(t, many, few+2000)
		})
	}
}

// loopMallocs counts the pieces of memory that a loop over n items allocates on all
// ranks, which are on hosts.
func loopMallocs(t *testing.T, hosts []string, n int, opts []split.Option) uint64 {
	return mallocs(t, hosts, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.Managed(ctx, c, n, opts...)
		for range loop.All() {
		}
		return loop.Err()
	})
}

// seqMallocs is loopMallocs of a sequence, at chunk 1, with rank 0 only managing.
func seqMallocs(t *testing.T, hosts []string, n int) uint64 {
	items := slices.Values(make([]struct{}, n))
	return mallocs(t, hosts, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.ManagedSeq(ctx, c, items, split.Chunk(1), split.Dedicated())
		for range loop.All() {
		}
		return loop.Err()
	})
}

func mallocs(t *testing.T, hosts []string, body func(ctx context.Context, c *mpi.Comm) error) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, mpi.RunLocalOn(t.Context(), hosts, body))
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs
}
