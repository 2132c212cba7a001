package split_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// words returns n items that tell their index.
func words(n int) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := 0; i < n && yield(fmt.Sprint("word", i)); i++ {
		}
	}
}

func TestManagedSeqGivesEachItemOnce(t *testing.T) {
	for name, opts := range map[string][]split.Option{
		"default": nil, "chunk 1": {split.Chunk(1)}, "chunk 7": {split.Chunk(7)}, "single": {split.Policy(split.Single)},
	} {
		for _, n := range itemCounts() {
			for _, ranks := range rankCounts() {
				var y tally
				onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
					loop := split.ManagedSeq(ctx, c, words(n), opts...)
					for i, word := range loop.All() {
						if word != fmt.Sprint("word", i) {
							return fmt.Errorf("item %d is %s", i, word)
						}
						y.add(c.Rank(), i)
					}
					for range loop.All() {
						return errors.New("All yields twice")
					}
					return loop.Err()
				})
				require.Equal(t, upTo(n), y.sorted(), "%s, n %d, ranks %d", name, n, ranks)
			}
		}
	}
}

// What a leaver had not begun lies behind the others, who walk once more.
func TestManagedSeqLeftEarly(t *testing.T) {
	for leaver := range 3 {
		var y tally
		onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.ManagedSeq(ctx, c, words(200), split.Chunk(9))
			for i := range loop.All() {
				y.add(c.Rank(), i)
				if c.Rank() == leaver {
					break
				}
			}
			return loop.Err()
		})
		require.Equal(t, upTo(200), y.sorted())
	}
}

func TestManagedSeqEndless(t *testing.T) {
	endless := func(yield func(int) bool) {
		for i := 0; yield(i); i++ {
		}
	}
	for _, ranks := range rankCounts() {
		onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.ManagedSeq(ctx, c, endless)
			seen := 0
			for i, item := range loop.All() {
				if i != item {
					return fmt.Errorf("item %d is %d", i, item)
				}
				if seen++; seen == 100 {
					break
				}
			}
			return loop.Err()
		})
	}
}

func TestManagedSeqDisagreement(t *testing.T) {
	for odd := range 3 {
		for _, length := range []int{40, 60} {
			errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
				n := 50
				if c.Rank() == odd {
					n = length
				}
				loop := split.ManagedSeq(ctx, c, words(n), split.Chunk(1))
				for range loop.All() {
				}
				return loop.Err()
			})
			for rank, err := range errs {
				require.Equal(t, errs[0] == nil, err == nil)
				if err != nil { // without need, nobody walks to where they differ
					require.ErrorIs(t, err, split.ErrDisagree, "rank %d, odd %d", rank, odd)
				}
			}
		}
	}
}

// Every rank is where the end of one is and that of the other is not: one of them
// has an item beyond, for sure.
func TestManagedSeqDisagreementIsNamed(t *testing.T) {
	errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.ManagedSeq(ctx, c, words(10+c.Rank()), split.Chunk(100))
		for range loop.All() {
			// Chunks are so large that each rank walks to its own end.
		}
		return loop.Err()
	})
	for _, err := range errs {
		if err != nil { // one rank may have done all
			require.ErrorContains(t, err, "index 10 is the first that only one of them has")
		}
	}
}

func TestManagedSeqContextEnds(t *testing.T) {
	for who := range 2 {
		stopped, stop := context.WithCancelCause(t.Context())
		errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.ManagedSeq(stopped, c, func(yield func(int) bool) {
				for i := 0; yield(i); i++ {
				}
			})
			for range loop.All() {
				if c.Rank() == who {
					stop(errStop)
				}
			}
			return loop.Err()
		})
		require.ErrorIs(t, errs[0], errStop)
		require.ErrorContains(t, errs[1], "stop it")
	}
}

func TestManagedSeqRefusesWhatNeedsTheNumber(t *testing.T) {
	for want, opt := range map[string]split.Option{
		"Policy Guided needs the number of items":  split.Policy(split.Guided),
		"Order and Cost need the number of items;": split.Cost(func(int) float64 { return 0 }),
	} {
		for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
			return split.ManagedSeq(ctx, c, words(5), opt).Err()
		}) {
			require.ErrorContains(t, err, "split: ManagedSeq: "+want)
		}
	}
}
