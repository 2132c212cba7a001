//go:build !mpi

package mpi

import (
	"context"
	"errors"

	"github.com/dlprun/dlp/mpi/launch"
)

// joinLibrary is there for builds with -tags mpi; launch.Detect asks no other for
// it.
func joinLibrary(context.Context, launch.Job) (*Comm, error) {
	return nil, errors.New("this program was built without -tags mpi")
}
