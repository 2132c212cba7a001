package mpitest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/dlprun/dlp/mpi"
)

// worldEnv makes a test binary a rank of the job that a launcher has started.
const worldEnv = "DLP_MPITEST_WORLD"

// world is the job that this process is a rank of, by worldEnv; set before any
// test runs.
var world *mpi.Comm

// World lets tests run on the ranks of a job that some launcher has started,
// instead of jobs of Run's own: compile the tests, and start the binary with
// DLP_MPITEST_WORLD=1, as in
//
//	go test -c -o sum.test && DLP_MPITEST_WORLD=1 mpiexec -np 4 ./sum.test -test.run '^TestSum$'
//
// Each body then runs on the first of its ranks; those for more ranks than there
// are are skipped. Select tests that consist of Run alone; others would run on
// each rank by itself. World goes around the m of TestMain; without the variable
// it does nothing.
func World(m interface{ Run() int }) interface{ Run() int } {
	if os.Getenv(worldEnv) == "" {
		return m
	}
	return inWorld{m}
}

type inWorld struct{ m interface{ Run() int } }

// Run runs the tests between Init and Finalize.
func (w inWorld) Run() int {
	ctx, cancel := context.WithTimeout(context.Background(), Bound)
	defer cancel()
	var err error
	if world, err = mpi.Init(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	status := w.m.Run()
	if status == 0 {
		err = world.Finalize(context.Background())
	}
	if status != 0 || err != nil {
		world.Abort(status, fmt.Sprintf("its tests failed: %v", err))
	}
	return 0
}

// onWorld runs body on the first n ranks of the world, while the others wait.
func onWorld(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) {
	if n > world.Size() {
		t.Skipf("it takes %d ranks, of which there are %d", n, world.Size())
	}
	ctx, cancel := context.WithTimeout(t.Context(), Bound)
	defer cancel()
	err := errors.New("its body has not returned")
	defer func() { // deferred, since nothing else runs after a Goexit or a panic
		if err != nil { // the others wait for this rank: there is no going on
			world.Abort(1, fmt.Sprintf("%s: %v", t.Name(), err))
		}
	}()
	color := 0
	if world.Rank() >= n {
		color = -1
	}
	c, failed := world.Split(ctx, color, 0)
	if failed == nil && c != nil {
		failed = body(ctx, c)
	}
	if failed == nil {
		failed = world.Barrier(ctx)
	}
	err = failed
}
