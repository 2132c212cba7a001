package split_test

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// Whichever rank is asked to come to an end, the loop stops on all of them. With a
// journal nothing is lost and nothing runs twice.
func TestStop(t *testing.T) {
	const n = 300
	stopped := 0
	for _, ranks := range rankCounts() {
		for _, opt := range []split.Option{split.Chunk(1), split.Chunk(7), split.Chunk(0)} {
			path := filepath.Join(t.TempDir(), "journal")
			var ran [n]atomic.Int32
			for stops := 1; ; stops++ {
				var begun atomic.Int32
				var all []int
				errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
					got, err := split.Collect(ctx, c, n, func(_ context.Context, i int) (int, error) {
						ran[i].Add(1)
						if k := begun.Add(1); k == 40 {
							c.Stop()
						} else if k > 40 { // or all would be done before anybody has heard of it
							time.Sleep(time.Millisecond)
						}
						return 2 * i, nil
					}, split.Journal(path), split.Workers(2), opt)
					if c.IsRoot() {
						all = got
					}
					return err
				})
				if errs[0] == nil {
					require.Len(t, all, n)
					break
				}
				stopped++
				require.Nil(t, all)
				require.Less(t, stops, n/30, "runs")
				for _, err := range errs {
					require.ErrorIs(t, err, mpi.ErrStopped)
					require.ErrorIs(t, err, split.ErrIncomplete)
					require.Regexp(t, `^split: Collect: incomplete: \d+ of 300 items are done; run it again to go on$`, err.Error())
				}
			}
			for i := range ran {
				require.EqualValues(t, 1, ran[i].Load(), "item %d", i)
			}
		}
	}
	require.NotZero(t, stopped)
}

// A loop that begins when the job is to end does nothing.
func TestStopBefore(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		for _, err := range errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			c.Stop()
			if err := c.Barrier(ctx); err != nil {
				return err
			}
			loop := split.Managed(ctx, c, 1_000_000_000, split.Label("late"))
			for range loop.All() {
			}
			return loop.Err()
		}) {
			require.ErrorIs(t, err, mpi.ErrStopped)
			require.Regexp(t, `^split: Managed "late": incomplete: \d+ of 1000000000 items are done; no journal keeps them$`, err.Error())
		}
	}
}

// Without a journal, what was done until then still comes to the root's loop.
func TestStopOfMap(t *testing.T) {
	var done atomic.Int32
	got := 0
	err := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		r := split.MapUnordered(ctx, c, 1_000_000_000, func(_ context.Context, i int) (string, error) {
			if done.Add(1) == 100 {
				c.Stop()
			}
			return fmt.Sprint(i), nil
		})
		for i, v := range r.All() {
			require.Equal(t, fmt.Sprint(i), v)
			got++
		}
		return r.Err()
	})[0]
	require.EqualError(t, err, fmt.Sprintf("split: MapUnordered: incomplete: %d of 1000000000 items are done; no journal keeps them", got))
	require.EqualValues(t, done.Load(), got)
}

func TestStopOfASequence(t *testing.T) {
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.ManagedSeq(ctx, c, func(yield func(int) bool) {
			for i := 0; yield(i); i++ {
				if i == 50 {
					c.Stop()
				}
			}
		})
		for range loop.All() {
		}
		return loop.Err()
	}) {
		require.ErrorIs(t, err, mpi.ErrStopped)
		require.ErrorContains(t, err, "items are done; no journal keeps them")
	}
}
