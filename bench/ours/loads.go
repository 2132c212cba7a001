package main

import (
	"context"
	"flag"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// loads measures the policies with items of different lengths that sleep, so that
// any number of ranks fits any number of processors. A figure is the makespan by
// the bound: what the ranks slept altogether by their number, or the longest item
// if that is more. It counts what sleeps took, not what they should have taken.
func loads(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	each := fs.Int("items", 300, "items of each rank")
	mean := fs.Duration("mean", 250*time.Microsecond, "length of an item")
	return func(ctx context.Context, world *mpi.Comm) error {
		for _, l := range shapes() {
			lengths := l.lengths(*each*world.Size(), *mean)
			ways := map[string]split.Option{"Cost": split.Cost(func(i int) float64 { return float64(lengths[i]) })}
			for p := split.Adaptive; p <= split.Factoring; p++ {
				ways[p.String()] = split.Policy(p)
			}
			for _, way := range slices.Sorted(maps.Keys(ways)) {
				figure, err := sleepThrough(ctx, world, lengths, ways[way])
				if err != nil {
					return err
				}
				show(world, l.name+"."+way, figure)
			}
		}
		return nil
	}
}

// A shape says how long item i of n is, in any unit.
type shape struct {
	name string
	item func(r *rand.Rand, i, n int) float64
}

func shapes() []shape {
	return []shape{
		{"constant", func(*rand.Rand, int, int) float64 { return 1 }},
		{"uniform", func(r *rand.Rand, _, _ int) float64 { return r.Float64() }},
		{"exponential", func(r *rand.Rand, _, _ int) float64 { return r.ExpFloat64() }},
		{"Pareto", func(r *rand.Rand, _, _ int) float64 { return math.Pow(1-r.Float64(), -1/1.5) }},
		{"rising", func(_ *rand.Rand, i, _ int) float64 { return float64(i) + 0.5 }},
		{"falling", func(_ *rand.Rand, i, n int) float64 { return float64(n-i) - 0.5 }},
		{"bimodal", func(r *rand.Rand, _, _ int) float64 {
			if r.IntN(10) == 0 {
				return 11
			}
			return 1
		}},
	}
}

// lengths returns those of n items, the same in every run.
func (s shape) lengths(n int, mean time.Duration) []time.Duration {
	r := rand.New(rand.NewPCG(1, 2))
	weights, total := make([]float64, n), 0.0
	for i := range weights {
		weights[i] = s.item(r, i, n)
		total += weights[i]
	}
	lengths := make([]time.Duration, n)
	for i, w := range weights {
		lengths[i] = time.Duration(w / total * float64(n) * float64(mean))
	}
	return lengths
}

func sleepThrough(ctx context.Context, c *mpi.Comm, lengths []time.Duration, way split.Option) (float64, error) {
	var slept []time.Duration
	took, err := timed(ctx, c, func() error {
		loop := split.Managed(ctx, c, len(lengths), way)
		for i := range loop.All() {
			start := time.Now()
			sleep(lengths[i])
			slept = append(slept, time.Since(start))
		}
		return loop.Err()
	})
	if err != nil {
		return 0, err
	}
	all, err := mpi.Allgather(ctx, c, slept)
	if err != nil {
		return 0, err
	}
	items := slices.Concat(all...)
	var total, longest time.Duration
	for _, d := range items {
		total += d
		longest = max(longest, d)
	}
	return took.Seconds() / max(total/time.Duration(c.Size()), longest).Seconds(), nil
}
