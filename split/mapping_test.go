package split_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
	"github.com/dlprun/dlp/split"
)

type record struct {
	Index int
	Name  string
	Tags  []string
}

func describe(_ context.Context, i int) (record, error) {
	return record{Index: i, Name: fmt.Sprint("item", i), Tags: []string{strings.Repeat("x", i%7)}}, nil
}

func check(i int, v record) error {
	want, _ := describe(context.Background(), i)
	if v.Index != i || v.Name != want.Name || !slices.Equal(v.Tags, want.Tags) {
		return fmt.Errorf("item %d is %+v", i, v)
	}
	return nil
}

var mapOptions = map[string][]split.Option{
	"default":   nil,
	"chunk 1":   {split.Chunk(1)},
	"factoring": {split.Policy(split.Factoring)},
	"workers":   {split.Workers(3)},
	"window":    {split.Window(1), split.Workers(2)},
	"cost":      {split.Cost(func(i int) float64 { return float64(i) }), split.Window(2), split.Chunk(1)},
}

func TestMapGivesResultsInOrder(t *testing.T) {
	for name, opts := range mapOptions {
		t.Run(name, func(t *testing.T) {
			for _, n := range itemCounts() {
				for _, ranks := range rankCounts() {
					onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error { return inOrder(ctx, c, n, opts...) })
				}
			}
		})
	}
}

func inOrder(ctx context.Context, c *mpi.Comm, n int, opts ...split.Option) error {
	results := split.Map(ctx, c, n, describe, opts...)
	next := 0
	for i, v := range results.All() {
		if i != next || !c.IsRoot() {
			return fmt.Errorf("item %d comes instead of %d", i, next)
		}
		if err := check(i, v); err != nil {
			return err
		}
		next++
	}
	for range results.All() {
		return errors.New("All yields twice")
	}
	if c.IsRoot() && next != n {
		return fmt.Errorf("%d of %d results", next, n)
	}
	return results.Err()
}

func unordered(ctx context.Context, c *mpi.Comm, n int, opts ...split.Option) error {
	results := split.MapUnordered(ctx, c, n, describe, opts...)
	var seen []int
	for i, v := range results.All() {
		if err := check(i, v); err != nil {
			return err
		}
		seen = append(seen, i)
	}
	slices.Sort(seen)
	if c.IsRoot() && !slices.Equal(seen, upTo(n)) {
		return fmt.Errorf("got %v", seen)
	}
	return results.Err()
}

func collect(ctx context.Context, c *mpi.Comm, n int, opts ...split.Option) error {
	all, err := split.Collect(ctx, c, n, describe, opts...)
	if err != nil {
		return err
	}
	if !c.IsRoot() && all != nil || c.IsRoot() && (all == nil || len(all) != n) {
		return fmt.Errorf("%d results", len(all))
	}
	for i, v := range all {
		if err := check(i, v); err != nil {
			return err
		}
	}
	return nil
}

func TestMapUnorderedGivesEachResultOnce(t *testing.T) {
	for name, opts := range mapOptions {
		t.Run(name, func(t *testing.T) {
			for _, n := range itemCounts() {
				for _, ranks := range rankCounts() {
					onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error { return unordered(ctx, c, n, opts...) })
				}
			}
		})
	}
}

func TestCollect(t *testing.T) {
	for name, opts := range mapOptions {
		t.Run(name, func(t *testing.T) {
			for _, n := range itemCounts() {
				for _, ranks := range rankCounts() {
					onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error { return collect(ctx, c, n, opts...) })
				}
			}
		})
	}
}

func TestMapsOverEveryTransport(t *testing.T) {
	for _, ranks := range []int{1, 2, 3} {
		t.Run(fmt.Sprint(ranks), func(t *testing.T) {
			mpitest.Run(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				for _, n := range itemCounts() {
					if err := errors.Join(inOrder(ctx, c, n), unordered(ctx, c, n), collect(ctx, c, n)); err != nil {
						return err
					}
				}
				return nil
			})
		})
	}
}

// In order, longest first, with room for one: the root's loop waits for what is
// last in the order.
func TestMapInOrderAgainstTheOrder(t *testing.T) {
	perm := make([]int, 100)
	for i := range perm {
		perm[i] = 99 - i
	}
	for _, ranks := range rankCounts() {
		onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			return inOrder(ctx, c, 100, split.Order(perm), split.Window(1))
		})
	}
}

