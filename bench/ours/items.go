package main

import (
	"context"
	"flag"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// items measures how long equal items take that compute.
func items(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	n := fs.Int("n", 50, "items")
	steps := fs.Int("steps", 1_000_000, "of spin, that an item takes")
	return func(ctx context.Context, world *mpi.Comm) error {
		var did tally
		took, err := timed(ctx, world, func() error {
			loop := split.Managed(ctx, world, *n)
			for i := range loop.All() {
				if spin(*steps) != 0 {
					did.add(i)
				}
			}
			return loop.Err()
		})
		if err != nil {
			return err
		}
		show(world, "makespan", took.Seconds())
		return did.check(ctx, world, *n)
	}
}
