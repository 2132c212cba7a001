package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// How long a rank may go on after its job has failed, or after a signal, before
// Main ends the process. Both are there for code that does not look at ctx.
const (
	failGrace   = 3 * time.Second
	signalGrace = 5 * time.Second
	stopGrace   = 20 * time.Second // that loops have at SIGTERM to finish what they have in hand; Slurm kills after 30 s
)

// echo is how long after a signal another one may be the same: launchers send them
// along several ways.
const echo = time.Second

// Main joins the job, calls run with the world, and leaves the job; it is the
// body of a program's main. It returns when every rank's run has returned nil.
//
// If run returns an error or panics, on any rank, the whole job ends: this
// process with status 1 (2 after a panic), the others soon after. One line on
// standard error names rank, host and cause. ctx ends when another rank fails,
// and at the first SIGINT or SIGTERM; the process then ends within seconds even
// if run does not return.
//
// While a loop of package split runs, the first SIGTERM or SIGUSR1 asks it to come to
// an end ([Comm.Stop]): ctx then ends at the next signal, or 20 s after SIGTERM. An
// error that wraps ErrStopped makes the status 75 (StatusStopped).
func Main(run func(ctx context.Context, world *Comm) error) {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	signals := watchSignals(cancel)
	defer signals.stop()
	world, err := Init(ctx)
	if err != nil {
		if told := (*toldError)(nil); !errors.As(err, &told) {
			fmt.Fprintf(os.Stderr, "dlp: %s\n", trimPrefix(err))
		}
		os.Exit(signals.status(err))
	}
	signals.joined(world)
	returned := make(chan struct{})
	go world.endAfterFailure(cancel, returned)
	err = errGoexit
	defer func() { // deferred, since nothing else runs after a Goexit
		close(returned)
		if err != nil {
			world.endWith(err, signals.status(err))
		}
	}()
	if err = protect(ctx, world, run); err == nil {
		err = world.finalize(ctx, "the end of Main")
	}
}

// endWith ends this process, and the job, because of err.
func (c *Comm) endWith(err error, status int) {
	var p *panicError
	if errors.As(err, &p) {
		status = 2
		fmt.Fprintf(os.Stderr, "panic: %v\n\n%s\n", p.value, p.stack)
	} else if status == StatusStopped {
		c.meet()
	} else if s := stackOf(err); s != nil && c.IsRoot() { // all ranks have it
		fmt.Fprintf(os.Stderr, "%s\n", s)
	}
	if status > 128 && c.job.library != nil {
		os.Exit(status) // by a signal of mpiexec, mostly, because of what another rank has said
	}
	c.end(status, trimPrefix(err))
}

// meet waits a little for the other ranks, which return with the same error: none
// must take the others' end for a failure while it still writes something down.
func (c *Comm) meet() {
	ctx, cancel := context.WithTimeout(context.Background(), stopGrace)
	defer cancel()
	_ = c.Barrier(ctx) // a rank that does something else ends as after any error
}

// endAfterFailure ends ctx when the job has failed elsewhere, and this process
// if run does not heed that.
func (c *Comm) endAfterFailure(cancel context.CancelCauseFunc, returned <-chan struct{}) {
	select {
	case <-c.engine.dead:
	case <-returned:
		return
	}
	err := c.engine.failed("Main")
	if errors.Is(err, ErrFinalized) {
		return
	}
	cancel(err)
	select {
	case <-time.After(failGrace):
		c.end(1, trimPrefix(err))
	case <-returned:
	}
}

// errGoexit is the error of a run that does not return and does not panic.
// Nobody can stop a Goexit: whoever calls run sees to it in a defer.
var errGoexit = errors.New("the goroutine of run was ended (runtime.Goexit)")

// protect calls run and turns a panic into an error, so that the others hear of
// it. The stack is shown as the runtime would have done.
func protect(ctx context.Context, c *Comm, run func(context.Context, *Comm) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{value: v, stack: debug.Stack()}
		}
	}()
	return run(ctx, c)
}

type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// stackOf finds the stack that an error brings along, of a task that panicked.
func stackOf(err error) []byte {
	var s interface{ StackTrace() []byte }
	if errors.As(err, &s) {
		return s.StackTrace()
	}
	return nil
}

// end ends this process with status, and with it the job, unless that can do without
// this rank, which can do no more.
func (c *Comm) end(status int, reason string) {
	if c.engine.severed.Load() {
		c.Resign(status, reason)
	}
	c.job.end(c.engine.rank, status, reason, false)
}

