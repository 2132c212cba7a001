package split

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// What was given to a keeper before its end is in the journal, however far its writing
// has come by then.
func TestKeeperEndsWithAllWritten(t *testing.T) {
	cfg := newConfig("Map", lineLen, []Option{Journal(filepath.Join(t.TempDir(), "journal"))})
	require.NoError(t, mpi.RunLocal(t.Context(), 1, func(_ context.Context, c *mpi.Comm) error {
		k, err := openKeeper(cfg, c)
		if err != nil {
			return err
		}
		for i := range lineLen {
			k.append(0, []int{i}, []byte("result"))
		}
		ended := make(chan error)
		go func() { ended <- k.close(false) }()
		time.Sleep(50 * time.Millisecond) // by then it waits
		k.write(func(error) {})
		if err := <-ended; err != nil {
			return err
		}
		again, err := openKeeper(cfg, c)
		if err != nil {
			return err
		}
		require.NotContains(t, again.done, false)
		return again.j.Close()
	}))
}