// The body of the root's loop holds back the work only when Window results wait.
func TestMapWindowBoundsWhatWaits(t *testing.T) {
	const ranks, window, n = 3, 4, 200
	for _, run := range []func(context.Context, *mpi.Comm, int, func(context.Context, int) (int, error), ...split.Option) *split.Results[int]{
		split.Map[int], split.MapUnordered[int],
	} {
		var done, taken, most atomic.Int64
		onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			results := run(ctx, c, n, func(_ context.Context, i int) (int, error) {
				waits := done.Add(1) - taken.Load()
				for m := most.Load(); waits > m && !most.CompareAndSwap(m, waits); m = most.Load() {
				}
				return i, nil
			}, split.Window(window))
			for range results.All() {
				runtime.Gosched()
				taken.Add(1)
			}
			return results.Err()
		})
		// One more is in the hands of the body, one may be out of turn; and each rank may
		// have seen how far it can go just before that one went.
		require.LessOrEqual(t, most.Load(), int64(window+2*ranks+2))
	}
}

// The body of the root's loop does not go on before everything is done: nothing
// waits for it.
func TestMapBodyDelaysNobody(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		var done atomic.Int64
		all := make(chan struct{})
		onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			results := split.MapUnordered(ctx, c, 500, func(_ context.Context, i int) (int, error) {
				if done.Add(1) == 500 {
					close(all)
				}
				return i, nil
			})
			for range results.All() {
				<-all
			}
			return results.Err()
		})
	}
}

func TestMapErrAloneRunsIt(t *testing.T) {
	var y tally
	onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		return split.Map(ctx, c, 100, func(_ context.Context, i int) (struct{}, error) {
			y.add(c.Rank(), i)
			return struct{}{}, nil
		}).Err()
	})
	require.Equal(t, upTo(100), y.sorted())
}

func TestMapRootLeaves(t *testing.T) {
	for _, ranks := range []int{1, 2, 4} {
		errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			results := split.Map(ctx, c, 1_000_000, describe, split.Window(100), split.Label("words"))
			for i := range results.All() {
				if i == 9 {
					break
				}
			}
			return results.Err()
		})
		for _, err := range errs {
			require.ErrorIs(t, err, split.ErrIncomplete)
			require.EqualError(t, err, `split: Map "words": the root left the loop: 999990 of 1000000 items are left`)
		}
	}
}

func TestMapRootLeavesWhenAllIsDone(t *testing.T) {
	all := make(chan struct{})
	var done atomic.Int64
	errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		results := split.Map(ctx, c, 10, func(_ context.Context, i int) (int, error) {
			if done.Add(1) == 10 {
				close(all)
			}
			return i, nil
		})
		for i := range results.All() {
			<-all
			if i == 4 {
				break
			}
		}
		return results.Err()
	})
	require.EqualError(t, errs[0], "split: Map: the root left the loop: 5 of 10 items are left")
}

// The root's ctx ends when all is done and not all is taken: that is why the rest is
// left, as when a rank was lost, and no decision of the root.
func TestMapContextEndsWhenAllIsDone(t *testing.T) {
	why := errors.New("the time is up")
	all := make(chan struct{})
	var done atomic.Int64
	errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		results := split.Map(ctx, c, 10, func(_ context.Context, i int) (int, error) {
			if done.Add(1) == 10 {
				close(all)
			}
			return i, nil
		})
		for i := range results.All() {
			<-all
			if i == 4 {
				time.Sleep(50 * time.Millisecond) // for the last report, mostly
				cancel(why)
			}
		}
		return results.Err()
	})
	require.ErrorIs(t, errs[0], why)
}

// The last result was taken: nothing is left. The loop may have it before the manager
// has the report of it: many times over, as the moment is short, with many at once on
// few processors.
func TestMapRootLeavesAfterTheLast(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU()))
	jobs := make(chan error)
	for range 16 {
		go func() { jobs <- rootsThatLeave(t.Context(), 100) }()
	}
	for range 16 {
		require.NoError(t, <-jobs)
	}
}

