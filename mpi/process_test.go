package mpi_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

// processJob is a job whose ranks are processes: this test binary again, in a
// role.
type processJob struct {
	dir     string
	hub     *launch.Hub // nil: rank 0 hosts it
	ranks   []*exec.Cmd
	outputs []struct{ out, err bytes.Buffer }

	mu     sync.Mutex
	events []launch.Event
}

// outcome is how a rank ended.
type outcome struct {
	status   int // -1: by a signal
	out, err string
}

// startJob starts n ranks in a role, with a hub here if hosted.
func startJob(t testing.TB, n int, role string, hosted bool, env ...string) *processJob {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlp-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	j := &processJob{dir: dir, outputs: make([]struct{ out, err bytes.Buffer }, n)}
	secret := launch.NewSecret()
	addr, launcher := "unix:"+filepath.Join(dir, "hub"), "env"
	if hosted {
		launcher = "dlprun"
		j.hub, err = launch.ListenHub(addr, launch.HubConfig{Size: n, Secret: secret, OnEvent: func(e launch.Event) {
			j.mu.Lock()
			defer j.mu.Unlock()
			j.events = append(j.events, e)
		}})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, j.hub.Close()) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	for r := range n {
		cmd := exec.CommandContext(ctx, os.Args[0])
		cmd.Stdout, cmd.Stderr = &j.outputs[r].out, &j.outputs[r].err
		cmd.Env = append(os.Environ(), roleEnv+"="+role, "DLP_LAUNCHER="+launcher, "DLP_RANK="+strconv.Itoa(r), "DLP_SIZE="+strconv.Itoa(n),
			"DLP_RENDEZVOUS="+addr, "DLP_SECRET="+hex.EncodeToString(secret[:]))
		cmd.Env = append(cmd.Env, env...)
		require.NoError(t, cmd.Start())
		j.ranks = append(j.ranks, cmd)
	}
	return j
}

// wait waits until all ranks have ended.
func (j *processJob) wait(t testing.TB) []outcome {
	t.Helper()
	var all []outcome
	for r, cmd := range j.ranks {
		var exit *exec.ExitError
		if err := cmd.Wait(); err != nil {
			require.ErrorAs(t, err, &exit)
		}
		o := outcome{cmd.ProcessState.ExitCode(), j.outputs[r].out.String(), j.outputs[r].err.String()}
		all = append(all, o)
		if _, bench := t.(*testing.B); !bench {
			t.Logf("rank %d: %v\n%s%s", r, cmd.ProcessState, o.out, o.err)
		}
	}
	return all
}

// failures are the hub's events that are bad news.
func (j *processJob) failures() (bad []launch.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, e := range j.events {
		if e.Kind != launch.Joined && e.Kind != launch.Finalized {
			bad = append(bad, e)
		}
	}
	return bad
}

// roles are what the test binary can be instead of a test.
var roles = map[string]func(){
	"mismatch Barrier Bcast":   func() { mismatched(0, 2) },
	"mismatch Barrier Gather":  func() { mismatched(0, 5) },
	"mismatch Finalize Gather": func() { mismatched(1, 5) },
	"init": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error { return c.Barrier(ctx) })
	},
	"init twice": func() {
		_, err := mpi.Init(context.Background())
		_, again := mpi.Init(context.Background())
		fmt.Println(err, again)
	},
	"abort": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				c.Abort(256+7*boolInt(os.Getenv("ABORT") == "7"), "no data")
			}
			err := c.Barrier(ctx)
			fmt.Println(errors.Is(err, mpi.ErrAborted))
			return err
		})
	},
	"goexit": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				runtime.Goexit()
			}
			return c.Barrier(ctx)
		})
	},
	"stubborn": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				return errors.New("broken")
			}
			select {} // it does not look at ctx
		})
	},
	"stuck": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errors.New("the test's time is up"))
			defer cancel()
			_, err := mpi.Bcast(ctx, c, 0, make([]byte, 1<<20))
			return err
		})
	},
	"give up": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			brief := ctx
			switch c.Rank() {
			case 1:
				time.Sleep(100 * time.Millisecond) // the others wait for it
			case 2:
				var cancel func()
				brief, cancel = context.WithTimeout(ctx, 10*time.Millisecond)
				defer cancel()
			}
			_, err := mpi.Bcast(brief, c, 0, make([]byte, 1<<20))
			if c.Rank() == 2 {
				_, _, err = c.Recv(ctx, 0, 1) // which never comes
			}
			return err
		})
	},
	"hung": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				time.AfterFunc(time.Second, func() { c.Abort(7, "it takes too long") })
			}
			_, err := mpi.Bcast(ctx, c, 0, make([]byte, 1<<20))
			return err
		})
	},
	"leave alone": func() {
		mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
			if c.Rank() == 1 {
				<-ctx.Done()
				return ctx.Err()
			}
			ctx, cancel := context.WithTimeoutCause(ctx, time.Second, errors.New("nobody comes"))
			defer cancel()
			return c.Finalize(ctx)
		})
	},
	"huge":  hugeMessage,
	"steps": stepsRole,
	"":      nil,
}

