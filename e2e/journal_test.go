package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/journal"
)

// A job is kept and the files that it works with, over several runs.
type job struct {
	t         *testing.T
	file, ran string
	flags     []string
}

func newJob(t *testing.T, flags ...string) *job {
	dir := tempDir(t)
	return &job{t: t, file: filepath.Join(dir, "journal"), ran: filepath.Join(dir, "ran"), flags: flags}
}

func (j *job) words(ranks int, flags ...string) []string {
	program := append([]string{filepath.Join(bin, "kept")}, append(j.flags, flags...)...)
	return dlprun.command(ranks, append(program, j.file, j.ran)...)
}

// lines returns the items that have begun, in order.
func (j *job) lines() (items []int) {
	text, err := os.ReadFile(j.ran)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(j.t, err)
	}
	for line := range strings.Lines(string(text)) {
		i, err := strconv.Atoi(strings.TrimSpace(line))
		require.NoError(j.t, err)
		items = append(items, i)
	}
	return items
}

// kept returns what is in the journal.
func (j *job) kept() (items map[int]bool, e journal.Extent) {
	items = map[int]bool{}
	e, err := journal.ScanFile(j.file, journal.Visitor{Batch: func(b journal.Batch) error {
		for _, i := range b.Indices {
			items[i] = true
		}
		return nil
	}})
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(j.t, err)
	}
	return items, e
}

// startUntil starts the job and returns when k items have begun, which then go on
// to wait after so many more.
func (j *job) startUntil(ranks, k, more int, stderr *bytes.Buffer) *exec.Cmd {
	before := len(j.lines())
	c, cancel := command(j.t, nil, j.words(ranks, "-limit", strconv.Itoa(before+k+more))...)
	j.t.Cleanup(cancel)
	c.Stderr = stderr
	require.NoError(j.t, c.Start())
	j.eventually(func() bool { return len(j.lines()) >= before+k })
	return c
}

// alone waits until every rank has ended.
func (j *job) alone() {
	f, err := os.OpenFile(j.ran, os.O_CREATE|os.O_RDONLY, 0o644)
	require.NoError(j.t, err)
	defer f.Close()
	j.eventually(func() bool { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil })
}

func (j *job) eventually(ok func() bool) {
	j.t.Helper()
	require.Eventually(j.t, ok, bound, time.Millisecond)
}

// requireDone runs the job to its end.
func (j *job) requireDone(ranks, n int) {
	j.t.Helper()
	r := start(j.t, []string{"DLP_PROGRESS=off"}, j.words(ranks)...)
	require.Zero(j.t, r.status, "%v", r)
	require.Equal(j.t, fmt.Sprintf("kept: %d results are right\n", n), r.stdout)
}

// All ranks killed (kill -9) 50 times, and started again in another number each
// time: the results are right, and what was in the journal never ran again. A rank
// loses at most what it was at and what it had sent last.
func TestKilledFiftyTimes(t *testing.T) {
	const items, kills, most = 2000, 50, 36
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	j := newJob(t, "-each", "5ms") // longer than a result takes to the file
	var stderr bytes.Buffer
	again, inHand := 0, 0
	for kill := range kills {
		ranks, k := 1+r.IntN(4), r.IntN(most)
		before, begun := map[int]bool{}, len(j.lines())
		if kill > 0 {
			before, _ = j.kept()
		}
		c := j.startUntil(ranks, k, most-k, &stderr)
		require.NoError(t, c.Process.Kill()) // and its guard kills all ranks
		c.Wait()
		j.alone()

		after, _ := j.kept()
		for i := range before {
			require.True(t, after[i], "item %d was in the journal", i)
		}
		this := map[int]bool{}
		for _, i := range j.lines()[begun:] {
			require.False(t, before[i], "item %d was in the journal, and ran again", i)
			require.False(t, this[i], "item %d ran twice", i)
			this[i] = true
		}
		lost := 0
		for i := range this {
			if !after[i] {
				lost++
			}
		}
		require.LessOrEqual(t, lost, 2*ranks, "run %d, %d ranks", kill, ranks)
		again, inHand = again+lost, inHand+2*ranks
	}
	j.requireDone(3, items)
	require.Len(t, j.lines(), items+again)
	t.Logf("%d items ran again, at most %d were in hand", again, inHand)
	_, extent := j.kept()
	require.Zero(t, extent.Torn)
}

