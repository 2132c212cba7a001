package mpi_test

import (
	"context"
	"testing"

	"github.com/dlprun/dlp/mpi"
)

// What a message costs beside its transport: to oneself, nobody waits.
func BenchmarkSelf(b *testing.B) {
	b.ReportAllocs()
	err := mpi.RunLocal(b.Context(), 1, func(ctx context.Context, c *mpi.Comm) error {
		buf := make([]byte, 8)
		for b.Loop() {
			if err := c.Send(ctx, 0, 0, buf); err != nil {
				return err
			}
			if _, err := c.RecvInto(ctx, 0, 0, buf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
}
