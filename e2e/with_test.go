package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// withLaunchers are the launchers that dlprun starts others with.
func withLaunchers(t *testing.T) (all []launcher) {
	for _, l := range launchers(t) {
		if strings.HasPrefix(l.name, "dlprun --with") {
			all = append(all, l)
		}
	}
	return all
}

// The status is the failed rank's, and one line names it, as for local ranks.
func TestFailuresWith(t *testing.T) {
	t.Parallel()
	for _, l := range withLaunchers(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for kind, want := range map[string]struct {
				status int
				cause  string
			}{
				"exit3": {3, "it ended before Finalize (killed, or exited on its own)"},
				"exit0": {1, "it ended before Finalize (killed, or exited on its own)"},
				"error": {1, "an error on purpose"},
				"panic": {2, "panic: on purpose"},
			} {
				r := l.run(t, 3, "selftest", "after", kind, "1")
				require.Equal(t, want.status, r.status, "%s: %v", kind, r)
				host, err := os.Hostname()
				require.NoError(t, err)
				require.Contains(t, r.stderr, fmt.Sprintf("dlprun: rank 1 (%s): %s\n", host, want.cause))
				require.Equal(t, 1, strings.Count(r.stderr, "dlprun: "), "%s: %v", kind, r)
			}
			r := l.run(t, 2, "no-such-program")
			require.Equal(t, 127, r.status, "%v", r)
		})
	}
}

// Standard input is rank 0's, and plain programs are started, too.
func TestStdinWith(t *testing.T) {
	t.Parallel()
	for _, l := range withLaunchers(t) {
		// Hydra never closes the standard input of the other ranks: they must not read.
		const script = `test "$PMI_RANK$OMPI_COMM_WORLD_RANK$SLURM_PROCID" = 0 && head -n 2; exit 0`
		c, cancel := command(t, l.env, l.command(2, "sh", "-c", script)...)
		defer cancel()
		c.Stdin = strings.NewReader("one\ntwo\n")
		out, err := c.Output()
		require.NoError(t, err, l.name)
		require.Equal(t, "one\ntwo\n", string(out), l.name)
	}
}

// kill -9 of dlprun leaves neither its launcher nor its ranks.
func TestKillDashNineWith(t *testing.T) {
	t.Parallel()
	for _, l := range withLaunchers(t) {
		t.Run(l.name, func(t *testing.T) {
			// A program under a name that nobody else has.
			program := filepath.Join(tempDir(t), fmt.Sprintf("r%d", os.Getpid()))
			require.NoError(t, os.Link(filepath.Join(bin, "selftest"), program))
			r := startAnd(t, l.env, "meeting", func(dlprun *os.Process) {
				require.GreaterOrEqual(t, len(running(t, program)), 5, "dlprun, the launcher and three ranks")
				require.NoError(t, dlprun.Kill())
			}, l.command(3, program, "forever")...)
			require.Equal(t, -1, r.status, "%v", r)
			until(t, "everything ends", func() bool { return len(running(t, program)) == 0 })
		})
	}
}

// running lists the processes with text in their command line.
func running(t *testing.T, text string) (pids []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	require.NoError(t, err)
	for _, file := range all {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), text) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// In an allocation nothing more need be said.
func TestAllocationWith(t *testing.T) {
	t.Parallel()
	env := slurm(t)
	dlprun := filepath.Join(bin, "dlprun")
	for flags, ranks := range map[string]int{"-N2 -n3 --overcommit": 3, "-N2": 2, "-N2 --ntasks-per-node=2": 4} {
		words := append(append([]string{"salloc", "-Q"}, strings.Fields(flags)...), dlprun, "--with", "srun", filepath.Join(bin, "selftest"))
		r := start(t, env, words...)
		require.Zero(t, r.status, "%s: %v", flags, r)
		require.Equal(t, fmt.Sprintf("selftest: %d ranks agree\n", ranks), r.stdout, flags)
	}
}

// Every launcher's ranks say hello, in rank order.
func TestInfo(t *testing.T) {
	t.Parallel()
	for _, l := range launchers(t) {
		r := l.run(t, 3, "dlprun", "info")
		require.Zero(t, r.status, "%s: %v", l.name, r)
		require.Regexp(t, `(?s)What follows:.*rank +0 of 3\n.*Hello from all ranks:\n  rank 0 of 3 on .*\n  rank 1 of 3 on .*\n  rank 2 of 3 on [^\n]*\n$`, r.stdout, l.name)
	}
	r := start(t, []string{"DLP_SECRET=" + strings.Repeat("77", 32)}, filepath.Join(bin, "dlprun"), "info")
	require.Zero(t, r.status, "%v", r)
	require.Contains(t, r.stdout, "DLP_SECRET  (64 characters, not shown)\n")
	require.NotContains(t, r.stdout, "7777")
	r = start(t, []string{"DLP_RANK=1"}, filepath.Join(bin, "dlprun"), "info")
	require.Equal(t, 1, r.status, "%v", r)
	require.Contains(t, r.stdout, "problem  DLP_RANK and DLP_SIZE go together")
}

// A program of the name info is started by its path.
func TestProgramNamedInfo(t *testing.T) {
	dir := tempDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "info"), []byte("#!/bin/sh\necho mine\n"), 0o755))
	c := exec.Command(filepath.Join(bin, "dlprun"), "-np", "1", "./info")
	c.Dir = dir
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.Output()
	require.NoError(t, err)
	require.Equal(t, "mine\n", string(out))
}
