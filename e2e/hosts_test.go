package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// hosts are three hosts made of network namespaces. A fourth is the switch that
// they are plugged into, so that nothing of them shows in the network of this machine.
type hosts struct {
	names []string
	hub   string // the switch
	agent string // does what ssh would do
}

// Namespaces are named after the process that made them, and numbered where tests
// run at the same time: dlp123x1h1. Their networks have nothing to do with each
// other, and so the same addresses.
var (
	hostName = regexp.MustCompile(`^dlp(\d+)x\d+[hs]\d*$`)
	hostSets atomic.Int32
)

const netnsEtc = "/etc/netns"

func newHosts(t *testing.T) *hosts {
	t.Helper()
	need(t, "ip", "nsenter", "unshare", "mpirun.openmpi", "mpirun.mpich")
	needRoot(t)
	sweepHosts(t)
	name := fmt.Sprintf("dlp%dx%d", os.Getpid(), hostSets.Add(1))
	h := &hosts{hub: name + "s"}
	for k := 1; k <= 3; k++ {
		h.names = append(h.names, fmt.Sprintf("%sh%d", name, k))
	}
	t.Cleanup(func() {
		for _, name := range append(h.names, h.hub) {
			removeHost(t, name)
		}
	})
	ip(t, "netns", "add", h.hub)
	ip(t, "-n", h.hub, "link", "add", "br0", "type", "bridge")
	ip(t, "-n", h.hub, "link", "set", "br0", "up")
	var table strings.Builder
	table.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for k, name := range h.names {
		fmt.Fprintf(&table, "10.77.0.%d %s\n", k+1, name)
	}
	for k, name := range h.names {
		etc := filepath.Join(netnsEtc, name)
		require.NoError(t, os.MkdirAll(etc, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(etc, "hosts"), []byte(table.String()), 0o644))
		port := fmt.Sprintf("port%d", k+1)
		ip(t, "netns", "add", name)
		ip(t, "link", "add", "eth0", "netns", name, "type", "veth", "peer", "name", port, "netns", h.hub)
		ip(t, "-n", h.hub, "link", "set", port, "master", "br0", "up")
		ip(t, "-n", name, "addr", "add", fmt.Sprintf("10.77.0.%d/24", k+1), "dev", "eth0")
		ip(t, "-n", name, "addr", "add", fmt.Sprintf("fd77::%d/64", k+1), "dev", "eth0", "nodad")
		ip(t, "-n", name, "link", "set", "lo", "up")
		ip(t, "-n", name, "link", "set", "eth0", "up")
	}
	h.agent = filepath.Join(t.TempDir(), "agent")
	const script = `#!/bin/bash
while [[ $1 == -* ]]; do shift; done
host=$1; shift
exec ip netns exec "$host" unshare --uts bash -c "hostname $host; $*"
`
	require.NoError(t, os.WriteFile(h.agent, []byte(script), 0o755))
	return h
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %v: %s", args, out)
}

