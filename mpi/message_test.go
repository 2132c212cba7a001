package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

func TestOrderOfMessages(t *testing.T) {
	mpitest.Run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		const count = 500
		if !c.IsRoot() {
			for i := range count {
				if err := mpi.SendValue(ctx, c, 0, mpi.Tag(i%3), i); err != nil {
					return err
				}
			}
			return nil
		}
		// By tag first, against the order of arrival, then whatever comes.
		for i := 2; i < count; i += 3 {
			if got, _, err := mpi.RecvValue[int](ctx, c, 1, 2); err != nil || got != i {
				return fmt.Errorf("tag 2 of rank 1: %d, want %d: %w", got, i, err)
			}
		}
		next := map[int]int{}
		for range 2*count - count/3 {
			got, s, err := mpi.RecvValue[int](ctx, c, mpi.AnySource, mpi.AnyTag)
			if err != nil {
				return err
			}
			if s.Source == 1 && next[1]%3 == 2 {
				next[1]++
			}
			if got != next[s.Source] || s.Tag != mpi.Tag(got%3) || s.Len != 8 {
				return fmt.Errorf("%+v: %d, want %d", s, got, next[s.Source])
			}
			next[s.Source]++
		}
		return nil
	})
}

func TestManyGoroutines(t *testing.T) {
	mpitest.Run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		const pairs, count = 8, 100
		errs := make([]error, 2*pairs)
		var all sync.WaitGroup
		for g := range pairs {
			next, before := (c.Rank()+1)%c.Size(), (c.Rank()+2)%c.Size()
			all.Go(func() {
				for i := range count {
					errs[g] = errors.Join(errs[g], mpi.SendValue(ctx, c, next, mpi.Tag(g), i*pairs+g))
				}
			})
			all.Go(func() {
				for i := range count {
					got, _, err := mpi.RecvValue[int](ctx, c, before, mpi.Tag(g))
					if err == nil && got != i*pairs+g {
						err = fmt.Errorf("goroutine %d: %d, want %d", g, got, i*pairs+g)
					}
					errs[pairs+g] = errors.Join(errs[pairs+g], err)
				}
			})
		}
		all.Wait()
		return errors.Join(errs...)
	})
}

func TestSelfSend(t *testing.T) {
	mpitest.Run(t, 1, func(ctx context.Context, c *mpi.Comm) error {
		for i := range 100 {
			if err := mpi.SendValue(ctx, c, 0, 0, i); err != nil {
				return err
			}
		}
		for i := range 100 {
			if got, _, err := mpi.RecvValue[int](ctx, c, 0, 0); err != nil || got != i {
				return fmt.Errorf("%d, want %d: %w", got, i, err)
			}
		}
		return nil
	})
}

func TestRecvIntoKeepsWhatDoesNotFit(t *testing.T) {
	require.NoError(t, local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			return errors.Join(c.Send(ctx, 0, 5, []byte("hello")), c.Send(ctx, 0, 5, nil))
		}
		s, err := c.RecvInto(ctx, 1, mpi.AnyTag, make([]byte, 4))
		require.ErrorIs(t, err, mpi.ErrTruncated)
		require.EqualError(t, err, "mpi: RecvInto: the message is longer than the buffer: 5 bytes for a buffer of 4")
		require.Equal(t, mpi.Status{Source: 1, Tag: 5, Len: 5}, s)
		buf := make([]byte, s.Len)
		s, err = c.RecvInto(ctx, s.Source, s.Tag, buf)
		require.NoError(t, err)
		require.Equal(t, "hello", string(buf[:s.Len]))
		s, err = c.RecvInto(ctx, 1, 5, nil)
		require.NoError(t, err)
		require.Zero(t, s.Len)
		return nil
	}))
}

