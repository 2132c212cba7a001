package e2e

import (
	"debug/elf"
	"fmt"
	gobuild "go/build"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// The same programs, built with -tags mpi, under the launcher of their MPI. That
// they speak real MPI is seen to by DLP_BACKEND=mpi, which allows nothing else.

// realMPI is an MPI to build against.
type realMPI struct {
	name    string // its folder under bin
	mpicc   string
	mpiexec string
	once    sync.Once
	failed  string // why it could not be built
}

var (
	openMPI = &realMPI{name: "openmpi", mpicc: "mpicc.openmpi", mpiexec: "mpirun.openmpi"}
	mpich   = &realMPI{name: "mpich", mpicc: "mpicc.mpich", mpiexec: "mpirun.mpich"}
)

// mpiPrograms are those that are built, and mpiTests the tests of packages, by
// package, that can run on the ranks of one job.
var (
	mpiPrograms = []string{"../cmd/dlprun", "../examples/wordfreq", "../examples/pi", "../examples/typecheck", "./testdata/selftest", "./testdata/faulty", "./testdata/huge"}
	mpiTests    = map[string]string{
		"mpi":    "^(TestCollectives|TestOrderOfMessages|TestManyGoroutines|TestSelfSend|TestRecvInto.*)$",
		"split":  "OverEveryTransport$",
		"gather": "^TestTransports$",
	}
)

// ready builds the programs, once, and returns a launcher for them.
func (m *realMPI) ready(t *testing.T) launcher {
	t.Helper()
	need(t, "make", "gcc", m.mpicc, m.mpiexec)
	m.once.Do(func() { m.failed = m.build(m.name, "") })
	require.Empty(t, m.failed)
	return m.launcher(t, m.name)
}

// launcher starts what is in a folder under bin, with DLP_BACKEND=mpi.
func (m *realMPI) launcher(t *testing.T, folder string) launcher {
	return launcher{name: m.name, env: append(openmpiAsRoot, "DLP_BACKEND=mpi"), command: func(n int, program ...string) []string {
		program[0] = filepath.Join(bin, folder, filepath.Base(program[0]))
		words := []string{m.mpiexec, "-np", strconv.Itoa(n)}
		if m == openMPI {
			words = append(words, openmpiFlags(t)...)
		}
		return append(words, program...)
	}}
}

// build builds into a folder under bin with flags for the compiler. It returns
// what has gone wrong.
func (m *realMPI) build(folder, flags string, env ...string) string {
	dir := filepath.Join(bin, folder)
	script := `set -e
flags=$(make -s -C .. mpi-flags MPICC="$0"); eval "$flags"
mkdir -p "$1"
go build -tags mpi ` + flags + ` -o "$1/" ` + strings.Join(mpiPrograms, " ") + "\n"
	for name := range mpiTests {
		script += "go test -tags mpi " + flags + ` -c -o "$1/` + name + `.test" ../` + name + "\n"
	}
	c := exec.Command("bash", "-c", script, m.mpicc, dir)
	c.Env = append(os.Environ(), env...)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return ""
}

// rounds is how often the quick tests of real launchers run: DLP_E2E_COUNT, else once.
func rounds(t *testing.T) int {
	text := os.Getenv("DLP_E2E_COUNT")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "DLP_E2E_COUNT")
	return n
}

const mpiRanks = 4 // from 1 to so many

// runTests runs the tests of the packages on n ranks, several times over.
func (l launcher) runTests(t *testing.T, n, rounds int) {
	for name, pattern := range mpiTests {
		l := l
		l.env = append([]string{"DLP_MPITEST_WORLD=1"}, l.env...)
		r := l.run(t, n, name+".test", "-test.run", pattern, "-test.count", strconv.Itoa(rounds), "-test.v")
		require.Zero(t, r.status, "%s on %d ranks: %v", name, n, r)
		require.GreaterOrEqual(t, strings.Count(r.stdout, "/mpi ("), rounds*n, "%s on %d ranks: %v", name, n, r)
	}
}

