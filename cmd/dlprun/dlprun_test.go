//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dlprun/dlp/mpi/launch"
	"github.com/stretchr/testify/require"
)

func TestPlainProgram(t *testing.T) {
	l := dlprun(t, "-np", "3", "sh", "-c", `echo "$DLP_RANK of $DLP_SIZE by $DLP_LAUNCHER"; exit 0`)
	require.Zero(t, l.run(), l.stderr.String())
	require.ElementsMatch(t, []string{"0 of 3 by dlprun", "1 of 3 by dlprun", "2 of 3 by dlprun"},
		strings.Split(strings.TrimSpace(l.stdout.String()), "\n"))
	require.Empty(t, l.stderr.String())
}

func TestJob(t *testing.T) {
	for _, np := range []string{"1", "2", "5"} {
		for _, transport := range []string{"auto", "unix", "tcp"} {
			l := dlprun(t, "-np", np, rankProgram, "none")
			l.Env = append(l.Env, "DLP_TRANSPORT="+transport)
			require.Zero(t, l.run(), l.stderr.String())
			require.Empty(t, l.stderr.String())
		}
	}
}

// Where memory can't be shared, messages go over sockets, unless the user insists.
func TestRefusedMemory(t *testing.T) {
	t.Parallel()
	job := func(transport, program, what string) *launched { // memory is a file, and may have 1 KiB
		l := dlprun(t, "-np", "3", "sh", "-c", `ulimit -f 1 && exec "$0" "$1"`, program, what)
		l.Env = append(l.Env, "DLP_TRANSPORT="+transport)
		return l
	}
	l := job("auto", rankProgram, "none")
	require.Zero(t, l.run(), l.stderr.String())
	require.Empty(t, l.stderr.String())
	l = job("auto", os.Args[0], "info")
	require.Zero(t, l.run(), l.stderr.String())
	require.Equal(t, 3, strings.Count(l.stdout.String(), ", no memory shared ("), l.stdout.String())
	l = job("shm", rankProgram, "none")
	require.Equal(t, 1, l.run())
	require.Regexp(t, `^dlprun: rank \d \(.*\): DLP_TRANSPORT is shm, but there is no shared memory between the processes of this host(: file too large)?; with auto its messages go over sockets\n$`, l.stderr.String())
}

// Whatever ends a rank, and whichever it is: the job ends with its status, and
// one line names it.
func TestFirstFailureDecides(t *testing.T) {
	for _, deed := range []struct {
		name   string
		status int
		cause  string
	}{
		{"kill", 137, "killed by signal 9 (killed)"},
		{"exit0", 1, "exited with status 0 before Finalize"},
		{"exit3", 3, "exited with status 3 before Finalize"},
		{"panic", 2, "panic: out of ideas"},
		{"crash", 2, "exited with status 2 before Finalize"},
		{"error", 1, "out of ideas"},
		{"nojoin", 1, "exited with status 0 without joining the job (it calls neither mpi.Main nor mpi.Init)"},
		{"late3", 3, "exited with status 3 after Finalize"},
	} {
		for _, np := range []int{1, 3} {
			for victim := range np {
				if deed.name == "nojoin" && np == 1 {
					continue // a plain program, then
				}
				t.Run(fmt.Sprintf("%s/%dof%d", deed.name, victim, np), func(t *testing.T) {
					t.Parallel()
					l := dlprun(t, "-np", strconv.Itoa(np), rankProgram, deed.name, strconv.Itoa(victim))
					require.Equal(t, deed.status, l.run(), l.stderr.String())
					want := fmt.Sprintf("dlprun: rank %d (%s): %s\n", victim, launch.Host(), deed.cause)
					require.Contains(t, l.stderr.String(), want)
					require.Equal(t, 1, strings.Count(l.stderr.String(), "dlprun: "), l.stderr.String())
					switch deed.name {
					case "crash", "panic": // Go prints the stack before it
						require.True(t, strings.HasSuffix(l.stderr.String(), want), l.stderr.String())
					case "nojoin": // the others' Init says what it thinks of that
					default:
						require.Equal(t, want, l.stderr.String())
					}
				})
			}
		}
	}
}

