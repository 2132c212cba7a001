package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dlprun/dlp/internal/proxytest"
)

// An island is a job of three ranks by hand, the last of which has a network of its own
// with no way out: it reaches the others, and they reach it, through proxies alone.
type island struct {
	t    *testing.T
	name string // of the network, and of the host that the rank believes to be on
	at   string // where the ranks meet
	ip   string // the far rank's
	env  func(rank int, changes ...string) []string
	plan func(data bool) (there, back proxytest.Way) // nil: good connections

	mu    sync.Mutex
	said  map[bool][]byte // on the session, by direction
	known map[string]bool // addresses that there is a proxy for
	fault proxytest.Fault // of connections with other ranks; None: none yet

	session *proxytest.Proxy
	data    []*proxytest.Proxy
}

const (
	islanders = 3
	far       = islanders - 1
)

func newIsland(t *testing.T, plan func(data bool) (there, back proxytest.Way)) *island {
	t.Helper()
	need(t, "ip", "nsenter", "unshare")
	needRoot(t)
	sweepHosts(t)
	k := hostSets.Add(1)
	i := &island{t: t, name: fmt.Sprintf("dlp%dx%dh1", os.Getpid(), k), plan: plan, said: map[bool][]byte{}, known: map[string]bool{}}
	i.ip = fmt.Sprintf("127.%d.%d.%d", 2+os.Getpid()%250, k>>8, k&255)
	i.at, i.env = byHand(t, islanders)
	ip(t, "netns", "add", i.name)
	t.Cleanup(i.sink)
	ip(t, "-n", i.name, "link", "set", "lo", "up")
	require.NoError(t, i.within(func() error { // nobody outside listens at these, where proxies must
		return os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("61000 65535"), 0)
	}))
	i.session = i.proxy(i.at, true, func(_ int, back bool, b []byte) { i.hear(back, b) })
	return i
}

// sink removes it.
func (i *island) sink() {
	i.mu.Lock()
	proxies := slices.Clone(i.data)
	i.mu.Unlock()
	if i.session != nil {
		proxies = append(proxies, i.session)
	}
	for _, p := range proxies {
		p.Close()
	}
	removeHost(i.t, i.name)
}

// within calls f on a thread in the far rank's network, where sockets that it opens
// stay.
func (i *island) within(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()            // for good: the thread ends with the goroutine
		if unix.Gettid() == os.Getpid() { // but for the first one, which stays as it is
			defer runtime.UnlockOSThread()
			done <- i.within(f)
			return
		}
		ns, err := os.Open("/run/netns/" + i.name)
		if err == nil {
			defer ns.Close()
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// proxy starts one for an address of either network. Who listens there is outside if
// the far rank is to reach it.
func (i *island) proxy(at string, outside bool, watch func(int, bool, []byte)) *proxytest.Proxy {
	var ln net.Listener
	listen := func() (err error) {
		ln, err = net.Listen("tcp", at)
		return err
	}
	dial := proxytest.Dialer(at)
	err := error(nil)
	if outside {
		err = i.within(listen)
	} else {
		err = listen()
		dial = func() (conn net.Conn, err error) {
			return conn, i.within(func() error {
				conn, err = net.Dial("tcp", at)
				return err
			})
		}
	}
	if err != nil {
		i.t.Error(err)
		return nil
	}
	data := watch == nil
	cfg := proxytest.Config{Listener: ln, Dial: dial, Watch: watch}
	if i.plan != nil {
		cfg.Plan = func(int) (there, back proxytest.Way) { return i.plan(data) }
	}
	return proxytest.New(cfg)
}

var listensAt = regexp.MustCompile(`"tcp":\["([0-9.]+:[0-9]+)"\]`)

// hear follows the session, and has proxies ready wherever somebody says that he
// listens, before that is passed on.
func (i *island) hear(back bool, b []byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.said[back] = append(i.said[back], b...)
	for _, m := range listensAt.FindAllSubmatch(i.said[back], -1) {
		at := string(m[1])
		if i.known[at] {
			continue
		}
		i.known[at] = true
		if p := i.proxy(at, !strings.HasPrefix(at, i.ip+":"), nil); p != nil {
			i.data = append(i.data, p)
			if i.fault != proxytest.None {
				p.Break(i.fault)
			}
		}
	}
}

// breakAll lets a fault happen on connections of the far rank: that with the hub, or
// those with other ranks, or all.
func (i *island) breakAll(f proxytest.Fault, session, data bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if session {
		i.session.Break(f)
	}
	if !data {
		return
	}
	i.fault = f // for proxies to come, too: rank 0 may be in its loop before others know where it listens
	for _, p := range i.data {
		p.Break(f)
	}
}

// struck says on how many ways of connections a fault has happened.
func (i *island) struck() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := i.session.Struck()
	for _, p := range i.data {
		n += p.Struck()
	}
	return n
}

// run runs the job to its end, and calls do when rank 0 has printed the line mark, if
// there is one.
func (i *island) run(env []string, mark string, do func(), program ...string) (results [islanders]result) {
	program[0] = filepath.Join(bin, program[0])
	var job sync.WaitGroup
	for r := range results {
		env := i.env(r, append([]string{"DLP_HEARTBEAT=400ms", "DLP_INIT_TIMEOUT=10", "DLP_INTERFACE=127.0.0.1"}, env...)...)
		words := program
		if r == far {
			env = append(env, "DLP_INTERFACE="+i.ip)
			words = append([]string{"nsenter", "--net=/run/netns/" + i.name, "unshare", "--uts", "bash", "-c", `hostname "$0" && exec "$@"`, i.name}, program...)
		}
		job.Go(func() {
			if r == 0 && mark != "" {
				results[r] = startAnd(i.t, env, mark, func(*os.Process) { do() }, words...)
				return
			}
			results[r] = start(i.t, env, words...)
		})
	}
	job.Wait()
	return results
}

// A rank behind a slow network, whose messages take longer than a silent one would be
// borne with, is not given up.
func TestSlowNetwork(t *testing.T) {
	t.Parallel()
	way := proxytest.Way{Rate: 400 << 10}
	i := newIsland(t, func(bool) (there, back proxytest.Way) { return way, way })
	results := i.run(nil, "", nil, "selftest")
	for _, r := range results {
		require.Zero(t, r.status, "%v", results)
	}
	require.Equal(t, "selftest: 3 ranks agree\n", results[0].stdout)
}

// What is broken ends the job on all ranks, and is named.
func TestBrokenNetwork(t *testing.T) {
	t.Parallel()
	for _, fault := range []proxytest.Fault{proxytest.Stop, proxytest.Corrupt, proxytest.HalfClose, proxytest.Reset} {
		for name, data := range map[string]bool{"session": false, "data": true} {
			t.Run(fmt.Sprint(fault, "/", name), func(t *testing.T) {
				t.Parallel()
				i := newIsland(t, nil)
				results := i.run(nil, "meeting", func() { i.breakAll(fault, !data, data) }, "selftest", "forever")
				require.Positive(t, i.struck())
				for _, r := range results {
					require.NotZero(t, r.status, "%v", results)
				}
				require.Regexp(t, `dlp: rank 2 \(`+i.name+`\): |: rank 2 \(`+i.name+`\) is gone: `, results[0].stderr, "%v", results)
				if fault == proxytest.Stop && !data {
					require.Regexp(t, `dlp: rank 2 \(`+i.name+`\): nothing was heard of it for 2.4s`, results[0].stderr)
					require.Contains(t, results[far].stderr, "nothing was heard of it for 2.4s")
				}
				if fault == proxytest.Stop && data {
					require.Contains(t, results[0].stderr, "nothing has come from it for 3.2s")
				}
			})
		}
	}
}

// A black hole between two ranks that both reach the hub is found, whatever they do
// meanwhile.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"send", "recv", "barrier", "gather", "managed", "map"} {
		t.Run(operation, func(t *testing.T) {
			t.Parallel()
			i := newIsland(t, nil)
			results := i.run(nil, "now", func() { i.breakAll(proxytest.Stop, false, true) }, "faulty", operation, "say", "0")
			require.Positive(t, i.struck())
			for _, r := range results {
				require.NotZero(t, r.status, "%v", results)
			}
			require.Regexp(t, `rank 2 \(`+i.name+`\)(:.* rank [01] \(.+\))? is gone: nothing has come from it for 3.2s`, results[0].stderr, "%v", results)
		})
	}
}

