package split

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"
)

// ErrTaskTimeout is what the cause of a task's context wraps when [TaskTimeout] is
// over, and what errors.Is finds in the error of a task that failed thereafter, on the
// rank where it did.
var ErrTaskTimeout = errors.New("TaskTimeout is over")

// leastGrace is how long a task may go on after the end of its context, or a tenth
// of its TaskTimeout if that is longer: enough to finish a write on a slow file system
// or a step of a computation that looks at its context now and then, and little beside
// the time that is lost already.
const leastGrace = 5 * time.Second

func (cfg *config) graceTime() time.Duration {
	if cfg.grace > 0 {
		return cfg.grace
	}
	return max(leastGrace, cfg.timeout/10)
}

// late is the cause of the context of a task whose time is over.
func (cfg *config) late() error { return fmt.Errorf("%w after %v", ErrTaskTimeout, cfg.timeout) }

// explain returns the error of a task that failed with err, under ctx.
func explain(ctx context.Context, err error) error {
	if late := context.Cause(ctx); errors.Is(late, ErrTaskTimeout) && !errors.Is(err, ErrTaskTimeout) {
		return fmt.Errorf("%w: %w", late, err)
	}
	return err
}

// A shift is the life of a goroutine that does tasks, as the guard of its rank sees it.
type shift struct {
	member    *member
	goroutine string // its name in a dump of all
	abandoned func() // called before the rank ends: there is more to save than the task
	timer     *time.Timer
	mu        sync.Mutex
	item      int
}

// newShift is called by the goroutine that it is about. It returns nil, which does
// nothing, without a TaskTimeout.
func (b *member) newShift(abandoned func()) *shift {
	if b.cfg.timeout == 0 {
		return nil
	}
	return &shift{member: b, goroutine: goroutine(), abandoned: abandoned, item: unknown}
}

// begin lets the rank end when the task on item i has not ended in time.
func (s *shift) begin(i int) {
	if s != nil {
		s.watch(i)
	}
}

func (s *shift) watch(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.item = i
	d := s.member.cfg.timeout + s.member.cfg.graceTime()
	if s.timer == nil {
		s.timer = time.AfterFunc(d, s.over)
	} else {
		s.timer.Reset(d)
	}
}

// end notes that the task has.
func (s *shift) end() {
	if s != nil {
		s.rest()
	}
}

func (s *shift) rest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.item = unknown; s.timer != nil {
		s.timer.Stop()
	}
}

// over gives the rank up: nothing else ends a goroutine that does not heed its
// context.
func (s *shift) over() {
	s.mu.Lock()
	defer s.mu.Unlock() // end waits, if the task returns just now
	if s.item == unknown {
		return
	}
	b := s.member
	rank := b.comm.Rank()
	name := fmt.Sprintf("item %d", s.item)
	if key := b.cfg.key(s.item); key != "" {
		name += fmt.Sprintf(" (%s)", key)
	}
	fmt.Fprintf(os.Stderr, "dlp: rank %d: where the task on %s is:\n%s\n", rank, name, stackOf(s.goroutine))
	said := make(chan struct{})
	go func() {
		defer close(said)
		s.abandoned()
	}()
	select {
	case <-said:
	case <-time.After(patience): // the root does not listen
	}
	b.comm.Resign(1, fmt.Sprintf("%s: %s has not ended on rank %d (%s) %v after its TaskTimeout of %v: the rank is given up",
		b.cfg.name(), name, rank, b.comm.Host(rank), b.cfg.graceTime(), b.cfg.timeout))
}

// goroutine returns the name of the calling one, "goroutine 12 ".
func goroutine() string {
	buf := make([]byte, 64)
	words := bytes.SplitAfterN(buf[:runtime.Stack(buf, false)], []byte(" "), 3)
	return string(bytes.Join(words[:min(2, len(words))], nil))
}

// stackOf returns the stack of the goroutine of that name, as far as it can be had.
func stackOf(name string) []byte {
	buf := make([]byte, 1<<20)
	for one := range bytes.SplitSeq(buf[:runtime.Stack(buf, true)], []byte("\n\n")) {
		if bytes.HasPrefix(one, []byte(name)) {
			return one
		}
	}
	return []byte(name + "is not among those of which a stack can be had")
}
