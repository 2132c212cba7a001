package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// goingOn is dlprun with --on-failure=continue.
var goingOn = launcher{name: "dlprun", command: func(n int, program ...string) []string {
	words := dlprun.command(n, program...)
	return append([]string{words[0], "--on-failure=continue"}, words[1:]...)
}}

var modes = []string{"map", "unordered", "collect", "managed", "seq"}

// survivor runs n ranks of survivor, and checks that its loop gave what it should,
// with status 0, and that a line at the end names who was lost.
func (l launcher) survivor(t *testing.T, n int, lost, mode string, flags ...string) result {
	folder := tempDir(t)
	r := l.run(t, n, append([]string{"survivor", "-mode", mode, "-folder", folder, "-items", "100"}, flags...)...)
	require.Zero(t, r.status, "%v", r)
	out := regexp.MustCompile(`(?m)^rank .*\n`).ReplaceAllString(r.stdout, "")
	require.True(t, right(mode, folder, 100, out), "%v", r)
	require.Contains(t, r.stderr, "the job has ended well, but without what it has lost on the way: rank "+lost+"\n")
	return r
}

func TestRankIsLostAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for _, when := range []string{"hello", "after", "stop"} {
			t.Run(mode+"/"+when, func(t *testing.T) {
				t.Parallel()
				l := goingOn
				l.env = []string{"DLP_HEARTBEAT=0.3"} // by which one that is stopped is found out
				r := l.survivor(t, 4, "2", mode, "-dies", "2", "-when", when)
				if when == "stop" {
					require.Regexp(t, `dlprun: rank 2 \(.*\): nothing was heard of it for 1.8s.*; the job goes on without it\n`, r.stderr)
				} else {
					require.Regexp(t, `dlprun: rank 2 \(.*\): killed by signal 9 \(killed\); the job goes on without it\n`, r.stderr)
				}
			})
		}
	}
}

// What takes three ranks with it has failed; what was in hand with it has not. Rank 0,
// with which the job would end, is not among them, if it does not come first.
func TestPoison(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for name, flags := range map[string][]string{
			"dedicated": {"-poison", "30", "-dedicated", "-chunk", "4", "-workers", "3", "-pause", "5ms"},
			"spared":    {"-poison", "80", "-spared", "-chunk", "1"},
		} {
			t.Run(mode+"/"+name, func(t *testing.T) {
				t.Parallel()
				poisoned(t, mode, flags)
			})
		}
	}
}

func poisoned(t *testing.T, mode string, flags []string) {
	took := regexp.MustCompile(`(?m)^rank \d takes the poison$`)
	job := func(more ...string) (r result, folder string) {
		folder = tempDir(t)
		r = goingOn.run(t, 6, slices.Concat([]string{"survivor", "-mode", mode, "-folder", folder, "-items", "100"}, flags, more)...)
		require.Equal(t, 1, r.status, "%v", r)
		require.Len(t, took.FindAllString(r.stderr, -1), 3, "%v", r)
		return r, folder
	}
	r, _ := job()
	said := regexp.MustCompile(`item (\d+) \(key (\d+)\) failed on rank (\d) \(.*\) at attempt 3: it killed 3 ranks: (\d), (\d), (\d); the last: killed by signal 9 \(killed\); its last output: rank \d takes the poison`).FindStringSubmatch(r.stderr)
	require.NotNil(t, said, "%v", r)
	require.Equal(t, []string{flags[1], flags[1]}, said[1:3])
	require.Equal(t, said[3], said[6])
	for _, rank := range said[4:] {
		require.NotEqual(t, "0", rank)
		require.Contains(t, r.stderr, "rank "+rank+" takes the poison\n")
	}

	r, folder := job("-max-failures", "1")
	require.Contains(t, r.stderr, fmt.Sprintf("item %s (key %[1]s) failed", flags[1]), "%v", r)
	if mode == "managed" || mode == "seq" {
		names, err := filepath.Glob(filepath.Join(folder, "item-*"))
		require.NoError(t, err)
		require.Len(t, names, 99)
	} else {
		want := map[bool]int{true: 100, false: 99}[mode == "collect"] // with a zero value
		require.Equal(t, want, strings.Count(r.stdout, "\n"), "%v", r)
	}
}

// When all other ranks are lost, rank 0 does the rest.
func TestLastSurvivor(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			goingOn.survivor(t, 2, "1", mode, "-dies", "1", "-when", "hello")
		})
	}
}

