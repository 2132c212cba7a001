package codec

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"reflect"
	"unsafe"
)

// A Form says what the bytes of a message are. It travels beside them.
type Form uint8

const (
	Gob   Form = iota // a gob stream of one value
	Raw               // the memory of a number, a bool, a string, or a slice of numbers
	Nil               // nothing: a nil slice, map, pointer or interface
	Fault             // no value: the text of an error at the sender
	Bulk              // no value: what ranks agree on before a large one goes another way
	Plain             // a stream of one value of a plain type
)

func (f Form) String() string {
	switch f {
	case Gob:
		return "gob"
	case Raw:
		return "raw"
	case Nil:
		return "nil"
	case Fault:
		return "fault"
	case Bulk:
		return "bulk"
	case Plain:
		return "plain"
	}
	return fmt.Sprintf("form(%d)", uint8(f))
}

// Encode returns v as bytes. In the Raw form of strings and slices they are v's
// own memory: the caller must not write to them, nor use them after v changes.
func Encode[T any](v T) (Form, []byte, error) {
	p := planFor[T]()
	if p.err != nil {
		return 0, nil, p.err
	}
	if p.nilable && isNil(&v) {
		return Nil, nil, nil
	}
	switch p.shape {
	case asFixed:
		return Raw, append([]byte(nil), memory(&v, p.size)...), nil
	case asBytes:
		return Raw, elements(&v, p), nil
	}
	if err := inspectValue(&v, p); err != nil {
		return 0, nil, err
	}
	var buf bytes.Buffer
	if err := encodeOne(gob.NewEncoder(&buf), &v); err != nil {
		return 0, nil, err
	}
	return Gob, buf.Bytes(), nil
}

// Pack is [Encode] for those who decode into a T as well, as the ranks of a
// collective operation do: values of plain types go without gob.
func Pack[T any](v T) (Form, []byte, error) {
	p := planFor[T]()
	if p.err != nil || p.shape != asGob || p.walk == nil || p.nilable && isNil(&v) {
		return Encode(v)
	}
	w := Writer[T]{plan: p}
	err := w.Append(v)
	return Plain, w.buf, err
}

// Decode returns the value that the bytes are, and owns them from now on: a
// string or a slice of numbers may be a view of body. Elements of more than one
// byte are copied if body does not start at a multiple of their size.
func Decode[T any](f Form, body []byte) (v T, err error) {
	p := planFor[T]()
	if p.err != nil {
		return v, p.err
	}
	switch f {
	case Gob:
		return decodeGob[T](p, body)
	case Raw:
		err = decodeRaw(&v, p, body)
		return v, err
	case Nil:
		if !p.nilable || len(body) > 0 {
			return v, decodeError[T](fmt.Errorf("a nil of %d bytes", len(body)))
		}
		return v, nil
	case Fault:
		return v, errors.New(string(body))
	case Plain:
		return decodePlain[T](p, body)
	}
	return v, decodeError[T](fmt.Errorf("unknown %v", f))
}

// Memory returns the memory of the elements of s, for whoever moves them by
// himself, if they are numbers whose memory is the message; bools are not: a
// byte may be no bool.
func Memory[T any](s []T) ([]byte, bool) {
	p := planFor[T]()
	if p.shape != asFixed || reflect.TypeFor[T]().Kind() == reflect.Bool {
		return nil, false
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*p.size), true
}

// Clone returns what v becomes by travelling, so that a rank which keeps its own
// value gives the same answer as one that gets it from another. Where gob is
// exact that is v itself: numbers, strings, bools, arrays and structs of them,
// and slices of numbers, which then share their memory with v.
func Clone[T any](v T) (T, error) {
	if p := planFor[T](); p.blurs(unsafe.Pointer(&v)) {
		return v, nil
	}
	return NewCloner[T]().Clone(v)
}

// A Cloner is [Clone] for many values: it keeps its encoder and decoder, which
// makes it some thirty times faster where they are needed. It is not safe for
// concurrent use.
type Cloner[T any] struct {
	w *Writer[T]
	r *Reader[T]
}

// Copies reports whether [Clone] of a T costs no more than to copy it.
func Copies[T any]() bool { return planFor[T]().copies() }

// NewCloner returns a Cloner.
func NewCloner[T any]() *Cloner[T] {
	return &Cloner[T]{NewWriter[T](), NewReader[T]()}
}

// Clone returns what v becomes by travelling.
func (c *Cloner[T]) Clone(v T) (T, error) {
	if c.w.plan.blurs(unsafe.Pointer(&v)) {
		return v, nil
	}
	if err := c.w.Append(v); err != nil {
		return *new(T), err
	}
	c.r.Feed(c.w.buf)
	c.w.buf = c.w.buf[:0]
	return c.r.Next()
}