// crowded is the test that makes more communicators than MPICH has. Open MPI has more,
// so that it would show nothing there, and takes 30 ms for each on a busy machine.
const crowded = "^TestLargeOnThousandsOfCommunicators$"

// runLarge runs those of large bodies, which take longer, on 1 to mpiRanks ranks of one
// job.
func (l launcher) runLarge(t *testing.T, flags ...string) {
	l.env = append([]string{"DLP_MPITEST_WORLD=1"}, l.env...)
	r := l.run(t, mpiRanks, append([]string{"mpi.test", "-test.run", "^TestLarge", "-test.v"}, flags...)...)
	require.Zero(t, r.status, "%v", r)
	require.GreaterOrEqual(t, strings.Count(r.stdout, "/mpi ("), mpiRanks, "%v", r)
}

// The conformance matrix, of values, loops and gathers.
func TestMPIMatrix(t *testing.T) {
	l := openMPI.ready(t)
	const perJob = 5 // rounds, so that each job ends well within bound
	for n := 1; n <= mpiRanks; n++ {
		t.Run(fmt.Sprintf("%d ranks", n), func(t *testing.T) {
			t.Parallel()
			for left := rounds(t); left > 0; left -= perJob {
				l.runTests(t, n, min(left, perJob))
			}
		})
	}
	t.Run("large bodies", func(t *testing.T) {
		t.Parallel()
		l.runLarge(t, "-test.skip", crowded)
	})
}

// gosrc returns a folder of Go's own sources.
func gosrc(folder string) string { return filepath.Join(gobuild.Default.GOROOT, "src", folder) }

// The answers are those of the programs without a launcher.
func TestMPIPrograms(t *testing.T) {
	l := openMPI.ready(t)
	programs := [][]string{
		{"wordfreq", "-check", "../split"}, {"pi", "-check", "-items", "20", "-darts", "1000"}, {"typecheck", "-check", gosrc("unicode")},
	}
	for _, p := range programs {
		t.Run(p[0], func(t *testing.T) {
			t.Parallel()
			plain := start(t, nil, append([]string{filepath.Join(bin, l.name, p[0])}, p[1:]...)...)
			require.Zero(t, plain.status, "without a launcher: %v", plain)
			for range rounds(t) {
				for n := 1; n <= mpiRanks; n++ {
					r := l.run(t, n, append([]string(nil), p...)...)
					require.Zero(t, r.status, "%d ranks: %v", n, r)
					require.Equal(t, plain.stdout, r.stdout, "%d ranks", n)
				}
			}
		})
	}
	t.Run("typecheck, with all that dlp imports", func(t *testing.T) { // which takes long
		t.Parallel()
		r := l.run(t, mpiRanks, "typecheck", "-check", "../split")
		require.Zero(t, r.status, "%v", r)
		require.Contains(t, r.stdout, "same as serial\n")
	})
	t.Run("selftest", func(t *testing.T) {
		t.Parallel()
		for range rounds(t) {
			for n := 1; n <= mpiRanks; n++ {
				r := l.run(t, n, "selftest")
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, fmt.Sprintf("selftest: %d ranks agree\n", n), r.stdout)
			}
		}
	})
}

// mpiFaults is how a rank may end before its time, and what somebody says about it:
// of an item of a Map that fails, another rank may be the first to.
var mpiFaults = map[string]string{
	"kill":  `process rank %d .*signal 9`,
	"exit0": `process rank %d `,
	"exit3": `Process name: \[\[\d+,1\],%d\]\s+Exit code: +3`,
	"error": `dlp: (.* failed on )?rank %d \(.*\): an error on purpose`,
	"panic": `dlp: (.* failed on )?rank %d \(.*\): panic: on purpose`,
}

// failsWithin runs a job that is to end within so many seconds, with a status that is
// not 0. One that does not is sent one signal: mpirun, at two of them, ends without its
// ranks.
func failsWithin(t *testing.T, seconds int, env []string, words ...string) result {
	t.Helper()
	r := start(t, env, append([]string{"timeout", "--foreground", "-v", "-k", "5", strconv.Itoa(seconds)}, words...)...)
	require.NotZero(t, r.status, "%v: %v", words, r)
	require.NotContains(t, r.stderr, "timeout: sending signal", "it has not ended within %d s: %v: %v", seconds, words, r)
	return r
}