// end ends this process with status, and with it the job. The reason is shown
// once: by whoever hosts the hub, or here if nobody does. It does not return.
func (j *job) end(rank, status int, reason string, aborted bool) {
	if j.local != nil {
		j.local.abort(rank, status, reason)
		runtime.Goexit()
	}
	if j.library != nil {
		j.abort(rank, status, reason)
	}
	if !j.tell(status, reason, aborted) {
		if status > 128 && j.rootHub { // the signal is the launcher's, because of that
			reason += "; rank 0" + in(j.host(0)) + " had ended before"
		}
		fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", rank, in(j.host(rank)), reason)
	}
	if err := j.release(status); err != nil { // the hub waits here until all have heard
		fmt.Fprintf(os.Stderr, "dlp: rank %d: %v\n", rank, err)
	}
	os.Exit(status)
}

// signals ends a context, or asks the loops of this rank to come to an end.
type signals struct {
	ch     chan os.Signal
	quit   chan struct{}
	cancel context.CancelCauseFunc
	got    chan syscall.Signal // the one that has ended the context, for status

	mu    sync.Mutex
	world *Comm
	asked bool // before there was a world
}

func watchSignals(cancel context.CancelCauseFunc) *signals {
	s := &signals{ch: make(chan os.Signal, 2), quit: make(chan struct{}), got: make(chan syscall.Signal, 1), cancel: cancel}
	signal.Notify(s.ch, append(stopSignals(), os.Interrupt)...)
	go s.watch()
	return s
}

// joined lets s know the loops' world.
func (s *signals) joined(world *Comm) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world = world; s.asked {
		world.Stop()
	}
}

// watch waits for signals. The first SIGTERM or SIGUSR1 is a request, if a loop heeds
// it; SIGINT and whatever comes next ends the context, and one more the process.
func (s *signals) watch() {
	sig, ok := s.next(nil)
	if ok && s.request(sig) {
		sig, ok = s.grace(sig)
	}
	if !ok {
		return
	}
	n, _ := sig.(syscall.Signal)
	status := s.end(n)
	for start, within := time.Now(), time.After(signalGrace); ok; {
		if _, ok = s.next(within); ok && time.Since(start) > echo {
			s.explain()
			os.Exit(status)
		}
	}
}

// explain says why this process ends though run has not returned. In a job of several
// ranks the launcher does.
func (s *signals) explain() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world != nil && s.world.job.session == nil && s.world.job.library == nil {
		fmt.Fprintf(os.Stderr, "dlp: rank 0%s: stopped by a signal; run has not returned since\n", in(s.world.job.host(0)))
	}
}

func (s *signals) next(within <-chan time.Time) (sig os.Signal, ok bool) {
	select {
	case sig = <-s.ch:
		return sig, true
	case <-within:
		return nil, true
	case <-s.quit:
		return nil, false
	}
}

// request asks the loops to come to an end, if sig says so and there is one; for a
// signal that means nothing else, later ones will do.
func (s *signals) request(sig os.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	only := sig != syscall.SIGTERM // SIGUSR1
	switch {
	case sig == os.Interrupt:
		return false
	case s.world == nil:
		s.asked = only
		return only
	case !only && !s.world.job.stop.heeded():
		return false
	}
	s.world.Stop()
	return true
}

// grace waits for a reason to end what loops have in hand after a request: another
// signal, or that SIGTERM is stopGrace old. Launchers send a signal along several
// ways: the same within a second is the same.
func (s *signals) grace(first os.Signal) (sig os.Signal, ok bool) {
	start := time.Now()
	var within <-chan time.Time
	if first == syscall.SIGTERM {
		within = time.After(stopGrace)
	}
	for {
		if sig, ok = s.next(within); !ok || sig != first || time.Since(start) > echo {
			return sig, ok
		}
	}
}

// end ends the context because of signal n, and returns the status that goes with
// it. After a request it is the loops that have not got to their end in time.
func (s *signals) end(n syscall.Signal) (status int) {
	s.mu.Lock()
	asked := s.asked || s.world != nil && s.world.job.stop.wasAsked()
	s.mu.Unlock()
	if asked && n != syscall.SIGINT {
		s.cancel(fmt.Errorf("%w, and the time for that is over", ErrStopped))
		return StatusStopped
	}
	s.got <- n
	s.cancel(fmt.Errorf("stopped by signal %d (%v)", int(n), n))
	return 128 + int(n)
}

func (s *signals) stop() {
	signal.Stop(s.ch)
	close(s.quit)
}

// status is what a rank exits with that fails with err.
func (s *signals) status(err error) int {
	if errors.Is(err, ErrStopped) {
		return StatusStopped
	}
	select {
	case n := <-s.got:
		return 128 + int(n)
	default:
		return 1
	}
}
