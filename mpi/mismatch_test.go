package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

type deed struct {
	name string
	do   func(ctx context.Context, c *mpi.Comm) error
}

// deeds are collective operations of which every two are different.
var deeds = []deed{
	{"Barrier", func(ctx context.Context, c *mpi.Comm) error { return c.Barrier(ctx) }},
	{"Finalize", func(ctx context.Context, c *mpi.Comm) error { return c.Finalize(ctx) }},
	{"Bcast(root 0, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Bcast(ctx, c, 0, 1)) }},
	{"Bcast(root 1, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Bcast(ctx, c, 1, 1)) }},
	{"Bcast(root 0, string)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Bcast(ctx, c, 0, "")) }},
	{"Gather(root 0, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Gather(ctx, c, 0, 1)) }},
	{"Gather(root 1, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Gather(ctx, c, 1, 1)) }},
	{"Scatter(root 0, int)", func(ctx context.Context, c *mpi.Comm) error {
		return drop(mpi.Scatter(ctx, c, 0, make([]int, c.Size())))
	}},
	{"Allgather(root 0, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Allgather(ctx, c, 1)) }},
	{"Reduce(root 0, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Reduce(ctx, c, 0, 1, mpi.Sum[int])) }},
	{"Allreduce(root 0, int)", func(ctx context.Context, c *mpi.Comm) error { return drop(mpi.Allreduce(ctx, c, 1, mpi.Sum[int])) }},
	{"ReduceSlice[OpSum](root 0, []int)", func(ctx context.Context, c *mpi.Comm) error {
		return drop(mpi.ReduceSlice(ctx, c, 0, []int{1}, mpi.OpSum))
	}},
	{"ReduceSlice[OpMax](root 0, []int)", func(ctx context.Context, c *mpi.Comm) error {
		return drop(mpi.ReduceSlice(ctx, c, 0, []int{1}, mpi.OpMax))
	}},
	{"AllreduceSlice[OpSum](root 0, []int)", func(ctx context.Context, c *mpi.Comm) error {
		return drop(mpi.AllreduceSlice(ctx, c, []int{1}, mpi.OpSum))
	}},
	{"OnRoot(root 0, int)", func(ctx context.Context, c *mpi.Comm) error {
		return drop(mpi.OnRoot(ctx, c, func(context.Context) (int, error) { return 1, nil }))
	}},
	{"Split", func(ctx context.Context, c *mpi.Comm) error { return drop(c.Split(ctx, 0, 0)) }},
	{"Dup", func(ctx context.Context, c *mpi.Comm) error { // sends nothing by itself
		d, err := c.Dup(ctx)
		if err != nil {
			return err
		}
		return d.Barrier(ctx)
	}},
	{"library.Loop", func(ctx context.Context, c *mpi.Comm) error {
		p, err := c.Private("library.Loop", 0)
		if err != nil {
			return err
		}
		defer p.Free()
		_, _, err = p.Recv(ctx, (c.Rank()+1)%c.Size(), 0)
		return err
	}},
}

func drop[T any](_ T, err error) error { return err }

// Every two different calls, on 2 ranks and with each of 3 ranks as the odd one
// out, are found out. The two ranks that are named have called what is said of
// them, in this file.
func TestMismatch(t *testing.T) {
	ctx := bounded(t)
	var jobs sync.WaitGroup
	for i, a := range deeds {
		for _, b := range deeds[i+1:] {
			for n := 2; n <= 3; n++ {
				for odd := range n {
					jobs.Go(func() {
						if err := mismatch(ctx, n, odd, a, b); err != nil {
							t.Errorf("%s and, on rank %d of %d, %s: %v", a.name, odd, n, b.name, err)
						}
					})
				}
			}
		}
	}
	jobs.Wait()
}

// mismatch lets rank odd do b, the others a, and judges what they get.
func mismatch(ctx context.Context, n, odd int, a, b deed) error {
	did := func(rank int) deed {
		if rank == odd {
			return b
		}
		return a
	}
	errs := make([]error, n)
	err := mpi.RunLocal(ctx, n, func(ctx context.Context, c *mpi.Comm) error {
		err := did(c.Rank()).do(ctx, c)
		if err == nil && did(c.Rank()).name != "Finalize" {
			err = c.Finalize(ctx) // a call that need not wait is found out later
		}
		errs[c.Rank()] = err
		return err
	})
	var m *mpi.MismatchError
	if !errors.As(err, &m) {
		return fmt.Errorf("RunLocal returns %w", err)
	}
	if ctx.Err() != nil {
		return errors.New("it hangs")
	}
	for r, err := range errs {
		var m *mpi.MismatchError
		var gone *mpi.RankError
		switch {
		case err == nil: // it was through before anybody knew
			continue
		case errors.As(err, &m):
		case errors.As(err, &gone):
			continue
		default:
			return fmt.Errorf("rank %d gets %w", r, err)
		}
		if m.Seq > 1 { // found out at a later call
			continue
		}
		for i, r := range m.Ranks {
			if call := m.Calls[i]; !strings.HasPrefix(call, did(r).name) || !strings.Contains(call, " at mpi/mismatch_test.go:") {
				return fmt.Errorf("rank %d is said to have called %q", r, call)
			}
		}
		if m.Ranks[0] != odd && m.Ranks[1] != odd {
			return fmt.Errorf("it is between ranks %v", m.Ranks)
		}
	}
	return nil
}

func TestMismatchText(t *testing.T) {
	err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			return c.Barrier(ctx)
		}
		_, err := mpi.Gather(ctx, c, 1, record{})
		return err
	})
	require.ErrorContains(t, err, "mpi: ranks disagree about collective call 1: rank 0 called Barrier at mpi/mismatch_test.go:")
	require.ErrorContains(t, err, ", rank 1 called Gather(root 1, mpi_test.record) at mpi/mismatch_test.go:")
}

// Who finds out tells the other one, which may be in a later call by then and would wait
// for an answer.
func TestMismatchIsTold(t *testing.T) {
	told := make(chan struct{})
	var errs [2]error
	err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			_, errs[0] = mpi.Gather(ctx, c, 0, 1)
			select {
			case <-told:
			case <-ctx.Done():
			}
			return errs[0]
		}
		_, err := mpi.Reduce(ctx, c, 0, 1, mpi.Sum[int]) // which does not wait
		if err == nil {
			err = c.Barrier(ctx)
		}
		errs[1] = err
		close(told)
		return err
	})
	require.Error(t, err)
	for _, err := range errs {
		var m *mpi.MismatchError
		require.ErrorAs(t, err, &m)
		require.Equal(t, errs[0].Error(), m.Error())
	}
}

// Ranks of a job of processes tell each other too.
func TestMismatchOfProcesses(t *testing.T) {
	for role, calls := range map[string][2]string{
		"mismatch Barrier Bcast":   {"Barrier at ", "Bcast(root 0, int) at "},
		"mismatch Barrier Gather":  {"Barrier at ", "Gather(root 0, int) at "},
		"mismatch Finalize Gather": {"Finalize at ", "Gather(root 0, int) at "},
	} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			j := startJob(t, 2, role, true)
			for r, o := range j.wait(t) {
				require.NotZero(t, o.status, "rank %d", r)
			}
			require.NotEmpty(t, j.failures())
			reason := j.failures()[0].Reason
			for _, call := range calls {
				require.Contains(t, reason, call)
			}
			require.Contains(t, reason, "mpi/mismatch_test.go:")
		})
	}
}

