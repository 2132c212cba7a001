package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// The test binary is dlprun, too: started with asDlprun set it runs main, and
// when that starts a guard it runs this binary again.
const asDlprun = "DLPRUN_TEST_AS_MAIN"

// rankProgram is the executable of testdata/rank.
var rankProgram string

func TestMain(m *testing.M) {
	if isGuard() || os.Getenv(asDlprun) != "" {
		main()
		return
	}
	// Tests in the background of a script ignore Ctrl-C, which dlprun would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	if signal.Ignored(syscall.SIGINT) {
		signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGQUIT)
	}
	tmp, err := os.MkdirTemp("", "dlprun")
	if err != nil {
		panic(err)
	}
	rankProgram = filepath.Join(tmp, "rank")
	if out, err := exec.Command("go", "build", "-o", rankProgram, "./testdata/rank").CombinedOutput(); err != nil {
		panic(string(out))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(status int) {
		os.RemoveAll(tmp)
		os.Exit(status)
	}))
}

// A launched is a dlprun under test.
type launched struct {
	*exec.Cmd
	t              *testing.T
	stdout, stderr bytes.Buffer
	tmp            string // where it keeps its temporary files
}

// A test is given up for hung after the watchdog; it looks again after each tick.
const (
	watchdog = 3 * time.Minute
	tick     = 10 * time.Millisecond
)

// dlprun prepares a run of dlprun. When the test is over, nothing of it may be left.
func dlprun(t *testing.T, args ...string) *launched {
	t.Helper()
	tmp, err := os.MkdirTemp("", "t")
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	l := &launched{Cmd: exec.CommandContext(ctx, os.Args[0], args...), t: t, tmp: tmp}
	l.Env = append(os.Environ(), asDlprun+"=1", "TMPDIR="+tmp, "GORACE=atexit_sleep_ms=0")
	l.Stdout, l.Stderr = &l.stdout, &l.stderr
	t.Cleanup(func() {
		cancel()
		defer os.RemoveAll(tmp)
		l.requireNothingLeft()
	})
	return l
}

// wait waits for the end and returns the exit status, as a shell would.
func (l *launched) wait() int {
	l.Wait()
	w := l.ProcessState.Sys().(syscall.WaitStatus)
	if w.Signaled() {
		return statusSignal + int(w.Signal())
	}
	return w.ExitStatus()
}

// run starts it and waits.
func (l *launched) run() int {
	l.t.Helper()
	require.NoError(l.t, l.Start())
	return l.wait()
}

// requireNothingLeft requires that no file of the job is left, and no process.
func (l *launched) requireNothingLeft() {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		files, err := os.ReadDir(l.tmp)
		return err == nil && len(files) == 0
	}, watchdog, tick, "files are left in %s", l.tmp)
	require.Eventually(l.t, func() bool { return len(processesWith("TMPDIR="+l.tmp)) == 0 },
		watchdog, tick, "processes are left")
}

// processesWith returns the processes with v in their environment.
func processesWith(v string) (pids []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environs {
		if b, err := os.ReadFile(e); err == nil && bytes.Contains(b, []byte(v)) {
			pids = append(pids, filepath.Base(filepath.Dir(e)))
		}
	}
	return pids
}

// line waits until dlprun has written a line with text to a file, and returns it.
func waitForLines(t *testing.T, file, text string, n int) []string {
	t.Helper()
	var found []string
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(file)
		found = nil
		for line := range strings.Lines(string(b)) {
			if strings.Contains(line, text) && strings.HasSuffix(line, "\n") {
				found = append(found, line)
			}
		}
		return len(found) >= n
	}, watchdog, tick)
	return found
}
