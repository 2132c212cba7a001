package mpi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dlprun/dlp/mpi/internal/transport/mem"
	"github.com/dlprun/dlp/mpi/launch"
)

// A job is what the communicators of a rank have in common.
type job struct {
	backend   string
	size      int
	peers     []launch.Peer   // by rank
	session   *launch.Session // nil: no other process takes part
	hub       *launch.Hub     // nil: somebody else's
	rootHub   bool            // it is rank 0's
	meeting   launch.Meeting  // nil: no other process takes part
	folder    string          // of the unix socket, if it is this rank's own
	local     *localJob       // nil: ranks are processes
	memory    memory          // that ranks share
	library   library         // nil: no real MPI carries this job
	stop      stopper
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
		return nil, errJoined
	}
	found, err := launch.Detect(os.Getenv)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	return initJob(ctx, found)
}

// InitJob is Init for a process that has called launch.Detect itself, to look at
// its job before it joins. Detect may use up what the launcher offers, so that
// Init can't be called after it.
func InitJob(ctx context.Context, found launch.Job) (*Comm, error) {
	if !joined.CompareAndSwap(false, true) {
		return nil, errJoined
	}
	return initJob(ctx, found)
}

var errJoined = errors.New("mpi: Init: this process has joined its job before; call it once")

func initJob(ctx context.Context, found launch.Job) (*Comm, error) {
	for _, name := range launch.Variables { // programs that this one starts are not ranks
		if err := os.Unsetenv(name); err != nil {
			return nil, fmt.Errorf("mpi: %w", err)
		}
	}
	if found.Warning != "" {
		fmt.Fprintln(os.Stderr, "dlp: "+found.Warning)
	}
	if found.Backend == "single" {
		c := single()
		c.job.stop.deadline = found.Deadline
		return c, nil
	}
	// A second more than the hub waits, which knows who is missing.
	ctx, cancel := context.WithTimeoutCause(ctx, found.InitTimeout+time.Second, fmt.Errorf("not all ranks joined within %v (DLP_INIT_TIMEOUT)", found.InitTimeout))
	defer cancel()
	meet := join
	if found.Backend == "mpi" {
		meet = joinLibrary
	}
	c, err := meet(ctx, found)
	if err != nil {
		return nil, fmt.Errorf("mpi: %w", err)
	}
	c.job.stop.deadline = found.Deadline
	return c, nil
}

// single is a job of one rank: no listener, no goroutine.
func single() *Comm {
	j := &job{backend: "single", size: 1, memory: &localMemory{}, peers: []launch.Peer{{Host: launch.Host()}}}
	return j.world(newEngine(mem.New(1)[0], 0, 1, j.host), 0)
}

func (j *job) world(e *engine, rank int) *Comm {
	c := &Comm{engine: e, job: j, rank: rank, group: make([]int, j.size)}
	for r := range c.group {
		c.group[r] = r
	}
	return c
}

// hear is told by the hub that a rank is gone.
func (e *engine) hear(d launch.Down) {
	if d.GoesOn {
		e.lost(d.Rank, errors.New(d.Cause))
		return
	}
	e.fail(downError(d))
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
func (j *job) watchHub(e *engine) {
	<-j.session.Gone()
	if j.session.Ended() || j.finalized.Load() {
		return
	}
	gone := &RankError{Rank: -1, Err: launch.ErrHubGone}
	silence := j.session.Silence()
	switch {
	case j.rootHub && silence != "":
		gone = &RankError{Rank: 0, Host: j.host(0), Err: errors.New(silence)}
		j.told.Store(e.rank > j.firstOn(j.hostID(e.rank))) // others may hear it well
	case j.rootHub:
		gone = &RankError{Rank: 0, Host: j.host(0), Err: errors.New(launch.Vanished)}
		j.told.Store(e.rank > 1) // rank 1 says it for all
	case silence != "":
		gone.Err = fmt.Errorf("%w: %s", gone.Err, silence)
	}
	e.fail(gone)
}

// firstOn returns the lowest rank of a host, but for rank 0.
func (j *job) firstOn(hostID string) int {
	return 1 + slices.IndexFunc(j.peers[1:], func(p launch.Peer) bool { return p.HostID == hostID })
}

// shareProcessors gives this rank its part of the processors that it shares with
// so many ranks, and tells the programs that it starts, unless the user has
// decided.
func shareProcessors(ranks int) {
	share := max(1, runtime.NumCPU()/ranks)
	if os.Getenv("GOMAXPROCS") == "" && ranks > 1 {
		runtime.GOMAXPROCS(share)
	}
	if os.Getenv("OMP_NUM_THREADS") == "" && ranks > 1 {
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
		err = c.lastWord(ctx)
	}
	if lost := c.engine.lostRanks(); err == nil && c.job.hub != nil && len(lost) > 0 {
		fmt.Fprintf(os.Stderr, "dlp: the job has ended well, but without what it has lost on the way: rank %s\n", strings.Join(lost, ", "))
	}
	status := 0
	if err != nil {
		status = 1
	}
	if err != nil && !c.engine.severed.Load() {
		c.job.tell(1, trimPrefix(err), false)
	}
	if c.job.backend == "single" {
		joined.Store(false) // nothing is used up: tests of programs may call Main again
	}
	return errors.Join(err, c.engine.close(ErrFinalized), c.job.release(status))
}

// lastWord tells the hub that this rank is done and waits until all are. One
// may still die on the way: the hub says so, and never that all are done.
func (c *Comm) lastWord(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-c.engine.dead:
			cancel(c.engine.failed("Finalize"))
		case <-ctx.Done():
		}
	}()
	err := c.job.session.Finalize(ctx)
	if err == nil {
		return nil
	}
	if failed := c.engine.failed("Finalize"); failed != nil {
		return failed
	}
	return fmt.Errorf("mpi: Finalize: %w", err)
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
// hosts the hub, it waits until all ranks have heard how the job ended; then it
// leaves the launcher's own book-keeping, with the status that this process will
// have. A real MPI is left only by ranks that end well. Only the first call does
// anything.
func (j *job) release(status int) (err error) {
	if !j.released.CompareAndSwap(false, true) {
		return nil
	}
	if j.library != nil && status == 0 {
		err = j.library.Finalize(context.Background())
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
	if j.meeting != nil {
		err = errors.Join(err, j.meeting.Leave(status))
	}
	return err
}

func closeAll(listeners []net.Listener) {
	for _, ln := range listeners {
		ln.Close()
	}
}

// Abort ends the whole job at once, without waiting for anybody: this process
// exits with code (1 if that would be status 0), the others are told the reason
// and follow. It does not return.
func (c *Comm) Abort(code int, reason string) {
	if code&0xff == 0 { // what is left of it as the status of a process
		code = 1
	}
	c.job.end(c.engine.rank, code, "aborted: "+reason, true)
}
