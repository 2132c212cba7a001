package mpi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/dlprun/dlp/mpi/internal/transport/mem"
	"github.com/dlprun/dlp/mpi/internal/transport/sock"
	"github.com/dlprun/dlp/mpi/launch"
)

// A job is what the communicators of a rank have in common.
type job struct {
	backend   string
	size      int
	peers     []launch.Peer   // by rank
	session   *launch.Session // nil: no other process takes part
	hub       *launch.Hub     // nil: somebody else's
	folder    string          // of the unix socket, if it is this rank's own
	local     *localJob       // nil: ranks are processes
	finalized atomic.Bool
	told      atomic.Bool // the hub knows that and why this rank fails
	released  atomic.Bool
}

func (j *job) host(rank int) string   { return j.peers[rank].Host }
func (j *job) hostID(rank int) string { return j.peers[rank].HostID }

// joined is set by the first Init: as with MPI_Init, a process joins once.
var joined atomic.Bool

// Init makes this process a rank of the job that a launcher has started it in,
// and returns the world: all ranks. Without a launcher it is a job of one rank.
// It blocks until all ranks have called it, at most DLP_INIT_TIMEOUT (300 s), or
// until ctx ends. A process calls it once, and Finalize before it exits: one
// that leaves without counts as failed. Main does both.
//
// Its errors are one line each: a DLP variable with a value that makes no sense,
// ranks that did not come, a port that is in use, another build or secret.
func Init(ctx context.Context) (*Comm, error) {
	if !joined.CompareAndSwap(false, true) {
		return nil, errors.New("mpi: Init: this process has joined its job before; call it once")
	}
	found, err := launch.Detect(os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	for _, name := range launch.Variables { // programs that this one starts are not ranks
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("mpi: %w", err)
		}
	}
	if found.Size == 1 && !found.Hosted {
		return single(), nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, found.InitTimeout, fmt.Errorf("not all %d ranks joined within %v (DLP_INIT_TIMEOUT)", found.Size, found.InitTimeout))
	defer cancel()
	c, err := join(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	return c, nil
}

// single is a job of one rank: no listener, no goroutine.
func single() *Comm {
	j := &job{backend: "single", size: 1, peers: []launch.Peer{{Host: launch.Host()}}}
	return j.world(newEngine(mem.New(1)[0], 0, 1, j.host), 0)
}

func (j *job) world(e *engine, rank int) *Comm {
	c := &Comm{engine: e, job: j, rank: rank, group: make([]int, j.size)}
	for r := range c.group {
		c.group[r] = r
	}
	return c
}

// join meets the other ranks.
func join(ctx context.Context, found launch.Job) (_ *Comm, err error) {
	j := &job{backend: "embedded", size: found.Size}
	defer func() {
		if err != nil {
			j.release()
		}
	}()
	if found.Rank == 0 && !found.Hosted {
		if j.hub, err = hostHub(found); err != nil {
			return nil, err
		}
	}
	if j.session, err = launch.Join(ctx, found); err != nil {
		return nil, err
	}
	self, listeners, err := j.listen(found)
	if err != nil {
		return nil, err
	}
	started := make(chan struct{})
	var e *engine
	down := func(d launch.Down) { <-started; e.fail(downError(d)) }
	if j.peers, err = j.session.Register(ctx, self, down); err != nil {
		closeAll(listeners)
		return nil, err
	}
	addrs, err := addresses(j.peers, found)
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	e = newEngine(sock.New(sock.Config{
		Rank: found.Rank, Secret: found.Secret, Build: found.Build, Peers: addrs, Listeners: listeners,
	}), found.Rank, found.Size, j.host)
	close(started)
	go j.watchHub(e, found.Hosted)
	c := j.world(e, found.Rank)
	shareProcessors(c.LocalSize())
	return c, nil
}

// hostHub lets rank 0 host the meeting place where no launcher does.
func hostHub(found launch.Job) (*launch.Hub, error) {
	failed := false
	hub, err := launch.ListenHub(found.Rendezvous, launch.HubConfig{
		Size: found.Size, Secret: found.Secret, Timeout: found.InitTimeout,
		OnEvent: func(e launch.Event) {
			switch e.Kind {
			case launch.Lost:
				e.Reason = launch.Vanished
			case launch.Failed:
			default:
				return
			}
			if !failed { // what comes after the first is mostly its consequence
				fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", e.Rank, in(e.Host), e.Reason)
			}
			failed = true
		},
		OnRefused: func(err error) { fmt.Fprintf(os.Stderr, "dlp: rank 0: %v\n", err) },
	})
	if err != nil {
		return nil, fmt.Errorf("rank 0 can't listen at DLP_RENDEZVOUS: %w; choose another address", err)
	}
	return hub, nil
}

// listen opens what other ranks will connect to.
func (j *job) listen(found launch.Job) (launch.Peer, []net.Listener, error) {
	self := launch.Peer{Rank: found.Rank}
	var listeners []net.Listener
	if found.Transport != "tcp" {
		ln, err := j.listenUnix(found)
		if err != nil {
			return self, nil, err
		}
		self.Unix = ln.Addr().String()
		listeners = append(listeners, ln)
		if strings.HasPrefix(found.Rendezvous, "unix:") || found.Transport == "unix" {
			return self, listeners, nil
		}
	}
	ip, err := launch.ListenIP(found.Interface, j.session.LocalIP())
	if err == nil {
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort(ip, "0")); err == nil {
			self.TCP = []string{ln.Addr().String()}
			return self, append(listeners, ln), nil
		}
	}
	closeAll(listeners)
	return self, nil, err
}