// Whichever of its connections break: the items of a rank go to others.
func TestJobGoesOnBehindABrokenNetwork(t *testing.T) {
	t.Parallel()
	t.Run("in Finalize", func(t *testing.T) {
		t.Parallel()
		i := newIsland(t, nil)
		file := filepath.Join(tempDir(t), "cut") // until it is there nobody says that he is through: nothing need come after that
		results := i.run([]string{"DLP_ON_FAILURE=continue"}, "meeting", func() {
			i.breakAll(proxytest.Stop, false, true)
			require.NoError(t, os.WriteFile(file, nil, 0o600))
		}, "selftest", "apart", file)
		i.goneOn(t, results)
	})
	t.Run("in calls that are given up", func(t *testing.T) {
		t.Parallel()
		i := newIsland(t, nil)
		file := filepath.Join(tempDir(t), "cut")
		results := i.run([]string{"DLP_ON_FAILURE=continue"}, "meeting", func() {
			i.breakAll(proxytest.Reset, false, true)
			require.NoError(t, os.WriteFile(file, nil, 0o600))
		}, "selftest", "glance", file)
		i.goneOn(t, results)
	})
	for _, fault := range []proxytest.Fault{proxytest.Stop, proxytest.Corrupt, proxytest.HalfClose, proxytest.Reset} {
		for name, which := range map[string][2]bool{"session": {true, false}, "data": {false, true}, "all": {true, true}} {
			t.Run(fmt.Sprint(fault, "/", name), func(t *testing.T) {
				t.Parallel()
				i := newIsland(t, nil)
				file := filepath.Join(tempDir(t), "cut") // the last item waits for it, however late that is
				results := i.run([]string{"DLP_ON_FAILURE=continue"}, "0 "+survivorValue(0), func() {
					i.breakAll(fault, which[0], which[1])
					require.NoError(t, os.WriteFile(file, nil, 0o600))
				}, "survivor", "-items", "300", "-pause", "10ms", "-last", file)
				i.goneOn(t, results)
				require.True(t, right("map", "", 300, results[0].stdout), "%v", results)
			})
		}
	}
}

// goneOn checks that a job has gone on without the far rank.
func (i *island) goneOn(t *testing.T, results [islanders]result) {
	t.Helper()
	require.Zero(t, results[0].status, "%v", results)
	require.Zero(t, results[1].status, "%v", results)
	require.NotZero(t, results[far].status, "%v", results)
	require.Regexp(t, `dlp: rank 2 \(`+i.name+`\): .*; the job goes on without it`, results[0].stderr, "%v", results)
	require.Contains(t, results[0].stderr, "the job has ended well, but without what it has lost on the way: rank 2\n", "%v", results)
}
