package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

// Ranks of one host share memory, unless they are told to use sockets.
func TestSharedMemoryOverEveryTransport(t *testing.T) {
	const each = 10_000
	mpitest.Run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		name := ""
		m, err := c.ShareMemory(100)
		sockets := os.Getenv("DLP_TRANSPORT") != "auto" && c.Backend() == "embedded"
		switch {
		case sockets || runtime.GOOS != "linux" && c.Backend() == "embedded":
			if !errors.Is(err, mpi.ErrNoMemory) {
				return fmt.Errorf("error %v", err)
			}
			return nil
		case err != nil:
			return err
		}
		name, err = mpi.Bcast(ctx, c, 0, m.Name)
		if err != nil {
			return err
		}
		mem, err := c.OpenMemory(name)
		if err != nil || len(mem) != 100 {
			return fmt.Errorf("%d bytes, error %v", len(mem), err)
		}
		sum := (*atomic.Int64)(unsafe.Pointer(&mem[0]))
		for range each {
			sum.Add(1)
		}
		if err := c.Barrier(ctx); err != nil {
			return err
		}
		if got := sum.Load(); got != int64(each*c.Size()) {
			return fmt.Errorf("the sum is %d", got)
		}
		for _, name := range []string{"", "77", "-1 5 x", "0 9999999 x"} {
			if _, err := c.OpenMemory(name); !errors.Is(err, mpi.ErrNoMemory) {
				return fmt.Errorf("OpenMemory(%q): %v", name, err)
			}
		}
		return nil
	})
}
