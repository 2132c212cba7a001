package split_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
	"github.com/dlprun/dlp/split"
)

func TestManagedGivesEachIndexOnce(t *testing.T) {
	perm := make([]int, 1000)
	for i := range perm {
		perm[i] = (i * 7) % 1000
	}
	options := map[string]func(n int) []split.Option{
		"default":   func(int) []split.Option { return nil },
		"chunk 1":   func(int) []split.Option { return []split.Option{split.Chunk(1)} },
		"chunk 7":   func(int) []split.Option { return []split.Option{split.Chunk(7)} },
		"guided":    func(int) []split.Option { return []split.Option{split.Policy(split.Guided)} },
		"factoring": func(int) []split.Option { return []split.Option{split.Policy(split.Factoring)} },
		"trapezoid": func(int) []split.Option { return []split.Option{split.Policy(split.Trapezoid)} },
		"static":    func(int) []split.Option { return []split.Option{split.Policy(split.Static)} },
		"cost": func(int) []split.Option {
			return []split.Option{split.Cost(func(i int) float64 { return float64(i % 10) })}
		},
		"keys": func(int) []split.Option {
			return []split.Option{split.Keys(func(i int) string { return fmt.Sprint(i) })}
		},
		"order": func(n int) []split.Option {
			if n != len(perm) {
				return nil
			}
			return []split.Option{split.Order(perm), split.Chunk(3)}
		},
	}
	for name, opts := range options {
		t.Run(name, func(t *testing.T) {
			for _, n := range itemCounts() {
				for _, ranks := range rankCounts() {
					var y tally
					onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
						loop := split.Managed(ctx, c, n, opts(n)...)
						for i := range loop.All() {
							y.add(c.Rank(), i)
						}
						for range loop.All() {
							return errors.New("All yields twice")
						}
						return loop.Err()
					})
					require.Equal(t, upTo(n), append([]int(nil), y.sorted()...), "n %d, ranks %d", n, ranks)
				}
			}
		})
	}
}

// Every transport, with ranks that are processes too: the sum over all ranks is
// right only if each index came once.
func TestManagedOverEveryTransport(t *testing.T) {
	for _, ranks := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			mpitest.Run(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				for _, n := range itemCounts() {
					sum := 0
					loop := split.Managed(ctx, c, n)
					for i := range loop.All() {
						sum += i + 1
					}
					if err := loop.Err(); err != nil {
						return err
					}
					sum, err := mpi.Allreduce(ctx, c, sum, mpi.Sum[int])
					if err != nil || sum != n*(n+1)/2 {
						return fmt.Errorf("n %d: sum %d, error %v", n, sum, err)
					}
				}
				return nil
			})
		})
	}
}

// Costly items go out first, at rank 0 alone as it has no company.
func TestCostGoesFirst(t *testing.T) {
	var got []int
	onRanks(t, 1, func(ctx context.Context, c *mpi.Comm) error {
		for i := range split.Managed(ctx, c, 6, split.Cost(func(i int) float64 { return float64(i % 3) })).All() {
			got = append(got, i)
		}
		return nil
	})
	require.Equal(t, []int{2, 5, 1, 4, 0, 3}, got)
}

// Each rank leaves after some items; what it had not begun is done by others.
func TestManagedLeftEarly(t *testing.T) {
	for _, ranks := range []int{2, 3, 5} {
		for leaver := range ranks {
			var y tally
			errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				loop := split.Managed(ctx, c, 200, split.Chunk(5))
				mine := 0
				for i := range loop.All() {
					y.add(c.Rank(), i)
					if mine++; c.Rank() == leaver && mine == 3 {
						break
					}
				}
				return loop.Err()
			})
			require.Equal(t, make([]error, ranks), errs)
			require.Equal(t, upTo(200), y.sorted(), "rank %d of %d left", leaver, ranks)
			require.LessOrEqual(t, y.ranks[leaver], 3)
		}
	}
}

func TestManagedLeftByAll(t *testing.T) {
	for _, ranks := range rankCounts() {
		var y tally
		errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.Managed(ctx, c, 1000, split.Chunk(10))
			for i := range loop.All() {
				y.add(c.Rank(), i)
				break
			}
			return loop.Err()
		})
		require.ErrorIs(t, errs[0], split.ErrIncomplete)
		require.EqualError(t, errs[0], fmt.Sprintf("split: Managed: every rank left the loop: %d of 1000 items are left", 1000-len(y.seen)))
		require.Equal(t, make([]error, ranks-1), errs[1:])
	}
}

