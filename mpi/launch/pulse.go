package launch

import (
	"fmt"
	"sync/atomic"
	"time"
)

// DefaultHeartbeat is how often a rank and its hub give each other a sign of life
// where DLP_HEARTBEAT does not say.
const DefaultHeartbeat = 5 * time.Second

// silentBeats is how many heartbeats without a sign of life make the other end
// count as lost.
const silentBeats = 6

// pulse counts the heartbeats since the last sign of life. It counts instead of
// looking at a clock, so that a process that was stopped for an hour itself does
// not take everybody else for dead when it wakes up.
type pulse struct{ beats atomic.Int32 }

// sign notes a sign of life.
func (p *pulse) sign() { p.beats.Store(0) }

// beat counts one heartbeat and reports whether the other end counts as lost.
func (p *pulse) beat() bool { return p.beats.Add(1) > silentBeats }

// silent reports whether the other end counts as lost.
func (p *pulse) silent() bool { return p.beats.Load() > silentBeats }

// silence is the cause where an end of a session counts as lost, at that heartbeat.
func silence(beat time.Duration) string {
	return fmt.Sprintf("nothing was heard of it for %v: it is stopped, or its host is down or cut off", silentBeats*beat)
}

// every calls f at each interval until done is closed.
func every(interval time.Duration, done <-chan struct{}, f func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			f()
		case <-done:
			return
		}
	}
}
