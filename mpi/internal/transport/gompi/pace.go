//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"
)

// How long a call that waits does so in each manner. It must not sleep longer
// than a part of the time it has waited: two ranks that answer each other would
// each make the other sleep, for ever. Beyond a millisecond each look costs more
// than what it might gain: waking up costs some 20 µs of a processor.
const (
	spinTime  = 50 * time.Microsecond  // without a pause, where each rank has a processor to itself
	yieldTime = 300 * time.Microsecond // with sched_yield
	napPart   = 8                      // then naps of this part of the time waited
	minNap    = 50 * time.Microsecond
	maxNap    = 5 * time.Millisecond
)

// How often a poll looks. It holds the lock meanwhile.
const (
	pollTries  = 256 // by Poll, before anything is known about the wait
	spinTries  = 64
	yieldTries = 4
)

// pace makes a call that waits look less and less often.
type pace struct {
	start  time.Time
	waited time.Duration // when it last looked in vain
	timer  *time.Timer
	news   <-chan struct{} // ends a nap; may be nil
	mark   *atomic.Uint64  // of a view: once it is seen, there is no need to look further; may be nil
}

// look says how often to look now, and how.
func (p *pace) look(spin bool) look {
	l := look{tries: yieldTries, yield: 1, mark: p.mark}
	switch {
	case p.long():
		l.tries, l.yield = 1, 0
	case spin && p.waited < spinTime:
		l.tries, l.yield = spinTries, 0
	}
	return l
}

// long reports whether the wait is one of those that are slept through.
func (p *pace) long() bool { return p.waited >= yieldTime }

// pause lets others run, and in a long wait sleeps until it is time to look again,
// or there is news. The lock is not held.
func (p *pace) pause(ctx context.Context, t *Transport) {
	if p.start.IsZero() {
		p.start = time.Now()
	} else {
		p.waited = time.Since(p.start)
	}
	if !p.long() {
		runtime.Gosched()
		return
	}
	nap := min(max(p.waited/napPart, minNap), maxNap)
	if nap < time.Millisecond { // what a timer of Go's rounds up to
		C.dlp_nap(C.long(nap))
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
