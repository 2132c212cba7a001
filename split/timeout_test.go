package split_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// A task whose context ends fails as any other, is tried again, and is reported.
func TestTaskTimeout(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		var attempts atomic.Int32
		errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			all, err := split.Collect(ctx, c, 20, func(ctx context.Context, i int) (int, error) {
				if i == 7 || i == 8 && attempts.Add(1) < 3 {
					<-ctx.Done()
					if !errors.Is(context.Cause(ctx), split.ErrTaskTimeout) {
						return 0, fmt.Errorf("cause: %w", context.Cause(ctx))
					}
					return 0, ctx.Err()
				}
				return i, nil
			}, split.TaskTimeout(10*time.Millisecond), split.Retries(2), split.MaxFailures(1))
			if c.IsRoot() && (len(all) != 20 || all[7] != 0 || all[8] != 8) {
				return fmt.Errorf("collected %v", all)
			}
			return err
		})
		for rank, err := range errs {
			var task *split.TaskError
			require.ErrorAs(t, err, &task)
			require.Equal(t, 7, task.Index)
			require.Equal(t, 3, task.Attempts)
			require.ErrorContains(t, err, "TaskTimeout is over after 10ms: context deadline exceeded")
			require.Equal(t, rank == task.Rank, errors.Is(err, split.ErrTaskTimeout))
		}
	}
}

// What comes late comes all the same.
func TestTaskTimeoutDropsNoResult(t *testing.T) {
	onRanks(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		all, err := split.Collect(ctx, c, 5, func(ctx context.Context, i int) (int, error) {
			<-ctx.Done()
			return i, nil
		}, split.TaskTimeout(time.Millisecond))
		if c.IsRoot() && len(all) != 5 {
			return fmt.Errorf("collected %v", all)
		}
		return err
	})
}

// A task that ignores its context ends the job, also where ranks are goroutines, of
// which it is the one that is left behind.
func TestTaskThatIgnoresItsTimeout(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		for name, loop := range map[string]func(ctx context.Context, c *mpi.Comm, stuck func(int), opts ...split.Option) error{
			"map": func(ctx context.Context, c *mpi.Comm, stuck func(int), opts ...split.Option) error {
				_, err := split.Collect(ctx, c, 20, func(_ context.Context, i int) (int, error) { stuck(i); return i, nil }, opts...)
				return err
			},
			"managed": func(ctx context.Context, c *mpi.Comm, stuck func(int), opts ...split.Option) error {
				l := split.Managed(ctx, c, 20, opts...)
				for i := range l.All() {
					stuck(i)
				}
				return l.Err()
			},
		} {
			t.Run(fmt.Sprint(name, ranks), func(t *testing.T) {
				t.Parallel()
				forever := make(chan struct{})
				var at atomic.Int32
				ended := make(chan error, 1)
				go func() {
					ended <- mpi.RunLocal(t.Context(), ranks, func(ctx context.Context, c *mpi.Comm) error {
						return loop(ctx, c, func(i int) {
							if i == 7 {
								at.Store(int32(c.Rank()))
								<-forever
							}
						}, split.TaskTimeout(10*time.Millisecond), split.Grace(20*time.Millisecond), split.Keys(func(i int) string { return fmt.Sprint("k", i) }))
					})
				}()
				if name == "managed" { // RunLocal waits for the body
					time.AfterFunc(time.Second, func() { close(forever) })
				} else {
					defer close(forever)
				}
				select {
				case err := <-ended:
					require.ErrorIs(t, err, mpi.ErrAborted)
					require.ErrorContains(t, err, "item 7 (k7) has not ended on rank "+fmt.Sprint(at.Load()))
					require.ErrorContains(t, err, "20ms after its TaskTimeout of 10ms: the rank is given up")
				case <-time.After(time.Minute):
					t.Fatal("the job goes on")
				}
			})
		}
	}
}