// Whatever a rank does, on whichever rank, in whichever operation: the job ends
// within 10 s, with a status that is not 0, and the rank is named, and none that only
// follows it. Each round takes the next rank, and then the next operation: of 4 ranks,
// 16 rounds are all there is.
func TestMPIFaults(t *testing.T) {
	l := openMPI.ready(t)
	operations := []string{"barrier", "gather", "managed", "map", "large"}
	turn := 0
	for n := 1; n <= mpiRanks; n++ {
		for kind, says := range mpiFaults {
			turn++
			first := turn
			t.Run(fmt.Sprintf("%d ranks/%s", n, kind), func(t *testing.T) {
				t.Parallel()
				for round := range max(n, rounds(t)) {
					rank, operation := round%n, operations[(first+round/n)%len(operations)]
					r := failsWithin(t, 10, l.env, l.command(n, "faulty", operation, kind, strconv.Itoa(rank))...)
					require.Regexp(t, fmt.Sprintf(says, rank), r.stdout+r.stderr, "%s on rank %d: %v", operation, rank, r)
					require.NotContains(t, r.stderr, "stopped by signal", "%s on rank %d: others take the blame: %v", operation, rank, r)
				}
			})
		}
	}
}

// What ends a job of sockets ends one of MPI too, by MPI_Abort with the right
// status: calls that differ, Abort, a run that does not come back or does not heed
// its ctx, a Finalize that is given up. The roles are those of the tests of package mpi.
func TestMPIEnds(t *testing.T) {
	t.Parallel()
	l := openMPI.ready(t)
	for role, want := range map[string]struct {
		status int
		says   string
	}{
		"mismatch Barrier Bcast":   {1, `rank 0 called Barrier at mpi/mismatch_test.go:\d+, rank 1 called Bcast`},
		"mismatch Finalize Gather": {1, `rank 0 called Finalize at mpi/mismatch_test.go:\d+, rank 1 called Gather`},
		"abort":                    {7, "aborted: no data"},
		"goexit":                   {1, `runtime\.Goexit`},
		"stubborn":                 {1, "broken"},
		"leave alone":              {1, "nobody comes"},
	} {
		r := start(t, append([]string{"DLP_TEST_ROLE=" + role, "ABORT=7"}, l.env...), l.command(2, "mpi.test")...)
		require.Equal(t, want.status, r.status, "%s: %v", role, r)
		require.Regexp(t, `dlp: rank [01] \(.*\): .*`+want.says, r.stderr, role)
	}
}

// A rank that does not come, or ends before it joins, ends the others. mpirun does so
// at once where it is not content; where it waits, they do it themselves.
func TestMPIRankEndsBeforeInit(t *testing.T) {
	t.Parallel()
	l := openMPI.ready(t)
	l.env = append(l.env, "DLP_INIT_TIMEOUT=2")
	for _, kind := range []string{"stop", "exit0", "exit3", "kill"} {
		r := failsWithin(t, 20, l.env, l.command(3, "selftest", "before", kind, "1")...)
		if kind == "stop" { // after which mpirun is certain to wait
			require.Contains(t, r.stderr, "dlp: not all ranks joined within 2s (DLP_INIT_TIMEOUT)\n", "%v", r)
		}
	}
}

// More bytes than an int counts arrive whole.
func TestMPIHuge(t *testing.T) {
	l := openMPI.ready(t)
	r := l.run(t, 2, "huge")
	require.Zero(t, r.status, "%v", r)
	require.Equal(t, "huge: whole\n", r.stdout)
}

