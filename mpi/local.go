package mpi

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/dlprun/dlp/mpi/internal/transport/mem"
	"github.com/dlprun/dlp/mpi/launch"
)

// localJob is a job whose ranks are goroutines of this process.
type localJob struct {
	engines []*engine
	cancel  context.CancelCauseFunc

	mu     sync.Mutex
	failed []error // by rank: why it failed by itself
}

// RunLocal runs n ranks as goroutines of this process: run is called once for
// each, with the world. It blocks until all have returned. It is meant for
// tests, examples, and programs that want ranks without processes.
//
// If a rank returns an error, panics or calls Abort, ctx ends and the calls of
// the others fail with a RankError. RunLocal then returns the errors of the ranks
// that failed by themselves, joined, each with its rank.
func RunLocal(ctx context.Context, n int, run func(ctx context.Context, c *Comm) error) error {
	if n < 1 {
		return fmt.Errorf("mpi: RunLocal: n is %d; a job has 1 rank or more", n)
	}
	return RunLocalOn(ctx, slices.Repeat([]string{launch.Host()}, n), run)
}

// RunLocalOn is [RunLocal] with len(hosts) ranks that take themselves to be on
// several hosts, rank r on one that is called hosts[r]: Host, Hosts and Local say so,
// and ranks share memory with those of their own host only. It lets tests try what a
// program does on several hosts.
func RunLocalOn(ctx context.Context, hosts []string, run func(ctx context.Context, c *Comm) error) error {
	n := len(hosts)
	if n < 1 {
		return errors.New("mpi: RunLocalOn: hosts is empty; name the host of each rank")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l := &localJob{cancel: cancel, failed: make([]error, n)}
	worlds := make([]*Comm, n)
	shared := map[string]*localMemory{}
	peers := make([]launch.Peer, n)
	for r, host := range hosts {
		shared[host] = &localMemory{}
		peers[r] = launch.Peer{Rank: r, Host: host, HostID: host}
	}
	for r, t := range mem.New(n) {
		j := &job{backend: "inproc", size: n, peers: peers, local: l, memory: shared[hosts[r]]}
		worlds[r] = j.world(newEngine(t, r, n, j.host), r)
		l.engines = append(l.engines, worlds[r].engine)
	}
	var ranks sync.WaitGroup
	for _, c := range worlds {
		ranks.Go(func() {
			err := errGoexit
			defer func() { // deferred, since nothing else runs after a Goexit
				if err != nil {
					l.fail(c.rank, err)
				}
				c.engine.close(ErrFinalized)
			}()
			if err = protect(ctx, c, run); err == nil && !c.job.finalized.Load() {
				err = c.finalize(ctx, "the end of RunLocal")
			}
		})
	}
	ranks.Wait()
	return errors.Join(l.failed...)
}

// fail records that a rank failed, unless it did because another had, and ends
// the job.
func (l *localJob) fail(rank int, err error) {
	l.mu.Lock()
	known := l.consequence(err)
	if !known && l.failed[rank] == nil {
		l.failed[rank] = fmt.Errorf("rank %d: %w", rank, err)
	}
	l.mu.Unlock()
	if known { // whoever failed first tells all, and it is him that they must hear of
		return
	}
	gone := &RankError{Rank: rank, Host: l.engines[rank].host(rank), Err: err}
	for r, e := range l.engines {
		if r != rank {
			e.fail(gone)
		}
	}
	l.cancel(withOp(gone, "RunLocal"))
}

// consequence reports whether err only says that another rank has failed, or
// that ctx ended because of that. The caller holds l.mu.
func (l *localJob) consequence(err error) bool {
	var gone *RankError
	if errors.As(err, &gone) {
		return gone.Rank >= 0 && l.failed[gone.Rank] != nil
	}
	failed := slices.ContainsFunc(l.failed, func(err error) bool { return err != nil })
	return failed && errors.Is(err, context.Canceled)
}

func (l *localJob) abort(rank, code int, reason string) {
	err := fmt.Errorf("%w with status %d: %s", ErrAborted, code, reason)
	l.fail(rank, err)
	l.engines[rank].fail(&RankError{Rank: rank, Err: err})
}