// CloneAll sets each of dst to the clone of that of src. It stops at the first error.
func CloneAll[T any](dst, src []T) error {
	switch p := planFor[T](); {
	case p.shape != asGob:
		copy(dst, src)
	case p.exact:
		for i := range src {
			dst[i] = src[i]
			p.walk.blur(unsafe.Pointer(&dst[i]))
		}
	default:
		cloner := NewCloner[T]()
		for i := range src {
			var err error
			if dst[i], err = cloner.Clone(src[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func decodeGob[T any](p *plan, body []byte) (v T, err error) {
	src := bytes.NewReader(body)
	if err := decodeOne(gob.NewDecoder(src), &v); err != nil {
		return *new(T), err
	}
	if src.Len() > 0 {
		return *new(T), decodeError[T](fmt.Errorf("%d bytes too many", src.Len()))
	}
	restoreEmpty(&v, p)
	return v, nil
}

func decodePlain[T any](p *plan, body []byte) (v T, err error) {
	if p.walk == nil || p.shape != asGob || len(body) == 0 {
		return v, decodeError[T](fmt.Errorf("%d bytes of a plain value", len(body)))
	}
	r := Reader[T]{plan: p, src: body}
	if v, err = r.Next(); err != nil {
		return v, err
	}
	if len(r.src) > 0 {
		return *new(T), decodeError[T](fmt.Errorf("%d bytes too many", len(r.src)))
	}
	return v, nil
}

// encodeOne encodes *v, which no nil pointer is on the way to. The encoder gets
// a plain pointer to what T points to in the end: it panics when it finds a
// type that encodes itself behind two pointers.
func encodeOne[T any](enc *gob.Encoder, v *T) error {
	p := reflect.ValueOf(v)
	for p.Elem().Kind() == reflect.Pointer {
		p = p.Elem()
	}
	if err := enc.EncodeValue(p); err != nil {
		return encodeError[T](err)
	}
	return nil
}

// decodeOne decodes the next value of a gob stream. Broken input must never
// take the process down, and gob does not promise that, nor can it for the
// methods of the types it decodes.
func decodeOne[T any](dec *gob.Decoder, v *T) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = decodeError[T](fmt.Errorf("panic: %v", r))
		}
	}()
	p := reflect.ValueOf(v)
	for p.Elem().Kind() == reflect.Pointer {
		p.Elem().Set(reflect.New(p.Type().Elem().Elem()))
		p = p.Elem()
	}
	err = dec.DecodeValue(p)
	if err == io.EOF { // where a value was due
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return decodeError[T](err)
	}
	return nil
}

// decodeRaw makes *v of the bytes of body.
func decodeRaw[T any](v *T, p *plan, body []byte) error {
	t := reflect.TypeFor[T]()
	switch p.shape {
	case asFixed:
		if len(body) != p.size {
			return decodeError[T](fmt.Errorf("%d bytes instead of %d", len(body), p.size))
		}
		if t.Kind() == reflect.Bool && body[0] > 1 {
			return decodeError[T](noBool(body[0]))
		}
		copy(memory(v, p.size), body)
		return nil
	case asBytes:
		if len(body)%p.size != 0 {
			return decodeError[T](fmt.Errorf("%d bytes are no multiple of %d", len(body), p.size))
		}
		setElements(unsafe.Pointer(v), t, p.size, body)
		return nil
	}
	return decodeError[T](errors.New("raw bytes: this type travels as gob on this machine"))
}

// restoreEmpty turns the nil that gob makes of an empty slice at the top back
// into an empty one: a nil would have travelled as such.
func restoreEmpty[T any](v *T, p *plan) {
	if !p.nilable || !isNil(v) {
		return
	}
	if t := reflect.TypeFor[T](); t.Kind() == reflect.Slice {
		reflect.ValueOf(v).Elem().Set(reflect.MakeSlice(t, 0, 0))
	}
}

func noBool(b byte) error { return fmt.Errorf("byte %d is no bool", b) }

func encodeError[T any](err error) error {
	return fmt.Errorf("encoding %v: %w", reflect.TypeFor[T](), err)
}

func decodeError[T any](err error) error {
	return fmt.Errorf("decoding %v: %w", reflect.TypeFor[T](), err)
}

// isNil reports whether *v, of a type that may be nil, is. The first word of a
// slice, map, pointer or interface is a pointer, and nil only if they are.
func isNil[T any](v *T) bool {
	return *(*unsafe.Pointer)(unsafe.Pointer(v)) == nil
}

// memory returns the n bytes of *v.
func memory[T any](v *T, n int) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(v)), n)
}

// elements returns the memory of the elements of *v, a string or a slice with
// elements of p.size bytes. Both start with a pointer and a length.
func elements[T any](v *T, p *plan) []byte {
	h := (*header)(unsafe.Pointer(v))
	return unsafe.Slice(h.data, h.len*p.size)
}

// header is what a string and a slice have in common.
type header struct {
	data *byte
	len  int
}

// setElements makes the t at v, a string or a slice, of the elements in body.
func setElements(v unsafe.Pointer, t reflect.Type, size int, body []byte) {
	if t.Kind() == reflect.String {
		*(*string)(v) = unsafe.String(unsafe.SliceData(body), len(body))
		return
	}
	n, data := len(body)/size, unsafe.Pointer(unsafe.SliceData(body))
	if n == 0 || uintptr(data)%uintptr(min(size, 8)) != 0 {
		data = reflect.MakeSlice(t, n, n).UnsafePointer()
		copy(unsafe.Slice((*byte)(data), len(body)), body)
	}
	// A slice of words has the layout of any other slice.
	*(*[]byte)(v) = unsafe.Slice((*byte)(data), n)
}
