package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// One binary gives one answer, whoever starts it.
func TestSameAnswerUnderEveryLauncher(t *testing.T) {
	t.Parallel()
	programs := [][]string{
		{"wordfreq", "-check", "../split"},
		{"pi", "-check", "-items", "20", "-darts", "1000"},
	}
	var want []string
	for _, p := range programs {
		r := start(t, nil, append([]string{filepath.Join(bin, p[0])}, p[1:]...)...)
		require.Zero(t, r.status, "plainly: %v", r)
		want = append(want, r.stdout)
	}
	for _, l := range launchers(t) {
		t.Run(l.name, func(t *testing.T) {
			for i, p := range programs {
				r := l.run(t, 4, append([]string(nil), p...)...)
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, want[i], r.stdout)
			}
			for _, n := range []int{2, 4} {
				r := l.run(t, n, "selftest")
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, fmt.Sprintf("selftest: %d ranks agree\n", n), r.stdout)
			}
		})
	}
}

// Two jobs of one user on one host never meet. They start at the same time, and
// neither ends before both have begun.
func TestTwoJobsAtOnce(t *testing.T) {
	t.Parallel()
	for _, l := range launchers(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for range rounds(t) {
				ended := atOnce(t, 2, l.env, func(k int, program ...string) []string { return l.command(2+k, program...) })
				for k, r := range ended {
					require.Zero(t, r.status, "%v", r)
					require.Equal(t, fmt.Sprintf("meeting\nselftest: %d ranks agree\n", 2+k), r.stdout)
				}
			}
		})
	}
}

// atOnce starts so many jobs at the same time, of which command makes the k-th, and
// lets them go on when the ranks of each have met.
func atOnce(t *testing.T, jobs int, env []string, command func(k int, program ...string) []string) []result {
	enough := filepath.Join(tempDir(t), "enough")
	ended := make([]result, jobs)
	met := make(chan struct{}, jobs)
	var running sync.WaitGroup
	for k := range ended {
		words := command(k, filepath.Join(bin, "selftest"), "until", enough)
		running.Go(func() {
			ended[k] = startAnd(t, env, "meeting", func(*os.Process) { met <- struct{}{} }, words...)
		})
	}
	for range ended {
		select {
		case <-met:
		case <-time.After(bound): // startAnd has said which did not
		}
	}
	require.NoError(t, os.WriteFile(enough, nil, 0o600))
	running.Wait()
	return ended
}

func TestBatchScript(t *testing.T) {
	t.Parallel()
	env := slurm(t)
	dir := t.TempDir()
	script, out := filepath.Join(dir, "job.sh"), filepath.Join(dir, "out")
	body := fmt.Sprintf("#!/bin/bash\n#SBATCH -N2 -n4 --overcommit -o %s\n%s\nsrun --mpi=none %s\n", out,
		filepath.Join(bin, "selftest"), filepath.Join(bin, "selftest"))
	require.NoError(t, os.WriteFile(script, []byte(body), 0o755))
	r := start(t, env, "sbatch", "--wait", script)
	text, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Zero(t, r.status, "%v\n%s", r, text)
	require.Contains(t, string(text), "did you forget srun?")
	require.Contains(t, string(text), "selftest: 1 ranks agree\n")
	require.Contains(t, string(text), "selftest: 4 ranks agree\n")
}

// A rank that misbehaves ends the job under every launcher, with a status that
// is not 0, and a line that names it. But where one is killed, Hydra kills all
// ranks at once: none of them can speak, and dlprun may see another one go first.
func TestFaultsUnderEveryLauncher(t *testing.T) {
	t.Parallel()
	for _, l := range launchers(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{"kill", "exit0", "exit3", "error", "panic"} {
				for _, rank := range []string{"0", "2"} {
					r := l.run(t, 3, "selftest", "after", kind, rank)
					require.NotZero(t, r.status, "%s on rank %s: %v", kind, rank, r)
					switch {
					case kind != "kill" || !strings.Contains(l.name, "mpich"):
						require.Contains(t, r.stderr, "rank "+rank, "%s: %v", kind, r)
					case strings.HasPrefix(l.name, "dlprun"):
						require.Regexp(t, `(?m)^dlprun: rank \d \(.*\): it ended before Finalize`, r.stderr)
					}
				}
			}
		})
	}
}

// A rank that ends before Init ends the others, and is named.
func TestRankEndsBeforeInit(t *testing.T) {
	t.Parallel()
	for _, l := range launchers(t) {
		l.env = append(l.env, "DLP_INIT_TIMEOUT=3")
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{"exit0", "exit3"} {
				r := l.run(t, 3, "selftest", "before", kind, "1")
				require.NotZero(t, r.status, "%s: %v", kind, r)
				if kind == "exit0" { // what else a launcher sees, and names, itself
					require.Regexp(t, `(?m)rank.*\b1\b`, r.stderr, "%s: %v", kind, r)
				}
			}
		})
	}
}