// A body that panics leaves the loop too, and the panic is the caller's own.
func TestManagedBodyPanics(t *testing.T) {
	var y tally
	errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		loop := split.Managed(ctx, c, 100, split.Chunk(4))
		func() {
			defer func() { recover() }()
			for i := range loop.All() {
				y.add(c.Rank(), i)
				if c.Rank() == 1 {
					panic("out")
				}
			}
		}()
		return loop.Err()
	})
	require.Equal(t, make([]error, 3), errs)
	require.Equal(t, upTo(100), y.sorted())
}

func TestManagedRankThatNeverIterates(t *testing.T) {
	for _, ranks := range []int{2, 3} {
		for idle := range ranks {
			for _, asks := range []bool{false, true} {
				var y tally
				onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
					loop := split.Managed(ctx, c, 50)
					if c.Rank() == idle {
						if asks {
							return loop.Err()
						}
						return nil
					}
					for i := range loop.All() {
						y.add(c.Rank(), i)
					}
					return loop.Err()
				})
				require.Equal(t, upTo(50), y.sorted(), "rank %d of %d", idle, ranks)
			}
		}
	}
}

// A rank comes to its loop when all others are through.
func TestManagedRankThatComesLate(t *testing.T) {
	for _, late := range []int{0, 1, 2} {
		onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.Managed(ctx, c, 5)
			if c.Rank() == late {
				// The others' messages say that they are through, where they can be:
				// nobody gets an end before the root's manager says so.
				for other := range 3 {
					if other == late {
						continue
					}
					if _, _, err := c.Recv(ctx, other, 1); err != nil {
						return err
					}
				}
			}
			for range loop.All() {
			}
			if err := loop.Err(); err != nil {
				return err
			}
			if c.Rank() != late {
				return c.Send(ctx, late, 1, nil)
			}
			return nil
		})
	}
}

func TestManagedDisagreement(t *testing.T) {
	keys := func(odd bool) split.Option {
		return split.Keys(func(i int) string {
			if odd && i == 17 {
				return "odd"
			}
			return fmt.Sprint("item", i)
		})
	}
	for name, c := range map[string]struct {
		loop func(ctx context.Context, c *mpi.Comm, odd bool) *split.Loop
		want string
	}{
		"n": {
			func(ctx context.Context, c *mpi.Comm, odd bool) *split.Loop {
				if odd {
					return split.Managed(ctx, c, 12, split.Label("files"))
				}
				return split.Managed(ctx, c, 10, split.Label("files"))
			},
			`split: Managed "files": ranks disagree: rank 0 has %d items, rank %d has %d; index 10 is the first that only one of them has`,
		},
		"keys": {
			func(ctx context.Context, c *mpi.Comm, odd bool) *split.Loop {
				return split.Managed(ctx, c, 100, keys(odd))
			},
			`split: Managed: ranks disagree: item 17 is %q on rank 0 and %q on rank %d; it is the first that differs`,
		},
		"no keys": {
			func(ctx context.Context, c *mpi.Comm, odd bool) *split.Loop {
				if odd {
					return split.Managed(ctx, c, 100)
				}
				return split.Managed(ctx, c, 100, keys(false))
			},
			"split: Managed: ranks disagree: rank %d passes Keys, rank %d does not",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for odd := range 3 {
				errs := errorsOf(t, 3, func(ctx context.Context, comm *mpi.Comm) error {
					loop := c.loop(ctx, comm, comm.Rank() == odd)
					for range loop.All() {
					}
					return loop.Err()
				})
				for rank, err := range errs {
					require.ErrorIs(t, err, split.ErrDisagree, "rank %d", rank)
					require.EqualError(t, err, errs[0].Error(), "rank %d", rank)
				}
				if odd == 0 {
					continue // either of the others is named
				}
				want := map[string]string{
					"n":       fmt.Sprintf(c.want, 10, odd, 12),
					"keys":    fmt.Sprintf(c.want, "item17", "odd", odd),
					"no keys": fmt.Sprintf(c.want, 0, odd),
				}
				require.EqualError(t, errs[0], want[name])
			}
		})
	}
}

