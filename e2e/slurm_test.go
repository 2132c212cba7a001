package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// slurmLaunchers are the ways of srun, on a cluster of two nodes.
func slurmLaunchers(t *testing.T) []launcher {
	env := slurm(t)
	var all []launcher
	for _, mpi := range []string{"none", "pmi2", "pmix"} {
		all = append(all, launcher{name: "srun-" + mpi, command: cmd("srun", "--mpi="+mpi, "-N2", "-n{n}", "--overcommit"), env: env})
	}
	srun := with("srun", func() string { return "--mpi=none -N2 --overcommit" })
	srun.env = env
	return append(all, srun)
}

// node is a node of a Slurm cluster; on puts a command there.
type node struct {
	name, host, addr string
	port             int
	on               func(words ...string) []string
}

// slurm starts munged, slurmctld and two slurmd on this machine, for the test
// that calls it, and returns the environment that its commands need.
func slurm(t *testing.T) []string {
	t.Helper()
	host, err := os.Hostname()
	require.NoError(t, err)
	here := func(words ...string) []string { return words }
	p := ports(t, 3)
	return cluster(t, p[0], node{"n1", host, "127.0.0.1", p[1], here}, node{"n2", host, "127.0.0.1", p[2], here})
}

// cluster starts a Slurm whose slurmctld runs on the first of the nodes.
func cluster(t *testing.T, port int, nodes ...node) []string {
	t.Helper()
	need(t, "munged", "slurmctld", "slurmd", "srun")
	needRoot(t)
	dir, err := os.MkdirTemp("", "dlp-slurm-") // munge wants a path that only its owner can write to
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Cleanup(func() { endSteps(t, dir) }) // when the servers have ended
	require.NoError(t, os.Chmod(dir, 0o755))
	for _, d := range []string{"munge", "ctld"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o700))
	}
	for _, n := range nodes {
		require.NoError(t, os.Mkdir(filepath.Join(dir, n.name), 0o700))
		require.NoError(t, os.Mkdir(filepath.Join(dir, "tmp-"+n.name), 0o700))
	}
	key := make([]byte, 1024)
	copy(key, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "munge/key"), key, 0o600))
	conf := filepath.Join(dir, "slurm.conf")
	require.NoError(t, os.WriteFile(conf, []byte(slurmConf(dir, port, nodes)), 0o644))
	env := []string{"SLURM_CONF=" + conf}

	m := filepath.Join(dir, "munge")
	serve(t, nil, filepath.Join(dir, "munged.out"), "munged", "--force", "--foreground", "--key-file="+m+"/key", "--socket="+m+"/sock",
		"--pid-file="+m+"/pid", "--log-file="+m+"/log", "--seed-file="+m+"/seed")
	until(t, "munge answers", func() bool { return exec.Command("munge", "-n", "-S", m+"/sock").Run() == nil })
	serve(t, env, filepath.Join(dir, "ctld.out"), nodes[0].on("slurmctld", "-D")...)
	for _, n := range nodes {
		serve(t, env, filepath.Join(dir, n.name+".out"), n.on("slurmd", "-D", "-N", n.name)...)
	}
	until(t, "all nodes are idle", func() bool {
		words := nodes[0].on("sinfo", "-h", "-N", "-o", "%T")
		c := exec.Command(words[0], words[1:]...)
		c.Env = append(os.Environ(), env...)
		out, err := c.Output()
		return err == nil && strings.Count(string(out), "idle") == len(nodes)
	})
	return env
}

// slurmConf lets jobs share the processors, and so run at once; CR_Core says not the
// memory, all of which the first one would take that does not say how much it needs.
func slurmConf(dir string, port int, nodes []node) string {
	var lines strings.Builder
	var names []string
	for _, n := range nodes {
		names = append(names, n.name)
		fmt.Fprintf(&lines, "NodeName=%s NodeHostname=%s NodeAddr=%s Port=%d CPUs=2 RealMemory=1000\n", n.name, n.host, n.addr, n.port)
	}
	return fmt.Sprintf(`ClusterName=%[7]s
SlurmctldHost=%[2]s(%[4]s)
SlurmctldPort=%[3]d
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=%[1]s/munge/sock
CredType=cred/munge
StateSaveLocation=%[1]s/ctld
SlurmdSpoolDir=%[1]s/%%n
TmpFS=%[1]s/tmp-%%n
SlurmctldPidFile=%[1]s/ctld.pid
SlurmdPidFile=%[1]s/%%n.pid
SlurmctldLogFile=%[1]s/ctld.log
SlurmdLogFile=%[1]s/%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerParameters=bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
%[5]sPartitionName=p Nodes=%[6]s Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:16
`, dir, nodes[0].host, port, nodes[0].addr, lines.String(), strings.Join(names, ","), strings.ReplaceAll(filepath.Base(dir), "-", "")) // jobs of two clusters differ by the cluster's name
}