// stubborn starts np ranks that ignore SIGTERM, each with two children: one has
// left their process group, the other has an empty environment. It returns when
// all are there, with the numbers of all these processes.
func stubborn(t *testing.T, np int, flags ...string) (l *launched, pids []int) {
	t.Helper()
	args := append(flags, "-np", strconv.Itoa(np), rankProgram, "stubborn")
	l = dlprun(t, args...)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	require.NoError(t, err)
	defer f.Close()
	l.Stdout = f
	require.NoError(t, l.Start())
	for _, line := range waitForLines(t, out, "pids", np) {
		for _, pid := range strings.Fields(line)[1:] {
			n, err := strconv.Atoi(pid)
			require.NoError(t, err)
			require.NoError(t, syscall.Kill(n, 0))
			pids = append(pids, n)
		}
	}
	require.Len(t, pids, 3*np)
	return l, pids
}

func requireGone(t *testing.T, pids []int) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, pid := range pids {
			if alive(pid) {
				return false
			}
		}
		return true
	}, watchdog, tick, "processes are left")
}

// alive reports whether pid is a process that has not ended. One that has, but
// that nobody has reaped, is Z.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	state := b[strings.LastIndexByte(string(b), ')')+2]
	return state != 'Z' && state != 'X'
}

func TestKillDashNine(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 3)
	require.NoError(t, l.Process.Kill())
	l.Wait()
	requireGone(t, pids)
}

// With the guard killed at the same moment nobody is left to kill the ranks: they die
// with dlprun, whatever program they are.
func TestKillDashNineOfBoth(t *testing.T) {
	t.Parallel()
	l, out := shell(t, 2, `echo "pid $$"; exec sleep 1000`)
	var pids []int
	for _, line := range waitForLines(t, out, "pid ", 2) {
		pid, err := strconv.Atoi(strings.Fields(line)[1])
		require.NoError(t, err)
		pids = append(pids, pid)
	}
	guard, err := syscall.Getpgid(pids[0])
	require.NoError(t, err)
	for _, sig := range []syscall.Signal{syscall.SIGSTOP, syscall.SIGKILL} { // so that neither sees the other die
		require.NoError(t, syscall.Kill(guard, sig))
		require.NoError(t, l.Process.Signal(sig))
	}
	l.Wait()
	requireGone(t, pids)
	removeLeftOvers(l.tmp, os.RemoveAll) // as the next dlprun does
}

func TestCtrlC(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 2)
	require.NoError(t, l.Process.Signal(syscall.SIGINT))
	require.Equal(t, 130, l.wait())
	requireGone(t, pids)
}

func TestCtrlCTwice(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 2)
	require.NoError(t, l.Process.Signal(syscall.SIGINT))
	require.NoError(t, l.Process.Signal(syscall.SIGTERM)) // any of them counts; the same might be merged with the first
	require.Contains(t, []int{130, 143}, l.wait())
	requireGone(t, pids)
}

func TestSignalsEndTheJob(t *testing.T) {
	for sig, status := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		got := map[syscall.Signal]string{syscall.SIGINT: "TERM", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP"}[sig]
		l, out := shell(t, 2, `trap "echo got TERM; exit 0" TERM; trap "echo got HUP; exit 0" HUP; echo ready; while :; do sleep 0.1; done`)
		waitForLines(t, out, "ready", 2)
		require.NoError(t, l.Process.Signal(sig))
		require.Equal(t, status, l.wait())
		waitForLines(t, out, "got "+got, 2)
		require.Contains(t, l.stderr.String(), fmt.Sprintf("dlprun: the job was ended by signal %d (%v)\n", int(sig), sig))
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	l, out := shell(t, 2, `trap "echo got USR1" USR1; trap "echo got USR2" USR2; trap "echo got WINCH" WINCH; echo ready; while :; do sleep 0.1; done`)
	waitForLines(t, out, "ready", 2)
	for name, sig := range map[string]syscall.Signal{"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "WINCH": syscall.SIGWINCH} {
		require.NoError(t, l.Process.Signal(sig))
		waitForLines(t, out, "got "+name, 2)
	}
	require.NoError(t, l.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 143, l.wait())
}

// Ctrl-Z stops the ranks with dlprun, and both go on together.
func TestCtrlZ(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 1)
	state := func(pid int) func() byte {
		return func() byte {
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return b[strings.LastIndexByte(string(b), ')')+2]
		}
	}
	stopped := func(pid int) func() bool { return func() bool { return state(pid)() == 'T' } }
	goes := func(pid int) func() bool { return func() bool { return state(pid)() != 'T' } }
	require.NoError(t, l.Process.Signal(syscall.SIGTSTP))
	require.Eventually(t, stopped(l.Process.Pid), watchdog, tick)
	require.Eventually(t, stopped(pids[0]), watchdog, tick)
	require.NoError(t, l.Process.Signal(syscall.SIGCONT))
	require.Eventually(t, goes(l.Process.Pid), watchdog, tick)
	require.Eventually(t, goes(pids[0]), watchdog, tick)
	require.NoError(t, l.Process.Kill())
	l.Wait()
	requireGone(t, pids)
}

