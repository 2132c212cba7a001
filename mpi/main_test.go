package mpi_test

import (
	"context"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

// roleEnv makes the test binary a rank of a job that a test has started: it
// names an entry of roles.
const roleEnv = "DLP_TEST_ROLE"

func TestMain(m *testing.M) {
	if role, ok := roles[os.Getenv(roleEnv)]; ok {
		role()
		os.Exit(0)
	}
	goleak.VerifyTestMain(mpitest.World(m))
}

// bounded returns a ctx that ends a test which hangs.
func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// local runs body on n ranks of this process.
func local(t testing.TB, n int, body func(ctx context.Context, c *mpi.Comm) error) error {
	t.Helper()
	return mpi.RunLocal(bounded(t), n, body)
}
