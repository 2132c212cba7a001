// Package ring carries frames through memory that two processes share.
//
// A ring is for one writer and one reader. Both count bytes from the beginning of
// time: the writer says how many it has published, the reader how many it has
// read, and each byte's place is its number modulo the ring's size. Whoever has
// to wait says at which count it wants to be woken, looks again, and sleeps; the
// other end compares after each step of its own. What wakes it, a knock, is the
// caller's: here it is only reported that one is due.
//
// The other end may die at any moment, and may be broken: nothing that it writes
// is used before it was copied and checked.
package ring

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Sizes of a ring.
const (
	MinSize = 64 << 10 // a header with the longest note fits many times
	MaxSize = 1 << 20
)

// A segment holds two rings, one for each way: a page with the counts of both,
// and their bytes.
const (
	page = 4096
	line = 128 // two cache lines, since processors fetch them in pairs
)

// SegmentSize is how much memory two rings of size bytes take.
func SegmentSize(size int) int { return page + 2*size }

// MaxSegment is the most memory that two rings can take.
const MaxSegment = page + 2*MaxSize

// ErrBroken is the error of a ring whose other end does not keep the rules.
var ErrBroken = errors.New("broken counts in shared memory")

// counts is what the two ends of a ring tell each other, each in a line of its
// own: what is written for each message apart from what is not, and the writer's
// apart from the reader's. All are zero at first.
type counts struct {
	tail   atomic.Uint64 // by the writer: published
	_      [line - 8]byte
	head   atomic.Uint64 // by the reader: read
	_      [line - 8]byte
	wakeAt atomic.Uint64 // the tail at which the reader wants a knock; awake: none
	_      [line - 8]byte
	roomAt atomic.Uint64 // the head at which the writer wants a knock; 0: none
	_      [line - 8]byte
}

// Each end first says what it has done, or waits for, and then looks at what the
// other one says: if both could do so in the other order, both might sleep. So these
// stores are Swaps: an atomic Store is as good by Go's memory model, and no slower,
// but the race detector makes a plain one of it where the memory is not Go's own.

// awake is the wakeAt of a reader that looks by itself.
const awake = math.MaxUint64

// Pair returns this end of the two rings in mem, which are all zero at first: the
// end of the process that has made them, if own is set, or the other one.
func Pair(mem []byte, own bool) (*Writer, *Reader, error) {
	size := (len(mem) - page) / 2
	if len(mem) != SegmentSize(size) || bits.OnesCount(uint(size)) != 1 || size < MinSize || size > MaxSize {
		return nil, nil, fmt.Errorf("%w: %d bytes for two rings", ErrBroken, len(mem))
	}
	at := func(i int) (*counts, []byte) {
		c := (*counts)(unsafe.Pointer(&mem[i*int(unsafe.Sizeof(counts{}))]))
		return c, mem[page+i*size:][:size:size]
	}
	out, in := 0, 1
	if !own {
		out, in = in, out
	}
	w, r := &Writer{}, &Reader{}
	w.c, w.data = at(out)
	r.c, r.data = at(in)
	return w, r, nil
}

// A Writer is the end of a ring that writes. Its methods are for one goroutine at
// a time.
type Writer struct {
	c    *counts
	data []byte
	at   uint64 // the next byte's number
	head uint64 // how many the reader has read, at least
}

// Size is how many bytes the ring holds.
func (w *Writer) Size() int { return len(w.data) }

// Room returns how many bytes may be put. It looks at the reader's count only
// where fewer than need are known to fit.
func (w *Writer) Room(need int) (int, error) {
	if room := len(w.data) - int(w.at-w.head); room >= need {
		return room, nil
	}
	head := w.c.head.Load()
	if head < w.head || head > w.at {
		return 0, ErrBroken
	}
	w.head = head
	return len(w.data) - int(w.at-head), nil
}

// Put copies b into the ring, where there must be room for it. The reader sees it
// after Publish.
func (w *Writer) Put(b []byte) {
	at := int(w.at & uint64(len(w.data)-1))
	n := copy(w.data[at:], b)
	copy(w.data, b[n:])
	w.at += uint64(len(b))
}

// Publish shows the reader what was put, and reports whether to knock: it sleeps.
func (w *Writer) Publish() (knock bool) {
	w.c.tail.Swap(w.at)
	wake := w.c.wakeAt.Load()
	return wake != awake && w.at >= wake && w.c.wakeAt.CompareAndSwap(wake, awake)
}

// Await asks for a knock when there is room for need bytes. After it the caller
// must look once more before it sleeps.
func (w *Writer) Await(need int) { w.c.roomAt.Swap(w.at + uint64(need) - uint64(len(w.data))) }

// A Reader is the end of a ring that reads. Its methods are for one goroutine at a
// time.
type Reader struct {
	c    *counts
	data []byte
	at   uint64 // the next byte's number
	tail uint64 // how many were published, at least
}

// Size is how many bytes the ring holds.
func (r *Reader) Size() int { return len(r.data) }

// Idle reports whether there is nothing to read.
func (r *Reader) Idle() bool { return r.c.tail.Load() == r.at }

// Len returns how many bytes may be got.
func (r *Reader) Len() (int, error) {
	tail := r.c.tail.Load()
	if tail < r.tail || tail-r.at > uint64(len(r.data)) {
		return 0, ErrBroken
	}
	r.tail = tail
	return int(tail - r.at), nil
}

// Get copies the next len(b) bytes, which must be there. The writer may use their
// room after Release.
func (r *Reader) Get(b []byte) {
	at := int(r.at & uint64(len(r.data)-1))
	n := copy(b, r.data[at:])
	copy(b[n:], r.data)
	r.at += uint64(len(b))
}

// Release gives the room of what was got back, and reports whether to knock: the
// writer waits for it.
func (r *Reader) Release() (knock bool) {
	r.c.head.Swap(r.at)
	want := r.c.roomAt.Load()
	return want != 0 && r.at >= want && r.c.roomAt.CompareAndSwap(want, 0)
}

// Sleep asks for a knock when n bytes are there. It reports false if they are: the
// caller must not sleep then.
func (r *Reader) Sleep(n int) bool {
	at := r.at + uint64(n)
	r.c.wakeAt.Swap(at)
	return r.c.tail.Load() < at
}

// Wake takes Sleep back: the caller looks by itself.
func (r *Reader) Wake() {
	if r.c.wakeAt.Load() != awake {
		r.c.wakeAt.Store(awake)
	}
}