func init() {
	delete(roles, "")
	for _, place := range []string{"Barrier", "Gather", "Bcast", "Recv"} {
		for how, die := range deaths {
			roles["die by "+how+" in "+place] = func() { survivor(place, die) }
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func mismatched(a, b int) {
	mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			return deeds[a].do(ctx, c)
		}
		return deeds[b].do(ctx, c)
	})
}

// deaths are the ways in which a rank ends before its time. A status of -1 is a
// signal's.
var deaths = map[string]struct {
	die    func() error
	status int
	kind   launch.EventKind // of what the hub sees
}{
	"SIGKILL": {func() error { syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }, -1, launch.Lost},
	"exit 0":  {func() error { os.Exit(0); return nil }, 0, launch.Lost},
	"exit 3":  {func() error { os.Exit(3); return nil }, 3, launch.Lost},
	"panic":   {func() error { panic("out of luck") }, 2, launch.Failed},
	"error":   {func() error { return errors.New("out of luck") }, 1, launch.Failed},
}

// survivor is a rank in the middle of an operation in which one of them dies.
func survivor(place string, how struct {
	die    func() error
	status int
	kind   launch.EventKind
}) {
	victim, err := strconv.Atoi(os.Getenv("VICTIM"))
	if err != nil {
		panic(err)
	}
	mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
		err := c.Barrier(ctx) // the victim may be through, and dead, before the others are
		switch {
		case err != nil:
		case c.Rank() == victim:
			return how.die()
		case place == "Gather":
			_, err = mpi.Gather(ctx, c, 0, c.Rank())
		case place == "Bcast":
			_, err = mpi.Bcast(ctx, c, 0, c.Rank())
		case place == "Recv":
			_, _, err = c.Recv(ctx, victim, 0)
		}
		if err == nil { // it need not wait in the others
			err = c.Barrier(ctx)
		}
		var gone *mpi.RankError
		fmt.Println(errors.As(err, &gone) && gone.Rank == victim && gone.Host != "" && gone.Op != "")
		return err
	})
}

func TestDeathOfARank(t *testing.T) {
	const n = 3
	for _, place := range []string{"Barrier", "Gather", "Bcast", "Recv"} {
		for how, death := range deaths {
			role := "die by " + how + " in " + place
			t.Run(role, func(t *testing.T) {
				t.Parallel()
				for victim := range n {
					j := startJob(t, n, role, true, "VICTIM="+strconv.Itoa(victim))
					for r, o := range j.wait(t) {
						if r == victim {
							require.Equal(t, death.status, o.status)
							if how == "panic" {
								require.Regexp(t, `(?s)^panic: out of luck\n\ngoroutine .*mpi_test\.survivor`, o.err)
							}
							continue
						}
						require.Equal(t, 1, o.status, "rank %d", r)
						require.Equal(t, "true\n", o.out, "rank %d must get a RankError that names rank %d", r, victim)
					}
					first := j.failures()[0]
					require.Equal(t, victim, first.Rank)
					require.Equal(t, death.kind, first.Kind)
					if death.kind == launch.Failed {
						require.Contains(t, first.Reason, "out of luck")
						require.Equal(t, death.status, first.Code)
					}
				}
			})
		}
	}
}