// removeHost ends what runs in a namespace, and removes it.
func removeHost(t *testing.T, name string) {
	if out, err := exec.Command("ip", "netns", "pids", name).Output(); err == nil {
		for _, field := range strings.Fields(string(out)) {
			if pid, err := strconv.Atoi(field); err == nil {
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
	}
	if out, err := exec.Command("ip", "netns", "del", name).CombinedOutput(); err != nil {
		t.Logf("ip netns del %s: %s", name, out)
	}
	if err := os.RemoveAll(filepath.Join(netnsEtc, name)); err != nil {
		t.Log(err)
	}
}

// sweepHosts removes what a test that was killed has left behind.
func sweepHosts(t *testing.T) {
	out, err := exec.Command("ip", "netns", "list").Output()
	require.NoError(t, err)
	for line := range strings.Lines(string(out)) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		m := hostName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		pid, err := strconv.Atoi(m[1])
		require.NoError(t, err)
		if syscall.Kill(pid, 0) == syscall.ESRCH {
			removeHost(t, name)
		}
	}
}

// on makes a command run on host k. Unlike ip netns exec it leaves /sys alone,
// where slurmd looks for its cgroup.
func (h *hosts) on(k int, words ...string) []string {
	const enter = `hostname "$0" && mount --bind ` + netnsEtc + `/"$0"/hosts /etc/hosts && exec "$@"`
	return append([]string{"nsenter", "--net=/run/netns/" + h.names[k], "unshare", "--uts", "--mount", "bash", "-c", enter, h.names[k]}, words...)
}

// byHand starts n ranks, as many on each host, by a shell, whose status is that of rank 0.
func (h *hosts) byHand(n int, program ...string) []string {
	var script strings.Builder
	program[0] = filepath.Join(bin, program[0])
	for rank := n - 1; rank >= 0; rank-- {
		own := []string{"env", fmt.Sprint("DLP_RANK=", rank), fmt.Sprint("DLP_SIZE=", n), "DLP_RENDEZVOUS=10.77.0.1:7000", "DLP_SECRET=" + strings.Repeat("5a", 32)}
		for _, word := range append(own, h.on(rank*len(h.names)/n, program...)...) {
			fmt.Fprintf(&script, "'%s' ", word)
		}
		script.WriteString(map[bool]string{true: "\n", false: "&\n"}[rank == 0])
	}
	return []string{"bash", "-c", script.String()}
}

// launchers are those that start ranks on all three hosts, from the first.
func (h *hosts) launchers(t *testing.T) []launcher {
	list := strings.Join(h.names, ":2,") + ":2"
	flags := map[string][]string{
		"mpirun.openmpi": {"--mca", "plm_rsh_agent", h.agent, "--mca", "oob_tcp_if_include", "10.77.0.0/24", "--host", list},
		"mpirun.mpich":   {"-launcher", "ssh", "-launcher-exec", h.agent, "-hosts", list},
	}
	var all []launcher
	for _, name := range []string{"mpirun.openmpi", "mpirun.mpich"} {
		extra := func() []string {
			if name == "mpirun.mpich" {
				return flags[name]
			}
			return append([]string{"--mca", "orte_tmpdir_base", tempDir(t)}, flags[name]...) // see launchers
		}
		all = append(all,
			launcher{name: name, env: openmpiAsRoot, command: func(n int, program ...string) []string {
				return h.on(0, append(append(append([]string{name}, extra()...), "-np", strconv.Itoa(n)), program...)...)
			}},
			launcher{name: "dlprun --with " + name, env: openmpiAsRoot, command: func(n int, program ...string) []string {
				return h.on(0, append([]string{filepath.Join(bin, "dlprun"), "--with", name, "--launcher-args", strings.Join(extra(), " "), "-np", strconv.Itoa(n)}, program...)...)
			}})
	}
	return all
}

func TestThreeHosts(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	programs := [][]string{
		{"selftest"}, {"selftest", "loop"}, {"wordfreq", "-check", "../split"}, {"pi", "-check", "-items", "20", "-darts", "1000"},
	}
	for _, l := range h.launchers(t) {
		t.Run(l.name, func(t *testing.T) {
			for _, p := range programs {
				plain := start(t, nil, append([]string{filepath.Join(bin, p[0])}, p[1:]...)...)
				r := l.run(t, 6, append([]string(nil), p...)...)
				require.Zero(t, r.status, "%v", r)
				require.Equal(t, strings.Replace(plain.stdout, "1 ranks", "6 ranks", 1), r.stdout)
			}
			r := l.run(t, 6, "dlprun", "info")
			require.Zero(t, r.status, "%v", r)
			for _, name := range h.names {
				require.Equal(t, 2, strings.Count(r.stdout, " of 6 on "+name+","), "%v", r)
			}
		})
	}
}

// A rank that misbehaves ends the job on all hosts. Hydra may be quicker than the
// line that names rank 0; and where a rank is killed it kills all at once, so that
// dlprun may see another one go first, on a busy machine one of another host too. On
// such a machine Hydra often ends without having passed on what the ranks have said:
// where that is nothing at all, they are asked again.
func TestFaultsOnThreeHosts(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	for _, l := range h.launchers(t) {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			for _, kind := range []string{"kill", "exit0", "error"} {
				for _, rank := range []string{"0", "5"} {
					named := l.name != "mpirun.mpich" || kind == "error" || kind == "exit0" && rank != "0"
					var r result
					for tries := 0; tries == 0 || tries < 10 && named && l.name == "mpirun.mpich" && r.stderr == ""; tries++ {
						r = l.run(t, 6, "selftest", "after", kind, rank)
						require.NotZero(t, r.status, "%s on rank %s: %v", kind, rank, r)
					}
					switch {
					case kind == "kill" && l.name == "dlprun --with mpirun.mpich":
						require.Regexp(t, `(?m)^dlprun: rank ([01] \(`+h.names[0]+`|[23] \(`+h.names[1]+`|[45] \(`+h.names[2]+`)\): it ended before Finalize`, r.stderr)
					case named:
						require.Contains(t, r.stderr, "rank "+rank, "%s: %v", kind, r)
					}
				}
			}
		})
	}
}

// The same in the middle of a loop, at a leader and at a rank that has one.
func TestFaultsInALoopOnThreeHosts(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	for _, l := range h.launchers(t) {
		if l.name != "dlprun --with mpirun.openmpi" { // which lets the ranks say their last
			continue
		}
		for _, kind := range []string{"kill", "exit0", "error"} {
			for _, rank := range []string{"4", "5"} {
				r := l.run(t, 6, "selftest", "loop", kind, rank)
				require.NotZero(t, r.status, "%s on rank %s: %v", kind, rank, r)
				require.Contains(t, r.stderr, "rank "+rank, "%s: %v", kind, r)
			}
		}
	}
}

