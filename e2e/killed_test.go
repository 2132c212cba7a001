package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A killable is a job of dlprun whose ranks exchange large messages through memory,
// with a /dev/shm and a /tmp of its own.
type killable struct {
	dlprun, guard int
	ranks         []int
	dir           string // holds the two, which begin empty
	ended         <-chan result
}

func startKillable(t *testing.T, n int) *killable {
	t.Helper()
	dir := tempDir(t)
	j := &killable{dir: dir}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "shm"), 0o777))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "tmp"), 0o777))
	mark := "DLP_E2E_JOB=" + dir
	c, cancel := command(t, []string{mark, "DLP_TRANSPORT=shm", "TMPDIR=/tmp"}, j.words(n, "/mnt/faulty", "large", "none", "-1")...)
	t.Cleanup(cancel)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	require.NoError(t, c.Start())
	j.dlprun = c.Process.Pid
	ended := make(chan result, 1)
	j.ended = ended
	go func() {
		c.Wait() // ProcessState tells
		ended <- result{stdout.String(), stderr.String(), c.ProcessState.ExitCode()}
	}()
	require.Eventually(t, func() bool {
		j.ranks = slices.DeleteFunc(processesWith(mark), func(pid int) bool { return pid == j.dlprun })
		return len(j.ranks) == n && !slices.ContainsFunc(j.ranks, func(pid int) bool { return len(sharedFiles(pid)) == 0 })
	}, bound, time.Millisecond)
	var err error
	j.guard, err = syscall.Getpgid(j.ranks[0])
	require.NoError(t, err)
	return j
}

// words are a job's command, with the folders of j in place of the machine's.
func (j *killable) words(n int, program ...string) []string {
	const enter = `mount --bind "$0" /mnt && mount --bind "$1/shm" /dev/shm && mount --bind "$1/tmp" /tmp && shift && exec "$@"`
	words := []string{"unshare", "--mount", "sh", "-c", enter, bin, j.dir, "/mnt/dlprun", "-np", strconv.Itoa(n)}
	return append(words, program...)
}

// files are what is in one of the folders.
func (j *killable) files(t *testing.T, folder string) (names []string) {
	found, err := os.ReadDir(filepath.Join(j.dir, folder))
	require.NoError(t, err)
	for _, f := range found {
		names = append(names, f.Name())
	}
	return names
}

// processesWith returns the processes with v in their environment.
func processesWith(v string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environs {
		if b, err := os.ReadFile(e); err == nil && bytes.Contains(b, append([]byte(v), 0)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(e)))
			pids = append(pids, pid)
		}
	}
	return pids
}

var sharedFile = regexp.MustCompile(`(?m)^\S+ ...s .* (/.*)$`)

// sharedFiles are what a process has mapped to share it.
func sharedFiles(pid int) (names []string) {
	maps, _ := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid)) // an error: it is gone
	for _, m := range sharedFile.FindAllSubmatch(maps, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(b), ") Z ")
}

// Whoever is killed while large messages go through memory, and however many at
// once: nothing of the job is left, no process, no memory, no file.
func TestNothingIsLeftOfAKilledJob(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "mount")
	needRoot(t)
	for name, victims := range map[string]func(j *killable) []int{
		"the root":             func(j *killable) []int { return j.ranks[:1] },
		"a rank":               func(j *killable) []int { return j.ranks[1:2] },
		"dlprun":               func(j *killable) []int { return []int{j.dlprun} },
		"all ranks":            func(j *killable) []int { return j.ranks },
		"dlprun and all ranks": func(j *killable) []int { return append(j.ranks, j.dlprun) },
		"the guard and all":    func(j *killable) []int { return append([]int{j.guard, j.dlprun}, j.ranks...) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				j := startKillable(t, 3)
				for _, pid := range j.ranks {
					for _, file := range sharedFiles(pid) {
						require.Equal(t, "/memfd:dlp (deleted)", file)
					}
				}
				time.Sleep(rand.N(50 * time.Millisecond)) // any moment will do
				killed := victims(j)
				for _, signal := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // so that none sees another die
					for _, pid := range killed {
						require.NoError(t, syscall.Kill(pid, signal))
					}
				}
				require.NotZero(t, (<-j.ended).status)
				require.Eventually(t, func() bool {
					return !slices.ContainsFunc(append(j.ranks, j.dlprun, j.guard), func(pid int) bool { return !gone(pid) })
				}, bound, time.Millisecond, "processes are left")
				if killed[0] == j.guard { // nobody was there to remove the job's folder, until the next dlprun
					require.Len(t, j.files(t, "tmp"), 1)
					r := start(t, []string{"TMPDIR=/tmp"}, j.words(1, "true")...)
					require.Zero(t, r.status, "%v", r)
				}
				require.Empty(t, j.files(t, "tmp"))
				require.Empty(t, j.files(t, "shm"))
			}
		})
	}
}
