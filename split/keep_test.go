package split_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/journal"
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

// A burst of small results is in the journal as it was delivered, though rank 0 encodes
// its own in the same memory again and again.
func TestJournalOfABurst(t *testing.T) {
	const n = 20_000
	result := func(_ context.Context, i int) ([]byte, error) {
		return fmt.Appendf(nil, "%d:%100d", i, i*i), nil
	}
	want := make([][]byte, n)
	for i := range want {
		want[i], _ = result(nil, i)
	}
	for _, ranks := range []int{1, 3} {
		path := filepath.Join(t.TempDir(), "journal")
		for _, work := range []func(context.Context, int) ([]byte, error){
			result,
			func(context.Context, int) ([]byte, error) { return nil, errTask }, // there is nothing left to do
		} {
			errs := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				all, err := split.Collect(ctx, c, n, work, split.Journal(path))
				if c.IsRoot() {
					require.Equal(t, want, all)
				}
				return err
			})
			require.Equal(t, make([]error, ranks), errs)
		}
	}
}

// Earlier results come in index order with those of this run, however few may wait
// at the root, and whichever is missing.
func TestJournalOfMap(t *testing.T) {
	const n = 200
	for _, window := range []int{1, 3, 1000} {
		path := filepath.Join(t.TempDir(), "journal")
		bad := map[int]bool{0: true, 1: true, 57: true, 120: true, n - 1: true}
		work := func(_ context.Context, i int) (string, error) {
			if bad[i] {
				return "", errTask
			}
			return fmt.Sprint("item ", i), nil
		}
		ran := 0
		for _, ranks := range []int{2, 1, 3, 1} {
			var got []int
			err := errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
				r := split.Map(ctx, c, n, work, split.Journal(path), split.MaxFailures(n), split.Window(window))
				for i, v := range r.All() {
					got = append(got, i)
					require.Equal(t, fmt.Sprint("item ", i), v)
				}
				return r.Err()
			})[0]
			require.Equal(t, len(bad) > 0, err != nil, "%v", err)
			require.Len(t, got, n-len(bad))
			require.True(t, slices.IsSorted(got), "%v", got)
			delete(bad, []int{57, 0, n - 1}[min(ran, 2)])
			if ran++; ran == 3 {
				clear(bad)
			}
		}
	}
}

// A Managed loop goes on with the indices that no run has done. Of one that a rank
// was at when it left nobody knows.
func TestJournalOfManaged(t *testing.T) {
	const n = 50
	path := filepath.Join(t.TempDir(), "journal")
	var seen, left tally
	run := func(ranks, stop int) error {
		var mu sync.Mutex
		return errorsOf(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			loop := split.Managed(ctx, c, n, split.Journal(path), split.Chunk(1))
			for i := range loop.All() {
				seen.add(c.Rank(), i)
				mu.Lock()
				stop--
				over := stop <= 0
				mu.Unlock()
				if over {
					left.add(c.Rank(), i)
					break
				}
			}
			return loop.Err()
		})[0]
	}
	require.ErrorIs(t, run(3, 20), split.ErrIncomplete)
	require.ErrorIs(t, run(2, 10), split.ErrIncomplete)
	require.NoError(t, run(4, n))
	require.Equal(t, slices.Sorted(slices.Values(append(upTo(n), left.sorted()...))), seen.sorted(), "each index once, and those that were left again")
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
		require.ErrorContains(t, err, "split: Collect: on rank 0 (", "all ranks have it, and one of them opens the file")
	}
	other := filepath.Join(dir, "other")
	require.NoError(t, sizes(t, other))
	require.ErrorContains(t, moreSizes(t, other),
		"results are of type split_test.size: split_test.size is {Files int}, this job's split_test.size: split_test.size is {Files int; Bytes int64}; name another")
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, before, after)
	_, err = interrupted(t, filepath.Join(dir, "none", "journal"), 2, 10, 10, ran)
	require.ErrorIs(t, err, os.ErrNotExist)
}

func sizes(t *testing.T, path string) error {
	type size struct{ Files int }
	return onlyError[size](t, path)
}

// moreSizes is sizes as it is after somebody has edited the program.
func moreSizes(t *testing.T, path string) error {
	type size struct {
		Files int
		Bytes int64
	}
	return onlyError[size](t, path)
}

func onlyError[R any](t *testing.T, path string) error {
	return errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		_, err := split.Collect(ctx, c, 3, func(context.Context, int) (v R, err error) { return v, nil }, split.Journal(path))
		return err
	})[0]
}

// Two loops on one journal at once: the second is refused in one line, and the first
// goes on.
func TestJournalInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	onRanks(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		first := split.Managed(ctx, c, 10, split.Journal(path))
		second := split.Managed(ctx, c, 10, split.Journal(path))
		for range second.All() {
			return errors.New("an index of a loop that was refused")
		}
		if err := second.Err(); err == nil || !strings.HasSuffix(err.Error(), path+": it is open already, in another job or another loop; let that one end, or name another file") {
			return fmt.Errorf("it was not refused: %w", err)
		}
		for range first.All() {
		}
		return first.Err()
	})
}

// Whoever has ranged over a loop may leave its Err alone: the journal is free again.
func TestJournalWithoutErr(t *testing.T) {
	path := filepath.Join(t.TempDir(), "journal")
	for _, ranks := range []int{1, 3} {
		onRanks(t, ranks, func(ctx context.Context, c *mpi.Comm) error {
			r := split.Map(ctx, c, 10, func(_ context.Context, i int) (int, error) { return i, nil }, split.Journal(path))
			for range r.All() {
			}
			return c.Barrier(ctx)
		})
		require.Eventually(t, func() bool {
			j, _, err := journal.Open(path, journal.Header{Items: 10, Result: "int"}, journal.Run{}, nil)
			return err == nil && j.Close() == nil
		}, time.Minute, time.Millisecond)
	}
}
