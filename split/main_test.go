package split_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/mpitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(mpitest.World(m)) }