// Where no launcher hosts the hub, rank 0 does, and its own death is told too.
func TestDeathOfARankWithoutALauncher(t *testing.T) {
	for _, how := range []string{"SIGKILL", "exit 0", "error"} {
		for victim := range 3 {
			t.Run(fmt.Sprint(how, " of rank ", victim), func(t *testing.T) {
				t.Parallel()
				j := startJob(t, 3, "die by "+how+" in Barrier", false, "VICTIM="+strconv.Itoa(victim))
				said := ""
				for r, o := range j.wait(t) {
					said += o.err
					if r != victim {
						require.NotZero(t, o.status, "rank %d", r)
						require.Equal(t, "true\n", o.out, "rank %d", r)
					}
				}
				require.Contains(t, said, fmt.Sprintf("rank %d (", victim))
				require.Equal(t, 1, strings.Count(said, "dlp: rank"), "one line for the job")
			})
		}
	}
}

func TestAbortOfProcesses(t *testing.T) {
	for env, status := range map[string]int{"ABORT=7": 7, "ABORT=0": 1} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			j := startJob(t, 3, "abort", true, env)
			for r, o := range j.wait(t) {
				if r == 1 {
					require.Equal(t, status, o.status&0xff)
					continue
				}
				require.Equal(t, 1, o.status)
				require.Equal(t, "true\n", o.out, "ErrAborted")
			}
			first := j.failures()[0]
			require.Equal(t, 1, first.Rank)
			require.Equal(t, "aborted: no data", first.Reason)
		})
	}
}

func TestGoexitOfAProcess(t *testing.T) {
	j := startJob(t, 2, "goexit", true)
	for r, o := range j.wait(t) {
		require.Equal(t, 1, o.status, "rank %d", r)
	}
	require.Contains(t, j.failures()[0].Reason, "runtime.Goexit")
}

// A rank whose run does not heed ctx ends all the same.
func TestStubbornRank(t *testing.T) {
	t.Parallel()
	j := startJob(t, 2, "stubborn", true)
	for r, o := range j.wait(t) {
		require.Equal(t, 1, o.status, "rank %d", r)
	}
	require.Equal(t, "broken", j.failures()[0].Reason)
}

func TestInitTwice(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=init twice")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "<nil> mpi: Init: this process has joined its job before; call it once\n", string(out))
}

// Bad surroundings end a rank at once, with one line that names the trouble.
func TestBadEnvironment(t *testing.T) {
	for env, want := range map[string]string{
		"DLP_RANK=5":              `dlp: DLP_RANK is "5": use a number from 0 to 1`,
		"DLP_SIZE=x":              `dlp: DLP_SIZE is "x"`,
		"DLP_SECRET=":             "dlp: DLP_SECRET is not set",
		"DLP_TRANSPORT=pigeon":    `dlp: DLP_TRANSPORT is "pigeon": use auto, shm, unix, tcp`,
		"DLP_RENDEZVOUS=unix:/":   "dlp: rank 0 can't listen at ",
		"DLP_RENDEZVOUS=nowhere":  "dlp: rank 0 can't listen at ",
		"DLP_INIT_TIMEOUT=0":      `dlp: DLP_INIT_TIMEOUT is "0"`,
		"DLP_INTERFACE=no-such-0": `DLP_INTERFACE is "no-such-0": neither an address nor a network interface`,
	} {
		t.Run(env, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleEnv+"=init", "DLP_RANK=0", "DLP_SIZE=2", "DLP_RENDEZVOUS=127.0.0.1:"+freePort(t),
				"DLP_SECRET="+strings.Repeat("ab", 32), "DLP_INIT_TIMEOUT=20", env)
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit)
			require.Equal(t, 1, exit.ExitCode())
			require.Contains(t, string(out), want)
			require.Equal(t, 1, strings.Count(string(out), "\n"), "one line: %s", out)
		})
	}
}

// Ranks that do not come are named when the time is over. Rank 0 itself may take a
// while to join, on a busy machine.
func TestMissingRanks(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleEnv+"=init", "DLP_RANK=0", "DLP_SIZE=4", "DLP_RENDEZVOUS=127.0.0.1:"+freePort(t),
		"DLP_SECRET="+strings.Repeat("ab", 32), "DLP_INIT_TIMEOUT=2s")
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "missing ranks: 1,2,3 of 4 did not join within 2s")
}

func freePort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	require.NoError(t, err)
	return port
}
