//go:build unix

package launch_test

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func dup(t *testing.T, f *os.File) int {
	fd, err := syscall.Dup(int(f.Fd()))
	require.NoError(t, err)
	return fd
}
