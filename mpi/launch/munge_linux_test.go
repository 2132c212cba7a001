package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// daemon is a munged of a test's own. The programs munge and unmunge on the PATH
// ask it, and are counted.
type daemon struct {
	dir  string
	stop func()
}

func startMunge(t *testing.T) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "dlp-munge-")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, name := range []string{"munge", "unmunge"} {
		real, err := exec.LookPath(name)
		if err != nil {
			require.NotEqual(t, "true", os.Getenv("CI"), "munge is not installed")
			t.Skip("NOT RUN: munge is not installed")
		}
		script := fmt.Sprintf("#!/bin/sh\necho %s >>%s/runs\nexec %s -S %s/sock \"$@\"\n", name, dir, real, dir)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "key"), []byte(strings.Repeat(dir, 100)[:1024]), 0o600))
	path := os.Getenv("PATH")
	t.Setenv("PATH", path+":/usr/sbin")
	c := exec.Command("munged", "--force", "--foreground", "--key-file="+dir+"/key", "--socket="+dir+"/sock",
		"--pid-file="+dir+"/pid", "--log-file="+dir+"/log", "--seed-file="+dir+"/seed")
	require.NoError(t, c.Start())
	d := &daemon{dir: dir, stop: sync.OnceFunc(func() {
		again := time.NewTicker(100 * time.Millisecond) // munged forgets a signal that comes just before it waits
		defer again.Stop()
		ended := make(chan error, 1)
		c.Process.Signal(syscall.SIGTERM)
		go func() { ended <- c.Wait() }()
		for {
			select {
			case <-ended:
				return
			case <-again.C:
				c.Process.Signal(syscall.SIGTERM)
			}
		}
	})}
	t.Cleanup(d.stop)
	t.Setenv("PATH", dir+":"+path)
	require.Eventually(t, func() bool { return exec.Command("munge", "-n").Run() == nil }, time.Minute, 10*time.Millisecond)
	require.NoError(t, os.Remove(filepath.Join(dir, "runs")))
	return d
}

// runs is how often a program was run.
func (d *daemon) runs(program string) (n int) {
	text, _ := os.ReadFile(filepath.Join(d.dir, "runs")) // there is none before the first
	for line := range strings.Lines(string(text)) {
		if line == program+"\n" {
			n++
		}
	}
	return n
}

// rankOf is the meeting of one rank of a Slurm step, all of whose hosts are this one.
func rankOf(t *testing.T, rank int, home string, changes map[string]string) Meeting {
	t.Helper()
	t.Setenv("HOME", home)
	step := map[string]string{"SLURM_STEP_NODELIST": "localhost", "SLURM_PROCID": fmt.Sprint(rank), "SLURM_CLUSTER_NAME": t.Name()}
	job, err := Detect(env(merged(slurmStep, step, changes)))
	require.NoError(t, err)
	t.Cleanup(func() { job.Meeting.Leave(1) })
	return job.Meeting
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// soon is for what is not found.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, errors.New("enough"))
	t.Cleanup(cancel)
	return ctx
}

var invitation = Invitation{At: []string{"tcp:10.0.0.1:7000", "tcp:[fd00::1]:7000"}, Secret: Secret{1, 2, 3}}

// All ranks of a host open one seal.
func TestSealedMeeting(t *testing.T) {
	d := startMunge(t)
	root := rankOf(t, 0, "", nil)
	require.Regexp(t, `^ports \d+ to \d+ of localhost, by munge$`, root.String())
	require.NoError(t, root.Publish(bounded(t), invitation))
	var ranks sync.WaitGroup
	for r := 1; r < 4; r++ {
		m := rankOf(t, r, "", nil)
		ranks.Go(func() {
			if i, err := m.Find(bounded(t)); err != nil || fmt.Sprint(i) != fmt.Sprint(invitation) {
				t.Errorf("%v, %v", i, err)
			}
		})
	}
	ranks.Wait()
	require.NoError(t, root.Joined())
	require.NoError(t, root.Leave(0))
	require.Equal(t, []int{1 + 3, 3}, []int{d.runs("munge"), d.runs("unmunge")})
	_, err := rankOf(t, 1, "", nil).Find(soon(t))
	require.Regexp(t, `^no invitation at ports \d+ to \d+ of localhost, by munge \(.*\): enough$`, err)
}

// 10,000 strangers, who send garbage or nothing, start no process, and do not keep
// a rank out.
func TestSealedMeetingInACrowd(t *testing.T) {
	d := startMunge(t)
	root := rankOf(t, 0, "", nil).(*sealed)
	require.NoError(t, root.Publish(bounded(t), invitation))
	at := root.out.ln.Addr().String()
	var open [200]net.Conn
	for k := range 10_000 {
		conn, err := net.Dial("tcp", at)
		require.NoError(t, err)
		defer conn.Close()
		if k%2 == 0 {
			io.WriteString(conn, strings.Repeat("garbage ", 100)) // it may have hung up
		}
		if before := open[k%len(open)]; before != nil {
			before.Close()
		}
		if open[k%len(open)] = conn; k%200 == 0 {
			i, err := root.knock(bounded(t))
			require.NoError(t, err)
			require.Equal(t, invitation, i)
		}
	}
	require.Equal(t, 1, d.runs("munge"))
}