// Everything between the hosts goes by IPv6 where the rendezvous does.
func TestThreeHostsByIPv6(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	for _, l := range h.launchers(t) {
		if strings.HasPrefix(l.name, "dlprun") {
			l.env = append(l.env, "DLP_INTERFACE=fd77::1")
			r := l.run(t, 6, "dlprun", "info")
			require.Zero(t, r.status, "%s: %v", l.name, r)
			require.Regexp(t, `DLP_RENDEZVOUS +tcp:\[fd77::1\]:\d+\n`, r.stdout, l.name)
			r = l.run(t, 6, "selftest")
			require.Zero(t, r.status, "%s: %v", l.name, r)
			require.Equal(t, "selftest: 6 ranks agree\n", r.stdout, l.name)
		}
	}
}

// A host that is cut off in the middle of a job ends the job, and is named: by
// our ranks, or by Open MPI's mpirun where it looks after its daemons often enough.
func TestHostCutOff(t *testing.T) {
	t.Parallel()
	h := newHosts(t)
	for _, l := range h.launchers(t) {
		named := `dlp(run)?: rank \d (on |\()` + h.names[2] + `\)?: nothing was heard of it for 2.4s`
		if l.name == "mpirun.openmpi" {
			launch := l.command
			l.command = func(n int, program ...string) []string {
				keepalive := []string{"-x", "DLP_HEARTBEAT=2s", "--mca", "oob_tcp_keepalive_time", "2", "--mca", "oob_tcp_keepalive_intvl", "1", "--mca", "oob_tcp_keepalive_probes", "2"}
				words := launch(n, program...)
				at := slices.Index(words, "mpirun.openmpi") + 1
				return slices.Concat(words[:at], keepalive, words[at:])
			}
			named = `Remote daemon: .* on node ` + h.names[2]
		} else {
			l.env = append(l.env, "DLP_HEARTBEAT=400ms")
		}
		t.Run(l.name, func(t *testing.T) {
			said := ""
			for tries := 5; said == "" && tries > 0; tries-- { // when the far end is the first to see it, Hydra ends all, unheard
				said = h.cutOff(t, l)
			}
			require.Regexp(t, named, said)
		})
	}
}

// cutOff cuts the last host off in the middle of a job, and returns what is said of it
// when all ranks have ended, those beyond the cut too.
func (h *hosts) cutOff(t *testing.T, l launcher) string {
	ip(t, "-n", h.hub, "link", "set", "port3", "up")
	for _, host := range h.names { // who has asked for an address in vain gives up on the next one, too
		ip(t, "-n", host, "neigh", "flush", "all")
	}
	cut := func(*os.Process) { ip(t, "-n", h.hub, "link", "set", "port3", "down") }
	r := startAnd(t, l.env, "meeting", cut, l.command(6, filepath.Join(bin, "selftest"), "forever")...)
	require.NotZero(t, r.status, "%v", r)
	for k := range h.names {
		until(t, "the ranks end", func() bool { return !h.runs(t, k, "selftest") })
	}
	return r.stderr
}

// runs reports whether a program runs on host k.
func (h *hosts) runs(t *testing.T, k int, program string) bool {
	out, err := exec.Command("ip", "netns", "pids", h.names[k]).Output()
	require.NoError(t, err)
	for _, pid := range strings.Fields(string(out)) {
		name, err := os.ReadFile("/proc/" + pid + "/comm") // an error: it has ended
		if err == nil && strings.TrimSpace(string(name)) == program {
			return true
		}
	}
	return false
}

// startAnd is start that calls do when the command has printed the line mark.
func startAnd(t *testing.T, env []string, mark string, do func(*os.Process), words ...string) result {
	t.Helper()
	c, cancel := command(t, env, words...)
	defer cancel()
	// Files, since a daemon that is cut off may hold on to a pipe.
	stdout, err := os.Create(filepath.Join(t.TempDir(), "stdout"))
	require.NoError(t, err)
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	require.NoError(t, err)
	defer stderr.Close()
	c.Stdout, c.Stderr = stdout, stderr
	require.NoError(t, c.Start())
	defer func() {
		if t.Failed() {
			t.Logf("until then it said: %s%s", content(t, stdout), content(t, stderr))
		}
	}()
	until(t, "it prints "+mark, func() bool { return strings.Contains(content(t, stdout), mark+"\n") })
	do(c.Process)
	err = c.Wait()
	return ended(t, c, content(t, stdout), content(t, stderr), err)
}

func content(t *testing.T, f *os.File) string {
	b, err := os.ReadFile(f.Name())
	require.NoError(t, err)
	return string(b)
}
