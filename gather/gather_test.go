package gather

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

func TestMain(m *testing.M) {
	gob.Register(record{})
	goleak.VerifyTestMain(mpitest.World(m))
}

var sizes = []int{1, 2, 3, 4, 7} // ranks

// payloads are numbers of bytes that a rank brings.
var payloads = []int{0, 1, 4095, 64 << 10, 3<<20 + 1}

type record struct {
	Rank, Item int
	Name       string
	Tags       []string
}

type leaky struct{ total int }

var _ = leaky{}.total

// run runs body on n ranks and wants it to succeed. A hang fails.
func run(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.NoError(t, mpi.RunLocal(ctx, n, body))
}

// errorsOf runs body on n ranks and returns what it returned on each; the ranks
// leave the job together and in peace.
func errorsOf(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) []error {
	t.Helper()
	errs := make([]error, n)
	run(t, n, func(ctx context.Context, c *mpi.Comm) error {
		errs[c.Rank()] = body(ctx, c)
		return c.Barrier(ctx) // the communicator must still work
	})
	return errs
}

// matrix runs body at every number of ranks with every payload.
func matrix(t *testing.T, body func(ctx context.Context, c *mpi.Comm, size int) error) {
	for _, n := range sizes {
		for _, size := range payloads {
			t.Run(fmt.Sprintf("%d ranks, %d bytes", n, size), func(t *testing.T) {
				run(t, n, func(ctx context.Context, c *mpi.Comm) error { return body(ctx, c, size) })
			})
		}
	}
}

// want compares without testify, which may not stop a goroutine of RunLocal.
func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// serial calls f for all ranks and concatenates.
func serial[T any](n int, f func(rank int) []T) []T {
	all := []T{}
	for rank := range n {
		all = append(all, f(rank)...)
	}
	return all
}

// noise is what the ranks bring parts of, made once: the race detector makes it dear.
var noise = func() []float64 {
	f := make([]float64, (4<<20)/8)
	r := rand.New(rand.NewPCG(1, 2)) // the same in every process
	for i := range f {
		f[i] = r.Float64()
	}
	return f
}()

// bytesOf is unique to the rank. It must not be written to.
func bytesOf(rank, n int) []byte {
	mem, _ := codec.Memory(noise)
	return mem[rank+1:][:n:n]
}

// numbersOf takes n bytes or a little more, is unique to the rank, and must not
// be written to.
func numbersOf(rank, n int) []float64 {
	n = (n + 7) / 8
	return noise[rank+1:][:n:n]
}

// recordsOf makes records that take about n bytes altogether.
func recordsOf(rank, n int) []record {
	var rs []record
	for i := 0; i*1000 < n; i++ {
		rs = append(rs, record{rank, i, strings.Repeat("x", i%2000), []string{fmt.Sprint(rank), ""}})
	}
	return rs
}

// equal is a quick reflect.DeepEqual of slices.
func equal[T any](a, b []T) bool {
	if a, ok := codec.Memory(a); ok {
		b, _ := codec.Memory(b)
		return bytes.Equal(a, b)
	}
	return reflect.DeepEqual(a, b)
}

// unregistered can't travel in an interface, which only its value tells.
type unregistered struct{ A int }

// anys are what a rank brings that has something bad at the given rank.
func anys(rank, bad int) []any {
	if rank == bad {
		return []any{1, record{Name: "fine"}, unregistered{1}, 2}
	}
	return []any{rank, "fine"}
}

func TestMismatch(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := mpi.RunLocal(ctx, 2, func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			return c.Barrier(ctx)
		}
		var l List[string]
		_, err := l.Gather(ctx, c)
		return err
	})
	var mismatch *mpi.MismatchError
	require.ErrorAs(t, err, &mismatch)
	require.ErrorContains(t, err, "gather.List.Gather(string) at gather/gather_test.go:")
}

