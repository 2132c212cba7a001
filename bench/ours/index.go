package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// index measures what an index costs whose item costs nothing: the time of the
// whole loop by the number of indices. Rank 0 does most of them. The figure
// elsewhere is what one costs that another rank does: the time by the number that
// the busiest of those has done.
func index(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	chunk := fs.Int("chunk", 0, "indices a request; 0 is the default policy")
	return func(ctx context.Context, world *mpi.Comm) error {
		var did tally
		var n, most int
		seconds, err := enough(ctx, world, 1000, func(n int) error {
			did = tally{}
			loop := split.Managed(ctx, world, n, split.Chunk(*chunk))
			for i := range loop.All() {
				did.add(i)
			}
			return loop.Err()
		}, func(k int) (err error) {
			n = k
			if most, err = busiest(ctx, world, did); err != nil {
				return err
			}
			return did.check(ctx, world, n)
		})
		show(world, "index", seconds)
		show(world, "elsewhere", seconds*float64(n)/float64(max(most, 1)))
		return err
	}
}

// busiest returns how many indices that rank did which did most, rank 0 aside.
func busiest(ctx context.Context, c *mpi.Comm, did tally) (int, error) {
	if c.IsRoot() {
		did.Count = 0
	}
	return mpi.Allreduce(ctx, c, did.Count, mpi.Max)
}

// A tally tells whether each index was done once.
type tally struct{ Count, Sum int }

func (t *tally) add(i int) {
	t.Count++
	t.Sum += i
}

// check fails unless all ranks together have done [0, n).
func (t *tally) check(ctx context.Context, c *mpi.Comm, n int) error {
	all, err := mpi.Allreduce(ctx, c, *t, func(a, b tally) tally { return tally{a.Count + b.Count, a.Sum + b.Sum} })
	if err != nil {
		return err
	}
	if want := (tally{n, n * (n - 1) / 2}); all != want {
		return fmt.Errorf("indices and their sum are %v, not %v", all, want)
	}
	return nil
}