func TestBadArguments(t *testing.T) {
	const n = 2
	require.NoError(t, local(t, n, func(ctx context.Context, c *mpi.Comm) error {
		for want, f := range map[string]func() error{
			"mpi: Send: dst is 2; the communicator has ranks 0 to 1":      func() error { return c.Send(ctx, 2, 0, nil) },
			"mpi: Send: dst is -1; the communicator has ranks 0 to 1":     func() error { return c.Send(ctx, mpi.AnySource, 0, nil) },
			"mpi: Send: tag is -1; tags are 0 or more":                    func() error { return c.Send(ctx, 1, mpi.AnyTag, nil) },
			"mpi: SendValue: dst is 7; the communicator has ranks 0 to 1": func() error { return mpi.SendValue(ctx, c, 7, 0, 1) },
			"mpi: Recv: src is 2; the communicator has ranks 0 to 1":      func() error { _, _, err := c.Recv(ctx, 2, 0); return err },
			"mpi: Recv: src is -2; the communicator has ranks 0 to 1":     func() error { _, _, err := c.Recv(ctx, -2, 0); return err },
			"mpi: Recv: tag is -2; tags are 0 or more, or AnyTag":         func() error { _, _, err := c.Recv(ctx, 0, -2); return err },
			"mpi: RecvInto: src is 9; the communicator has ranks 0 to 1":  func() error { return drop(c.RecvInto(ctx, 9, 0, nil)) },
			"mpi: RecvValue: src is 9; the communicator has ranks 0 to 1": func() error { _, _, err := mpi.RecvValue[int](ctx, c, 9, 0); return err },
			"mpi: RunLocal: n is 0; a job has 1 rank or more":             func() error { return mpi.RunLocal(ctx, 0, nil) },
			"mpi: RunLocal: n is -1; a job has 1 rank or more":            func() error { return mpi.RunLocal(ctx, -1, nil) },
			"mpi: SendValue: chan int: cannot leave its process":          func() error { return mpi.SendValue(ctx, c, 1, 0, make(chan int)) },
			"mpi: RecvValue: chan int: cannot leave its process":          func() error { _, _, err := mpi.RecvValue[chan int](ctx, c, 1, 0); return err },
		} {
			require.ErrorContains(t, f(), want)
		}
		// A collective call fails alike on every rank, and the next one works.
		for _, f := range []struct {
			want string
			do   func() error
		}{
			{"mpi: Bcast: root is 2; the communicator has ranks 0 to 1", func() error { return drop(mpi.Bcast(ctx, c, 2, 1)) }},
			{"mpi: Gather: root is -1; the communicator", func() error { return drop(mpi.Gather(ctx, c, -1, 1)) }},
			{"mpi: Scatter: root is 2; the communicator", func() error { return drop(mpi.Scatter[int](ctx, c, 2, nil)) }},
			{"mpi: Reduce: root is 2; the communicator", func() error { return drop(mpi.Reduce(ctx, c, 2, 1, mpi.Sum[int])) }},
			{"mpi: ReduceSlice[OpSum]: root is 2; the communicator", func() error { return drop(mpi.ReduceSlice(ctx, c, 2, []int{1}, mpi.OpSum)) }},
			{"Op(9) is no operation; use OpSum, OpProd, OpMin or OpMax", func() error { return drop(mpi.AllreduceSlice(ctx, c, []int{1}, 9)) }},
			{"mpi: Finalize: this communicator is not the world", func() error { return finalizePart(ctx, c) }},
			{"mpi: Scatter: 3 values for 2 ranks; pass one for each", func() error { return drop(mpi.Scatter(ctx, c, 0, make([]int, 3))) }},
		} {
			require.ErrorContains(t, f.do(), f.want)
			require.NoError(t, c.Barrier(ctx))
		}
		return nil
	}))
}

func finalizePart(ctx context.Context, c *mpi.Comm) error {
	half, err := c.Split(ctx, c.Rank(), 0)
	if err != nil {
		return err
	}
	return half.Finalize(ctx)
}

