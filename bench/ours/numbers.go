package main

import (
	"context"
	"flag"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
)

const numbersPerRank = 5_000_000

// numbers measures a gather of 5 million float64 of each rank. Between two calls
// it gives the memory back, so that each fills memory that nobody has touched, as
// the only gather of a program does. The figure peak, from the first, is how far
// the root's memory grew, by the size of the result.
func numbers(*flag.FlagSet) func(context.Context, *mpi.Comm) error {
	return func(ctx context.Context, world *mpi.Comm) error {
		local := make([]float64, numbersPerRank)
		for i := range local {
			local[i] = number(world.Rank()*numbersPerRank + i)
		}
		if err := firstNumbers(ctx, world, local); err != nil {
			return err
		}
		var total time.Duration
		calls := 0
		for total < enoughTime {
			took, err := gatherNumbers(ctx, world, local)
			if err != nil {
				return err
			}
			total += took
			calls++
		}
		show(world, "gather", total.Seconds()/float64(calls))
		return nil
	}
}

func number(i int) float64 { return float64(i) * 1.000000123 }

// firstNumbers gathers once and shows the peak of the root's memory, where the
// system tells it.
func firstNumbers(ctx context.Context, world *mpi.Comm, local []float64) error {
	debug.FreeOSMemory()
	before, known := resetPeak()
	if _, err := gatherNumbers(ctx, world, local); err != nil {
		return err
	}
	if after, still := peak(); known && still {
		show(world, "peak", (after-before)/float64(8*numbersPerRank*world.Size()))
	}
	return nil
}

func gatherNumbers(ctx context.Context, world *mpi.Comm, local []float64) (time.Duration, error) {
	var all []float64
	took, err := timed(ctx, world, func() (err error) {
		all, err = gather.Slice(ctx, world, local)
		return err
	})
	if err != nil {
		return 0, err
	}
	if world.IsRoot() && len(all) != world.Size()*numbersPerRank {
		return 0, fmt.Errorf("%d numbers have come", len(all))
	}
	for i, v := range all {
		if v != number(i) {
			return 0, fmt.Errorf("number %d is %v", i, v)
		}
	}
	all = nil
	debug.FreeOSMemory()
	return took, nil
}
