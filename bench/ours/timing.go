package main

import (
	"context"
	"math"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// enoughTime is how long a measurement takes at least.
const enoughTime = 200 * time.Millisecond

// timed runs work on all ranks after a barrier, and returns how long the slowest
// took.
func timed(ctx context.Context, c *mpi.Comm, work func() error) (time.Duration, error) {
	if err := c.Barrier(ctx); err != nil {
		return 0, err
	}
	start := time.Now()
	if err := work(); err != nil {
		return 0, err
	}
	return mpi.Allreduce(ctx, c, time.Since(start), mpi.Max)
}

// enough runs work with a growing n until it takes long enough, and returns the
// seconds for one. check, outside of the time measured, may look at what was done.
func enough(ctx context.Context, c *mpi.Comm, n int, work func(n int) error, check func(n int) error) (float64, error) {
	return enoughFor(ctx, c, enoughTime, n, work, check)
}

// enoughFor is enough for what takes so long at least.
func enoughFor(ctx context.Context, c *mpi.Comm, d time.Duration, n int, work func(n int) error, check func(n int) error) (float64, error) {
	for {
		took, err := timed(ctx, c, func() error { return work(n) })
		if err != nil {
			return 0, err
		}
		if err := check(n); err != nil {
			return 0, err
		}
		if took >= d {
			return took.Seconds() / float64(n), nil
		}
		n = more(n, took, d)
	}
}

// more is how often to do what was done n times in the time that took, to be at
// it for d.
func more(n int, took, d time.Duration) int {
	factor := 1.25 * d.Seconds() / math.Max(took.Seconds(), 1e-9)
	return int(float64(n)*math.Min(factor, 10)) + 1
}
