package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/dlprun/dlp/mpi/launch"
	"github.com/stretchr/testify/require"
)

// show writes actions as a script would.
func show(acts []any) string {
	var s []string
	for _, act := range acts {
		switch a := act.(type) {
		case say:
			s = append(s, "say "+a.line)
		case tell:
			s = append(s, fmt.Sprintf("tell %d %s", a.rank, a.cause))
		case ask:
			s = append(s, "ask "+a.signal.String())
		case send:
			s = append(s, "send "+a.signal.String())
		case killAll:
			s = append(s, "kill")
		case end:
			s = append(s, fmt.Sprintf("end %d", a.rank))
		case arm:
			s = append(s, fmt.Sprintf("arm %v", a.after))
		case finish:
			s = append(s, fmt.Sprintf("finish %d", a.status))
		}
	}
	return strings.Join(s, "; ")
}

func TestVerdict(t *testing.T) {
	code := func(c int) exited { return exited{exit{code: c}} }
	sig := func(s syscall.Signal) exited { return exited{exit{signal: s}} }
	type step struct {
		rank  int
		event any
		want  string
	}
	join := []step{{0, joined{"a"}, ""}, {1, joined{"a"}, ""}, {2, joined{"a"}, ""}}
	for name, test := range map[string]struct {
		joined   bool // all of them, first
		steps    []step
		launcher string
	}{
		"plain programs": {false, []step{
			{0, code(0), ""}, {2, code(0), ""}, {1, code(0), "finish 0"},
		}, ""},
		"a plain program fails": {false, []step{
			{0, code(0), ""},
			{1, code(3), "say rank 1 (here): exited with status 3; tell 1 exited with status 3; send terminated; arm 1.5s"},
			{2, sig(syscall.SIGTERM), "finish 3"},
		}, ""},
		"the last plain program fails": {false, []step{
			{0, code(0), ""}, {2, code(0), ""},
			{1, sig(syscall.SIGSEGV), "say rank 1 (here): killed by signal 11 (segmentation fault); tell 1 killed by signal 11 (segmentation fault); finish 139"},
		}, ""},
		"clean": {true, []step{
			{0, finalized{}, ""}, {1, finalized{}, ""}, {2, finalized{}, ""},
			{0, code(0), ""}, {1, code(0), ""}, {2, code(0), "finish 0"},
		}, ""},
		"a rank is killed": {true, []step{
			{2, lost{}, "arm 500ms"},
			{2, sig(syscall.SIGKILL), "say rank 2 (a): killed by signal 9 (killed); tell 2 killed by signal 9 (killed); arm 2s"},
			{0, failed{1, "rank 2 is gone"}, ""}, {0, code(1), ""},
			{1, code(1), "finish 137"},
		}, ""},
		"a rank is killed, its status first": {true, []step{
			{2, sig(syscall.SIGKILL), "arm 500ms"},
			{0, failed{1, "rank 2 is gone"}, ""},
			{2, lost{}, "say rank 2 (a): killed by signal 9 (killed); tell 2 killed by signal 9 (killed); arm 2s"},
		}, ""},
		"a rank gives its reason": {true, []step{
			{1, failed{1, "open x: no such file"}, "say rank 1 (a): open x: no such file; tell 1 open x: no such file; arm 2s"},
			{1, code(1), ""}, {0, lost{}, ""}, {0, code(1), ""}, {2, code(1), "finish 1"},
		}, ""},
		"its status comes before its reason": {true, []step{
			{1, code(4), "arm 500ms"},
			{1, failed{4, "no"}, "say rank 1 (a): no; tell 1 no; arm 2s"},
			{0, code(1), ""}, {2, code(1), "finish 4"},
		}, ""},
		"its reason never comes": {true, []step{
			{1, code(4), "arm 500ms"},
			{-1, alarm{}, "say rank 1 (a): exited with status 4 before Finalize; tell 1 exited with status 4 before Finalize; arm 2s"},
		}, ""},
		"exit 0 before Finalize": {true, []step{
			{1, lost{}, "arm 500ms"},
			{1, code(0), "say rank 1 (a): exited with status 0 before Finalize; tell 1 exited with status 0 before Finalize; arm 2s"},
			{0, code(0), ""}, {2, code(0), "finish 1"},
		}, ""},
		"Finalized is late": {true, []step{
			{0, finalized{}, ""}, {2, finalized{}, ""},
			{1, code(0), "arm 500ms"}, {0, code(0), ""},
			{1, finalized{}, "arm 0s"},
			{2, code(0), "finish 0"},
		}, ""},
		"exit 3 after Finalize": {true, []step{
			{1, finalized{}, ""},
			{1, code(3), "say rank 1 (a): exited with status 3 after Finalize; tell 1 exited with status 3 after Finalize; arm 2s"},
		}, ""},
		"a status beyond 255": {true, []step{
			{1, failed{256, "big"}, "say rank 1 (a): big; tell 1 big; arm 2s"},
			{0, code(1), ""}, {1, code(0), ""}, {2, code(1), "finish 1"},
		}, ""},
		"one never joins": {false, []step{
			{1, code(0), ""},
			{0, joined{"a"}, "say rank 1 (here): exited with status 0 without joining the job (it calls neither mpi.Main nor mpi.Init); " +
				"tell 1 exited with status 0 without joining the job (it calls neither mpi.Main nor mpi.Init); arm 2s"},
		}, ""},
		"a session is cut but the process lives": {true, []step{
			{1, lost{}, "arm 500ms"},
			{-1, alarm{}, "say rank 1 (a): lost its connection with dlprun; tell 1 lost its connection with dlprun; arm 2s"},
		}, ""},
		"nobody leaves": {true, []step{
			{1, failed{1, "x"}, "say rank 1 (a): x; tell 1 x; arm 2s"},
			{-1, alarm{}, "send terminated; arm 1.5s"},
			{-1, alarm{}, "kill; arm 5s"},
			{0, sig(syscall.SIGKILL), ""}, {1, sig(syscall.SIGKILL), ""}, {2, sig(syscall.SIGKILL), "finish 1"},
		}, ""},
		"nothing can end them": {true, []step{
			{-1, stop{syscall.SIGTERM}, "say the job was ended by signal 15 (terminated); ask terminated; arm 25s"},
			{-1, alarm{}, "send terminated; arm 1.5s"},
			{-1, alarm{}, "kill; arm 5s"},
			{-1, alarm{}, "finish 143"},
		}, ""},
		"loops come to an end": {true, []step{
			{-1, stop{syscall.SIGTERM}, "say the job was ended by signal 15 (terminated); ask terminated; arm 25s"},
			{1, failed{75, "incomplete"}, "say rank 1 (a): incomplete"},
			{0, failed{75, "incomplete"}, ""},
			{0, code(75), ""}, {1, code(75), ""}, {2, code(75), "finish 75"},
		}, ""},
		"no loop runs": {true, []step{
			{-1, stop{syscall.SIGTERM}, "say the job was ended by signal 15 (terminated); ask terminated; arm 25s"},
			{0, failed{143, "stopped by signal 15 (terminated)"}, ""},
			{0, code(143), ""}, {1, code(143), ""}, {2, code(143), "finish 143"},
		}, ""},
		"SIGTERM twice": {true, []step{
			{-1, stop{syscall.SIGTERM}, "say the job was ended by signal 15 (terminated); ask terminated; arm 25s"},
			{-1, stop{syscall.SIGTERM}, "ask interrupt; send terminated; arm 5s"},
			{-1, stop{syscall.SIGTERM}, "kill; arm 5s"},
		}, ""},
		"SIGTERM before anybody has joined": {false, []step{
			{-1, stop{syscall.SIGTERM}, "say the job was ended by signal 15 (terminated); send terminated; arm 5s"},
			{0, sig(syscall.SIGTERM), ""}, {1, sig(syscall.SIGTERM), ""}, {2, sig(syscall.SIGTERM), "finish 143"},
		}, ""},
		"Ctrl-C": {true, []step{
			{-1, stop{syscall.SIGINT}, "say the job was ended by signal 2 (interrupt); ask interrupt; send terminated; arm 5s"},
			{0, failed{1, "terminated"}, ""},
			{0, code(1), ""}, {1, sig(syscall.SIGTERM), ""}, {2, code(0), "finish 130"},
		}, ""},
		"Ctrl-C twice": {true, []step{
			{-1, stop{syscall.SIGINT}, "say the job was ended by signal 2 (interrupt); ask interrupt; send terminated; arm 5s"},
			{-1, stop{syscall.SIGINT}, "kill; arm 5s"},
		}, ""},
		"Ctrl-C after a failure": {true, []step{
			{1, failed{7, "x"}, "say rank 1 (a): x; tell 1 x; arm 2s"},
			{-1, stop{syscall.SIGINT}, "ask interrupt; send terminated; arm 5s"},
			{0, code(1), ""}, {1, code(7), ""}, {2, code(1), "finish 7"},
		}, ""},
		"a hangup": {true, []step{
			{-1, stop{syscall.SIGHUP}, "say the job was ended by signal 1 (hangup); ask interrupt; send hangup; arm 5s"},
			{0, code(1), ""}, {1, code(7), ""}, {2, code(1), "finish 129"},
		}, ""},
		"a timeout": {true, []step{
			{-1, trouble{124, "too long", userGrace}, "say too long; ask interrupt; send terminated; arm 5s"},
			{-1, trouble{1, "the guard is dead", failGrace}, ""},
			{0, code(0), ""}, {1, code(0), ""}, {2, code(0), "finish 124"},
		}, ""},
		"a notice": {true, []step{{-1, notice("a stranger knocked"), "say a stranger knocked"}}, ""},
		"a rank is silent": {true, []step{
			{2, lost{"nothing was heard of it"}, "arm 500ms"},
			{-1, alarm{}, "say rank 2 (a): nothing was heard of it; tell 2 nothing was heard of it; arm 2s"},
		}, ""},
		"launched and clean": {true, []step{
			{0, finalized{}, ""}, {1, finalized{}, ""}, {2, finalized{}, ""}, {-1, launcherEnded{}, "finish 0"},
		}, "mpiexec"},
		"launched plain programs": {false, []step{{-1, launcherEnded{}, "finish 0"}}, "mpiexec"},
		"the launcher fails at once": {false, []step{
			{-1, launcherEnded{exit{code: 213}}, "arm 500ms"},
			{-1, alarm{}, "say mpiexec exited with status 213 before any rank had joined; finish 213"},
		}, "mpiexec"},
		"a launched rank fails after Finalize": {true, []step{
			{0, finalized{}, ""}, {1, finalized{}, ""}, {2, finalized{}, ""}, {-1, launcherEnded{exit{code: 3}}, "arm 500ms"},
			{-1, alarm{}, "say mpiexec exited with status 3 after all ranks had finalized; finish 3"},
		}, "mpiexec"},
		"a launched rank is killed": {true, []step{
			{1, lost{}, "arm 500ms"}, {0, lost{}, ""},
			{-1, launcherEnded{exit{code: 137}}, "say rank 1 (a): " + launch.Vanished + "; tell 1 " + launch.Vanished + "; finish 137"},
		}, "mpiexec"},
		"a launched rank is killed, and the launcher is slow": {true, []step{
			{1, lost{}, "arm 500ms"},
			{-1, alarm{}, "say rank 1 (a): " + launch.Vanished + "; tell 1 " + launch.Vanished + "; arm 2s"},
			{-1, launcherEnded{exit{code: 137}}, "finish 137"},
		}, "mpiexec"},
		"the launcher says 0 of a killed rank": {true, []step{
			{1, lost{}, "arm 500ms"},
			{-1, launcherEnded{}, "say rank 1 (a): " + launch.Vanished + "; tell 1 " + launch.Vanished + "; finish 1"},
		}, "mpiexec"},
		"the launcher ends before its ranks' last words": {true, []step{
			{-1, launcherEnded{exit{code: 7}}, "arm 500ms"},
			{2, failed{7, "no"}, "say rank 2 (a): no; tell 2 no; finish 7"},
		}, "mpiexec"},
		"a launched rank ends before it joins": {false, []step{
			{0, joined{"a"}, ""}, {2, joined{"b"}, ""}, {2, lost{}, "arm 500ms"},
			{-1, launcherEnded{exit{code: 3}}, "say rank 2 (b): " + launch.Vanished + "; by then these had not joined: rank 1; " +
				"tell 2 " + launch.Vanished + "; by then these had not joined: rank 1; finish 3"},
		}, "mpiexec"},
		"a launched rank does not join": {false, []step{
			{0, joined{"a"}, ""}, {2, joined{"b"}, ""},
			{0, finalized{}, ""}, {2, finalized{}, ""},
			{-1, launcherEnded{}, "arm 500ms"},
			{-1, alarm{}, "say rank 1 (host unknown): ended without joining the job (mpiexec exited with status 0); " +
				"tell 1 ended without joining the job (mpiexec exited with status 0); finish 1"},
		}, "mpiexec"},
		"Ctrl-C with a launcher": {true, []step{
			{-1, stop{syscall.SIGINT}, "say the job was ended by signal 2 (interrupt); send terminated; arm 5s"},
			{-1, launcherEnded{exit{code: 143}}, "finish 130"},
		}, "mpiexec"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerdict(3, "here", test.launcher, false)
			if test.joined {
				test.steps = append(join[:3:3], test.steps...)
			}
			for i, s := range test.steps {
				require.Equal(t, s.want, show(v.step(s.rank, s.event)), "step %d: rank %d %T%+v", i, s.rank, s.event, s.event)
			}
		})
	}
}

