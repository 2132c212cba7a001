//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"
)

// How long a call polls in each manner that has found nothing: spinRounds only
// where each rank has a processor to itself.
const (
	spinRounds  = 20 // of spinTries tests, some microseconds each
	spinTries   = 64
	yieldRounds = 20 // of yieldTries tests with sched_yield between them
	yieldTries  = 4
	nap         = time.Millisecond
)

// pace makes a call that waits poll less and less often.
type pace struct {
	rounds int
	timer  *time.Timer
	news   <-chan struct{} // ends a nap; may be nil
}

// tries says how often to look in this round, and whether to yield in between.
func (p *pace) tries(spin bool) (tries, yield C.int) {
	if spin && p.rounds < spinRounds {
		return spinTries, 0
	}
	if p.rounds < spinRounds+yieldRounds {
		return yieldTries, 1
	}
	return 1, 0
}

// long reports whether the time of polling is over.
func (p *pace) long() bool { return p.rounds > spinRounds+yieldRounds }

// pause lets others run, and sleeps when the time of polling is over: until it is
// time to look again, or there is news. The lock is not held.
func (p *pace) pause(ctx context.Context, t *Transport) {
	if p.rounds == 0 && !t.spin {
		p.rounds = spinRounds
	}
	if p.rounds++; !p.long() {
		for i := 0; i < 10 && atomic.LoadInt32((*int32)(unsafe.Pointer(&t.port.wanted))) != 0; i++ {
			runtime.Gosched() // whoever wants to call MPI goes first
		}
		runtime.Gosched()
		return
	}
	if p.timer == nil {
		p.timer = time.NewTimer(nap)
	} else {
		p.timer.Reset(nap)
	}
	select {
	case <-p.timer.C:
	case <-p.news:
	case <-ctx.Done():
	case <-t.life:
	}
}