func TestBadOptionsAreErrorsEverywhere(t *testing.T) {
	for _, c := range []struct {
		n    int
		opts []split.Option
		want string
	}{
		{-3, nil, "n is -3; pass the number of items, 0 or more"},
		{5, []split.Option{split.Chunk(-1)}, "Chunk is -1"},
		{5, []split.Option{split.Policy(77)}, "Policy is Chunking(77)"},
		{5, []split.Option{split.Workers(0)}, "Workers is 0"},
		{5, []split.Option{split.MaxFailures(-1)}, "MaxFailures is -1"},
		{5, []split.Option{split.Retries(-1)}, "Retries is -1"},
		{5, []split.Option{split.TaskTimeout(-1)}, "TaskTimeout is -1ns"},
		{5, []split.Option{split.Progress(9)}, "Progress is ProgressMode(9)"},
		{2, []split.Option{split.Order([]int{0, 0})}, "Order has index 0 twice, at positions 0 and 1"},
		{2, []split.Option{split.Order([]int{0})}, "Order has 1 indices for 2 items"},
		{2, []split.Option{split.Order([]int{0, 2})}, "Order has 2 at position 1"},
		{1, []split.Option{split.Order([]int{0}), split.Cost(func(int) float64 { return 0 })}, "both Order and Cost"},
	} {
		for _, ranks := range []int{1, 3} {
			errs := errorsOf(t, ranks, func(ctx context.Context, comm *mpi.Comm) error {
				loop := split.Managed(ctx, comm, c.n, c.opts...)
				for range loop.All() {
					return errors.New("it yields")
				}
				return loop.Err()
			})
			for _, err := range errs {
				require.ErrorContains(t, err, "split: Managed: "+c.want)
			}
		}
	}
}

// One rank alone has a bad option: all others hear of it.
func TestBadOptionOnOneRank(t *testing.T) {
	for odd := range 3 {
		errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			k := 1
			if c.Rank() == odd {
				k = -1
			}
			loop := split.Managed(ctx, c, 10, split.Chunk(k))
			for range loop.All() {
			}
			return loop.Err()
		})
		for _, err := range errs {
			require.ErrorContains(t, err, "Chunk is -1")
		}
	}
}

func TestProgressVariableIsChecked(t *testing.T) {
	t.Setenv("DLP_PROGRESS", "loud")
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error { return split.Managed(ctx, c, 1).Err() }) {
		require.EqualError(t, err, `split: Managed: DLP_PROGRESS is "loud"; set it to auto, bar, log or off`)
	}
}

var errStop = errors.New("stop it")

// The context of all ranks ends, in the body of each rank in turn.
func TestManagedContextOfAllEnds(t *testing.T) {
	for _, ranks := range []int{1, 2, 3} {
		for who := range ranks {
			stopped, stop := context.WithCancelCause(t.Context())
			errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				loop := split.Managed(stopped, c, 1_000_000_000, split.Chunk(5))
				for range loop.All() {
					if c.Rank() == who {
						stop(errStop)
					}
				}
				return loop.Err()
			})
			for rank, err := range errs {
				require.Error(t, err, "rank %d", rank)
				require.Contains(t, err.Error(), "stop it")
			}
			require.ErrorIs(t, errs[0], errStop)
		}
	}
}

// The context of one rank ends: at the root that ends the loop, elsewhere others
// do the rest.
func TestManagedContextOfOneEnds(t *testing.T) {
	for who := range 3 {
		var y tally
		errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			loop := split.Managed(ctx, c, 300, split.Chunk(5))
			for i := range loop.All() {
				y.add(c.Rank(), i)
				if c.Rank() == who {
					cancel()
				}
			}
			return loop.Err()
		})
		if who == 0 {
			for _, err := range errs {
				if err != nil { // a rank may be through with everything before
					require.ErrorIs(t, err, context.Canceled)
				}
			}
			continue
		}
		require.Equal(t, upTo(300), y.sorted())
		for rank, err := range errs {
			if rank != who {
				require.NoError(t, err)
			}
		}
	}
}

// A context that has ended before the loop is called, on one rank or on all.
func TestManagedContextHasEnded(t *testing.T) {
	for _, who := range []int{0, 1, -1} {
		errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
			if who < 0 || c.Rank() == who {
				stopped, cancel := context.WithCancel(ctx)
				cancel()
				ctx = stopped
			}
			loop := split.Managed(ctx, c, 10)
			for range loop.All() {
			}
			return loop.Err()
		})
		if who <= 0 {
			require.ErrorIs(t, errs[0], context.Canceled)
		} else {
			require.NoError(t, errs[0])
		}
		if who != 0 {
			require.ErrorIs(t, errs[1], context.Canceled)
		}
	}
}