// Without its guard a job could leave processes behind, so it does not go on.
func TestGuardKilled(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 2)
	guard, err := syscall.Getpgid(pids[0])
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(guard, syscall.SIGKILL))
	require.Equal(t, 1, l.wait())
	require.Equal(t, "dlprun: the job was ended: dlprun's guard process was killed\n", l.stderr.String())
	requireGone(t, pids)
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	l, pids := stubborn(t, 2, "--timeout", "1s")
	require.Equal(t, 124, l.wait())
	require.Equal(t, "dlprun: the job was ended: --timeout 1s is over\n", l.stderr.String())
	requireGone(t, pids)
}

// A rank that joins and one that never does: the time to join ends the job.
func TestMissingRank(t *testing.T) {
	t.Parallel()
	l := dlprun(t, "-np", "3", "sh", "-c", `test $DLP_RANK = 1 && exec sleep 1000; exec "$0" none`, rankProgram)
	l.Env = append(l.Env, "DLP_INIT_TIMEOUT=1")
	require.Equal(t, 1, l.run())
	require.Contains(t, l.stderr.String(), "dlprun: missing ranks: 1 of 3 did not join within 1s\n")
}

// shell starts script np times under dlprun, its output going to the returned file.
func shell(t *testing.T, np int, script string, flags ...string) (*launched, string) {
	t.Helper()
	l := dlprun(t, append(flags, "-np", strconv.Itoa(np), "sh", "-c", script)...)
	out := filepath.Join(t.TempDir(), "out")
	f, err := os.Create(out)
	require.NoError(t, err)
	defer f.Close()
	l.Stdout = f
	require.NoError(t, l.Start())
	return l, out
}

// longLines returns a shell command that prints n lines, each of another length
// up to 64 KiB: its number, its length, and that many times the rank.
func longLines(n int) string {
	return fmt.Sprintf(`awk -v r=$DLP_RANK 'BEGIN {
		s = r; while (length(s) < 65536) s = s s
		for (i = 0; i < %d; i++) { n = i * 7919 %% 65521; printf "%%d %%d %%s\n", i, n, substr(s, 1, n) }
	}'`, n)
}

func TestTaggedLinesAreWhole(t *testing.T) {
	t.Parallel()
	l := dlprun(t, "-np", "4", "--tag-output", "sh", "-c", longLines(300)+" & "+longLines(100)+" >&2; wait")
	require.Zero(t, l.run(), l.stderr.String())
	for stream, want := range map[*bytes.Buffer]int{&l.stdout: 300, &l.stderr: 100} {
		next := [4]int{}
		for line := range bytes.Lines(stream.Bytes()) {
			var rank, i, n int
			_, err := fmt.Sscanf(string(line[:min(len(line), 40)]), "[%d] %d %d", &rank, &i, &n)
			require.NoError(t, err)
			whole := fmt.Sprintf("[%d] %d %d %s\n", rank, i, n, strings.Repeat(strconv.Itoa(rank), n))
			require.True(t, whole == string(line), "line %d of rank %d", i, rank)
			require.Equal(t, next[rank], i)
			next[rank]++
		}
		require.Equal(t, [4]int{want, want, want, want}, next)
	}
}

func TestUntaggedLinesAreWhole(t *testing.T) {
	t.Parallel()
	l := dlprun(t, "-np", "4", "sh", "-c", longLines(300))
	require.Zero(t, l.run(), l.stderr.String())
	require.Equal(t, 1200, bytes.Count(l.stdout.Bytes(), []byte("\n")))
	for line := range bytes.Lines(l.stdout.Bytes()) {
		var i, n int
		_, err := fmt.Sscanf(string(line[:min(len(line), 40)]), "%d %d", &i, &n)
		require.NoError(t, err)
		require.Len(t, line, len(fmt.Sprintf("%d %d \n", i, n))+n)
	}
}

