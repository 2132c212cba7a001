package gather

import (
	"context"
	"testing"

	"github.com/dlprun/dlp/mpi"
)

// Two ranks, each with 50,000 records or 5 M numbers.

func BenchmarkSliceRecords(b *testing.B) {
	local := make([]record, 50_000)
	for i := range local {
		local[i] = record{Item: i, Name: "word"}
	}
	onTwo(b, func(ctx context.Context, c *mpi.Comm) error {
		_, err := Slice(ctx, c, local)
		return err
	})
}

func BenchmarkSliceNumbers(b *testing.B) {
	local := make([]float64, 5_000_000)
	b.SetBytes(8 * int64(len(local)))
	onTwo(b, func(ctx context.Context, c *mpi.Comm) error {
		_, err := Slice(ctx, c, local)
		return err
	})
}

func BenchmarkStreamRecords(b *testing.B) {
	local := make([]record, 50_000)
	onTwo(b, func(ctx context.Context, c *mpi.Comm) error {
		return Stream(ctx, c, local).Err()
	})
}

func BenchmarkIndexedNumbers(b *testing.B) {
	onTwo(b, func(ctx context.Context, c *mpi.Comm) error {
		x := NewIndexed[float64](100_000)
		for i := c.Rank(); i < 100_000; i += c.Size() {
			x.Set(i, 0.5)
		}
		_, err := x.Gather(ctx, c)
		return err
	})
}

// onTwo runs gather b.N times on two ranks, which start each round together.
func onTwo(b *testing.B, gather func(ctx context.Context, c *mpi.Comm) error) {
	b.ReportAllocs()
	err := mpi.RunLocal(b.Context(), 2, func(ctx context.Context, c *mpi.Comm) error {
		for range b.N {
			if err := gather(ctx, c); err != nil {
				return err
			}
			if err := c.Barrier(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
