package codec

import (
	"encoding/binary"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"reflect"
)

// What stands before each value that travels as gob in a stream.
const (
	streamNil   byte = iota // and nothing follows
	streamValue             // the gob stream goes on
	streamStart             // a new gob stream begins
	streamMany              // the gob stream goes on with a slice of values
)

// manyLen is how many values go into one slice at most.
const manyLen = 256

// A Writer encodes many values of one type as a stream, cut into batches
// wherever its user likes. It is not safe for concurrent use.
//
// Numbers and bools stand in it as their memory. Strings and slices of numbers
// have a length in front, 0 for nil and 1 more than their bytes otherwise. All
// else is one gob stream, with a byte in front of each value. Values that gob
// brings back as they are, and so can't fail to encode, go into it as slices of
// many, which takes gob half of the time.
type Writer[T any] struct {
	plan *plan
	buf  []byte
	hint int // the capacity that the last batch came to need
	enc  *gob.Encoder
	v    T   // where the encoder finds the value, so that none goes to the heap
	many []T // values that are not in buf yet
	size int // bytes that one of them took the last time
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
	switch w.plan.shape {
	case asFixed:
		w.v = v // v itself must not escape to the heap
		w.buf = append(w.buf, memory(&w.v, w.plan.size)...)
		return nil
	case asBytes:
		w.v = v
		w.appendBytes()
		w.v = *new(T)
		return nil
	}
	if w.plan.exact {
		if w.many = append(w.many, v); len(w.many) == manyLen {
			w.flush()
		}
		return nil
	}
	return w.appendGob(v)
}

// flush encodes the values that wait in w.many.
func (w *Writer[T]) flush() {
	n, before := len(w.many), len(w.buf)
	if n == 0 {
		return
	}
	mark := streamMany
	if w.enc == nil {
		mark, w.enc = streamStart, gob.NewEncoder((*sink)(&w.buf))
	}
	w.buf = append(w.buf, mark)
	if err := w.enc.EncodeValue(reflect.ValueOf(&w.many).Elem()); err != nil {
		panic(err) // the types of which values are exact always can
	}
	clear(w.many)
	w.many, w.size = w.many[:0], (len(w.buf)-before)/n
}

func (w *Writer[T]) appendBytes() {
	if w.plan.nilable && isNil(&w.v) {
		w.buf = append(w.buf, 0)
		return
	}
	body := elements(&w.v, w.plan)
	w.buf = binary.AppendUvarint(w.buf, uint64(len(body))+1)
	w.buf = append(w.buf, body...)
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

// Len returns the bytes in the batch, more or less.
func (w *Writer[T]) Len() int {
	return len(w.buf) + len(w.many)*w.size
}

// Take returns the batch, which belongs to the caller, nil if it is empty. The
// next Append begins the next batch of the same stream.
func (w *Writer[T]) Take() []byte {
	w.flush()
	batch := w.buf
	w.buf, w.hint = nil, max(w.hint, len(batch))
	return batch
}

// A Reader decodes what a [Writer] of the same type encoded. It must be given
// all batches, in order. It is not safe for concurrent use.
type Reader[T any] struct {
	plan *plan
	src  source
	dec  *gob.Decoder
	err  error // after an error the rest of the stream means nothing
	v    T
	many []T // a slice of values ...
	next int // ... of which those before this one were returned
}

// NewReader returns a Reader at the start of a stream.
func NewReader[T any]() *Reader[T] {
	p := planFor[T]()
	return &Reader[T]{plan: p, err: p.err}
}

// Feed gives the reader the next batch. The batch must not change until Next
// returns [io.EOF]; no value that Next returns shares its memory.
func (r *Reader[T]) Feed(batch []byte) {
	if len(r.src) > 0 {
		batch = append(r.src[:len(r.src):len(r.src)], batch...)
	}
	r.src = batch
}

// Next returns the next value, or [io.EOF] when the batch is used up. After any
// other error the reader is of no more use and keeps returning it.
func (r *Reader[T]) Next() (T, error) {
	if r.next < len(r.many) {
		r.next++
		return r.many[r.next-1], nil
	}
	if r.err == nil && len(r.src) == 0 {
		return *new(T), io.EOF
	}
	if r.err == nil {
		r.err = r.read()
	}
	v := r.v
	r.v = *new(T)
	if r.err != nil {
		return r.v, r.err
	}
	return v, nil
}

// read reads the next value into r.v.
func (r *Reader[T]) read() error {
	switch r.plan.shape {
	case asFixed:
		n := min(r.plan.size, len(r.src))
		return decodeRaw(&r.v, r.plan, r.src.next(n))
	case asBytes:
		return r.readBytes()
	}
	return r.readGob()
}

func (r *Reader[T]) readBytes() error {
	n, k := binary.Uvarint(r.src)
	if k <= 0 || n > uint64(len(r.src)-k)+1 || n == 0 && !r.plan.nilable {
		return decodeError[T](errors.New("wrong length in the stream"))
	}
	r.src.next(k)
	if n == 0 {
		return nil
	}
	// The value is to have memory of its own.
	body := append([]byte(nil), r.src.next(int(n-1))...)
	return decodeRaw(&r.v, r.plan, body)
}

func (r *Reader[T]) readGob() error {
	switch mark := r.src.next(1)[0]; {
	case mark == streamNil && r.plan.nilable:
		return nil
	case mark == streamStart:
		r.dec = gob.NewDecoder(&r.src)
	case mark != streamValue && mark != streamMany || r.dec == nil:
		return decodeError[T](fmt.Errorf("unexpected mark %d in the stream", mark))
	}
	if r.plan.exact {
		return r.readMany()
	}
	if err := decodeOne(r.dec, &r.v); err != nil {
		return err
	}
	restoreEmpty(&r.v, r.plan)
	return nil
}

// readMany reads a slice of values, and its first one into r.v.
func (r *Reader[T]) readMany() error {
	clear(r.many) // gob leaves out what is zero
	r.many, r.next = r.many[:0], 0
	if err := decodeOne(r.dec, &r.many); err != nil {
		r.many = nil
		return err
	}
	if len(r.many) == 0 {
		return decodeError[T](errors.New("a slice of no values in the stream"))
	}
	r.v, r.next = r.many[0], 1
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