func TestCollectivesAfterALoss(t *testing.T) {
	t.Parallel()
	r := goingOn.survivor(t, 4, "2", "map", "-dies", "2", "-when", "hello", "-later")
	for _, rank := range []int{0, 1, 3} {
		for _, op := range []string{"Gather", "Allreduce", "Slice"} {
			require.Regexp(t, fmt.Sprintf(`(?m)^rank %d: %s: .*rank 2 \(.*\) is gone: killed by signal 9`, rank, op), r.stdout)
		}
		require.Contains(t, r.stdout, fmt.Sprintf("rank %d: Barrier: <nil>\n", rank))
	}
	require.Regexp(t, `(?m)^rank 0: Slice: .*; where ranks may be lost, bring results home by split\.Map or split\.Collect$`, r.stdout)
	require.Contains(t, r.stdout, "rank 0: Collect: [0 1 2 3 4], <nil>\n")
}

func TestMessagesAndALoss(t *testing.T) {
	t.Parallel()
	r := goingOn.run(t, 4, "survivor", "-mode", "messages", "-dies", "2", "-when", "sent")
	require.Zero(t, r.status, "%v", r)
	require.Contains(t, r.stdout, "lost 2, from 2\n3 messages, 1 losses\n")
	require.Regexp(t, `from the lost one: mpi: Recv: rank 2 \(.*\) is gone: killed by signal 9`, r.stdout)
	require.Regexp(t, `to it: mpi: Send: rank 2 \(.*\) is gone: killed by signal 9`, r.stdout)
}

// Rank 0 can't be done without, nor a rank that says itself that it fails.
func TestJobDoesNotGoOn(t *testing.T) {
	t.Parallel()
	r := goingOn.run(t, 3, "survivor", "-dies", "0", "-when", "hello")
	require.Equal(t, 128+9, r.status, "%v", r)
	require.Regexp(t, `dlprun: rank 0 \(.*\): killed by signal 9 \(killed\)\n`, r.stderr)
	for _, kind := range []string{"error", "panic"} {
		r = goingOn.run(t, 3, "faulty", "managed", kind, "2")
		require.NotZero(t, r.status, "%s: %v", kind, r)
		require.Regexp(t, `dlprun: rank 2 \(.*\): .*on purpose\n`, r.stderr)
	}
}

// surviving are the launchers that can go on without a rank.
func surviving(t *testing.T) []launcher {
	need(t, "mpirun.openmpi")
	openmpi := with("mpirun.openmpi", func() string { return strings.Join(openmpiFlags(t), " ") })
	all := []launcher{
		{name: "openmpi", env: openmpiAsRoot, command: func(n int, program ...string) []string {
			return append(append([]string{"mpirun.openmpi", "--enable-recovery", "-np", fmt.Sprint(n)}, openmpiFlags(t)...), program...)
		}},
		openmpi,
	}
	for _, l := range slurmLaunchers(t) {
		if strings.HasPrefix(l.name, "srun") {
			srun := l.command
			l.command = func(n int, program ...string) []string {
				words := srun(n, program...)
				return append([]string{words[0], "--no-kill", "--kill-on-bad-exit=0", "--wait=0"}, words[1:]...)
			}
		}
		all = append(all, l)
	}
	return all
}

// A loop loses no result with its rank, whoever has started it. What status a launcher
// of its own makes of that is its business.
func TestRankIsLostUnderLaunchers(t *testing.T) {
	t.Parallel()
	for _, l := range surviving(t) {
		l.env = append(l.env, "DLP_ON_FAILURE=continue", "DLP_HEARTBEAT=1")
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, when := range []string{"hello", "exit", "after", "stop"} {
				if when == "stop" && !strings.HasPrefix(l.name, "dlprun") {
					continue // they wait for what is stopped
				}
				r := l.run(t, 4, "survivor", "-items", "100", "-dies", "2", "-when", when)
				require.True(t, right("map", "", 100, r.stdout), "%s: %v", when, r)
				require.Contains(t, r.stderr, "the job has ended well, but without what it has lost on the way: rank 2\n")
				if strings.HasPrefix(l.name, "dlprun") {
					require.Zero(t, r.status, "%s: %v", when, r)
				}
				t.Logf("%s: status %d", when, r.status)
			}
		})
	}
}

