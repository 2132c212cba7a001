// Pi estimates π by throwing darts at a square and counting those that hit the
// circle in it.
//
//	dlprun -np 4 pi [-items N] [-darts M] [-check]
//
// Each item has a random stream of its own (split.Rand), so the digits are the
// same on any number of ranks, in any order of completion.
package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	items := flag.Int("items", 200, "how many items")
	darts := flag.Int("darts", 100_000, "darts an item")
	seed := flag.Uint64("seed", 1, "another seed, other digits")
	check := flag.Bool("check", false, "throw again on one rank and compare")
	flag.Parse()
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		return run(ctx, world, *items, *darts, *seed, *check)
	})
}

func run(ctx context.Context, world *mpi.Comm, items, darts int, seed uint64, check bool) error {
	if darts < 0 {
		return fmt.Errorf("-darts is %d; write a number of 0 or more", darts)
	}
	hits, err := split.Collect(ctx, world, items, func(_ context.Context, i int) (int, error) {
		return throw(seed, i, darts), nil
	}, split.Label("pi"))
	if err != nil || !world.IsRoot() {
		return err
	}
	total := 0
	for _, h := range hits {
		total += h
	}
	if items*darts > 0 {
		fmt.Printf("pi is about %.12f\n", 4*float64(total)/float64(items*darts))
	} else {
		fmt.Println("no darts were thrown, so pi is not known: write -items and -darts above 0")
	}
	if !check {
		return nil
	}
	for i, h := range hits {
		if serial := throw(seed, i, darts); serial != h {
			return fmt.Errorf("item %d: %d hits, on one rank alone %d", i, h, serial)
		}
	}
	fmt.Println("same as serial")
	return nil
}

// throw returns how many of item i's darts hit.
func throw(seed uint64, i, darts int) (hits int) {
	random := split.Rand(seed, i)
	for range darts {
		x, y := random.Float64(), random.Float64()
		if x*x+y*y < 1 {
			hits++
		}
	}
	return hits
}
