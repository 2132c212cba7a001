package split

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// ProgressMode says what the root writes to its standard error while a loop
// runs.
type ProgressMode int

const (
	// ProgressAuto is a bar where standard error is a terminal. Elsewhere it is a
	// line every 30 s, and one at the end of a loop that took a second or more.
	// The environment variable DLP_PROGRESS (auto, bar, log or off) sets what it
	// means. It is the default.
	ProgressAuto ProgressMode = iota
	// ProgressBar is a bar with items done, rate, time left and busy ranks.
	ProgressBar
	// ProgressLog is a line every 30 s and one at the end.
	ProgressLog
	// ProgressOff is nothing.
	ProgressOff
)

var progressNames = [...]string{"auto", "bar", "log", "off"}

// String returns the mode as DLP_PROGRESS has it.
func (m ProgressMode) String() string {
	if m < 0 || int(m) >= len(progressNames) {
		return fmt.Sprintf("ProgressMode(%d)", int(m))
	}
	return progressNames[m]
}

func (cfg *config) checkProgress() error {
	if cfg.progress < ProgressAuto || cfg.progress > ProgressOff {
		return cfg.errorf("Progress is %v; pass ProgressAuto, ProgressBar, ProgressLog or ProgressOff", cfg.progress)
	}
	if name := os.Getenv("DLP_PROGRESS"); !knownProgress(name) {
		return cfg.errorf("DLP_PROGRESS is %q; set it to auto, bar, log or off", name)
	}
	return nil
}

func knownProgress(name string) bool {
	_, ok := progressByName(name)
	return ok || name == ""
}

func progressByName(name string) (ProgressMode, bool) {
	for m, s := range progressNames {
		if s == name {
			return ProgressMode(m), true
		}
	}
	return ProgressAuto, false
}

// A snapshot is how far a loop is.
type snapshot struct {
	done, items int // items may be unknown
	before      int // of done, in earlier runs
	ranks, busy int
}

const (
	barEvery = 200 * time.Millisecond
	logEvery = 30 * time.Second
	logLeast = time.Second // a shorter loop leaves no line, if nobody asked for it
)

// A meter writes the progress of one loop. It has no goroutine; a timer wakes it.
type meter struct {
	read  func() snapshot
	show  func(s snapshot, last bool)
	every time.Duration

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
}

// newMeter starts the progress that cfg asks for; it returns nil if that is
// none.
func newMeter(cfg *config, read func() snapshot) *meter {
	mode, quiet := cfg.progress, false
	if mode == ProgressAuto {
		mode, _ = progressByName(os.Getenv("DLP_PROGRESS"))
	}
	if mode == ProgressAuto {
		mode, quiet = ProgressLog, true
		if term.IsTerminal(int(os.Stderr.Fd())) {
			mode = ProgressBar
		}
	}
	label := cmp.Or(cfg.label, cfg.call)
	switch mode {
	case ProgressBar:
		return startMeter(read, barEvery, bar(os.Stderr, label))
	case ProgressLog:
		least := time.Duration(0)
		if quiet {
			least = logLeast
		}
		return startMeter(read, logEvery, log(os.Stderr, label, least))
	}
	return nil
}

func startMeter(read func() snapshot, every time.Duration, show func(snapshot, bool)) *meter {
	m := &meter{read: read, show: show, every: every}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timer = time.AfterFunc(every, m.tick)
	return m
}

func (m *meter) tick() {
	now := m.read()
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.show(now, false)
		m.timer.Reset(m.every)
	}
}

// stop writes the last state.
func (m *meter) stop(last snapshot) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.stopped = true
	m.timer.Stop()
	m.show(last, true)
}

// bar returns a function that draws a bar on w, each time over the last one. A
// loop that ends before the first time draws nothing.
func bar(w io.Writer, label string) func(snapshot, bool) {
	var b *progressbar.ProgressBar
	start := time.Now()
	return func(s snapshot, last bool) {
		if b == nil {
			if last {
				return
			}
			b = progressbar.NewOptions(max(s.items, -1),
				progressbar.OptionSetWriter(w),
				progressbar.OptionSetWidth(24),
				progressbar.OptionShowCount(),
				progressbar.OptionSetElapsedTime(false),
				progressbar.OptionSetPredictTime(false),
				progressbar.OptionSetSpinnerChangeInterval(0), // no goroutine
			)
		}
		if s.items != unknown && b.GetMax() != s.items {
			b.ChangeMax(s.items) // the end of a ManagedSeq was met
		}
		b.Describe(fmt.Sprintf("%s %s, %d/%d ranks", label, pace(s, time.Since(start)), s.busy, s.ranks))
		b.Set(s.done)
		if last {
			fmt.Fprintln(w)
		}
	}
}

// log returns a function that writes a line to w. The last one is left out if
// the loop took less than least.
func log(w io.Writer, label string, least time.Duration) func(snapshot, bool) {
	start := time.Now()
	return func(s snapshot, last bool) {
		passed := time.Since(start)
		if last && passed < least {
			return
		}
		fmt.Fprintln(w, line(label, s, passed, last))
	}
}

func line(label string, s snapshot, passed time.Duration, last bool) string {
	if last {
		return fmt.Sprintf("dlp: %s: %s in %v, %s", label, count(s), passed.Round(time.Millisecond), rate(s, passed))
	}
	return fmt.Sprintf("dlp: %s: %s, %s, %d of %d ranks busy", label, count(s), pace(s, passed), s.busy, s.ranks)
}

func count(s snapshot) string {
	switch {
	case s.items == unknown:
		return fmt.Sprintf("%d items", s.done)
	case s.items == 0:
		return "0/0"
	}
	return fmt.Sprintf("%d/%d (%d%%)", s.done, s.items, 100*s.done/s.items)
}

func rate(s snapshot, passed time.Duration) string {
	r := float64(s.done-s.before) / max(passed.Seconds(), 1e-9)
	if r >= 100 {
		return fmt.Sprintf("%.0f/s", r)
	}
	return fmt.Sprintf("%.3g/s", r)
}

// pace is the rate, and the time left where it can be told.
func pace(s snapshot, passed time.Duration) string {
	if s.items == unknown || s.done == s.before {
		return rate(s, passed)
	}
	left := time.Duration(float64(passed) / float64(s.done-s.before) * float64(s.items-s.done))
	return fmt.Sprintf("%s, %v left", rate(s, passed), left.Round(time.Second))
}
