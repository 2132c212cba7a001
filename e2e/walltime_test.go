package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// incomplete is the line of a job that has come to an end early.
var incomplete = regexp.MustCompile(`(?m)^dlprun: rank \d \(.*\): split: Collect: incomplete: \d+ of \d+ items are done; run it again to go on$`)

// requireStopped checks that a run has ended as one that was asked to: with its
// status, one line, a journal that is whole, and no more than so many items begun in
// vain.
func (j *job) requireStopped(status int, stderr string, lost int) {
	j.t.Helper()
	require.Equal(j.t, 75, status, "%s", stderr)
	require.Len(j.t, incomplete.FindAllString(stderr, -1), 1, "%s", stderr)
	kept, extent := j.kept()
	require.Zero(j.t, extent.Torn)
	require.GreaterOrEqual(j.t, len(kept)+lost, len(j.lines()), "what has begun was finished, and kept")
}

// A job that gets its time piece by piece is done in the end.
func TestWalltime(t *testing.T) {
	t.Parallel()
	j := newJob(t, "-n", "150", "-each", "100ms")
	lost := 0
	for runs := 1; ; runs++ {
		words := j.words(1 + runs%3)
		r := start(t, []string{"DLP_PROGRESS=off"}, append([]string{words[0], "--walltime", "6s"}, words[1:]...)...)
		if r.status == 0 {
			require.Equal(t, "kept: 150 results are right\n", r.stdout)
			require.Greater(t, runs, 1)
			break
		}
		lost += 1 + runs%3 // what took longer than expected was cut off
		j.requireStopped(r.status, r.stderr, lost)
		require.Less(t, runs, 30)
	}
	require.LessOrEqual(t, len(j.lines()), 150+lost)
}

// What does not end in time is cut off, and runs again.
func TestWalltimeCutsOff(t *testing.T) {
	t.Parallel()
	j := newJob(t, "-n", "8", "-each", "1h")
	words := j.words(2)
	r := start(t, []string{"DLP_PROGRESS=off"}, append([]string{words[0], "--walltime", "4s"}, words[1:]...)...)
	require.Equal(t, 75, r.status, "%v", r)
	require.Regexp(t, `(?m)^dlprun: rank \d \(.*\): split: Collect: incomplete: 0 of 8 items are done; run it again to go on$`, r.stderr)
	require.Len(t, j.lines(), 2)
	_, extent := j.kept()
	require.Zero(t, extent.Torn)
}

// Ranks that take indices from shared memory report when all are taken. The clock is
// looked at before, and what they have done is known.
func TestWalltimeOfManaged(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	r := start(t, nil, filepath.Join(bin, "dlprun"), "-np", "2", "--walltime", "12s",
		filepath.Join(bin, "survivor"), "-mode", "managed", "-pause", "500ms", "-folder", dir)
	require.Equal(t, 75, r.status, "%v", r)
	said := regexp.MustCompile(`split: Managed: incomplete: (\d+) of 200 items are done; no journal keeps them\n`).FindStringSubmatch(r.stderr)
	require.Len(t, said, 2, "%v", r)
	known, err := strconv.Atoi(said[1])
	require.NoError(t, err)
	done, err := os.ReadFile(filepath.Join(dir, "done"))
	require.NoError(t, err)
	require.NotZero(t, known)
	require.InDelta(t, len(done), known, 2, "of what was cut off nobody knows whether it was done")
}

// A program that does not look at the clock ends with the walltime.
func TestWalltimeOfAnyProgram(t *testing.T) {
	t.Parallel()
	r := start(t, nil, filepath.Join(bin, "dlprun"), "-np", "2", "--walltime", "1s", "sleep", "1000")
	require.Equal(t, 75, r.status, "%v", r)
	require.Equal(t, "dlprun: the job was ended: --walltime 1s is over\n", r.stderr)
}

// SIGUSR1 and SIGTERM: what is in hand is finished, and nothing runs twice.
func TestSignalledToStop(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGUSR1, syscall.SIGTERM} {
		for _, ranks := range []int{1, 3} {
			t.Run(fmt.Sprint(sig, " ", ranks), func(t *testing.T) {
				j := newJob(t, "-n", "150", "-each", "20ms")
				var stderr bytes.Buffer
				c := j.startUntil(ranks, 10, 150, &stderr)
				require.NoError(t, c.Process.Signal(sig))
				c.Wait()
				j.requireStopped(c.ProcessState.ExitCode(), stderr.String(), 0)
				j.requireDone(2, 150)
				require.Len(t, j.lines(), 150)
			})
		}
	}
}

