package split_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

// interrupted runs a loop that stops after some items, on ranks, and returns how
// often each item has run and what the root got.
func interrupted(t *testing.T, path string, ranks, n, stop int, ran []int) ([]string, error) {
	t.Helper()
	var mu sync.Mutex
	left := stop
	var all []string
	errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
		got, err := split.Collect(ctx, c, n, func(_ context.Context, i int) (string, error) {
			mu.Lock()
			defer mu.Unlock()
			if left--; left < 0 {
				return "", errTask
			}
			ran[i]++
			return fmt.Sprint("item ", i), nil
		}, split.Journal(path), split.Chunk(1))
		if c.IsRoot() {
			all = got
		}
		return err
	})
	return all, errs[0]
}

// What an earlier run has done is not done again, whatever the number of ranks, and
// its results are delivered with the others.
func TestJournalGoesOn(t *testing.T) {
	const n = 60
	path := filepath.Join(t.TempDir(), "journal")
	ran := make([]int, n)
	for _, ranks := range []int{3, 1, 5, 2} {
		_, err := interrupted(t, path, ranks, n, 12, ran)
		var task *split.TaskError
		require.ErrorAs(t, err, &task)
	}
	all, err := interrupted(t, path, 4, n, n, ran)
	require.NoError(t, err)
	require.Len(t, all, n)
	once := 0
	for i := range all {
		require.Equal(t, fmt.Sprint("item ", i), all[i])
		if ran[i] == 1 {
			once++
		}
	}
	require.Greater(t, once, n/2, "items that ran once; others were in hand when their run failed")
	again, err := interrupted(t, path, 2, n, 0, ran)
	require.NoError(t, err, "nothing is left to do")
	require.Equal(t, all, again)
}

// A Managed loop goes on with the indices that no run has done.
func TestJournalOfManaged(t *testing.T) {
	const n = 50
	path := filepath.Join(t.TempDir(), "journal")
	var seen tally
	run := func(ranks, stop int) error {
		var mu sync.Mutex
		left := stop
		return errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.Managed(ctx, c, n, split.Journal(path), split.Chunk(1))
			for i := range loop.All() {
				seen.add(c.Rank(), i)
				mu.Lock()
				left--
				over := left <= 0
				mu.Unlock()
				if over {
					break
				}
			}
			return loop.Err()
		})[0]
	}
	require.ErrorIs(t, run(3, 20), split.ErrIncomplete)
	require.ErrorIs(t, run(2, 10), split.ErrIncomplete)
	require.NoError(t, run(4, n))
	require.Equal(t, upTo(n), seen.sorted(), "each index once")
}

func TestJournalOfAnotherJob(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "journal")
	ran := make([]int, 10)
	_, err := interrupted(t, path, 2, 10, 10, ran)
	require.NoError(t, err)
	before, err := os.ReadFile(path)
	require.NoError(t, err)
	_, err = interrupted(t, path, 2, 9, 9, ran)
	require.ErrorContains(t, err, "another job's: its number of items is 10, this job's 9")
	for _, err := range errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := split.Collect(ctx, c, 10, func(context.Context, int) (int, error) { return 0, errors.New("ran") }, split.Journal(path))
		return err
	}) {
		require.ErrorContains(t, err, "results are of type string, this job's int")
	}
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, err = interrupted(t, filepath.Join(dir, "none", "journal"), 2, 10, 10, ran)
	require.ErrorIs(t, err, os.ErrNotExist)
}