// Ctrl-C: status 130, a journal that is whole, and the rest in the next run.
func TestJournalAfterCtrlC(t *testing.T) {
	const items = 150
	j := newJob(t, "-n", strconv.Itoa(items), "-each", "20ms") // much longer than a result takes to the file
	var stderr bytes.Buffer
	c := j.startUntil(3, 40, items, &stderr)
	require.NoError(t, c.Process.Signal(os.Interrupt))
	c.Wait()
	require.Equal(t, 130, c.ProcessState.ExitCode(), "%s", stderr.String())
	kept, extent := j.kept()
	require.Zero(t, extent.Torn)
	require.GreaterOrEqual(t, len(kept), len(j.lines())-2*3)
	j.requireDone(2, items)
}

// Two jobs on one journal: the second ends in one line, and the first goes on.
func TestJournalOfTwoJobs(t *testing.T) {
	j := newJob(t, "-n", "100")
	var stderr bytes.Buffer
	c := j.startUntil(2, 10, 0, &stderr)
	begun := len(j.lines())
	r := start(t, nil, j.words(2)...)
	require.Equal(t, 1, r.status, "%v", r)
	require.Regexp(t, `^dlprun: rank \d \(.*\): split: Collect: on rank 0 \(.*\): the journal .*/journal: it is open already, in another job or another loop; let that one end, or name another file\n$`, r.stderr)
	require.LessOrEqual(t, len(j.lines()), begun+2, "none of the second job's")
	require.NoError(t, c.Process.Kill())
	c.Wait()
	j.alone()
	j.requireDone(2, 100)
}

// A disk that is full, or can't be written: an error before the first item where it
// can be known, else the job stops; what was written stays, and with more room the
// job goes on.
func TestJournalOnAFullDisk(t *testing.T) {
	needRoot(t)
	const items = 4000 // more than are begun by the time that the disk is full
	j := newJob(t, "-n", strconv.Itoa(items), "-bytes", "1000", "-each", "1ms")
	disk := tempDir(t)
	mount(t, "-t", "tmpfs", "-o", "size=64k", "dlp-test", disk)
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(disk, 0)) })
	j.file = filepath.Join(disk, "journal")
	requireRefused := func(why string) {
		t.Helper()
		r := start(t, nil, j.words(2)...)
		require.Equal(t, 1, r.status, "%v", r)
		require.Regexp(t, `^dlprun: rank \d \(.*\): split: Collect: .*`+why+`\n$`, r.stderr)
	}
	filler := filepath.Join(disk, "filler")
	require.ErrorIs(t, os.WriteFile(filler, make([]byte, 1<<20), 0o600), syscall.ENOSPC)
	requireRefused("no space left on device")
	require.Empty(t, j.lines())

	require.NoError(t, os.Remove(filler))
	requireRefused("no space left on device")
	require.Less(t, len(j.lines()), items, "it has stopped")
	kept, extent := j.kept()
	require.Zero(t, extent.Torn)
	require.NotEmpty(t, kept)
	require.LessOrEqual(t, len(kept), 64)

	mount(t, "-o", "remount,size=16m,ro", disk)
	begun := j.lines()
	requireRefused("read-only file system")
	require.Equal(t, begun, j.lines())

	mount(t, "-o", "remount,rw", disk)
	j.requireDone(3, items)
}

// mount fails the test in CI, and skips it elsewhere, where that is not allowed.
func mount(t *testing.T, words ...string) {
	t.Helper()
	out, err := exec.Command("mount", words...).CombinedOutput()
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("mount %v: %v: %s: this test needs to mount a tmpfs; let it (CAP_SYS_ADMIN)", words, err, out)
	}
	t.Skipf("NOT RUN: mount %v: %v: %s", words, err, out)
}
