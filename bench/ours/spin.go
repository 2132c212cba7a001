package main

import (
	"context"
	"flag"
	"math"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// spin computes for a time that n sets: each step needs the one before. It
// returns something that depends on all of them.
//
//go:noinline
func spin(n int) uint64 {
	x := uint64(n)
	for range n {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

// rate measures how many steps of spin a processor does in a second, at best.
func rate(*flag.FlagSet) func(context.Context, *mpi.Comm) error {
	return func(_ context.Context, world *mpi.Comm) error {
		best := math.Inf(1)
		for range 20 {
			const steps = 5_000_000
			start := time.Now()
			if spin(steps) == 0 {
				continue // never: it keeps the compiler from leaving spin out
			}
			best = math.Min(best, time.Since(start).Seconds()/steps)
		}
		show(world, "rate", 1/best)
		return nil
	}
}
