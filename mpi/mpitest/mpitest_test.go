package mpitest_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mpitest.World(m)) }

// sum is a body that a test might have.
func sum(ctx context.Context, c *mpi.Comm) error {
	total, err := mpi.Allreduce(ctx, c, c.Rank()+1, mpi.Sum[int])
	if err == nil && total != c.Size()*(c.Size()+1)/2 {
		err = fmt.Errorf("the sum is %d", total)
	}
	return err
}

func TestRun(t *testing.T) {
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n, " ranks/of a job"), func(t *testing.T) { // names with blanks and slashes
			mpitest.Run(t, n, sum)
			mpitest.Run(t, n, func(ctx context.Context, c *mpi.Comm) error { // a second one
				for _, name := range []string{"DLP_RANK", "DLP_SECRET", "DLP_RENDEZVOUS", "DLP_MPITEST"} {
					if os.Getenv(name) != "" {
						return fmt.Errorf("%s is left in the environment", name)
					}
				}
				return sum(ctx, c)
			})
		})
	}
}

// In a file of tests, with TestSum instead of ExampleRun:
func ExampleRun() {
	TestSum := func(t *testing.T) {
		mpitest.Run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
			total, err := mpi.Allreduce(ctx, c, c.Rank(), mpi.Sum[int])
			if err == nil && total != 3 {
				err = fmt.Errorf("the sum is %d, want 3", total)
			}
			return err
		})
	}
	fmt.Printf("go test runs %T over %v\n", TestSum, mpitest.Transports)
	// Output: go test runs func(*testing.T) over [inproc auto unix tcp]
}

// In a file of tests, instead of ExampleWorld:
func ExampleWorld() {
	TestMain := func(m *testing.M) { os.Exit(mpitest.World(m).Run()) }
	fmt.Printf("with %T, go test -c makes a program for mpiexec too\n", TestMain)
	// Output: with func(*testing.M), go test -c makes a program for mpiexec too
}