// A rank waits for the last item of another when its context ends.
func TestManagedContextEndsWhileParked(t *testing.T) {
	for waiter := range 2 {
		errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
			other := 1 - c.Rank()
			own, cancel := context.WithCancel(ctx)
			defer cancel()
			loop := split.Managed(own, c, 2, split.Chunk(1))
			for range loop.All() {
				// Each of them has one of the two items.
				if err := c.Send(ctx, other, 1, nil); err != nil {
					return err
				}
				if _, _, err := c.Recv(ctx, other, 1); err != nil {
					return err
				}
				if c.Rank() == waiter {
					go func() {
						c.Recv(ctx, other, 2)
						cancel()
					}()
					continue
				}
				// This one is not done before the waiter has given up.
				if err := c.Send(ctx, other, 2, nil); err != nil {
					return err
				}
				if _, _, err := c.Recv(ctx, other, 3); err != nil {
					return err
				}
			}
			if c.Rank() != waiter {
				return loop.Err()
			}
			return errors.Join(loop.Err(), c.Send(ctx, other, 3, nil))
		})
		require.ErrorIs(t, errs[waiter], context.Canceled)
	}
}

// Loops one after the other, at once on duplicates, and on parts of a world.
func TestManagedLoopsDoNotMeet(t *testing.T) {
	onRanks(t, 4, func(ctx context.Context, c *mpi.Comm) error {
		for n := range 20 {
			loop := split.Managed(ctx, c, n)
			for i := range loop.All() {
				if i >= n {
					return fmt.Errorf("index %d of %d", i, n)
				}
				if i == 3 {
					break
				}
			}
			if err := loop.Err(); err != nil && !errors.Is(err, split.ErrIncomplete) {
				return err
			}
		}
		return nil
	})
}

func TestManagedAtOnceOnDuplicates(t *testing.T) {
	const loops = 4
	tallies := make([]tally, loops)
	onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		var all sync.WaitGroup
		errs := make([]error, loops)
		for k := range loops {
			own, err := c.Dup(ctx)
			if err != nil {
				return err
			}
			all.Go(func() {
				loop := split.Managed(ctx, own, 100+k)
				for i := range loop.All() {
					tallies[k].add(c.Rank(), i)
				}
				errs[k] = loop.Err()
			})
		}
		all.Wait()
		return errors.Join(errs...)
	})
	for k := range loops {
		require.Equal(t, upTo(100+k), tallies[k].sorted())
	}
}

// Groups share the outer items; the ranks of a group share the inner ones.
func TestManagedNested(t *testing.T) {
	var y tally
	onRanks(t, 6, func(ctx context.Context, c *mpi.Comm) error {
		group, err := c.Split(ctx, c.Rank()%2, c.Rank())
		if err != nil {
			return err
		}
		alone, err := c.Split(ctx, c.Rank(), 0)
		if err != nil {
			return err
		}
		for outer := range 2 {
			loop := split.Managed(ctx, group, 20)
			for i := range loop.All() {
				inner := split.Map(ctx, alone, 3, func(_ context.Context, k int) (int, error) { return k, nil })
				sum := 0
				for _, v := range inner.All() {
					sum += v
				}
				if sum != 3 {
					return fmt.Errorf("sum %d", sum)
				}
				y.add(c.Rank(), i+20*(outer+2*(c.Rank()%2)))
			}
			if err := loop.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(t, upTo(80), y.sorted())
}

// A rank calls something else: the error names both calls and their places.
func TestManagedMismatch(t *testing.T) {
	err := mpi.RunLocal(t.Context(), 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.Rank() == 1 {
			return c.Barrier(ctx)
		}
		loop := split.Managed(ctx, c, 5)
		for range loop.All() {
		}
		return loop.Err()
	})
	var mismatch *mpi.MismatchError
	require.ErrorAs(t, err, &mismatch)
	require.Contains(t, mismatch.Calls[0], "split.Managed at split/managed_test.go:")
	require.Contains(t, mismatch.Calls[1], "Barrier at split/managed_test.go:")
}

func TestManagedGivesTheProcessorBack(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	onRanks(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		for range 3 {
			loop := split.Managed(ctx, c, 5)
			for range loop.All() {
			}
			if err := loop.Err(); err != nil {
				return err
			}
		}
		return nil
	})
	require.Equal(t, before, runtime.GOMAXPROCS(0))
}