// Every call that blocks ends with its ctx, with the cause of that.
func TestCancel(t *testing.T) {
	enough := errors.New("enough")
	for name, do := range map[string]func(ctx context.Context, c *mpi.Comm) error{
		"Recv": func(ctx context.Context, c *mpi.Comm) error { _, _, err := c.Recv(ctx, 1, 0); return err },
		"Recv any": func(ctx context.Context, c *mpi.Comm) error {
			_, _, err := c.Recv(ctx, mpi.AnySource, mpi.AnyTag)
			return err
		},
		"RecvInto": func(ctx context.Context, c *mpi.Comm) error { return drop(c.RecvInto(ctx, 1, 0, nil)) },
		"RecvValue": func(ctx context.Context, c *mpi.Comm) error {
			_, _, err := mpi.RecvValue[int](ctx, c, 1, 0)
			return err
		},
		"Barrier":   func(ctx context.Context, c *mpi.Comm) error { return c.Barrier(ctx) },
		"Bcast":     func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Bcast(ctx, c, 1, 1)) },
		"Gather":    func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Gather(ctx, c, 0, 1)) },
		"Scatter":   func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Scatter[int](ctx, c, 1, nil)) },
		"Allgather": func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Allgather(ctx, c, 1)) },
		"Reduce":    func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Reduce(ctx, c, 0, 1, mpi.Sum[int])) },
		"Allreduce": func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Allreduce(ctx, c, 1, mpi.Sum[int])) },
		"ReduceSlice": func(ctx context.Context, c *mpi.Comm) error {
			return drop(mpi.ReduceSlice(ctx, c, 0, []int{1}, mpi.OpSum))
		},
		"AllreduceSlice": func(ctx context.Context, c *mpi.Comm) error {
			return drop(mpi.AllreduceSlice(ctx, c, []int{1}, mpi.OpSum))
		},
		"Split":    func(ctx context.Context, c *mpi.Comm) error { return drop(c.Split(ctx, 0, 0)) },
		"Finalize": func(ctx context.Context, c *mpi.Comm) error { return c.Finalize(ctx) },
		"Send": func(ctx context.Context, c *mpi.Comm) error {
			for {
				if err := c.Send(ctx, 1, 0, make([]byte, 1<<20)); err != nil {
					return err
				}
			}
		},
		"OnRoot": func(ctx context.Context, c *mpi.Comm) error {
			return drop(mpi.OnRoot(ctx, c, func(ctx context.Context) (int, error) {
				<-ctx.Done()
				return 0, context.Cause(ctx)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			done := make(chan struct{})
			err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					<-done // it does not take part
					return nil
				}
				defer close(done)
				ctx, cancel := context.WithTimeoutCause(ctx, 1, enough)
				defer cancel()
				err := do(ctx, c)
				require.ErrorIs(t, err, enough)
				return err
			})
			require.ErrorIs(t, err, enough)
		})
	}
}

// A rank in Finalize sends nothing more: who waits for it hears so.
func TestRecvFromARankThatFinalizes(t *testing.T) {
	for name, src := range map[string]int{"from it": 1, "from any": mpi.AnySource} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := local(t, 3, func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					if err := c.Send(ctx, 0, 0, []byte("last words")); err != nil {
						return err
					}
					return nil // RunLocal finalizes
				}
				for range map[bool]int{true: 1, false: 2}[src == 1] {
					if _, _, err := c.Recv(ctx, src, 0); err != nil {
						return err
					}
				}
				_, _, err := c.Recv(ctx, src, 0)
				var gone *mpi.RankError
				require.ErrorAs(t, err, &gone)
				require.ErrorIs(t, err, mpi.ErrFinalized)
				require.Equal(t, "Recv", gone.Op)
				require.NotZero(t, gone.Rank)
				return nil
			})
			require.NoError(t, err)
		})
	}
}

// The same over sockets, where it needs a word between processes.
func TestRecvFromAProcessThatFinalizes(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if !c.IsRoot() {
			return nil
		}
		if _, _, err := c.Recv(ctx, 1, 0); !errors.Is(err, mpi.ErrFinalized) {
			return fmt.Errorf("Recv returns %w", err)
		}
		return nil
	})
}

func TestUseAfterFinalize(t *testing.T) {
	require.NoError(t, local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		d, err := c.Dup(ctx)
		require.NoError(t, err)
		require.NoError(t, c.Finalize(ctx))
		for _, err := range []error{
			c.Finalize(ctx), c.Barrier(ctx), d.Barrier(ctx), c.Send(ctx, 0, 0, nil), drop(mpi.Gather(ctx, c, 0, 1)),
			drop(c.RecvInto(ctx, 0, 0, nil)), drop(c.Dup(ctx)), drop(c.Split(ctx, 0, 0)), drop(c.Private("x", 0)),
		} {
			require.ErrorIs(t, err, mpi.ErrFinalized)
		}
		return nil
	}))
}
