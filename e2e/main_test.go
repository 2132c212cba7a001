// Package e2e runs the programs under real launchers: Open MPI, MPICH, Slurm
// and dlprun, on this machine and on several hosts made of network namespaces.
// Tests that mostly wait for launchers wait beside each other; those that need the
// processors to themselves, or soon, come before.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// bin is where TestMain has put the programs, built once without cgo.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if bin, err = os.MkdirTemp("", "dlp-e2e-"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(bin)
		defer os.Remove(netnsEtc) // if it is empty
		build := exec.Command("go", "build", "-o", bin+"/", "../cmd/dlprun", "../examples/wordfreq", "../examples/pi", "./testdata/selftest", "./testdata/faulty", "./testdata/kept", "./testdata/survivor")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%s%v\n", out, err)
			return 1
		}
		return m.Run()
	}())
}

// soakEnv says how many jobs TestRandomKiller is to start, and that others are to take
// their long form: make soak sets it.
const soakEnv = "DLP_SOAK"

func soaking() bool { return os.Getenv(soakEnv) != "" }

// bound is how long any one job may take.
const bound = 3 * time.Minute

// A launcher starts n ranks of a program.
type launcher struct {
	name    string
	command func(n int, program ...string) []string
	env     []string
}

func cmd(words ...string) func(n int, program ...string) []string {
	return func(n int, program ...string) []string {
		var all []string
		for _, w := range words {
			all = append(all, strings.ReplaceAll(w, "{n}", strconv.Itoa(n)))
		}
		return append(all, program...)
	}
}

var openmpiAsRoot = []string{"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}

// dlprun is our own launcher.
var dlprun = launcher{name: "dlprun", command: func(n int, program ...string) []string {
	return append([]string{filepath.Join(bin, "dlprun"), "-np", strconv.Itoa(n)}, program...)
}}

// openmpiFlags are what several mpirun at once need on few processors: they trip
// over each other in a common folder.
func openmpiFlags(t *testing.T) []string {
	return []string{"--mca", "orte_tmpdir_base", tempDir(t), "--oversubscribe"}
}

// with is dlprun that starts the ranks through another launcher.
func with(name string, flags func() string) launcher {
	return launcher{name: "dlprun --with " + name, env: openmpiAsRoot, command: func(n int, program ...string) []string {
		return append([]string{filepath.Join(bin, "dlprun"), "--with", name, "--launcher-args", flags(), "-np", strconv.Itoa(n)}, program...)
	}}
}

// launchers are those that start ranks on this machine. Slurm's come up with
// the first test that asks.
func launchers(t *testing.T) []launcher {
	need(t, "mpirun.openmpi", "mpirun.mpich")
	return append([]launcher{
		dlprun,
		{name: "openmpi", env: openmpiAsRoot, command: func(n int, program ...string) []string {
			return append(append([]string{"mpirun.openmpi", "-np", strconv.Itoa(n)}, openmpiFlags(t)...), program...)
		}},
		with("mpirun.openmpi", func() string { return strings.Join(openmpiFlags(t), " ") }),
		with("mpirun.mpich", func() string { return "" }),
		{name: "mpich", command: cmd("mpirun.mpich", "-np", "{n}")},
		{name: "mpich-pmi-port", command: cmd("mpirun.mpich", "-pmi-port", "-np", "{n}")},
	}, slurmLaunchers(t)...)
}

// need fails the test in CI, and skips it elsewhere, where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", p)
		}
		t.Skipf("NOT RUN: %s is not installed (make setup installs it)", p)
	}
}

// result is how a job ended.
type result struct {
	stdout, stderr string
	status         int
}

func (r result) String() string {
	return fmt.Sprintf("status %d\nstdout:\n%s\nstderr:\n%s", r.status, r.stdout, r.stderr)
}

// start runs a command in a process group of its own, which ends with it, and
// fails the test if it takes longer than bound. Where a server of the cluster that it
// runs on has crashed meanwhile, how it ended tells nothing, and it is run again.
func start(t *testing.T, env []string, words ...string) result {
	t.Helper()
	for count := crashesOf(env); ; {
		before := count.Load()
		r := startOnce(t, env, words...)
		if count.Load() == before {
			return r
		}
		t.Logf("NOT RUN to its end, but again: %v, since Slurm crashed: %v", words, r)
	}
}

func startOnce(t *testing.T, env []string, words ...string) result {
	t.Helper()
	c, cancel := command(t, env, words...)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	return ended(t, c, stdout.String(), stderr.String(), err)
}

// command is one that ends, with all of its process group, after bound.
func command(t *testing.T, env []string, words ...string) (*exec.Cmd, context.CancelFunc) {
	return commandWithin(t, bound, env, words...)
}

func commandWithin(t *testing.T, bound time.Duration, env []string, words ...string) (*exec.Cmd, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(t.Context(), bound)
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Env = append(os.Environ(), env...)
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error {
		if err := ctx.Err(); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v hangs", words)
		}
		return syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
	}
	c.WaitDelay = 5 * time.Second
	return c, cancel
}

// ended is how a command has ended, to which Run or Wait have said err.
func ended(t *testing.T, c *exec.Cmd, stdout, stderr string, err error) result {
	t.Helper()
	require.NotNil(t, c.ProcessState, "%v: %v", c.Args, err)
	r := result{stdout, stderr, c.ProcessState.ExitCode()}
	if err != nil && r.status == 0 {
		t.Fatalf("%v: %v: %v", c.Args, err, r)
	}
	return r
}

// tempDir returns a folder with a short name, that goes with the programs.
func tempDir(t *testing.T) string {
	dir, err := os.MkdirTemp(bin, "t")
	require.NoError(t, err)
	return dir
}

// needRoot fails the test in CI, and skips it elsewhere, where it lacks the rights.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("this needs root")
	}
	t.Skip("NOT RUN: this needs root")
}

// run starts n ranks of one of our programs.
func (l launcher) run(t *testing.T, n int, program ...string) result {
	t.Helper()
	program[0] = filepath.Join(bin, program[0])
	return start(t, l.env, l.command(n, program...)...)
}
