package wire_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

func TestBodiesHaveTheirLength(t *testing.T) {
	for _, n := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 1<<20 + 1, 4 << 20, 4<<20 + 1} {
		for range 3 { // a new one, and one that was used
			b := wire.NewBody(n)
			require.Len(t, b, n)
			for i := range b {
				b[i] = 1
			}
			wire.FreeBody(b)
		}
	}
	wire.FreeBody(nil)
}
