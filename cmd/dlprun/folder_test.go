//go:build unix

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A folder goes when its job is over: not before, and no folder that is none of a job.
func TestLeftOvers(t *testing.T) {
	tmp := t.TempDir()
	running, lock, err := jobFolder(tmp)
	require.NoError(t, err)
	over, free, err := jobFolder(tmp)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(over, "hub"), nil, 0o600))
	require.NoError(t, free.Close())
	foreign := filepath.Join(tmp, folderPrefix+"results")
	require.NoError(t, os.Mkdir(foreign, 0o700))
	linked := filepath.Join(tmp, folderPrefix+"link")
	require.NoError(t, os.Mkdir(linked, 0o700))
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(linked, lockName)))

	next, another, err := jobFolder(tmp)
	require.NoError(t, err)
	require.NoDirExists(t, over)
	for _, stays := range []string{running, next, foreign, linked} {
		require.DirExists(t, stays)
	}
	require.NoError(t, lock.Close())
	require.NoError(t, another.Close())
	removeLeftOvers(tmp, os.RemoveAll)
	require.NoDirExists(t, running)
	require.NoDirExists(t, next)
}

// A folder that is being made, and is not locked yet, may go while others look for what
// is left over; then another one is made. One that jobFolder has given out stays. The
// test lasts until it has happened many times that one was taken while it was made.
func TestFoldersMadeAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU())) // so that they are interrupted anywhere
	const often = 10
	tmp := t.TempDir()
	var taken atomic.Int32
	take := func(folder string) error {
		other, err := os.Open(filepath.Join(folder, lockName))
		if err != nil {
			return nil // it was over, and is gone
		}
		defer other.Close()
		if tryLock(other) {
			t.Error("whoever makes a folder may lock it while it is removed")
		}
		taken.Add(1)
		return os.RemoveAll(folder)
	}
	over := make(chan struct{})
	var others sync.WaitGroup
	defer others.Wait()
	defer close(over)
	for range 4 {
		others.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					removeLeftOvers(tmp, take)
				}
			}
		})
	}
	for start := time.Now(); taken.Load() < often; {
		folder, lock, err := jobFolder(tmp)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "hub"), nil, 0o600), "a folder was given out that is gone")
		require.NoError(t, os.RemoveAll(folder)) // before others can: all that they take were being made
		require.NoError(t, lock.Close())
		require.Less(t, time.Since(start), watchdog, "only %d were taken", taken.Load())
	}
}
