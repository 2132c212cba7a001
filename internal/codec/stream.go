package codec

import (
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"slices"
	"unsafe"
)

// What stands before each value that travels as gob in a stream.
const (
	streamNil   byte = iota // and nothing follows
	streamValue             // the gob stream goes on
	streamStart             // a new gob stream begins
)

// layoutLen is how many bytes say, at the start of a stream without gob, what is
// in it: they differ where another version of the program has encoded it.
const layoutLen = 8

// A Writer encodes many values of one type as a stream, cut into batches
// wherever its user likes. It is not safe for concurrent use.
//
// Values of plain types stand in it one after another, see [steps]. All else is
// one gob stream, with a byte in front of each value.
type Writer[T any] struct {
	plan  *plan
	buf   []byte
	hint  int  // the capacity that the last batch came to need
	begun bool // the layout is in the stream
	enc   *gob.Encoder
	v     T // where the encoder finds the value, so that none goes to the heap
}

// NewWriter returns a Writer at the start of a new stream.
func NewWriter[T any]() *Writer[T] {
	return &Writer[T]{plan: planFor[T]()}
}

// Append adds v to the batch. If it fails nothing of v is in the stream, which
// goes on as if v had never been.
func (w *Writer[T]) Append(v T) error {
	if w.plan.err != nil {
		return w.plan.err
	}
	if w.buf == nil {
		w.buf = make([]byte, 0, w.hint)
	}
	if w.plan.walk == nil {
		return w.appendGob(v)
	}
	if !w.begun {
		w.buf = binary.LittleEndian.AppendUint64(w.buf, w.plan.layout)
		w.begun = true
	}
	w.buf = w.plan.walk.append(w.buf, unsafe.Pointer(&v))
	return nil
}

func (w *Writer[T]) appendGob(v T) error {
	w.v = v
	// An encoder that failed believes to have sent types which it has not: it
	// is put back only after a success, be it an error or a panic of v's own
	// methods that comes between.
	enc, good := w.enc, len(w.buf)
	w.enc = nil
	done := false
	defer func() {
		w.v = *new(T)
		if !done {
			w.buf = w.buf[:good]
		}
	}()

	if w.plan.nilable && isNil(&w.v) {
		w.buf = append(w.buf, streamNil)
		w.enc, done = enc, true
		return nil
	}
	if err := inspectValue(&w.v, w.plan); err != nil {
		w.enc = enc
		return err
	}
	mark := streamValue
	if enc == nil {
		mark, enc = streamStart, gob.NewEncoder((*sink)(&w.buf))
	}
	w.buf = append(w.buf, mark)
	if err := encodeOne(enc, &w.v); err != nil {
		return err
	}
	w.enc, done = enc, true
	return nil
}

// sink appends what is written to it.
type sink []byte

func (s *sink) Write(p []byte) (int, error) {
	*s = append(*s, p...)
	return len(p), nil
}

// Len returns the bytes in the batch.
func (w *Writer[T]) Len() int { return len(w.buf) }

// Take returns the batch, which belongs to the caller, nil if it is empty. The
// next Append begins the next batch of the same stream.
func (w *Writer[T]) Take() []byte {
	if len(w.buf) == 0 {
		return nil
	}
	batch := w.buf
	w.buf, w.hint = nil, max(w.hint, len(batch))
	return batch
}

// Reuse takes back a batch that is needed no more, as memory for the next. No
// Append may have come between.
func (w *Writer[T]) Reuse(batch []byte) { w.buf = batch[:0] }

// A Reader decodes what a [Writer] of the same type encoded. It must be given
// all batches, in order. It is not safe for concurrent use.
type Reader[T any] struct {
	plan  *plan
	src   source
	begun bool // the layout has been read
	dec   *gob.Decoder
	err   error // after an error the rest of the stream means nothing
	v     T
}