// Ranks that gather different things find out, instead of mixing them.
func TestMixedGathers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for op, other := range map[string]func(ctx context.Context, c *mpi.Comm) error{
		"Slice(float64)":        func(ctx context.Context, c *mpi.Comm) error { _, err := Slice(ctx, c, []float64{1}); return err },
		"Stream(int)":           func(ctx context.Context, c *mpi.Comm) error { return Stream(ctx, c, []int{1}).Err() },
		"Dict.Gather(int, int)": func(ctx context.Context, c *mpi.Comm) error { _, err := NewDict[int, int]().Gather(ctx, c); return err },
	} {
		err := mpi.RunLocal(ctx, 3, func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				return other(ctx, c)
			}
			_, err := Slice(ctx, c, []int{1})
			return err
		})
		require.ErrorContains(t, err, "rank 0: gather: Slice: rank 1 called "+op+" instead; every rank must make the same calls in the same order")
	}
}

// Everything once more between processes.
func TestTransports(t *testing.T) {
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			mpitest.Run(t, n, func(ctx context.Context, c *mpi.Comm) error {
				for _, size := range payloads {
					records := func(rank int) []record { return recordsOf(rank, size) }
					err := errors.Join(
						sliceIs(ctx, c, func(rank int) []float64 { return numbersOf(rank, size) }),
						sliceIs(ctx, c, records),
						streamIs(ctx, c, records),
						indexedIs(ctx, c, recordsOf(-1, size)),
						dictIs(ctx, c, func(rank int) map[int][]record { return map[int][]record{rank: records(rank)} }),
					)
					if err != nil {
						return fmt.Errorf("%d bytes: %w", size, err)
					}
				}
				return nil
			})
		})
	}
}

// A gather on a communicator of some ranks, and several at once.
func TestOnOtherCommunicators(t *testing.T) {
	run(t, 5, func(ctx context.Context, c *mpi.Comm) error {
		odd, err := c.Split(ctx, c.Rank()%2, -c.Rank()) // in reverse order
		if err != nil {
			return err
		}
		dup, err := c.Dup(ctx)
		if err != nil {
			return err
		}
		var wg sync.WaitGroup
		errs := make([]error, 2)
		wg.Go(func() {
			all, err := Slice(ctx, odd, []string{fmt.Sprint(c.Rank())})
			wanted := map[int][]string{0: {"4", "2", "0"}, 1: {"3", "1"}}[c.Rank()%2]
			if !odd.IsRoot() {
				wanted = nil
			}
			errs[0] = errors.Join(err, want(fmt.Sprint(all) == fmt.Sprint(wanted), "got %v", all))
		})
		wg.Go(func() {
			all, err := Slice(ctx, dup, numbersOf(c.Rank(), 3<<20))
			errs[1] = errors.Join(err, want(!c.IsRoot() || len(all) == 5*(3<<20)/8, "got %d", len(all)))
		})
		wg.Wait()
		return errors.Join(errs...)
	})
}

func TestCancelEndsAGather(t *testing.T) {
	cause := errors.New("enough")
	for name, gather := range map[string]func(ctx context.Context, c *mpi.Comm) error{
		"Slice":   func(ctx context.Context, c *mpi.Comm) error { _, err := Slice(ctx, c, []string{"a"}); return err },
		"numbers": func(ctx context.Context, c *mpi.Comm) error { _, err := Slice(ctx, c, []int{1}); return err },
		"Stream":  func(ctx context.Context, c *mpi.Comm) error { return Stream(ctx, c, []int{1}).Err() },
		"Indexed": func(ctx context.Context, c *mpi.Comm) error { _, err := NewIndexed[int](0).Gather(ctx, c); return err },
		"Dict":    func(ctx context.Context, c *mpi.Comm) error { _, err := NewDict[int, int]().Gather(ctx, c); return err },
	} {
		t.Run(name, func(t *testing.T) {
			err := mpi.RunLocal(t.Context(), 2, func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					<-ctx.Done() // ends with the root's failure
					return nil
				}
				ctx, cancel := context.WithCancelCause(ctx)
				cancel(cause)
				return gather(ctx, c)
			})
			require.ErrorIs(t, err, cause)
			require.ErrorContains(t, err, "gather: ")
		})
	}
}