func TestStdinGoesToRank0(t *testing.T) {
	for _, np := range []string{"1", "3"} {
		l := dlprun(t, "-np", np, "--tag-output", "cat")
		l.Stdin = strings.NewReader("one\ntwo\n")
		require.Zero(t, l.run(), l.stderr.String())
		require.Equal(t, "[0] one\n[0] two\n", l.stdout.String())
	}
}

func TestOutputDir(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "logs")
	l := dlprun(t, "-np", "2", "--output-dir", dir, "sh", "-c", "echo out $DLP_RANK; echo err $DLP_RANK >&2")
	require.Zero(t, l.run())
	require.Empty(t, l.stdout.String())
	require.Empty(t, l.stderr.String())
	for rank := range 2 {
		for _, kind := range []string{"out", "err"} {
			b, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("rank-%d.%s", rank, kind)))
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("%s %d\n", kind, rank), string(b))
		}
	}
}

func TestFullDisk(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	require.NoError(t, err)
	defer full.Close()
	l := dlprun(t, "-np", "2", "sh", "-c", "echo hello; exec sleep 1000")
	l.Stdout = full
	require.Equal(t, 1, l.run())
	require.Equal(t, "dlprun: the output of the ranks can't be written: write /dev/stdout: no space left on device\n", l.stderr.String())
}

func TestShareOfTheProcessors(t *testing.T) {
	t.Parallel()
	l := dlprun(t, "-np", "1", "sh", "-c", "echo $GOMAXPROCS $OMP_NUM_THREADS")
	require.Zero(t, l.run())
	require.Equal(t, fmt.Sprintf("%d %[1]d\n", available()), l.stdout.String())

	l = dlprun(t, "-np", "999", "--tag-output", "sh", "-c", "test $DLP_RANK = 998 && echo $GOMAXPROCS $OMP_NUM_THREADS; exit 0")
	l.Env = append(l.Env, "OMP_NUM_THREADS=7")
	require.Zero(t, l.run(), l.stderr.String())
	require.Equal(t, "[998] 1 7\n", l.stdout.String())
}

func TestProgress(t *testing.T) {
	for flag, want := range map[string]string{"bar": "bar\n", "off": "off\n", "": "log\n"} {
		args := []string{"-np", "1"}
		if flag != "" {
			args = append(args, "--progress", flag)
		}
		l := dlprun(t, append(args, "sh", "-c", "echo $DLP_PROGRESS")...)
		l.Env = append(l.Env, "DLP_PROGRESS=log")
		require.Zero(t, l.run())
		require.Equal(t, want, l.stdout.String())
	}
}

func TestFolderIsBuilt(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"./testdata/rank", "testdata/rank/"} {
		l := dlprun(t, "-np", "2", folder, "none")
		require.Zero(t, l.run(), l.stderr.String())
		require.Empty(t, l.stderr.String())
	}
}

func TestNestedJobs(t *testing.T) {
	l := dlprun(t, "-np", "2", os.Args[0], "-np", "2", rankProgram, "none")
	require.Zero(t, l.run(), l.stderr.String())
}

