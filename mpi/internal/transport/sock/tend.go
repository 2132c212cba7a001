package sock

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// tend hears what l's socket says, until the peer leaves or breaks off. It returns
// nil after a goodbye.
func (t *Transport) tend(l *link) error {
	t.look.Lock()
	t.rings = append(t.rings, l)
	t.look.Unlock()
	said := make([]byte, 64)
	for {
		n, end := l.conn.Read(said)
		select {
		case l.roomy <- struct{}{}:
		default:
		}
		if err := t.drain(l); err != nil {
			return err
		}
		words := bytes.TrimLeft(said[:n], string(sayKnock))
		switch {
		case len(words) > 0 && words[0] == sayBye && !l.torn():
			return nil
		case len(words) > 0:
			return fmt.Errorf("%w: %q from a rank that shares memory", wire.ErrFrame, words)
		case errors.Is(end, io.EOF):
			return errEnd
		case end != nil:
			return end
		}
	}
}

// torn reports whether a frame has begun and is not whole.
func (l *link) torn() bool {
	l.t.look.Lock()
	defer l.t.look.Unlock()
	return l.in.Open()
}

// drain moves what has come by l into the inbox, as long as there is room.
func (t *Transport) drain(l *link) error {
	for {
		if err := t.inbox.Room(); err != nil {
			return err
		}
		if again, err := t.move(l); !again || err != nil {
			return err
		}
	}
}

// move moves one message, and reports whether there may be another.
func (t *Transport) move(l *link) (again bool, err error) {
	t.look.Lock()
	defer t.look.Unlock()
	if l.broken != nil {
		return false, l.broken
	}
	var m wire.Message
	ok := t.next(l, &m)
	if !ok && t.cfg.Spin && l.in.Open() {
		missing := l.in.Missing()
		for start := time.Now(); !ok && l.in.Missing() == missing && time.Since(start) < spinTime; {
			ok = t.next(l, &m)
		}
	}
	switch {
	case ok:
		return true, t.inbox.PutNow(m)
	case l.broken == nil && t.asleep:
		return !l.in.Sleep(), nil
	}
	l.in.Wake()
	return false, l.broken
}

// drop takes l out of the rings that are looked at.
func (t *Transport) drop(l *link) {
	t.look.Lock()
	defer t.look.Unlock()
	t.rings = slices.DeleteFunc(t.rings, func(r *link) bool { return r == l })
	t.settle(l)
}
