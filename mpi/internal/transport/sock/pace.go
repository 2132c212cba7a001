package sock

import "time"

// How long a call that waits does so awake. In all it must be longer than a rank
// takes to wake up: else two that answer each other would find each other asleep,
// for ever. Ranks that share a processor get nowhere while one of them spins, so
// it is short.
const (
	spinTime  = 2 * time.Microsecond   // without a pause, where each rank has a processor to itself
	spinLimit = 200 * time.Microsecond // the same, while a long body is coming
	yieldTime = 30 * time.Microsecond  // then, letting others run in between
	yields    = 3                      // so often where there are more ranks than processors
	maxMissed = 4                      // calls in a row that sleep in the end; then only
	tryAgain  = 16                     // one in so many waits longer than Poll does
)

// A pace is one wait that lets others run.
type pace struct {
	start time.Time
	tries int
}

// yield lets others run, and reports whether to go on waiting awake. spin says that
// each rank has a processor to itself.
func (p *pace) yield(spin bool) bool {
	if p.start.IsZero() {
		p.start = time.Now()
	}
	p.tries++
	yield()
	if spin {
		return time.Since(p.start) < yieldTime
	}
	return p.tries < yields
}
