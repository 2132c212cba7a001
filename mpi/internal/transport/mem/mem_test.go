package mem_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/transport/mem"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestConformance(t *testing.T) {
	transporttest.Run(t, transporttest.Harness{New: func(t *testing.T, n int) (ts []transport.Transport) {
		for _, tr := range mem.New(n) {
			ts = append(ts, tr)
		}
		return ts
	}})
}
