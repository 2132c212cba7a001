package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
)

// How long a rank may go on after its job has failed, or after a signal, before
// Main ends the process. Both are there for code that does not look at ctx.
const (
	failGrace   = 3 * time.Second
	signalGrace = 5 * time.Second
)

// Main joins the job, calls run with the world, and leaves the job; it is the
// body of a program's main. It returns when every rank's run has returned nil.
//
// If run returns an error or panics, on any rank, the whole job ends: this
// process with status 1 (2 after a panic), the others soon after. One line on
// standard error names rank, host and cause. ctx ends when another rank fails,
// and at the first SIGINT or SIGTERM; the process then ends within seconds even
// if run does not return.
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
		os.Exit(signals.status())
	}
	returned := make(chan struct{})
	go world.endAfterFailure(cancel, returned)
	err = errGoexit
	defer func() { // deferred, since nothing else runs after a Goexit
		close(returned)
		if err != nil {
			world.endWith(err, signals.status())
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
	} else if s := stackOf(err); s != nil && c.IsRoot() { // all ranks have it
		fmt.Fprintf(os.Stderr, "%s\n", s)
	}
	if status > 128 && c.job.library != nil {
		os.Exit(status) // by a signal of mpiexec, mostly, because of what another rank has said
	}
	c.job.end(c.engine.rank, status, trimPrefix(err), false)
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
		c.job.end(c.engine.rank, 1, trimPrefix(err), false)
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
		fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", rank, in(j.host(rank)), reason)
	}
	if err := j.release(status); err != nil { // the hub waits here until all have heard
		fmt.Fprintf(os.Stderr, "dlp: rank %d: %v\n", rank, err)
	}
	os.Exit(status)
}

// signals cancels a context at the first SIGINT or SIGTERM, and ends the
// process at the second or after a grace.
type signals struct {
	ch   chan os.Signal
	quit chan struct{}
	got  chan syscall.Signal // the first, for status
}

func watchSignals(cancel context.CancelCauseFunc) *signals {
	s := &signals{ch: make(chan os.Signal, 2), quit: make(chan struct{}), got: make(chan syscall.Signal, 1)}
	signal.Notify(s.ch, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case sig := <-s.ch:
			n, _ := sig.(syscall.Signal)
			s.got <- n
			cancel(fmt.Errorf("stopped by signal %d (%v)", int(n), sig))
			select {
			case <-s.ch:
			case <-time.After(signalGrace):
			case <-s.quit:
				return
			}
			os.Exit(128 + int(n))
		case <-s.quit:
		}
	}()
	return s
}

func (s *signals) stop() {
	signal.Stop(s.ch)
	close(s.quit)
}

// status is what a rank that fails exits with.
func (s *signals) status() int {
	select {
	case n := <-s.got:
		return 128 + int(n)
	default:
		return 1
	}
}
