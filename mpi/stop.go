package mpi

import (
	"errors"
	"sync"
	"time"
)

// ErrStopped is what an error wraps when a loop has ended early because the job was
// asked to come to an end, or because its time was over. [Main] then exits with
// StatusStopped.
var ErrStopped = errors.New("the job was asked to stop")

// StatusStopped is the exit status of a job that has ended early and that can be
// started again: EX_TEMPFAIL of sysexits.h.
const StatusStopped = 75

// A stopper is what a rank knows of a request to come to an end.
type stopper struct {
	mu       sync.Mutex
	asked    bool
	heeding  map[*func()]struct{} // what to call
	deadline time.Time
}

// ask makes the request.
func (s *stopper) ask() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked {
		return
	}
	s.asked = true
	for f := range s.heeding {
		go (*f)()
	}
}

func (s *stopper) wasAsked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

// heeded reports whether somebody would heed a request.
func (s *stopper) heeded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.heeding) > 0
}

// Stop asks this rank's loops to come to an end: nothing is begun any more, and what
// was begun is finished. It is what [Main] does at SIGUSR1 and SIGTERM. It returns at
// once. To stop a loop of package split on all ranks, one rank needs to call it.
func (c *Comm) Stop() { c.job.stop.ask() }

// OnStop has f called, in a goroutine of its own, when this rank is asked to come to
// an end ([Comm.Stop]); at once if it was. Until forget is called, Main takes it that
// somebody heeds the request, and does not end ctx at the first SIGTERM. Loops of
// package split use it.
func (c *Comm) OnStop(f func()) (forget func()) {
	s := &c.job.stop
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.heeding == nil {
		s.heeding = map[*func()]struct{}{}
	}
	s.heeding[&f] = struct{}{}
	if s.asked {
		go f()
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.heeding, &f)
	}
}

// Deadline returns when the job's time is over, as DLP_DEADLINE or Slurm say
// (dlprun --walltime sets it); the zero Time if nobody does.
func (c *Comm) Deadline() time.Time { return c.job.stop.deadline }