func TestVerdictGoesOn(t *testing.T) {
	code := func(c int) exited { return exited{exit{code: c}} }
	killed := exited{exit{signal: syscall.SIGKILL}}
	const gone = "say rank 2 (a): killed by signal 9 (killed); the job goes on without it; tell 2 killed by signal 9 (killed); arm 0s"
	const end = "say the job has ended well, but without what it has lost on the way: rank 2; finish 0"
	type step struct {
		rank  int
		event any
		want  string
	}
	for name, test := range map[string]struct {
		early    bool // the ranks have not joined
		launcher string
		steps    []step
	}{
		"a rank is killed": {false, "", []step{
			{2, lost{}, "arm 500ms"}, {2, killed, gone},
			{0, finalized{}, ""}, {1, finalized{}, ""}, {0, code(0), ""}, {1, code(0), end},
		}},
		"a rank is killed on its way out": {false, "", []step{
			{0, finalized{}, ""}, {1, finalized{}, ""}, {2, finalized{}, ""}, {0, code(0), ""},
			{2, killed, gone}, {1, code(0), end},
		}},
		"two at once": {false, "", []step{
			{2, killed, "arm 500ms"}, {1, lost{}, ""}, {2, lost{}, gone + "; arm 500ms"},
			{1, code(1), "say rank 1 (a): exited with status 1 before Finalize; the job goes on without it; tell 1 exited with status 1 before Finalize; arm 0s"},
			{0, finalized{}, ""},
			{0, code(0), "say the job has ended well, but without what it has lost on the way: rank 1, 2; finish 0"},
		}},
		"a rank is stopped": {false, "", []step{
			{2, lost{"nothing was heard of it"}, "arm 500ms"},
			{-1, alarm{}, "say rank 2 (a): nothing was heard of it; the job goes on without it; tell 2 nothing was heard of it; arm 0s; end 2"},
			{2, killed, ""}, {0, finalized{}, ""}, {1, finalized{}, ""}, {0, code(0), ""}, {1, code(0), end},
		}},
		"rank 0": {false, "", []step{
			{0, lost{}, "arm 500ms"},
			{0, killed, "say rank 0 (a): killed by signal 9 (killed); tell 0 killed by signal 9 (killed); arm 2s"},
			{1, code(1), ""}, {2, code(1), "finish 137"},
		}},
		"a rank says that it fails": {false, "", []step{
			{2, killed, "arm 500ms"}, {2, lost{}, gone},
			{1, failed{1, "x"}, "say rank 1 (a): x; tell 1 x; arm 2s"},
			{1, code(1), ""}, {0, code(1), "finish 1"},
		}},
		"status 3 after Finalize": {false, "", []step{
			{2, finalized{}, ""},
			{2, code(3), "say rank 2 (a): exited with status 3 after Finalize; tell 2 exited with status 3 after Finalize; arm 2s"},
		}},
		"before all have joined": {true, "", []step{
			{2, joined{"a"}, ""}, {2, lost{}, "arm 500ms"},
			{2, killed, "say rank 2 (a): killed by signal 9 (killed); tell 2 killed by signal 9 (killed); arm 2s"},
		}},
		"with a launcher": {false, "srun", []step{
			{2, lost{}, "arm 500ms"},
			{-1, alarm{}, "say rank 2 (a): it ended before Finalize (killed, or exited on its own); the job goes on without it; " +
				"tell 2 it ended before Finalize (killed, or exited on its own); arm 0s"},
			{0, finalized{}, ""}, {1, finalized{}, "arm 2s"},
			{-1, launcherEnded{exit{code: 137}}, end},
		}},
		"with a launcher that waits": {false, "srun", []step{
			{2, lost{"cut off"}, "arm 500ms"},
			{-1, alarm{}, "say rank 2 (a): cut off; the job goes on without it; tell 2 cut off; arm 0s"},
			{0, finalized{}, ""}, {1, finalized{}, "arm 2s"},
			{-1, alarm{}, "send terminated; arm 1.5s"},
			{-1, launcherEnded{exit{code: 143}}, end},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVerdict(3, "here", test.launcher, true)
			if !test.early {
				test.steps = append([]step{{0, joined{"a"}, ""}, {1, joined{"a"}, ""}, {2, joined{"a"}, ""}}, test.steps...)
			}
			for i, s := range test.steps {
				require.Equal(t, s.want, show(v.step(s.rank, s.event)), "step %d: rank %d %T%+v", i, s.rank, s.event, s.event)
			}
		})
	}
}

