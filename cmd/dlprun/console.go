package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

const (
	// maxLine is how much of an unfinished line is kept; longer ones are cut.
	maxLine = 16 << 20
	// promptTime is how long an unfinished line stays back, in case that the
	// rest of it comes, where somebody looks at a terminal; pipeTime elsewhere, where
	// a line that is whole matters more: on a busy machine the rest may take a while.
	promptTime = 100 * time.Millisecond
	pipeTime   = 5 * time.Second
	// quietTime is how long a pipe must be silent, after all ranks have ended, to
	// be given up: a process that escaped may hold it open for ever.
	quietTime = 500 * time.Millisecond
)

// A screen is where lines of several streams come together: a terminal, a file
// or a pipe. Dlprun's stdout and stderr are one screen if they are the same file.
type screen struct {
	mu   sync.Mutex
	open *stream // whose unfinished line was written last; nil: at the start of a line
}

// A stream is the stdout or stderr of one rank. Whole lines of it are written
// to the screen, each in one piece with its tag before it. Without a tag, an
// unfinished line is let through when it has waited for a moment.
type stream struct {
	screen *screen
	out    io.Writer
	tty    bool
	tag    string
	failed func(error) // told once when out takes no more

	line  []byte // unfinished, not written
	since time.Time
	timer *time.Timer
	bar   bool // the line being shown is one that redraws itself
	deaf  bool // out took no more

	quotable bool   // the last line is kept
	last     string // it, if it was not blank
}

// console makes the streams of all ranks.
type console struct {
	stdout, stderr       *screen
	ttyStdout, ttyStderr bool
}

func newConsole() *console {
	c := &console{
		stdout:    new(screen),
		stderr:    new(screen),
		ttyStdout: term.IsTerminal(int(os.Stdout.Fd())),
		ttyStderr: term.IsTerminal(int(os.Stderr.Fd())),
	}
	a, errA := os.Stdout.Stat()
	b, errB := os.Stderr.Stat()
	if errA == nil && errB == nil && os.SameFile(a, b) {
		c.stderr = c.stdout
	}
	return c
}

func (c *console) out(tag string, failed func(error)) *stream {
	return &stream{screen: c.stdout, out: os.Stdout, tty: c.ttyStdout, tag: tag, failed: failed}
}

func (c *console) err(tag string, failed func(error)) *stream {
	return &stream{screen: c.stderr, out: os.Stderr, tty: c.ttyStderr, tag: tag, failed: failed}
}

// Write takes the next piece of the stream. It never fails: a rank need not
// care that dlprun's output is broken, s.failed is told.
func (s *stream) Write(p []byte) (int, error) {
	s.screen.mu.Lock()
	defer s.screen.mu.Unlock()
	n := len(p)
	if i := bytes.LastIndexByte(p, '\n') + 1; i > 0 {
		s.put(append(s.line, p[:i]...))
		s.line, p = s.line[:0], p[i:]
	}
	s.line = append(s.line, p...)
	s.since = time.Now()
	switch {
	case len(s.line) == 0:
	case len(s.line) >= maxLine:
		s.put(append(s.line, '\n'))
		s.line = nil
	case s.tag != "": // waits for its end
	case redraws(s.line):
		s.release()
	case s.timer == nil:
		s.timer = time.AfterFunc(s.patience(), s.overdue)
	default:
		s.timer.Reset(s.patience())
	}
	return n, nil
}

// patience is how long an unfinished line stays back.
func (s *stream) patience() time.Duration {
	if s.tty {
		return promptTime
	}
	return pipeTime
}

// overdue lets the unfinished line through.
func (s *stream) overdue() {
	s.screen.mu.Lock()
	defer s.screen.mu.Unlock()
	if time.Since(s.since) >= s.patience() {
		s.release()
	}
}

// end writes what is left when the stream has ended.
func (s *stream) end() {
	s.screen.mu.Lock()
	defer s.screen.mu.Unlock()
	if s.tag != "" && len(s.line) > 0 {
		s.line = append(s.line, '\n')
	}
	s.release()
}

// release writes the unfinished line. The caller holds the screen.
func (s *stream) release() {
	s.put(s.line)
	s.line = s.line[:0]
}

// put writes p, one or more lines of which only the last may be unfinished. The
// caller holds the screen.
func (s *stream) put(p []byte) {
	if len(p) == 0 {
		return
	}
	if text := bytes.TrimSpace(p); s.quotable && len(text) > 0 {
		s.last = string(text[bytes.LastIndexAny(text, "\r\n")+1:])
	}
	var b []byte
	other := s.screen.open
	switch {
	case other == nil || other == s:
	case other.bar && s.tty:
		b = append(b, "\r\x1b[K"...) // the bar draws itself again
	default:
		b = append(b, '\n')
	}
	if len(b) == 0 && s.tag == "" {
		b = p
	} else {
		for line := range bytes.Lines(p) {
			b = append(append(b, s.tag...), line...)
		}
	}
	s.screen.open, s.bar = nil, false
	if last := p[bytes.LastIndexByte(p, '\n')+1:]; len(last) > 0 {
		s.screen.open, s.bar = s, redraws(last)
	}
	if s.deaf {
		return
	}
	if _, err := s.out.Write(b); err != nil {
		s.deaf = true
		s.failed(err)
	}
}

// lastLine returns the last line that was not blank, as far as it was kept.
func (s *stream) lastLine() string {
	s.screen.mu.Lock()
	defer s.screen.mu.Unlock()
	return s.last[:min(len(s.last), maxQuote)]
}

// maxQuote is how much of a rank's last line others are told.
const maxQuote = 300

// redraws reports whether an unfinished line has gone back to its start to be
// written over, as progress bars do. A return at its very end may belong to a "\r\n".
func redraws(line []byte) bool {
	return bytes.IndexByte(line[:len(line)-1], '\r') >= 0
}

// relay copies what comes through a rank's pipe to s, until all who hold the
// pipe's other end have closed it, or have been silent for a while after r's
// read deadline.
func relay(r *os.File, s *stream) {
	defer r.Close()
	defer s.end()
	buf := make([]byte, 64<<10)
	for quiet := false; ; {
		n, err := r.Read(buf)
		s.Write(buf[:n])
		switch {
		case n > 0:
			quiet = false
		case quiet || !errors.Is(err, os.ErrDeadlineExceeded):
			return
		default: // perhaps it was the screen that took long
			quiet = true
			r.SetReadDeadline(time.Now().Add(quietTime))
		}
	}
}