func rootsThatLeave(ctx context.Context, times int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for range times {
		err := mpi.RunLocal(ctx, 2, func(ctx context.Context, c *mpi.Comm) error {
			results := split.Map(ctx, c, 10, describe)
			for i := range results.All() {
				if i == 9 {
					break
				}
			}
			return results.Err()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func TestMapRootPanics(t *testing.T) {
	errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		results := split.Map(ctx, c, 100, describe)
		func() {
			defer func() { recover() }()
			for range results.All() {
				panic("out")
			}
		}()
		return results.Err()
	})
	require.ErrorIs(t, errs[0], split.ErrIncomplete)
}

func none() []error { return nil }

var errTask = errors.New("it does not work")

func TestTaskErrorsNameTheItem(t *testing.T) {
	for name, c := range map[string]struct {
		fail func() error
		text string
		is   error
	}{
		"error":       {func() error { return errTask }, "it does not work", errTask},
		"panic":       {func() error { panic("oh no") }, "panic: oh no", nil},
		"panic error": {func() error { panic(errTask) }, "panic: it does not work", errTask},
		"runtime":     {func() error { return none()[0] }, "panic: runtime error: index out of range [0] with length 0", nil},
		"goexit":      {func() error { runtime.Goexit(); return nil }, "the task called runtime.Goexit", nil},
		"two lines":   {func() error { return errors.New("one\ntwo") }, "one ; two", nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, ranks := range []int{1, 2, 3} {
				for bad := range ranks {
					errs := errorsOf(t, ranks, func(ctx context.Context, comm *mpi.Comm) error {
						results := split.Map(ctx, comm, 1_000_000, func(_ context.Context, i int) (int, error) {
							if comm.Rank() == bad {
								return 0, c.fail()
							}
							return i, nil
						}, split.Keys(nil), split.Chunk(1), split.Workers(2))
						for range results.All() {
						}
						return results.Err()
					})
					for rank, err := range errs {
						var task *split.TaskError
						require.ErrorAs(t, err, &task, "rank %d", rank)
						require.Equal(t, bad, task.Rank)
						require.Equal(t, 1, task.Attempts)
						require.NotEmpty(t, task.Host)
						require.Equal(t, errs[0].Error(), err.Error())
						require.Equal(t, fmt.Sprintf("split: Map: item %d failed on rank %d (%s): %s", task.Index, bad, task.Host, c.text), err.Error())
						require.Equal(t, strings.HasPrefix(c.text, "panic"), task.Stack != nil)
						if c.is != nil && rank == bad {
							require.ErrorIs(t, err, c.is)
						}
					}
				}
			}
		})
	}
}

func TestTaskErrorHasTheKey(t *testing.T) {
	errs := errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := split.Collect(ctx, c, 3, func(_ context.Context, i int) (int, error) {
			if i == 2 {
				panic("out")
			}
			return i, nil
		}, split.Keys(func(i int) string { return fmt.Sprintf("file%d.txt", i) }), split.Label("sizes"))
		return err
	})
	for _, err := range errs {
		var task *split.TaskError
		require.ErrorAs(t, err, &task)
		require.Equal(t, "file2.txt", task.Key)
		require.Contains(t, string(task.Stack), "TestTaskErrorHasTheKey")
		require.Equal(t, fmt.Sprintf(`split: Collect "sizes": item 2 (file2.txt) failed on rank %d (%s): panic: out`, task.Rank, task.Host), err.Error())
	}
}

// When one item fails, the context of the tasks under way ends.
func TestFailureEndsTheContextOfOthers(t *testing.T) {
	for bad := range 3 {
		errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			_, err := split.Collect(ctx, c, 3, func(ctx context.Context, i int) (int, error) {
				// Each rank has one item.
				if err := c.Barrier(ctx); err != nil {
					return 0, err
				}
				if c.Rank() == bad {
					return 0, errTask
				}
				<-ctx.Done()
				return 0, ctx.Err()
			}, split.Chunk(1))
			return err
		})
		for _, err := range errs {
			var task *split.TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, bad, task.Rank)
		}
		require.ErrorIs(t, errs[bad], errTask)
	}
}

func TestMaxFailuresCarriesOn(t *testing.T) {
	odd := func(_ context.Context, i int) (string, error) {
		if i%10 == 3 {
			return "", fmt.Errorf("item %d is no good", i)
		}
		return fmt.Sprint(i), nil
	}
	for _, ranks := range []int{1, 2, 5} {
		for name, opts := range map[string][]split.Option{
			"default": {split.MaxFailures(10)}, "window": {split.MaxFailures(10), split.Window(1), split.Workers(2)},
		} {
			errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				all, err := split.Collect(ctx, c, 100, odd, opts...)
				if c.IsRoot() {
					if len(all) != 100 || all[3] != "" || all[4] != "4" {
						return fmt.Errorf("collected %q", all)
					}
				}
				results := split.Map(ctx, c, 100, odd, opts...)
				last, count := -1, 0
				for i := range results.All() {
					if i <= last || i%10 == 3 {
						return fmt.Errorf("item %d after %d", i, last)
					}
					last, count = i, count+1
				}
				if c.IsRoot() && count != 90 {
					return fmt.Errorf("%d results", count)
				}
				return errors.Join(err, results.Err())
			})
			for rank, err := range errs {
				require.Equal(t, 20, strings.Count(err.Error(), "is no good"), "%s, rank %d of %d", name, rank, ranks)
				require.Less(t, strings.Index(err.Error(), "item 3 "), strings.Index(err.Error(), "item 93 "))
				var task *split.TaskError
				require.ErrorAs(t, err, &task)
			}
		}
	}
}

