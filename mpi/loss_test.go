package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// needy are operations that can't do without a lost rank.
var needy = map[string]func(ctx context.Context, c *mpi.Comm, victim int) error{
	"Gather": func(ctx context.Context, c *mpi.Comm, _ int) error {
		_, err := mpi.Gather(ctx, c, 0, c.Rank())
		return err
	},
	"Bcast": func(ctx context.Context, c *mpi.Comm, _ int) error {
		_, err := mpi.Bcast(ctx, c, 1, c.Rank())
		return err
	},
	"Allreduce": func(ctx context.Context, c *mpi.Comm, _ int) error {
		_, err := mpi.Allreduce(ctx, c, 1, mpi.Sum[int])
		return err
	},
	"Split": func(ctx context.Context, c *mpi.Comm, _ int) error { _, err := c.Split(ctx, 0, 0); return err },
	"Recv": func(ctx context.Context, c *mpi.Comm, victim int) error {
		_, _, err := c.Recv(ctx, victim, 1)
		return err
	},
	"Recv from any": func(ctx context.Context, c *mpi.Comm, victim int) error {
		_, status, err := c.Recv(ctx, mpi.AnySource, 1)
		if status.Source != victim {
			return fmt.Errorf("lost is %d: %w", status.Source, err)
		}
		return err
	},
	"Together": func(ctx context.Context, c *mpi.Comm, victim int) error {
		d, err := c.Dup(ctx)
		if err != nil {
			return err
		}
		d.Together()
		other := (c.Rank() + 1) % c.Size()
		if other == victim {
			other = (other + 1) % c.Size()
		}
		_, _, err = d.Recv(ctx, other, 1)
		return err
	},
}

func init() {
	for name, op := range needy {
		roles["loss in "+name] = func() { bereft(op) }
	}
	roles["loss among barriers"] = func() { bereft(nil) }
}

// bereft is a rank of a job that goes on when one of them dies. The others find that
// out in op, on a communicator of its own, since some are through it before they do.
func bereft(op func(ctx context.Context, c *mpi.Comm, victim int) error) {
	victim, err := strconv.Atoi(os.Getenv("VICTIM"))
	if err != nil {
		panic(err)
	}
	mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
		if !c.GoesOn() {
			return errors.New("the job does not go on")
		}
		apart, err := c.Dup(ctx)
		if err != nil {
			return err
		}
		for i := range 20 {
			if i == 5 && c.Rank() == victim {
				return deaths["SIGKILL"].die()
			}
			if i == 5 && op != nil {
				for err == nil {
					err = op(ctx, apart, victim)
				}
				var gone *mpi.RankError
				fmt.Println(errors.As(err, &gone) && gone.Rank == victim && gone.Host != "" && gone.Op != "", err)
			}
			if err := c.Barrier(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestJobGoesOnWithoutARank(t *testing.T) {
	const n = 4
	check := func(t *testing.T, role string, victim int, op bool) {
		j := startJob(t, n, role, false, "VICTIM="+strconv.Itoa(victim), "DLP_ON_FAILURE=continue")
		for r, o := range j.wait(t) {
			if r == victim {
				continue
			}
			require.Zero(t, o.status, "rank %d", r)
			require.Equal(t, op, strings.HasPrefix(o.out, "true "), "rank %d: %s", r, o.out)
			if r == 0 {
				require.Contains(t, o.err, fmt.Sprintf("without what it has lost on the way: rank %d\n", victim))
			}
		}
	}
	for _, victim := range []int{1, 3} {
		for name := range needy {
			t.Run(fmt.Sprint(name, victim), func(t *testing.T) {
				t.Parallel()
				check(t, "loss in "+name, victim, true)
			})
		}
		t.Run(fmt.Sprint("barriers", victim), func(t *testing.T) {
			t.Parallel()
			check(t, "loss among barriers", victim, false)
		})
	}
}

// Nobody goes on without rank 0, whatever was asked for.
func TestJobDoesNotGoOnWithoutRank0(t *testing.T) {
	j := startJob(t, 3, "loss among barriers", false, "VICTIM=0", "DLP_ON_FAILURE=continue")
	for r, o := range j.wait(t) {
		require.NotZero(t, o.status, "rank %d", r)
	}
}
