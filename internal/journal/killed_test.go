//go:build unix

package journal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// killedAt is set for a test binary that is to append to a journal until it kills
// itself: the file, whether the batches are large, which write, and how many bytes of
// it are still written.
const killedAt = "DLP_TEST_KILLED_AT"

func TestMain(m *testing.M) {
	if os.Getenv(killedAt) != "" {
		fmt.Fprintln(os.Stderr, appendUntilKilled())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const appends = 5

func appendUntilKilled() error {
	var path string
	var large bool
	k := killer{}
	if _, err := fmt.Sscan(os.Getenv(killedAt), &path, &large, &k.write, &k.bytes); err != nil {
		return err
	}
	batch := batchOf
	if large {
		batch = largeOf
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	k.File = f
	j, _, err := open(&k, job, run, nil)
	for n := 0; n < appends && err == nil; n++ {
		err = j.Append(batch(n))
	}
	return errors.Join(err, errors.New("not killed"))
}

// A killer is a file whose process dies in the middle of a write.
type killer struct {
	*os.File
	write int // which, from 0
	bytes int // of it, that still get to the file
}

func (k *killer) Write(b []byte) (int, error) {
	if k.write--; k.write >= 0 {
		return k.File.Write(b)
	}
	if _, err := k.File.Write(b[:min(k.bytes, len(b))]); err != nil {
		return 0, err
	}
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// kill -9 in each append, at several points of it: what was appended before is
// whole, and the next run goes on behind it.
func TestKilledAtEveryAppend(t *testing.T) {
	t.Run("small", func(t *testing.T) { killedAtEveryAppend(t, false, 1, batchOf) })
	t.Run("large", func(t *testing.T) { killedAtEveryAppend(t, true, 2, largeOf) })
}

// killedAtEveryAppend does so with batches that take so many writes each.
func killedAtEveryAppend(t *testing.T, large bool, writes int, batch func(k int) Batch) {
	for write := range appends*writes + 1 {
		for _, bytes := range []int{0, 1, frameLen - 1, frameLen, frameLen + 1, 1 << 20} {
			path := filepath.Join(t.TempDir(), "j")
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %t %d %d", killedAt, path, large, write, bytes))
			out, err := c.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, "%s", out)
			require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal(), "%s", out)

			whole := write // writes; the first is of the header and the run
			if bytes == 1<<20 {
				whole++
			}
			var want []Batch
			for k := range max(whole-1, 0) / writes {
				want = append(want, batch(k))
			}
			var got []Batch
			j, _, err := Open(path, job, run, collect(&got))
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.NoError(t, j.Append(batch(len(want))))
			require.NoError(t, j.Close())

			got = nil
			extent, err := ScanFile(path, Visitor{Batch: collect(&got)})
			require.NoError(t, err)
			require.Zero(t, extent.Torn)
			require.Len(t, got, len(want)+1)
			for k := range got {
				got[k].Run = 1
				require.Equal(t, batch(k), got[k])
			}
		}
	}
}
