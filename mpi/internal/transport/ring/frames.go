package ring

import (
	"fmt"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// step is how many bytes of a body go in one piece: the other end copies the one
// while this end copies the next.
const step = 32 << 10

// A Host is whom Frames and Send call.
type Host interface {
	// Memory returns n bytes for the body of m.
	Memory(m *wire.Message, n int) []byte
	// Knock wakes the other end. It does not block.
	Knock()
}

// Frames reads frames from a ring.
type Frames struct {
	*Reader
	MaxBody uint64 // of a frame

	head wire.Head
	m    wire.Message // the next one, if its header is read
	got  int          // bytes of its body
	open bool         // its header is read
}

// Next moves the next frame to m if it is whole. It takes what is there of one that
// is not. An error is for good.
func (f *Frames) Next(h Host, m *wire.Message) (ok bool, err error) {
	n, err := f.Len()
	if err != nil || n == 0 {
		return false, err
	}
	if !f.open {
		if n, err = f.begin(h, n); err != nil {
			return false, err
		}
	}
	for n > 0 && f.got < len(f.m.Body) {
		piece := min(n, len(f.m.Body)-f.got, step)
		f.Get(f.m.Body[f.got:][:piece])
		f.got += piece
		n -= piece
		if f.got < len(f.m.Body) && f.Release() {
			h.Knock()
		}
	}
	if f.got < len(f.m.Body) {
		return false, nil
	}
	if f.Release() {
		h.Knock()
	}
	*m, f.m, f.got, f.open = f.m, wire.Message{}, 0, false
	return true, nil
}

// begin reads a header, which the other end publishes whole. n bytes are there; it
// returns how many are left.
func (f *Frames) begin(h Host, n int) (int, error) {
	if n < wire.HeaderLen {
		return 0, fmt.Errorf("%w: a part of a header", wire.ErrFrame)
	}
	f.Get(f.head.Fixed())
	note, err := f.head.Note(f.MaxBody)
	if err != nil {
		return 0, err
	}
	n -= wire.HeaderLen + len(note)
	if n < 0 {
		return 0, fmt.Errorf("%w: a part of a note", wire.ErrFrame)
	}
	f.Get(note)
	m, body, err := f.head.Message()
	if err != nil {
		return 0, err
	}
	f.m, f.open = m, true
	if body > 0 {
		f.m.Body = h.Memory(&f.m, body)
	}
	return n, nil
}

// Missing is how many bytes of a frame that has begun are still to come.
func (f *Frames) Missing() int { return len(f.m.Body) - f.got }

// Open reports whether a frame has begun and is not whole.
func (f *Frames) Open() bool { return f.open }

// Body returns where the body of that frame is, or goes.
func (f *Frames) Body() []byte { return f.m.Body }

// Move lets the body of that frame go to b, with what has come of it.
func (f *Frames) Move(b []byte) {
	copy(b, f.m.Body[:f.got])
	f.m.Body = b
}

// Sleep asks for a knock when it is worth while to look, and reports false if it
// is so now.
func (f *Frames) Sleep() bool { return f.Reader.Sleep(min(max(f.Missing(), 1), f.Size()/2)) }

// Stream puts and publishes as much of b as fits into room, and returns the rest.
func (w *Writer) Stream(h Host, b []byte, room int) []byte {
	for first := true; first || len(b) > 0 && room > 0; first = false {
		n := min(len(b), room, step)
		w.Put(b[:n])
		b, room = b[n:], room-n
		if w.Publish() {
			h.Knock()
		}
	}
	return b
}
