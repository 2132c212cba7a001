package main

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/journal"
)

// journalOf makes a journal of two runs.
func journalOf(t *testing.T, head journal.Header, batches ...journal.Batch) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run.journal")
	for k := range 2 {
		run := journal.Run{Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local), Ranks: 4 - k}
		j, torn, err := journal.Open(path, head, run, nil)
		require.NoError(t, err)
		require.Zero(t, torn)
		for i := k; i < len(batches); i += 2 {
			require.NoError(t, j.Append(batches[i]))
		}
		require.NoError(t, j.Close())
	}
	return path
}

func TestJournalIsShown(t *testing.T) {
	batches := []journal.Batch{
		{Rank: 1, Indices: []int{0, 3}, Body: make([]byte, 50)},
		{Rank: 0, Indices: []int{9, 4}, Body: make([]byte, 20)},
		{Rank: 2, Indices: []int{3}, Body: make([]byte, 5)},
	}
	path := journalOf(t, journal.Header{Items: 12, Keys: 0xabc, Label: "sizes", Result: "int64"}, batches...)
	good := `run 1    2026-01-02 03:04:05, 4 ranks
run 2    2026-01-02 03:04:05, 3 ranks
loop     sizes
results  int64
keys     fingerprint abc
done     4 of 12 items, 75 bytes in 3 records
left     1-2, 5-8, 10-11
`
	l := dlprun(t, "journal", path)
	require.Zero(t, l.run())
	require.Equal(t, good, l.stdout.String())
	require.Empty(t, l.stderr.String())

	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(data, 1, 2, 3), 0o600))
	l = dlprun(t, "journal", path)
	require.Zero(t, l.run())
	require.Equal(t, good+"torn     3 bytes at the end, which the next run will cut off\n", l.stdout.String())

	data[40] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o600))
	l = dlprun(t, "journal", path)
	require.Equal(t, 1, l.run())
	require.Empty(t, l.stdout.String())
	require.Regexp(t, `^dlprun: the journal .*/run\.journal: it is damaged at byte 14, and goes on at byte \d+; restore it from a copy, or cut it off \(truncate -s 14\) to do the rest again\n$`, l.stderr.String())
}

// What the header says costs no memory.
func TestJournalOfManyItems(t *testing.T) {
	path := journalOf(t, journal.Header{Items: math.MaxInt}, journal.Batch{Indices: []int{7}})
	var out bytes.Buffer
	require.NoError(t, showJournal(&out, path))
	require.Contains(t, out.String(), "loop     (no label)\nresults  (none: it keeps what is done)\n")
	require.Contains(t, out.String(), "left     0-6, 8-9223372036854775806\n")
}

func TestNoJournal(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		return path
	}
	for _, c := range []struct{ path, says string }{
		{write("notes", "a,b,c\n"), dir + "/notes: it is no journal; name another file"},
		{dir, dir + ": it is not a regular file; name another one"},
		{os.DevNull, os.DevNull + ": it is not a regular file; name another one"},
		{dir + "/none", "stat " + dir + "/none: no such file or directory"},
	} {
		l := dlprun(t, "journal", c.path)
		require.Equal(t, 1, l.run())
		require.Empty(t, l.stdout.String())
		require.Regexp(t, `^dlprun: the journal:? .*\n$`, l.stderr.String())
		require.Contains(t, l.stderr.String(), c.says)
	}
	l := dlprun(t, "journal", write("empty", ""))
	require.Zero(t, l.run())
	require.Equal(t, "it is empty: no run has got as far as its first line\n", l.stdout.String())

	for _, args := range [][]string{{"journal"}, {"journal", ""}, {"journal", "a", "b"}, {"-n", "2", "journal", "a"}} {
		l := dlprun(t, args...)
		require.Equal(t, 2, l.run())
		require.Contains(t, l.stderr.String(), "dlprun: journal takes the name of one file, and no flags: dlprun journal FILE")
	}
}

func TestGaps(t *testing.T) {
	many := []int{}
	for i := range 40 {
		many = append(many, 3*i+1)
	}
	for want, c := range map[string]struct {
		done []int
		n    int
	}{
		"":     {nil, 0},
		"0":    {nil, 1},
		"0-4":  {nil, 5},
		"1, 4": {[]int{0, 2, 3}, 5},
		"0, 2-3, 5-6, 8-9, 11-12, 14-15, 17-18, 20-21, 23-24, 26-27, ...": {many, 100},
	} {
		require.Equal(t, want, gaps(c.done, c.n))
	}
}
