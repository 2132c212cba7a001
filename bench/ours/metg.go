package main

import (
	"context"
	"flag"
	"math"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// metg measures the minimum effective task granularity METG(50 %), as Slaughter
// and others define it ("Task Bench", arXiv 1908.05790): of all lengths of task
// at which half of the processors' time is work, the smallest. The length of a
// task is what it costs altogether: the ranks' time by the number of tasks.
func metg(fs *flag.FlagSet) func(context.Context, *mpi.Comm) error {
	chunk := fs.Int("chunk", 0, "indices a request; 0 is the default policy")
	return func(ctx context.Context, world *mpi.Comm) error {
		step, err := stepTime(ctx, world)
		if err != nil {
			return err
		}
		m := grains{c: world, chunk: *chunk, step: step, tasks: 1000}
		length, err := m.search(ctx)
		show(world, "metg", length)
		return err
	}
}

// stepTime returns the seconds a step of spin takes while all ranks compute.
func stepTime(ctx context.Context, c *mpi.Comm) (float64, error) {
	if err := c.Barrier(ctx); err != nil {
		return 0, err
	}
	best := math.Inf(1)
	for range 20 {
		const steps = 500_000
		start := time.Now()
		if spin(steps) != 0 {
			best = math.Min(best, time.Since(start).Seconds()/steps)
		}
	}
	return mpi.Allreduce(ctx, c, best, mpi.Max)
}

// grains runs loops of tasks of some length.
type grains struct {
	c     *mpi.Comm
	chunk int
	step  float64
	tasks int
}

// search starts with long tasks, and halves them until neither the half nor a
// quarter is efficient; then it finds the limit to 5 %. Where none is efficient it
// is infinite.
func (m *grains) search(ctx context.Context) (length float64, err error) {
	high := 2e6
	length = math.Inf(1)
	shorten := func(factor float64) bool {
		good, each := false, 0.0
		if good, each, err = m.efficient(ctx, int(high*factor)); good {
			high, length = high*factor, each
		}
		return good
	}
	for high >= 4 && err == nil && (shorten(1.0/2) || shorten(1.0/4)) {
	}
	for low := high / 2; high/low > 1.05 && err == nil; {
		if middle := math.Sqrt(low * high); !shorten(middle / high) {
			low = middle
		}
	}
	return length, err
}

// efficient reports whether tasks of so many steps are efficient, and how long they
// are then. What else the machine does makes a try look worse, never better, so
// there are three.
func (m *grains) efficient(ctx context.Context, steps int) (good bool, each float64, err error) {
	for try := 0; try < 3 && !good && err == nil; try++ {
		good, each, err = m.try(ctx, steps)
	}
	return good, each, err
}

// try reports whether tasks of so many steps are efficient, and how long they are,
// measured for 25 ms at least.
func (m *grains) try(ctx context.Context, steps int) (good bool, each float64, err error) {
	const least = 0.025
	for {
		took, err := m.loop(ctx, steps)
		if err != nil {
			return false, 0, err
		}
		each = took * float64(m.c.Size()) / float64(m.tasks)
		m.tasks = int(float64(m.tasks)*math.Min(1.25*least/math.Max(took, 1e-9), 10)) + 1
		if took >= least {
			return float64(steps)*m.step >= each/2, each, nil
		}
	}
}

// loop returns the seconds that all tasks take.
func (m *grains) loop(ctx context.Context, steps int) (float64, error) {
	var did tally
	took, err := timed(ctx, m.c, func() error {
		loop := split.Managed(ctx, m.c, m.tasks, split.Chunk(m.chunk))
		for i := range loop.All() {
			if spin(steps) != 0 {
				did.add(i)
			}
		}
		return loop.Err()
	})
	if err != nil {
		return 0, err
	}
	return took.Seconds(), did.check(ctx, m.c, m.tasks)
}
