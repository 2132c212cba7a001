//go:build !unix

package mpi

import (
	"os"
	"syscall"
)

// stopSignals ask a job to come to an end.
func stopSignals() []os.Signal { return []os.Signal{syscall.SIGTERM} }