// listenUnix opens a unix socket: beside the hub's, if that is one; else, on
// Linux, one without a file, which leaves nothing behind however the rank ends;
// elsewhere one in a folder of its own.
func (j *job) listenUnix(found launch.Job) (net.Listener, error) {
	folder, beside := strings.CutPrefix(found.Rendezvous, "unix:")
	if beside {
		return net.Listen("unix", filepath.Join(filepath.Dir(folder), strconv.Itoa(found.Rank)))
	}
	if runtime.GOOS == "linux" {
		return net.Listen("unix", "@dlp-"+rand.Text())
	}
	folder, err := os.MkdirTemp("", "dlp-") // mode 0700
	if err != nil {
		return nil, err
	}
	j.folder = folder
	return net.Listen("unix", filepath.Join(folder, strconv.Itoa(found.Rank)))
}

// addresses says where each rank is reached: by its unix socket on this host,
// by TCP elsewhere.
func addresses(peers []launch.Peer, found launch.Job) ([][]sock.Addr, error) {
	here := peers[found.Rank].HostID
	all := make([][]sock.Addr, len(peers))
	for r, p := range peers {
		if p.HostID == here && p.Unix != "" {
			all[r] = append(all[r], sock.Addr{Network: "unix", Address: p.Unix})
			continue
		}
		for _, a := range p.TCP {
			all[r] = append(all[r], sock.Addr{Network: "tcp", Address: a})
		}
		if len(all[r]) == 0 {
			return nil, fmt.Errorf("rank %d on %s can't be reached from rank %d on %s by unix sockets; set DLP_TRANSPORT=auto and a rendezvous of the form host:port", r, p.Host, found.Rank, peers[found.Rank].Host)
		}
	}
	return all, nil
}

func downError(d launch.Down) error {
	err := errors.New(d.Cause)
	if d.Aborted {
		err = fmt.Errorf("%w: %s", ErrAborted, d.Cause)
	}
	return &RankError{Rank: d.Rank, Host: d.Host, Err: err}
}

// watchHub fails everything when the hub goes before the job has ended: dlprun
// was killed, or rank 0.
func (j *job) watchHub(e *engine, hosted bool) {
	<-j.session.Gone()
	if j.session.Ended() || j.finalized.Load() {
		return
	}
	gone := &RankError{Rank: -1, Err: launch.ErrHubGone}
	if !hosted {
		gone = &RankError{Rank: 0, Host: j.host(0), Err: errors.New(launch.Vanished)}
		j.told.Store(e.rank > 1) // rank 1 says it for all
	}
	e.fail(gone)
}

// shareProcessors gives each rank of a host its part of the processors, and
// tells the programs that it starts, unless the user has decided.
func shareProcessors(local int) {
	share := max(1, runtime.NumCPU()/local)
	if os.Getenv("GOMAXPROCS") == "" && local > 1 {
		runtime.GOMAXPROCS(share)
	}
	if os.Getenv("OMP_NUM_THREADS") == "" && local > 1 {
		os.Setenv("OMP_NUM_THREADS", strconv.Itoa(share)) // fails for malformed names only
	}
}

// Finalize ends this rank's part in the job. It is collective: it blocks until
// every rank has called it, or ctx ends. Only the world has it. Calls on any
// communicator after it return ErrFinalized.
func (c *Comm) Finalize(ctx context.Context) error { return c.finalize(ctx, callSite(1)) }

func (c *Comm) finalize(ctx context.Context, site string) error {
	if c.id != 0 {
		return errors.New("mpi: Finalize: this communicator is not the world; the one that Init returned ends the job")
	}
	if !c.job.finalized.CompareAndSwap(false, true) {
		return fmt.Errorf("mpi: Finalize: %w", ErrFinalized)
	}
	k, err := c.beginAt("Finalize", "", site)
	if err == nil {
		k.last = true
		c.engine.leave()
		err = k.barrier(ctx)
	}
	if err == nil && c.job.session != nil {
		if err = c.job.session.Finalize(ctx); err != nil {
			err = fmt.Errorf("mpi: Finalize: %w", err)
		}
	}
	if err != nil {
		c.job.tell(1, trimPrefix(err), false)
	}
	return errors.Join(err, c.engine.close(ErrFinalized), c.job.release())
}

// tell lets the other ranks know that this one fails and why. It reports
// whether somebody has shown the reason to the user.
func (j *job) tell(status int, reason string, aborted bool) bool {
	if j.session != nil && !j.told.Load() && j.session.Fail(status, reason, aborted) {
		j.told.Store(true)
	}
	return j.told.Load()
}

// release gives back what the job holds beside its transport. Where this rank
// hosts the hub, it waits until all ranks have heard how the job ended. Only
// the first call does anything.
func (j *job) release() (err error) {
	if !j.released.CompareAndSwap(false, true) {
		return nil
	}
	if j.session != nil {
		err = j.session.Close()
	}
	if j.hub != nil {
		err = errors.Join(err, j.hub.Close())
	}
	if j.folder != "" {
		err = errors.Join(err, os.RemoveAll(j.folder))
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}

// Abort ends the whole job at once, without waiting for anybody: this process
// exits with code (1 if it is 0), the others are told the reason and follow. It
// does not return.
func (c *Comm) Abort(code int, reason string) {
	if code == 0 {
		code = 1
	}
	c.job.end(c.engine.rank, code, "aborted: "+reason, true)
}
