package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

const (
	resultItems = 100_000
	resultBytes = 100
	resultTime  = 500 * time.Millisecond // single loops differ by more than the budget
)

// results measures a loop of 100,000 items that give 100 bytes each, and do nothing
// else unless they are told to compute, with a journal or without one.
func results(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	keep := fs.Bool("journal", false, "keep a journal")
	steps := fs.Int("steps", 0, "of spin, that an item takes")
	return func(ctx context.Context, world *mpi.Comm) error {
		dir, err := os.MkdirTemp("", "dlp-bench")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		result := func(_ context.Context, i int) ([]byte, error) {
			if *steps > 0 && spin(*steps) == 0 {
				return nil, nil // never: it keeps the compiler from leaving spin out
			}
			return bytes.Repeat([]byte{byte(i)}, resultBytes), nil
		}
		var all [][]byte
		loops := 0
		seconds, err := enoughFor(ctx, world, resultTime, 1, func(n int) (err error) {
			for range n {
				var opts []split.Option
				if loops++; *keep {
					opts = append(opts, split.Journal(filepath.Join(dir, strconv.Itoa(loops))))
				}
				if all, err = split.Collect(ctx, world, resultItems, result, opts...); err != nil {
					return err
				}
			}
			return nil
		}, func(n int) error {
			for k := range n { // what waits for the disk would slow down later loops
				if *keep && world.IsRoot() {
					if err := os.Remove(filepath.Join(dir, strconv.Itoa(loops-k))); err != nil {
						return err
					}
				}
			}
			return checkResults(world, all)
		})
		show(world, "loop", seconds)
		return err
	}
}

func checkResults(c *mpi.Comm, all [][]byte) error {
	if !c.IsRoot() {
		return nil
	}
	if len(all) != resultItems {
		return fmt.Errorf("%d results have come", len(all))
	}
	for i, b := range all {
		if len(b) != resultBytes || bytes.Count(b, []byte{byte(i)}) != resultBytes {
			return fmt.Errorf("result %d is %x", i, b)
		}
	}
	return nil
}