// The program speaks MPI by itself just where its own mpiexec has started it.
func TestMPIBackendByItself(t *testing.T) {
	own := openMPI.ready(t)
	info := filepath.Join(bin, own.name, "dlprun")
	env := openmpiAsRoot
	r := start(t, env, own.command(2, "dlprun", "info")...)
	require.Equal(t, 2, strings.Count(r.stdout, "backend mpi\n"), "%v", r)
	r = start(t, env, info, "info")
	require.Regexp(t, `backend +single \(this build is linked against Open MPI\)`, r.stdout, "%v", r)
	r = start(t, env, filepath.Join(bin, "dlprun"), "-np", "2", info, "info")
	require.Equal(t, 2, strings.Count(r.stdout, "backend embedded\n"), "%v", r)
	need(t, "mpirun.mpich")
	r = start(t, env, "mpirun.mpich", "-np", "2", info, "info")
	require.Equal(t, 2, strings.Count(r.stdout, "backend embedded\n"), "%v", r)
	r = start(t, append([]string{"DLP_BACKEND=embedded"}, env...), own.command(2, "dlprun", "info")...)
	require.Equal(t, 2, strings.Count(r.stdout, "backend embedded\n"), "%v", r)
}

// With DLP_BACKEND=mpi under another MPI's mpiexec every rank fails, and says why,
// instead of being a job of one rank each.
func TestMPIOfAnotherKind(t *testing.T) {
	t.Parallel()
	for _, m := range []struct{ linked, starts *realMPI }{{openMPI, mpich}, {mpich, openMPI}} {
		m.linked.ready(t)
		need(t, m.starts.mpiexec)
		l := m.starts.launcher(t, m.linked.name)
		r := l.run(t, 2, "selftest")
		require.NotZero(t, r.status, "%v", r)
		require.NotContains(t, r.stdout, "agree")
		require.Regexp(t, `dlp: this program is linked against another MPI than this mpiexec: \w+, \w+ say rank \d of 2, but .* says rank 0 of 1; build it with`, r.stderr)
	}
}

// anotherBuild copies a program, and makes it take itself for another build.
func anotherBuild(t *testing.T, program string) string {
	file, err := elf.Open(program)
	require.NoError(t, err)
	defer file.Close()
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	text[file.Section(".note.go.buildid").Offset+16] ^= 1 // the first letter of the id
	other := filepath.Join(tempDir(t), "other")
	require.NoError(t, os.WriteFile(other, text, 0o755))
	return other
}

// Ranks of two builds do not work together, unless they may.
func TestMPIOtherBuild(t *testing.T) {
	l := openMPI.ready(t)
	words := l.command(1, "selftest")
	words = append(words, ":", "-np", "1", anotherBuild(t, words[len(words)-1]))
	r := start(t, l.env, words...)
	require.NotZero(t, r.status, "%v", r)
	require.Regexp(t, `dlp: rank (0 runs another build of the program than rank 1|1 runs another build of the program than rank 0): start one binary everywhere, or set DLP_BUILD=any\n`, r.stderr)
	r = start(t, append([]string{"DLP_BUILD=any"}, l.env...), words...)
	require.Zero(t, r.status, "%v", r)
	require.Equal(t, "selftest: 2 ranks agree\n", r.stdout)
}

// preloaded returns the words that start a program with the C file preloaded.
func preloaded(t *testing.T, l launcher, file string, n int, program ...string) []string {
	shim := filepath.Join(tempDir(t), "shim.so")
	out, err := exec.Command(openMPI.mpicc, "-shared", "-fPIC", "-o", shim, filepath.Join("testdata", file), "-ldl").CombinedOutput()
	require.NoError(t, err, "%s", out)
	return slices.Insert(l.command(n, program...), 1, "-x", "LD_PRELOAD="+shim)
}

// A library that allows no calls from different threads is refused.
func TestMPIThreadLevel(t *testing.T) {
	l := openMPI.ready(t)
	r := start(t, l.env, preloaded(t, l, "threads.c", 2, "selftest")...)
	require.NotZero(t, r.status, "%v", r)
	require.Contains(t, r.stderr, "grants no more than MPI_THREAD_FUNNELED, and Go needs MPI_THREAD_SERIALIZED")
}

