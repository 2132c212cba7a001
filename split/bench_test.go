package split_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// An operation of these benchmarks is one index with an empty body, on all
// ranks together: one loop of b.N items.

func BenchmarkManaged(b *testing.B) {
	for _, ranks := range []int{1, 2, 3, 5} {
		for name, opt := range map[string]split.Option{"adaptive": split.Chunk(0), "chunk1": split.Chunk(1), "factoring": split.Policy(split.Factoring)} {
			b.Run(fmt.Sprintf("%s/ranks=%d", name, ranks), func(b *testing.B) {
				bench(b, ranks, func(ctx context.Context, c *mpi.Comm) error {
					loop := split.Managed(ctx, c, b.N, opt)
					for range loop.All() {
					}
					return loop.Err()
				})
			})
		}
	}
}

func BenchmarkMapUnordered(b *testing.B) { benchMap(b, split.MapUnordered[int]) }
func BenchmarkMap(b *testing.B)          { benchMap(b, split.Map[int]) }

func benchMap(b *testing.B, run func(context.Context, *mpi.Comm, int, func(context.Context, int) (int, error), ...split.Option) *split.Results[int]) {
	for _, ranks := range []int{1, 2, 5} {
		b.Run(fmt.Sprintf("ranks=%d", ranks), func(b *testing.B) {
			bench(b, ranks, func(ctx context.Context, c *mpi.Comm) error {
				return run(ctx, c, b.N, func(_ context.Context, i int) (int, error) { return i, nil }).Err()
			})
		})
	}
}

// An operation here is a whole loop of one item on each rank.
func BenchmarkLoop(b *testing.B) {
	for _, ranks := range []int{1, 2, 5} {
		b.Run(fmt.Sprintf("ranks=%d", ranks), func(b *testing.B) {
			bench(b, ranks, func(ctx context.Context, c *mpi.Comm) error {
				for range b.N {
					loop := split.Managed(ctx, c, ranks)
					for range loop.All() {
					}
					if err := loop.Err(); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

func bench(b *testing.B, ranks int, run func(ctx context.Context, c *mpi.Comm) error) {
	b.ReportAllocs()
	if err := mpi.RunLocal(b.Context(), ranks, run); err != nil {
		b.Fatal(err)
	}
}