// ports returns n free ports, that no other job is given by chance before they are
// used: the system gives out higher ones, and so does dlp.
func ports(t *testing.T, n int) []int {
	const first, count = 10_000, 6_000
	var all []int
	for range 1000 {
		if len(all) == n {
			break
		}
		port := first + (os.Getpid()*97+int(portsTried.Add(1)))%count
		ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue // it is taken
		}
		defer ln.Close()
		all = append(all, port)
	}
	require.Len(t, all, n, "free ports")
	return all
}

// portsTried counts the ports that ports has tried: another test that has got one may
// not listen at it yet.
var portsTried atomic.Int64

// serve starts a server for as long as the test lasts, and ends it by its pid. One that
// crashes is started again, as systemd would: slurmd 22.05 does so under load, if rarely.
func serve(t *testing.T, env []string, log string, words ...string) {
	t.Helper()
	out, err := os.Create(log)
	require.NoError(t, err)
	start := func() (*exec.Cmd, error) {
		c := exec.Command(words[0], words[1:]...)
		c.Env = append(os.Environ(), env...)
		c.Stdout, c.Stderr, c.Dir = out, out, filepath.Dir(log) // for what it may leave
		return c, c.Start()
	}
	c, err := start()
	require.NoError(t, err)
	var stopping sync.Mutex // held from the moment on at which the server is told to end
	ended := make(chan struct{})
	left := restarts
	revive := func(err error) bool {
		if !stopping.TryLock() {
			return false
		}
		defer stopping.Unlock()
		count := crashesOf(env)
		count.Add(1)
		time.AfterFunc(comesBack, func() { count.Add(1) }) // for what began before it was back
		t.Logf("%v has ended by itself: %v", words, err)
		if left--; left < 0 {
			return false
		}
		if c, err = start(); err != nil {
			t.Logf("it can't be started again: %v", err)
		}
		return err == nil
	}
	go func() {
		defer close(ended)
		for revive(c.Wait()) {
		}
	}()
	t.Cleanup(func() {
		stopping.Lock()
		c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			c.Process.Kill()
			<-ended
		}
		out.Close()
		if t.Failed() {
			text, err := os.ReadFile(log)
			t.Logf("the end of %s: %v\n%s", log, err, text[max(0, len(text)-2000):])
		}
	})
}

// restarts is how often a server that ends by itself is started again, and comesBack how
// long that takes at most.
const (
	restarts  = 3
	comesBack = 2 * time.Second
)

// crashes counts, by the SLURM_CONF of a cluster, how many of its servers have ended by
// themselves.
var crashes sync.Map

// crashesOf is the count of the cluster that env leads to.
func crashesOf(env []string) *atomic.Int64 {
	conf := ""
	for _, e := range env {
		if after, ok := strings.CutPrefix(e, "SLURM_CONF="); ok {
			conf = after
		}
	}
	count, _ := crashes.LoadOrStore(conf, new(atomic.Int64))
	return count.(*atomic.Int64)
}

// endSteps ends the step daemons of the cluster in dir, which outlive its slurmd
// when that ends before a step does.
func endSteps(t *testing.T, dir string) {
	names, err := filepath.Glob("/proc/[0-9]*/comm")
	require.NoError(t, err)
	for _, name := range names {
		comm, err := os.ReadFile(name) // an error: it has ended
		if err != nil || string(comm) != "slurmstepd\n" {
			continue
		}
		links, err := filepath.Glob(filepath.Join(filepath.Dir(name), "fd/*"))
		require.NoError(t, err)
		for _, link := range links {
			if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+"/") { // its log
				pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
				require.NoError(t, err)
				t.Logf("step daemon %d is left of %s", pid, dir)
				syscall.Kill(pid, syscall.SIGKILL)
				break
			}
		}
	}
}

// until waits for something to come true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, bound, 50*time.Millisecond, what)
}