// Large bodies do go by MPI's own collectives, each communicator's by one of MPI.
func TestMPICollectives(t *testing.T) {
	l := openMPI.ready(t)
	env := append([]string{"DLP_MPITEST_WORLD=1"}, l.env...)
	r := start(t, env, preloaded(t, l, "counted.c", 3, "mpi.test", "-test.run", "^TestLarge(Reductions|Bcast)$")...)
	require.Zero(t, r.status, "%v", r)
	// On 2 and on 3 ranks of these, which are 2 tests on 2 communicators; the third
	// rank is in two of them. Of integers that MPI combines there are 28 kinds, sizes
	// and operations.
	counted := regexp.MustCompile(`counted: (\d+) MPI_Comm_create_group, (\d+) MPI_Ibcast, (\d+) MPI_Ireduce, (\d+) MPI_Iallreduce`).FindAllStringSubmatch(r.stdout, -1)
	require.Len(t, counted, 3, "%v", r)
	groups := 0
	for _, c := range counted {
		n, err := strconv.Atoi(c[1])
		require.NoError(t, err)
		groups += n
		for _, calls := range c[2:] {
			n, err := strconv.Atoi(calls)
			require.NoError(t, err)
			require.GreaterOrEqual(t, n, 28, "%v", r)
		}
	}
	require.Equal(t, 2*2+2*3, groups, "%v", r)
	// A communicator on which a call was given up halfway is not trusted any more.
	r = start(t, env, preloaded(t, l, "counted.c", 3, "mpi.test", "-test.run", "^TestLargeGivenUp$")...)
	require.Zero(t, r.status, "%v", r)
	require.Equal(t, 3, strings.Count(r.stdout, "counted: 0 MPI_Comm_create_group, 0 MPI_Ibcast, 0 MPI_Ireduce, 0 MPI_Iallreduce"), "%v", r)
}

// Where MPI does not come to an end with what can't be taken back, the job does,
// some time after the ctx of the call, and says so; where a rank has given the call
// up after all had agreed, those who wait for it are told so.
func TestMPIStuck(t *testing.T) {
	t.Parallel()
	l := openMPI.ready(t)
	r := start(t, append([]string{"DLP_TEST_ROLE=stuck"}, l.env...), preloaded(t, l, "stuck.c", 2, "mpi.test")...)
	require.Equal(t, 1, r.status, "%v", r)
	require.Regexp(t, `dlp: rank 1 \(.*\): Bcast: its ctx has ended while an operation was under way that can't be taken back, .*: the test's time is up`, r.stderr)
	r = start(t, append([]string{"DLP_TEST_ROLE=give up"}, l.env...), l.command(3, "mpi.test")...)
	require.Equal(t, 1, r.status, "%v", r)
	require.Regexp(t, `rank 2 called Bcast\(.*\), and gave it up`, r.stderr)
	// Where MPI does not come back from a call, nobody waits for it to end the job.
	r = start(t, append([]string{"DLP_TEST_ROLE=hung"}, l.env...), preloaded(t, l, "hung.c", 2, "mpi.test")...)
	require.Equal(t, 7, r.status, "%v", r)
	require.Regexp(t, `dlp: rank 1 \(.*\): aborted: it takes too long`, r.stderr)
}

// The same once under the race detector, and with every pointer checked that goes
// to C: on two ranks, and on three, of whom not all take part in every message.
func TestMPIUnderCheckers(t *testing.T) {
	t.Parallel()
	openMPI.ready(t)
	const folder = "openmpi-checked"
	require.Empty(t, openMPI.build(folder, "-race", "GOEXPERIMENT=cgocheck2"))
	l := openMPI.launcher(t, folder)
	for n := 2; n <= 3; n++ {
		l.runTests(t, n, 1)
		r := l.run(t, n, "selftest")
		require.Zero(t, r.status, "%v", r)
	}
	l.runLarge(t, "-test.skip", crowded)
}

// ucxSays is what the library below MPICH writes to standard output, of a goodbye that
// came when its receiver had waited long enough.
var ucxSays = regexp.MustCompile(`(?m)^\[.*\] +tag_match\.c:\d+ +UCX +WARN +unexpected tag-receive descriptor .* was not matched\n`)