// NewReader returns a Reader at the start of a stream.
func NewReader[T any]() *Reader[T] {
	p := planFor[T]()
	return &Reader[T]{plan: p, err: p.err}
}

// Feed gives the reader the next batch. The batch must not change until it is
// used up; no value that comes of it shares its memory.
func (r *Reader[T]) Feed(batch []byte) {
	if len(r.src) > 0 {
		batch = append(r.src[:len(r.src):len(r.src)], batch...)
	}
	r.src = batch
}

// Next returns the next value, or [io.EOF] when the batch is used up. After any
// other error the reader is of no more use and keeps returning it.
func (r *Reader[T]) Next() (v T, err error) {
	if r.err == nil && len(r.src) == 0 {
		return v, io.EOF
	}
	if r.err == nil {
		r.err = r.read(&r.v)
	}
	v, r.v = r.v, v
	return v, r.err
}

// AppendAll appends all values of the batch to vs. Its errors are those of Next.
func (r *Reader[T]) AppendAll(vs []T) ([]T, error) {
	if _, numbers := Memory(vs); numbers {
		vs = r.appendNumbers(vs)
	}
	for r.err == nil && len(r.src) > 0 {
		if len(vs) == cap(vs) {
			vs = slices.Grow(vs, max(len(vs), 64)) // append would copy more often
		}
		vs = append(vs, *new(T))
		if r.err = r.read(&vs[len(vs)-1]); r.err != nil {
			vs = vs[:len(vs)-1]
		}
	}
	return vs, r.err
}

// appendNumbers appends all that the batch has the whole memory of.
func (r *Reader[T]) appendNumbers(vs []T) []T {
	if r.err != nil || len(r.src) == 0 {
		return vs
	}
	if r.err = r.begin(); r.err != nil {
		return vs
	}
	before, more := len(vs), len(r.src)/r.plan.size
	vs = slices.Grow(vs, more)[:before+more]
	mem, _ := Memory(vs[before:])
	copy(mem, r.src.next(len(mem)))
	return vs
}

// read reads the next value into *v, which is zero, and stays so if it fails.
func (r *Reader[T]) read(v *T) (err error) {
	if r.plan.walk == nil {
		return r.readGob(v)
	}
	if err := r.begin(); err != nil {
		return err
	}
	if r.src, err = r.plan.walk.read(r.src, unsafe.Pointer(v)); err != nil {
		*v = *new(T)
		return decodeError[T](err)
	}
	return nil
}

// begin reads the layout, which is before the first value.
func (r *Reader[T]) begin() error {
	if r.begun {
		return nil
	}
	if len(r.src) < layoutLen || binary.LittleEndian.Uint64(r.src.next(layoutLen)) != r.plan.layout {
		return decodeError[T](errors.New("it was encoded from other fields or kinds; use one version of the program"))
	}
	r.begun = true
	return nil
}

func (r *Reader[T]) readGob(v *T) error {
	switch mark := r.src.next(1)[0]; {
	case mark == streamNil && r.plan.nilable:
		return nil
	case mark == streamStart:
		r.dec = gob.NewDecoder(&r.src)
	case mark != streamValue || r.dec == nil:
		return decodeError[T](fmt.Errorf("unexpected mark %d in the stream", mark))
	}
	if err := decodeOne(r.dec, v); err != nil {
		*v = *new(T)
		return err
	}
	restoreEmpty(v, r.plan)
	return nil
}

// source is what is left of a batch. It is an io.ByteReader, so that the
// decoder does not read ahead of the value that it decodes.
type source []byte

func (s *source) next(n int) []byte {
	b := (*s)[:n:n]
	*s = (*s)[n:]
	return b
}

func (s *source) Read(p []byte) (int, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	return copy(p, s.next(min(len(p), len(*s)))), nil
}

func (s *source) ReadByte() (byte, error) {
	if len(*s) == 0 {
		return 0, io.EOF
	}
	return s.next(1)[0], nil
}
