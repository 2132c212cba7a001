//go:build unix

package main

import (
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

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
	removeLeftOvers(tmp)
	require.NoDirExists(t, running)
	require.NoDirExists(t, next)
}

// A folder that is being made, and is not locked yet, must not go while others look for
// what is left over.
func TestFoldersMadeAtOnce(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(8 * runtime.NumCPU())) // so that they are interrupted anywhere
	tmp := t.TempDir()
	var jobs sync.WaitGroup
	for range 16 {
		jobs.Go(func() {
			for range 100 {
				folder, lock, err := jobFolder(tmp)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(folder, "hub"), nil, 0o600); err != nil {
					t.Error(err)
				}
				if err := lock.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	jobs.Wait()
	removeLeftOvers(tmp)
	left, err := os.ReadDir(tmp)
	require.NoError(t, err)
	require.Empty(t, left)
}
