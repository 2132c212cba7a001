package mpi_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// Over each transport: 8 bytes there and back, and 1 MiB one way.

func BenchmarkPingPong(b *testing.B) { benchmark(b, "pingpong") }
func BenchmarkOneWay(b *testing.B)   { benchmark(b, "one way") }

func init() {
	for name := range benches {
		roles["bench "+name] = func() {
			count, err := strconv.Atoi(os.Getenv("COUNT"))
			if err != nil {
				panic(err)
			}
			mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					return benches[name].other(ctx, c)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				err := benches[name].root(ctx, c, countTo(count))
				took := time.Since(start)
				runtime.ReadMemStats(&after)
				fmt.Println(took.Nanoseconds(), after.Mallocs-before.Mallocs)
				return err
			})
		}
	}
}

func countTo(n int) func() bool {
	return func() bool { n--; return n >= 0 }
}

// benches are what the two ranks do. An empty message ends it.
var benches = map[string]struct {
	bytes int64
	root  func(ctx context.Context, c *mpi.Comm, more func() bool) error
	other func(ctx context.Context, c *mpi.Comm) error
}{
	"pingpong": {0, func(ctx context.Context, c *mpi.Comm, more func() bool) error {
		buf := make([]byte, 8)
		for more() {
			if err := c.Send(ctx, 1, 0, buf); err != nil {
				return err
			}
			if _, err := c.RecvInto(ctx, 1, 0, buf); err != nil {
				return err
			}
		}
		return c.Send(ctx, 1, 0, nil)
	}, func(ctx context.Context, c *mpi.Comm) error {
		buf := make([]byte, 8)
		for {
			s, err := c.RecvInto(ctx, 0, 0, buf)
			if err != nil || s.Len == 0 {
				return err
			}
			if err := c.Send(ctx, 0, 0, buf); err != nil {
				return err
			}
		}
	}},
	"one way": {1 << 20, func(ctx context.Context, c *mpi.Comm, more func() bool) error {
		buf := make([]byte, 1<<20)
		for more() {
			if err := c.Send(ctx, 1, 0, buf); err != nil {
				return err
			}
		}
		return c.Send(ctx, 1, 0, nil)
	}, func(ctx context.Context, c *mpi.Comm) error {
		for {
			data, _, err := c.Recv(ctx, 0, 0)
			if err != nil || len(data) == 0 {
				return err
			}
		}
	}},
}

// benchmark measures here where ranks are goroutines; processes measure
// themselves, and tell what the root took and allocated.
func benchmark(b *testing.B, name string) {
	bench := benches[name]
	b.Run("inproc", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(bench.bytes)
		require.NoError(b, mpi.RunLocal(b.Context(), 2, func(ctx context.Context, c *mpi.Comm) error {
			if c.IsRoot() {
				return bench.root(ctx, c, b.Loop)
			}
			return bench.other(ctx, c)
		}))
	})
	for _, transport := range []string{"shm", "unix", "tcp"} {
		b.Run(transport, func(b *testing.B) {
			b.ReportAllocs()
			j := startJob(b, 2, "bench "+name, true, "DLP_TRANSPORT="+transport, "COUNT="+strconv.Itoa(b.N))
			outcomes := j.wait(b)
			var ns, allocs float64
			_, err := fmt.Sscan(outcomes[0].out, &ns, &allocs)
			require.NoError(b, err, "%s", outcomes[0].err)
			b.ReportMetric(ns/float64(b.N), "ns/op")
			b.ReportMetric(allocs/float64(b.N), "allocs/op")
			if bench.bytes > 0 {
				b.ReportMetric(float64(bench.bytes)*float64(b.N)/ns*1e3, "MB/s")
			}
		})
	}
}

// A message costs no memory where the receiver brings a buffer: ten thousand of them,
// there and back, take what a few take.
func TestMessageAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("pools forget at random under the race detector; make within runs it without")
	}
	for _, transport := range []string{"shm", "unix", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			j := startJob(t, 2, "bench pingpong", true, "DLP_TRANSPORT="+transport, "COUNT=10000")
			outcomes := j.wait(t)
			var ns, allocs float64
			_, err := fmt.Sscan(outcomes[0].out, &ns, &allocs)
			require.NoError(t, err, "%s", outcomes[0].err)
			require.Less(t, allocs, 1000.)
		})
	}
}
