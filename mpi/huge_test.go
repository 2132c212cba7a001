package mpi_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// hugeLen is more than an int32 counts.
const hugeLen = 1<<31 + 1

// hugeMessage is a rank that sends, or receives, one message of hugeLen bytes.
func hugeMessage() {
	mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
		const step = 1 << 20 // every so often there is a mark
		if c.IsRoot() {
			b := make([]byte, hugeLen)
			for at := 0; at+8 < len(b); at += step {
				binary.LittleEndian.PutUint64(b[at:], uint64(at))
			}
			b[hugeLen-1] = 7
			return c.Send(ctx, 1, 0, b)
		}
		b, _, err := c.Recv(ctx, 0, 0)
		if err != nil {
			return err
		}
		for at := 0; at+8 < len(b); at += step {
			if got := binary.LittleEndian.Uint64(b[at:]); got != uint64(at) {
				return fmt.Errorf("%d at %d", got, at)
			}
		}
		fmt.Println(len(b), b[len(b)-1])
		return nil
	})
}

func TestHugeMessage(t *testing.T) {
	if raceEnabled {
		return // it takes long and shows nothing that a small one does not
	}
	j := startJob(t, 2, "huge", true)
	outcomes := j.wait(t)
	require.Zero(t, outcomes[0].status)
	require.Equal(t, fmt.Sprintln(hugeLen, 7), outcomes[1].out)
}