// Whatever comes in whatever order: a job says one line at most, and ends, with
// 0 only if nothing went wrong.
func TestVerdictAlwaysEnds(t *testing.T) {
	for seed := range uint64(10000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		n, goesOn := 1+rng.IntN(4), seed%2 == 1
		v := newVerdict(n, "here", "", goesOn)
		fatal := false // the job can't go on without it
		scripts := make([][]any, n)
		clean := true
		plain := rng.IntN(4) == 0
		for r := range scripts {
			switch k := rng.IntN(8); {
			case plain && k > 0:
				scripts[r] = []any{exited{}}
			case k > 2:
				scripts[r] = []any{joined{"a"}, finalized{}, exited{}}
			default:
				clean = false
				fatal = fatal || k == 0 || r == 0
				scripts[r] = [][]any{
					{exited{exit{code: 3}}},
					{joined{"a"}, lost{}, exited{exit{signal: syscall.SIGKILL}}},
					{joined{"a"}, failed{2, "x"}, exited{exit{code: 2}}},
				}[k]
			}
			if tail := len(scripts[r]) - 1; tail > 0 && rng.IntN(2) == 0 { // the exit overtakes
				scripts[r][tail], scripts[r][tail-1] = scripts[r][tail-1], scripts[r][tail]
			}
		}
		says, status, armed := 0, -1, false
		for left := 0; status < 0; {
			r := rng.IntN(n + 1)
			var acts []any
			switch {
			case r < n && len(scripts[r]) > 0:
				acts = v.step(r, scripts[r][0])
				scripts[r] = scripts[r][1:]
			case armed:
				armed = false
				acts = v.step(-1, alarm{})
			default:
				left++
				require.Less(t, left, 10000, "seed %d: never ends", seed)
			}
			for _, act := range acts {
				switch a := act.(type) {
				case say:
					says++
				case arm:
					armed = a.after > 0
				case finish:
					status = a.status
				}
			}
		}
		if clean {
			continue // an alarm may have come before a late Finalized
		}
		if goesOn && !fatal {
			require.Positive(t, says, "seed %d", seed)
			continue // its word for it may come too late
		}
		require.NotZero(t, status, "seed %d", seed)
		if !goesOn {
			require.Equal(t, 1, says, "seed %d", seed)
		}
	}
}