// A rank that has given a call up says so to those who wait in it.
func TestGivenUpCall(t *testing.T) {
	waiting := make(chan struct{})
	for name, early := range map[string]bool{"before the other asks": true, "after": false} {
		t.Run(name, func(t *testing.T) {
			err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
				if !c.IsRoot() {
					if early {
						<-waiting
					}
					return c.Barrier(ctx)
				}
				soon, cancel := context.WithTimeout(ctx, 1)
				defer cancel()
				if !early {
					cancel()
				}
				if err := c.Barrier(soon); err == nil {
					return errors.New("a barrier of one")
				}
				if early {
					close(waiting)
				}
				return c.Barrier(ctx) // another one
			})
			var m *mpi.MismatchError
			require.ErrorAs(t, err, &m)
			require.Contains(t, m.Calls[0], "Barrier, and gave it up, at mpi/mismatch_test.go:")
		})
	}
}

// Types with endless names are told apart, and are no mismatch by themselves.
func TestLongTypeNames(t *testing.T) {
	type long = struct {
		Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa [7][7][7]int
		Bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb struct {
			Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa string
			Bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb string
		}
		Ccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc int
	}
	type other = struct {
		Long long
		Last string
	}
	type another = struct {
		Long long
		Last int
	}
	require.NoError(t, local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := mpi.Bcast(ctx, c, 0, other{})
		return err
	}))
	err := local(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			return drop(mpi.Bcast(ctx, c, 0, other{}))
		}
		return drop(mpi.Bcast(ctx, c, 0, another{}))
	})
	var m *mpi.MismatchError
	require.ErrorAs(t, err, &m)
}
