package main

import (
	"context"
	"flag"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// wait measures how much of a processor ranks take that wait for another: the
// most that any of them takes.
func wait(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	long := fs.Duration("for", 10*time.Second, "how long they wait")
	inLoop := fs.Bool("loop", false, "for the last item of a loop, instead of in a barrier for rank 0")
	return func(ctx context.Context, world *mpi.Comm) error {
		waitFor := barrier
		if *inLoop {
			waitFor = lastItem
		}
		if err := world.Barrier(ctx); err != nil {
			return err
		}
		start, before := time.Now(), processorTime()
		slept, err := waitFor(ctx, world, *long)
		if err != nil {
			return err
		}
		share := (processorTime() - before).Seconds() / time.Since(start).Seconds()
		if slept {
			share = 0 // it did not wait
		}
		most, err := mpi.Reduce(ctx, world, mpi.Root, share, mpi.Max)
		show(world, "share", most)
		return err
	}
}

// barrier has all wait for rank 0. It reports whether this one is waited for.
func barrier(ctx context.Context, world *mpi.Comm, long time.Duration) (bool, error) {
	if world.IsRoot() {
		time.Sleep(long)
	}
	return world.IsRoot(), world.Barrier(ctx)
}

// lastItem has all wait for whoever has the only item.
func lastItem(ctx context.Context, world *mpi.Comm, long time.Duration) (slept bool, err error) {
	loop := split.Managed(ctx, world, 1)
	for range loop.All() {
		time.Sleep(long)
		slept = true
	}
	return slept, loop.Err()
}