// Hydra ends all ranks when one is killed, and dlprun says so; it does without one
// that exits.
func TestRankIsLostUnderHydra(t *testing.T) {
	t.Parallel()
	need(t, "mpirun.mpich")
	l := with("mpirun.mpich", func() string { return "" })
	l.env = append(l.env, "DLP_ON_FAILURE=continue")
	r := l.run(t, 4, "survivor", "-dies", "2", "-when", "hello")
	require.NotZero(t, r.status, "%v", r)
	require.Regexp(t, `(?m)^dlprun: rank \d \(.*\): it ended before Finalize`, r.stderr)
	r = l.run(t, 4, "survivor", "-items", "100", "-dies", "2", "-when", "exit")
	require.Zero(t, r.status, "%v", r)
	require.True(t, right("map", "", 100, r.stdout), "%v", r)
}

// A task that ignores its context takes its rank with it, and the job; or only its
// rank, if the job goes on.
func TestTaskThatIgnoresItsTimeout(t *testing.T) {
	t.Parallel()
	const line = `item 30 \(key 30\) has not ended on rank (\d) \(.*\) 5s after its TaskTimeout of 500ms: the rank is given up`
	const stack = `(?s)dlp: rank \d: where the task on item 30 \(key 30\) is:\ngoroutine .*main\.forever`
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			flags := func(more ...string) []string {
				return append([]string{"survivor", "-mode", mode, "-folder", tempDir(t), "-stuck", "30", "-timeout", "500ms"}, more...)
			}
			r := dlprun.run(t, 3, flags()...)
			require.Equal(t, 1, r.status, "%v", r)
			require.Regexp(t, `dlprun: rank \d \(.*\): split: .*: `+line, r.stderr)
			require.Regexp(t, stack, r.stderr)

			r = launcher{command: cmd()}.run(t, 1, flags()...)
			require.Equal(t, 1, r.status, "%v", r)
			require.Regexp(t, `dlp: rank 0 \(.*\): split: .*: `+line, r.stderr)
			require.Regexp(t, stack, r.stderr)

			lost := regexp.MustCompile(line + "; the job goes on without it\n")
			folder := tempDir(t)
			r = goingOn.run(t, 4, "survivor", "-mode", mode, "-folder", folder, "-items", "100", "-stuck", "30", "-timeout", "500ms", "-dedicated", "-once", "-workers", "2")
			require.Zero(t, r.status, "%v", r)
			require.True(t, right(mode, folder, 100, r.stdout), "%v", r)
			require.Regexp(t, lost, r.stderr)
			require.Regexp(t, stack, r.stderr)

			r = goingOn.run(t, 5, flags("-dedicated")...)
			require.Equal(t, 1, r.status, "%v", r)
			require.Len(t, lost.FindAllString(r.stderr, -1), 3, "%v", r)
			require.Regexp(t, `item 30 \(key 30\) failed on rank \d \(.*\) at attempt 3: it killed 3 ranks: \d, \d, \d; the last: .*`+line, r.stderr)
		})
	}
}

// What a host had in hand that is cut off goes to the others; and where the job goes on,
// the lowest rank of a host leads nobody: the other one does without it. Nobody starts
// these ranks but a shell, which does not care.
func TestJobGoesOnWithoutAHost(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	env := []string{"DLP_ON_FAILURE=continue", "DLP_HEARTBEAT=400ms"}
	r := start(t, env, h.byHand(6, "survivor", "-items", "100", "-dies", "4", "-when", "exit")...)
	require.Zero(t, r.status, "%v", r)
	require.True(t, right("map", "", 100, r.stdout), "%v", r)
	require.Contains(t, r.stderr, "the job has ended well, but without what it has lost on the way: rank 4\n")

	cut := func(*os.Process) { ip(t, "-n", h.hub, "link", "set", "port3", "down") }
	r = startAnd(t, env, "0 "+survivorValue(0), cut, h.byHand(6, "survivor", "-items", "300", "-pause", "10ms")...)
	require.Zero(t, r.status, "%v", r)
	require.True(t, right("map", "", 300, r.stdout), "%v", r)
	require.Regexp(t, `dlp: rank 4 \(`+h.names[2]+`\): nothing was heard of it for 2.4s`, r.stderr)
	require.Contains(t, r.stderr, "the job has ended well, but without what it has lost on the way: rank 4, 5\n")
}