func TestOneFailureTooMany(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			all, err := split.Collect(ctx, c, 1_000_000, func(_ context.Context, i int) (int, error) {
				return 0, errTask
			}, split.MaxFailures(4))
			if all != nil {
				return errors.New("there are results")
			}
			return err
		})
		for _, err := range errs {
			require.Equal(t, 5, strings.Count(err.Error(), "it does not work"))
		}
	}
}

type hidden struct{ Name, secret string }

func TestTypesThatCannotTravel(t *testing.T) {
	for _, ranks := range []int{1, 2} {
		for _, err := range errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			_, err := split.Collect(ctx, c, 3, func(context.Context, int) (hidden, error) { return hidden{secret: "s"}, nil })
			return err
		}) {
			require.ErrorContains(t, err, "split: Collect: ")
			require.ErrorContains(t, err, "secret")
		}
	}
}

type anything interface{ Do() }

type unregistered struct{ A int }

func (unregistered) Do() {}

// A value that can't travel although its type can is the failure of its item.
func TestValuesThatCannotTravel(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		for _, err := range errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			_, err := split.Collect(ctx, c, 30, func(_ context.Context, i int) (anything, error) {
				if i%2 == 0 {
					return nil, nil
				}
				return unregistered{i}, nil
			})
			return err
		}) {
			var task *split.TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, 1, task.Index%2)
		}
	}
}

func TestNilWork(t *testing.T) {
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		return split.Map[int](ctx, c, 3, nil).Err()
	}) {
		require.EqualError(t, err, "split: Map: work is nil; pass the function that does item i")
	}
}

func TestBadMapOptions(t *testing.T) {
	for want, run := range map[string]func(ctx context.Context, c *mpi.Comm) error{
		"split: Map: Window is 0": func(ctx context.Context, c *mpi.Comm) error {
			return split.Map(ctx, c, 3, describe, split.Window(0)).Err()
		},
		"split: MapUnordered: Window is -5": func(ctx context.Context, c *mpi.Comm) error {
			return split.MapUnordered(ctx, c, 3, describe, split.Window(-5)).Err()
		},
		"split: Map: Workers is -1": func(ctx context.Context, c *mpi.Comm) error {
			return split.Map(ctx, c, 3, describe, split.Workers(-1)).Err()
		},
		"split: Collect: n is -1": func(ctx context.Context, c *mpi.Comm) error {
			_, err := split.Collect(ctx, c, -1, describe)
			return err
		},
	} {
		for _, err := range errorsOf(t, 2, run) {
			require.ErrorContains(t, err, want)
		}
	}
}

func TestMapContextEnds(t *testing.T) {
	for _, ranks := range []int{1, 2, 3} {
		for who := range ranks {
			stopped, stop := context.WithCancelCause(t.Context())
			errs := errorsOf(t, ranks, func(_ context.Context, c *mpi.Comm) error {
				return split.Map(stopped, c, 1_000_000_000, func(ctx context.Context, i int) (int, error) {
					if c.Rank() == who && i > 10 {
						stop(errStop)
						<-ctx.Done()
						return 0, ctx.Err()
					}
					return i, nil
				}, split.Workers(2)).Err()
			})
			for rank, err := range errs {
				require.ErrorContains(t, err, "stop it", "rank %d", rank)
				var task *split.TaskError
				require.False(t, errors.As(err, &task), "%v", err)
			}
		}
	}
}

// The context of one rank ends, and the others do its items.
func TestMapContextOfOneEnds(t *testing.T) {
	errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		own, cancel := context.WithCancel(ctx)
		defer cancel()
		if c.Rank() != 1 {
			own = ctx
		}
		all, err := split.Collect(own, c, 500, func(_ context.Context, i int) (int, error) {
			if c.Rank() == 1 {
				cancel()
			}
			return i, nil
		})
		if err == nil && c.IsRoot() && !slices.Equal(all, upTo(500)) {
			return fmt.Errorf("got %v", all)
		}
		return err
	})
	require.NoError(t, errs[0])
	require.NoError(t, errs[2])
}

func TestMapDisagreement(t *testing.T) {
	for odd := range 3 {
		errs := errorsOf(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			n := 10
			if c.Rank() == odd {
				n = 11
			}
			_, err := split.Collect(ctx, c, n, describe)
			return err
		})
		for _, err := range errs {
			require.ErrorIs(t, err, split.ErrDisagree)
		}
	}
}

// Results larger than what a message holds back for, on their own and in numbers.
func TestMapLargeResults(t *testing.T) {
	onRanks(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		results := split.Map(ctx, c, 50, func(_ context.Context, i int) ([]float64, error) {
			return slices.Repeat([]float64{float64(i)}, i*1000), nil
		})
		for i, v := range results.All() {
			if len(v) != i*1000 || i > 0 && v[len(v)-1] != float64(i) {
				return fmt.Errorf("item %d has %d numbers", i, len(v))
			}
		}
		return results.Err()
	})
}
