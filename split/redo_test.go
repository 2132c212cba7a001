package split_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// A history is which ranks have tried an item, in this order.
type history struct {
	mu    sync.Mutex
	ranks map[int][]int
}

func (h *history) add(i, rank int) (attempt int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ranks == nil {
		h.ranks = map[int][]int{}
	}
	h.ranks[i] = append(h.ranks[i], rank)
	return len(h.ranks[i])
}

// everyRank returns a function that blocks until it was called on all ranks, so
// that all are known to have come.
func everyRank(size int) func(rank int) {
	var all sync.WaitGroup
	all.Add(size)
	first := make([]sync.Once, size)
	return func(rank int) {
		first[rank].Do(all.Done)
		all.Wait()
	}
}

func TestRetries(t *testing.T) {
	const items = 60
	for _, ranks := range []int{1, 2, 5} {
		for name, opts := range map[string][]split.Option{
			"board": nil, "granted": {split.Cost(func(i int) float64 { return float64(i) })},
			"workers": {split.Workers(3)}, "window": {split.Window(1)}, "panic": nil,
		} {
			t.Run(fmt.Sprint(ranks, name), func(t *testing.T) {
				var tried history
				meet := everyRank(ranks)
				opts := append(opts, split.Chunk(1), split.Retries(3))
				onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
					results := split.Map(ctx, c, items, func(_ context.Context, i int) (int, error) {
						meet(c.Rank())
						if attempt := tried.add(i, c.Rank()); i%3 == 0 && attempt <= 1+i%2*2 {
							if name == "panic" {
								panic(i)
							}
							return 0, errTask
						}
						return i * i, nil
					}, opts...)
					next := 0
					for i, v := range results.All() {
						if i != next || v != i*i {
							return fmt.Errorf("item %d of value %d in the place of %d", i, v, next)
						}
						next++
					}
					return results.Err()
				})
				for i := range items {
					want := 1
					if i%3 == 0 {
						want += 1 + i%2*2
					}
					require.Len(t, tried.ranks[i], want, "item %d", i)
					if ranks > 1 {
						require.Len(t, slices.Compact(tried.ranks[i]), want, "item %d was tried twice in a row on a rank", i)
					}
				}
			})
		}
	}
}

func TestRetriesRunOut(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		var tried history
		errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			all, err := split.Collect(ctx, c, 20, func(_ context.Context, i int) (int, error) {
				if attempt := tried.add(i, c.Rank()); i == 7 || i == 8 && attempt < 3 {
					return 0, errTask
				}
				return i, nil
			}, split.Retries(2), split.MaxFailures(1))
			if c.IsRoot() && (len(all) != 20 || all[7] != 0 || all[8] != 8) {
				return fmt.Errorf("collected %v", all)
			}
			return err
		})
		for rank, err := range errs {
			var task *split.TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, 7, task.Index)
			require.Equal(t, 3, task.Attempts)
			require.Equal(t, tried.ranks[7][2], task.Rank)
			require.Equal(t, rank == task.Rank, errors.Is(err, errTask), "the rank where it failed has the very error")
			require.ErrorContains(t, err, fmt.Sprintf("item 7 failed on rank %d", task.Rank))
			require.ErrorContains(t, err, "at attempt 3: it does not work")
		}
		require.Len(t, tried.ranks[8], 3)
	}
}

func TestDedicated(t *testing.T) {
	for _, ranks := range []int{1, 2, 5} {
		for name, opts := range map[string][]split.Option{
			"board": nil, "granted": {split.Order(backwards(100))},
		} {
			t.Run(fmt.Sprint(ranks, name), func(t *testing.T) {
				opts := append(opts, split.Dedicated())
				var managed, mapped tally
				onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
					loop := split.Managed(ctx, c, 100, opts...)
					for i := range loop.All() {
						managed.add(c.Rank(), i)
					}
					all, err := split.Collect(ctx, c, 100, func(_ context.Context, i int) (int, error) {
						mapped.add(c.Rank(), i)
						return i, nil
					}, opts...)
					if c.IsRoot() && !slices.Equal(all, upTo(100)) {
						return fmt.Errorf("collected %v", all)
					}
					return errors.Join(loop.Err(), err)
				})
				for _, y := range []*tally{&managed, &mapped} {
					require.Equal(t, upTo(100), y.sorted())
					if ranks > 1 {
						require.Zero(t, y.ranks[0], "rank 0 only manages")
					}
				}
			})
		}
	}
}

func TestDedicatedRankWorksWhenAllHaveLeft(t *testing.T) {
	for _, opts := range [][]split.Option{{split.Chunk(3)}, {split.Chunk(3), split.Cost(func(int) float64 { return 1 })}} {
		var seen tally
		onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.Managed(ctx, c, 50, append(opts, split.Dedicated())...)
			for i := range loop.All() {
				seen.add(c.Rank(), i)
				if !c.IsRoot() {
					break
				}
			}
			return loop.Err()
		})
		require.Equal(t, upTo(50), seen.sorted())
		require.GreaterOrEqual(t, seen.ranks[0], 48)
	}
}

func backwards(n int) []int {
	order := upTo(n)
	slices.Reverse(order)
	return order
}
