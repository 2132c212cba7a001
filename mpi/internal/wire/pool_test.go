//go:build !race

package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Under the race detector pools forget at random.
func TestBodiesAreUsedAgain(t *testing.T) {
	for _, n := range []int{1, 8, 1000, 1 << 20, 4<<20 - 1} {
		require.Less(t, testing.AllocsPerRun(100, func() { wire.FreeBody(wire.NewBody(n)) }), 1., "%d bytes", n)
	}
}