// Each kind of bad input ends in one line, at once, and leaves nothing behind.
func TestBadInput(t *testing.T) {
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), name)
		require.NoError(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	plain := file("plain", "text", 0o644)
	garbage := file("garbage", "no program", 0o755)
	orphan := file("orphan", "#!/no/such/interpreter\n", 0o755)
	empty := t.TempDir()
	for _, bad := range []struct {
		args   []string
		status int
		want   string
	}{
		{nil, 2, "no PROGRAM given; write dlprun [flags] PROGRAM [ARG...], or see dlprun --help"},
		{[]string{"--tag-ouput", "x"}, 2, "--tag-ouput: did you mean --tag-output?"},
		{[]string{"-np", "0", "x"}, 2, "--np 0: write how many ranks to start, 1 or more"},
		{[]string{"-np", "x", "x"}, 2, "--np x: write how many ranks to start, 1 or more"},
		{[]string{"no-such-program"}, 127, "no-such-program is not in PATH, and no folder here has that name"},
		{[]string{"main.go"}, 126, "main.go is the source of a program; give its folder: dlprun ."},
		{[]string{"../dlprun/main.go"}, 126, "../dlprun/main.go is the source of a program; give its folder: dlprun ../dlprun/"},
		{[]string{"no-such.go"}, 127, "no-such.go is not in PATH, and no folder here has that name"},
		{[]string{"./no-such-program"}, 127, "./no-such-program does not exist"},
		{[]string{plain}, 126, plain + " is not executable; if it is a program, try chmod +x " + plain},
		{[]string{plain + "/x"}, 126, plain + "/x can't be run: not a directory"},
		{[]string{garbage}, 126, garbage + " is no program that this system can run; a script needs a first line such as #!/bin/sh"},
		{[]string{orphan}, 126, orphan + " can't be run: the interpreter or loader that it names does not exist"},
		{[]string{empty}, 126, empty + " is a folder without Go files; give an executable, or the folder of a Go main package"},
		{[]string{"testdata/library"}, 126, "testdata/library holds package library; to be run it must be package main"},
		{[]string{"--output-dir", plain, "true"}, 1, "--output-dir " + plain + ": not a directory"},
		{[]string{"-np", "2", "--debug", "1", "true"}, 2, "--debug: a debugger needs a terminal, and standard input is none"},
		{[]string{"-np", "2", "--debug", "2", "true"}, 2, "--debug 2: there are ranks 0 to 1"},
	} {
		t.Run(strings.Join(bad.args, " "), func(t *testing.T) {
			l := dlprun(t, bad.args...)
			require.Equal(t, bad.status, l.run())
			require.Equal(t, "dlprun: "+bad.want+"\n", l.stderr.String())
			require.Empty(t, l.stdout.String())
		})
	}
}

func TestFileThatIsNotInPath(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("notes", nil, 0o600))
	l := dlprun(t, "notes")
	require.Equal(t, 127, l.run())
	require.Equal(t, "dlprun: notes is not in PATH; if you mean the file here, write ./notes\n", l.stderr.String())
}

func TestBadEnvironment(t *testing.T) {
	for _, v := range []string{"DLP_TRANSPORT=pigeon", "DLP_INIT_TIMEOUT=soon"} {
		l := dlprun(t, "-np", "2", "true")
		l.Env = append(l.Env, v)
		require.Equal(t, 2, l.run())
		require.Equal(t, 1, strings.Count(l.stderr.String(), "\n"), l.stderr.String())
		name, _, _ := strings.Cut(v, "=")
		require.Contains(t, l.stderr.String(), "dlprun: "+name)
	}
}

func TestCompilerErrors(t *testing.T) {
	l := dlprun(t, "./testdata/broken")
	require.Equal(t, 1, l.run())
	require.Contains(t, l.stderr.String(), "main.go:3:15: undefined: undefined\n")
	require.True(t, strings.HasSuffix(l.stderr.String(), "\ndlprun: ./testdata/broken could not be built\n"), l.stderr.String())
}

func TestHelpAndVersion(t *testing.T) {
	for flag, want := range map[string]string{"--help": usage, "-h": usage, "--version": "dlprun " + version() + "\n"} {
		l := dlprun(t, flag)
		require.Zero(t, l.run())
		require.Equal(t, want, l.stdout.String())
	}
}

func TestBindTo(t *testing.T) {
	if runtime.GOOS != "linux" {
		l := dlprun(t, "-np", "1", "--bind-to", "core", "true")
		require.Equal(t, 2, l.run())
		require.Contains(t, l.stderr.String(), "leave --bind-to out")
		return
	}
	cpus, err := processors()
	require.NoError(t, err)
	np := len(cpus) + 1
	l := dlprun(t, "-np", strconv.Itoa(np), "--bind-to", "core", "--tag-output", "sh", "-c",
		`echo $(sed -n "s/Cpus_allowed_list:\t//p" /proc/self/status) $GOMAXPROCS`)
	require.Zero(t, l.run(), l.stderr.String())
	var want []string
	for rank := range np {
		want = append(want, fmt.Sprintf("[%d] %d 1", rank, cpus[rank%len(cpus)]))
	}
	require.ElementsMatch(t, want, strings.Split(strings.TrimSpace(l.stdout.String()), "\n"))
}