// A seal that munge would soon take for expired is made anew.
func TestSealGrowsOld(t *testing.T) {
	d := startMunge(t)
	root := rankOf(t, 0, "", nil).(*sealed)
	root.fresh = 0
	require.NoError(t, root.Publish(bounded(t), invitation))
	for range 2 {
		_, err := root.knock(bounded(t))
		require.NoError(t, err)
	}
	require.Equal(t, 3, d.runs("munge"))
	d.stop()
	seal, err := root.ask(bounded(t), root.out.ln.Addr().String())
	require.NoError(t, err)
	require.Contains(t, seal, "MUNGE:", "the last one must do")
}

// A rank believes nobody but its own user, and of him only what is for this job.
func TestFalseInvitations(t *testing.T) {
	needRoot(t)
	d := startMunge(t)
	rank := rankOf(t, 1, "", nil).(*sealed)
	other := rankOf(t, 1, "", map[string]string{"SLURM_JOB_ID": "11"}).(*sealed)
	seal := func(uid uint32, text string) string {
		c := exec.Command("munge", "--restrict-uid=0")
		c.Stdin = strings.NewReader(text)
		if uid != 0 {
			c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
			require.NoError(t, os.Chmod(filepath.Join(d.dir, "runs"), 0o666))
		}
		out, err := c.Output()
		require.NoError(t, err)
		return string(out)
	}
	text := invitation.encode()
	good := seal(0, rank.job+text)
	for want, says := range map[string]string{
		"an invitation that user 65534 has made, not user 0": rank.job + seal(65534, rank.job+text),
		"an invitation to another job":                       rank.job + seal(0, other.job+text),
		"what rank 0 published is broken":                    rank.job + seal(0, rank.job+"dead"),
		"unmunge: Error: ":                                   rank.job + strings.Replace(good, "MUNGE:Aw", "MUNGE:Ax", 1),
		"belongs to somebody else":                           other.job + seal(0, other.job+text),
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		out := handOut(ln, func(conn net.Conn) { io.WriteString(conn, says) })
		seal, err := rank.ask(bounded(t), ln.Addr().String())
		if err == nil {
			_, err = rank.open(bounded(t), seal)
		}
		require.ErrorContains(t, err, want)
		require.NoError(t, out.Close())
	}
	i, err := rank.open(bounded(t), good)
	require.NoError(t, err)
	require.Equal(t, invitation, i)
}

// Another user can't open what rank 0 hands out.
func TestSealIsKept(t *testing.T) {
	needRoot(t)
	startMunge(t)
	root := rankOf(t, 0, "", nil).(*sealed)
	require.NoError(t, root.Publish(bounded(t), invitation))
	seal, err := root.ask(bounded(t), root.out.ln.Addr().String())
	require.NoError(t, err)
	_, err = root.keeper.open(bounded(t), seal)
	require.NoError(t, err)
	c := exec.Command("unmunge", "-S", filepath.Join(filepath.Dir(root.keeper.unmunge), "sock"))
	c.Stdin = strings.NewReader(seal)
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := c.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "Unauthorized credential")
	require.NotContains(t, string(out), root.job)
}

func TestNoMunge(t *testing.T) {
	d := startMunge(t)
	d.stop()
	root := rankOf(t, 0, "", nil)
	require.ErrorContains(t, root.Publish(bounded(t), invitation), "Did you start munged?")
	_, err := root.Find(bounded(t))
	require.ErrorContains(t, err, "Did you start munged?")
	t.Setenv("PATH", "/nowhere")
	require.IsType(t, &file{}, rankOf(t, 0, t.TempDir(), nil))
}

// Ranks meet by the file or by munge, whichever they can.
func TestFileOrMunge(t *testing.T) {
	d := startMunge(t)
	meet := func(root, rank Meeting) string {
		require.NoError(t, root.Publish(bounded(t), invitation))
		i, err := rank.Find(bounded(t))
		require.NoError(t, err)
		require.Equal(t, invitation, i)
		text := root.String()
		require.NoError(t, errors.Join(root.Joined(), rank.Joined(), root.Leave(0), rank.Leave(0)))
		return text
	}
	const either = `^the file \S+/\.dlp/job-\w+ or ports \d+ to \d+ of localhost, by munge`
	home, other := t.TempDir(), t.TempDir()
	require.Regexp(t, either+`$`, meet(rankOf(t, 0, home, nil), rankOf(t, 1, home, nil)))
	require.Regexp(t, either+`$`, meet(rankOf(t, 0, home, nil), rankOf(t, 1, other, nil)), "home is not shared")
	require.Regexp(t, either+`; one of them failed: the ranks can't meet: mkdir`, meet(rankOf(t, 0, "/proc/nowhere", nil), rankOf(t, 1, other, nil)))
	elsewhere := map[string]string{"SLURM_STEP_NODELIST": "no-such-host.invalid"}
	require.Regexp(t, `or ports \d+ to \d+ of no-such-host.invalid, by munge$`, meet(rankOf(t, 0, home, elsewhere), rankOf(t, 1, home, elsewhere)))
	d.stop()
	require.Regexp(t, either+`; one of them failed: munge: Error: .*Did you start munged\?`, meet(rankOf(t, 0, home, nil), rankOf(t, 1, home, nil)))

	root, rank := rankOf(t, 0, "/proc/nowhere", nil), rankOf(t, 1, "/proc/nowhere", nil)
	const both = `^the ranks can't meet: mkdir /proc/nowhere: no such file or directory; name another folder with DLP_FOLDER; munge: Error: .*Did you start munged\?\) \(exit status 6\)$`
	require.Regexp(t, both, root.Publish(bounded(t), invitation))
	_, err := rank.Find(bounded(t))
	require.Regexp(t, both, err)
}