// MPICH will do as well.
func TestMPIOfMPICH(t *testing.T) {
	t.Parallel()
	l := mpich.ready(t)
	for n := 1; n <= mpiRanks; n++ {
		l.runTests(t, n, 1)
		for _, flags := range [][]string{nil, {"-pmi-port"}} {
			words := l.command(n, "selftest")
			r := start(t, l.env, slices.Insert(words, 1, flags...)...)
			require.Zero(t, r.status, "%v", r)
			require.Equal(t, fmt.Sprintf("selftest: %d ranks agree\n", n), ucxSays.ReplaceAllString(r.stdout, ""))
		}
	}
	l.runLarge(t)
	for kind := range mpiFaults {
		if kind == "exit0" {
			continue // Hydra ends all ranks, and is content
		}
		r := l.run(t, 3, "faulty", "gather", kind, "1")
		require.NotZero(t, r.status, "%s: %v", kind, r)
	}
}

// Between hosts MPI takes what it has, TCP here.
func TestMPIOnThreeHosts(t *testing.T) {
	openMPI.ready(t)
	h := newHosts(t)
	l := openMPI.launcher(t, openMPI.name)
	command := l.command
	l.command = func(n int, program ...string) []string {
		words := command(n, program...)
		flags := []string{"-x", "DLP_BACKEND", "--mca", "plm_rsh_agent", h.agent, "--mca", "oob_tcp_if_include", "10.77.0.0/24",
			"--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "pml", "ob1", "--host", strings.Join(h.names, ":2,") + ":2"}
		return h.on(0, slices.Insert(words, 1, flags...)...)
	}
	for _, p := range [][]string{{"selftest"}, {"wordfreq", "-check", "../split"}} {
		r := l.run(t, 6, append([]string(nil), p...)...)
		require.Zero(t, r.status, "%v", r)
	}
	l.runTests(t, 6, 1)
}

// srun starts real MPI where it speaks that MPI's language, and the program finds
// out by itself; where it does not, no rank takes itself for a job. A rank that fails
// ends them all by MPI_Abort: with PMI-2 srun itself waits for the others for ever, unless
// it is told not to, as it must be for a rank that is killed.
func TestMPIUnderSlurm(t *testing.T) {
	env := append(slurm(t), openmpiAsRoot...)
	must := append([]string{"DLP_BACKEND=mpi"}, env...)
	srun := func(m *realMPI, plugin string, program ...string) []string {
		program[0] = filepath.Join(bin, m.name, program[0])
		return append([]string{"srun", "--mpi=" + plugin, "-N2", "-n3", "--overcommit"}, program...)
	}
	for plugin, m := range map[string]*realMPI{"pmix": openMPI, "pmi2": mpich} {
		m.ready(t)
		r := start(t, must, srun(m, plugin, "selftest")...)
		require.Zero(t, r.status, "%s: %v", plugin, r)
		require.Equal(t, "selftest: 3 ranks agree\n", r.stdout, "%s", plugin)
		for _, kind := range []string{"error", "panic"} { // jobs may have to wait for one another
			r = failsWithin(t, 30, must, srun(m, plugin, "faulty", "barrier", kind, "1")...)
			require.Regexp(t, fmt.Sprintf(mpiFaults[kind], 1), r.stderr, "%s: %v", plugin, r)
		}
		r = failsWithin(t, 30, must, slices.Insert(srun(m, plugin, "faulty", "barrier", "kill", "1"), 1, "--kill-on-bad-exit")...)
		require.Contains(t, r.stderr, "task 1: Killed", "%s: %v", plugin, r)
		r = start(t, env, srun(m, plugin, "dlprun", "info")...)
		require.Equal(t, 3, strings.Count(r.stdout, "backend mpi\n"), "%s: %v", plugin, r)
		r = start(t, must, srun(m, "none", "selftest")...)
		require.NotZero(t, r.status, "%s: %v", plugin, r)
		require.Regexp(t, "another MPI than this mpiexec|not built with SLURM's PMI support", r.stderr, plugin) // that is Open MPI's own
	}
}
