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
	shm, tmp      string // its folders, which begin empty
	ended         <-chan result
}

func startKillable(t *testing.T, n int) *killable {
	t.Helper()
	dir := tempDir(t)
	j := &killable{shm: filepath.Join(dir, "shm"), tmp: filepath.Join(dir, "tmp")}
	require.NoError(t, os.Mkdir(j.shm, 0o777))
	require.NoError(t, os.Mkdir(j.tmp, 0o777))
	const enter = `mount --bind "$0" /mnt && mount --bind "$1/shm" /dev/shm && mount --bind "$1/tmp" /tmp && shift && exec "$@"`
	mark := "DLP_E2E_JOB=" + dir
	c, cancel := command(t, []string{mark, "DLP_TRANSPORT=shm", "TMPDIR=/tmp"}, "unshare", "--mount", "sh", "-c", enter, bin, dir,
		"/mnt/dlprun", "-np", strconv.Itoa(n), "/mnt/faulty", "large", "none", "-1")
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

func files(t *testing.T, folder string) (names []string) {
	found, err := os.ReadDir(folder)
	require.NoError(t, err)
	for _, f := range found {
		names = append(names, f.Name())
	}
	return names
}

// Whoever is killed while large messages go through memory, and however many at
// once: nothing of the job is left, no process, no memory, no file.
func TestNothingIsLeftOfAKilledJob(t *testing.T) {
	t.Parallel()
	need(t, "unshare", "mount")
	needRoot(t)
	for name, victims := range map[string]func(j *killable) []int{
		"the root":                 func(j *killable) []int { return j.ranks[:1] },
		"a rank":                   func(j *killable) []int { return j.ranks[1:2] },
		"dlprun":                   func(j *killable) []int { return []int{j.dlprun} },
		"all ranks":                func(j *killable) []int { return j.ranks },
		"dlprun and all ranks":     func(j *killable) []int { return append(j.ranks, j.dlprun) },
		"all, with dlprun's guard": func(j *killable) []int { return append([]int{j.guard, j.dlprun}, j.ranks...) },
	} {
		t.Run(name, func(t *testing.T) {
			for range 3 {
				j := startKillable(t, 3)
				for _, pid := range j.ranks {
					for _, name := range sharedFiles(pid) {
						require.Equal(t, "/memfd:dlp (deleted)", name)
					}
				}
				require.Empty(t, files(t, j.shm))
				time.Sleep(rand.N(50 * time.Millisecond))
				for _, pid := range victims(j) {
					require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
				}
				require.NotZero(t, (<-j.ended).status)
				require.Eventually(t, func() bool {
					return !slices.ContainsFunc(append(j.ranks, j.dlprun, j.guard), func(pid int) bool { return !gone(pid) })
				}, bound, time.Millisecond)
				require.Empty(t, files(t, j.shm))
				require.Eventually(t, func() bool { return len(files(t, j.tmp)) == 0 }, 3*time.Second, time.Millisecond, "%v", files(t, j.tmp))
			}
		})
	}
}