// The second signal does not wait for what is in hand: it is no request.
func TestSignalledTwice(t *testing.T) {
	t.Parallel()
	j := newJob(t, "-n", "100", "-each", "1h")
	var stderr bytes.Buffer
	c := j.startUntil(2, 2, 100, &stderr)
	require.NoError(t, c.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.Process.Signal(syscall.SIGINT))
	c.Wait()
	require.Contains(t, []int{130, 143}, c.ProcessState.ExitCode(), "whichever came first: %s", stderr.String())
	_, extent := j.kept()
	require.Zero(t, extent.Torn)
}

// A process that nobody has started as a rank says itself why it ends.
func TestSignalledAlone(t *testing.T) {
	t.Parallel()
	interrupt := func(p *os.Process) { require.NoError(t, p.Signal(os.Interrupt)) }
	r := startAnd(t, nil, "1 "+survivorValue(1), interrupt, filepath.Join(bin, "survivor"), "-items", "3", "-stuck", "2")
	require.Equal(t, 130, r.status, "%v", r)
	require.Regexp(t, `^dlp: rank 0 \(.*\): stopped by a signal; run has not returned since\n$`, r.stderr)
}

// The script that examples offer puts a job back into Slurm's queue until all is
// done: with the end of its time known, and by the signal alone.
func TestRequeue(t *testing.T) {
	t.Parallel()
	env := slurm(t)
	for name, c := range map[string]struct {
		items         int
		signal, first string
	}{
		"by the clock": {260, "URG@1", ""},                      // which Go programs ignore
		"by a signal":  {180, "USR1@50", "squeue() { false; }"}, // Slurm does not tell when the time is over
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := newJob(t, "-n", strconv.Itoa(c.items), "-each", "500ms")
			script, err := os.ReadFile("../examples/slurm/requeue.sh")
			require.NoError(t, err)
			dir := filepath.Dir(j.file)
			path, out := filepath.Join(dir, "requeue.sh"), filepath.Join(dir, "out")
			text := strings.Replace(string(script), "\nprogram=", "\n"+c.first+"\nprogram=", 1)
			require.NoError(t, os.WriteFile(path, []byte(text), 0o755))
			said := func(words ...string) string {
				cmd := exec.Command(words[0], words[1:]...)
				cmd.Env = append(os.Environ(), env...)
				cmd.Env = append(cmd.Env, "PROGRAM="+filepath.Join(bin, "kept"), "DLP_PROGRESS=off")
				text, err := cmd.CombinedOutput()
				require.NoError(t, err, "%v: %s", words, text)
				return strings.TrimSpace(string(text))
			}
			words := append([]string{"sbatch", "--parsable", "--ntasks=2", "--overcommit", "--time=1", "--signal=" + c.signal, "--output=" + out, path}, j.flags...)
			id := said(append(words, j.file, j.ran)...)
			read := func() string {
				text, _ := os.ReadFile(out) // not there before the job begins
				return string(text)
			}
			hastened := 0
			require.Eventually(t, func() bool {
				ends := strings.Count(read(), "incomplete")
				if state := said("squeue", "--noheader", "--jobs="+id, "--format=%T %r"); ends > hastened && state == "PENDING BeginTime" {
					said("scontrol", "update", "JobId="+id, "StartTime=now+5") // it would wait for two minutes
					hastened = ends
				}
				return strings.Contains(read(), "results are right")
			}, 4*time.Minute, time.Second, "%s", read())
			require.Contains(t, read(), fmt.Sprintf("kept: %d results are right\n", c.items))
			require.Regexp(t, `split: Collect: incomplete: \d+ of \d+ items are done; run it again to go on`, read())
			t.Logf("%d items, %d begun:\n%s", c.items, len(j.lines()), read())
			require.LessOrEqual(t, len(j.lines()), c.items+2*strings.Count(read(), "incomplete"))
		})
	}
}
