package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"reflect"
	"unsafe"
)

// Types made of numbers, bools, strings, and arrays, slices and structs of such
// are plain: in a stream they travel without gob, as a walk through the value.
// Numbers are their memory, a bool is a byte, a string or slice follows its
// length, 1 more than it is, so that 0 is nil. What gob blurs is blurred here as
// well, by the sender, so that it makes no difference to users who travels how.

// A step is what the walk does at one place of a value.
type step struct {
	does  deed
	at    uintptr // the place
	typ   reflect.Type
	kind  reflect.Kind
	top   bool    // there is nothing else: an empty slice stays empty
	size  uintptr // bytes in memory, of a number or of each element
	count int     // elements, of an array
	each  steps   // the walk through an element
	least int     // bytes that an element takes in a stream, or more
}

type deed uint8

const (
	copyNumber deed = iota // also an array of numbers
	copyBool
	copyFloat // a field of a struct: gob sends no zero, and so no sign of it
	copyText
	copySlice // of numbers
	walkArray // of others
	walkSlice // of others
)

// steps are the walk through a value.
type steps []step

// maxLayout bounds what a type may have in it, in bytes of its description: one
// that mentions others twice, which do so as well, soon has millions of steps.
const maxLayout = 16 << 10

// A compiler finds the steps of a type.
type compiler struct {
	layout []byte                // the names and kinds of what it has found
	open   map[reflect.Type]bool // the types that it is in
	slices bool                  // there are some
}

// compile returns the steps of t, nil if it is not plain, and what distinguishes
// its layout from others. exact is whether t has no slices, of which copies share
// the elements.
func compile(t reflect.Type) (walk steps, layout uint64, exact bool) {
	c := compiler{open: map[reflect.Type]bool{}}
	walk, ok := c.value(t, step{top: true})
	if !ok {
		return nil, 0, false
	}
	h := fnv.New64a()
	h.Write(c.layout)
	return walk, h.Sum64(), !c.slices
}

// value returns the steps of a t at the place of s. Whatever takes no byte in a
// stream is not plain: a length could claim any number of such.
func (c *compiler) value(t reflect.Type, s step) (steps, bool) {
	if enc, dec := marshaler(t); enc >= 0 || dec >= 0 || t.Size() == 0 || c.open[t] || len(c.layout) > maxLayout {
		return nil, false
	}
	c.open[t] = true
	defer delete(c.open, t)
	c.layout = append(c.layout, t.Kind().String()...)
	s.typ, s.kind, s.size = t, t.Kind(), t.Size()
	switch {
	case s.kind == reflect.Bool:
		s.does = copyBool
	case s.kind == reflect.String:
		s.does, s.size, s.least = copyText, 1, 1
	case isPlainNumber(t):
		s.does = copyNumber
	case s.kind == reflect.Array:
		return c.array(t, s)
	case s.kind == reflect.Slice:
		return c.slice(t, s)
	case s.kind == reflect.Struct:
		return c.fields(t, s.at)
	default:
		return nil, false
	}
	return steps{s}, true
}

func (c *compiler) array(t reflect.Type, s step) (steps, bool) {
	c.layout = fmt.Append(c.layout, t.Len())
	var ok bool
	if s.each, ok = c.value(t.Elem(), step{}); !ok {
		return nil, false
	}
	if isPlainNumber(t.Elem()) {
		s.does = copyNumber
		return steps{s}, true
	}
	s.does, s.count, s.size, s.least = walkArray, t.Len(), t.Elem().Size(), s.each.least()
	return steps{s}, true
}

func (c *compiler) slice(t reflect.Type, s step) (steps, bool) {
	c.slices = true
	var ok bool
	if s.each, ok = c.value(t.Elem(), step{}); !ok {
		return nil, false
	}
	s.does, s.size, s.least = walkSlice, t.Elem().Size(), s.each.least()
	if isPlainNumber(t.Elem()) {
		s.does = copySlice
	}
	return steps{s}, true
}

func (c *compiler) fields(t reflect.Type, at uintptr) (steps, bool) {
	var all steps
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			return nil, false
		}
		c.layout = fmt.Append(c.layout, "{", f.Name, " ")
		walk, ok := c.value(f.Type, step{at: at + f.Offset})
		if !ok {
			return nil, false
		}
		if k := f.Type.Kind(); reflect.Float32 <= k && k <= reflect.Complex128 {
			walk[0].does = copyFloat
		}
		all = append(all, walk...)
	}
	c.layout = append(c.layout, '}')
	return all, true
}

// least returns how many bytes a value takes at least, never 0.
func (w steps) least() (n int) {
	for i := range w {
		switch s := &w[i]; s.does {
		case copyNumber, copyBool, copyFloat:
			n += int(s.size)
		case walkArray:
			n += s.count * s.least
		default:
			n++ // the length
		}
	}
	return n
}

// append appends the value at v to b.
func (w steps) append(b []byte, v unsafe.Pointer) []byte {
	for i := range w {
		s := &w[i]
		p := unsafe.Add(v, s.at)
		switch s.does {
		case copyNumber, copyBool:
			b = append(b, unsafe.Slice((*byte)(p), s.size)...)
		case copyFloat:
			b = append(b, unsafe.Slice((*byte)(p), s.size)...)
			if s.isZero(p) {
				clear(b[len(b)-int(s.size):])
			}
		case walkArray:
			for i := range s.count {
				b = s.each.append(b, unsafe.Add(p, uintptr(i)*s.size))
			}
		default:
			b = s.appendElements(b, (*header)(p))
		}
	}
	return b
}

// appendElements appends a string or a slice.
func (s *step) appendElements(b []byte, h *header) []byte {
	if s.does != copyText && h.len == 0 && !(s.top && h.data != nil) {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(h.len)+1)
	if s.does != walkSlice {
		return append(b, unsafe.Slice(h.data, uintptr(h.len)*s.size)...)
	}
	for i := range h.len {
		b = s.each.append(b, unsafe.Add(unsafe.Pointer(h.data), uintptr(i)*s.size))
	}
	return b
}

// isZero reports whether the number at p, a float or complex, equals 0.
func (s *step) isZero(p unsafe.Pointer) bool {
	switch s.kind {
	case reflect.Float32:
		return *(*float32)(p) == 0
	case reflect.Float64:
		return *(*float64)(p) == 0
	case reflect.Complex64:
		return *(*complex64)(p) == 0
	default:
		return *(*complex128)(p) == 0
	}
}

// blur makes the value at v, of a type without slices, what it is after a journey.
func (w steps) blur(v unsafe.Pointer) {
	for i := range w {
		s := &w[i]
		p := unsafe.Add(v, s.at)
		switch {
		case s.does == copyFloat && s.isZero(p):
			clear(unsafe.Slice((*byte)(p), s.size))
		case s.does == walkArray:
			for i := range s.count {
				s.each.blur(unsafe.Add(p, uintptr(i)*s.size))
			}
		}
	}
}

// read makes the value at v, which is zero, of the first bytes of b, and returns
// the others. It makes room for no more elements than those could be.
func (w steps) read(b []byte, v unsafe.Pointer) (rest []byte, err error) {
	for i := range w {
		s := &w[i]
		p := unsafe.Add(v, s.at)
		switch s.does {
		case copyNumber, copyBool, copyFloat:
			if uintptr(len(b)) < s.size {
				return nil, io.ErrUnexpectedEOF
			}
			if s.does == copyBool && b[0] > 1 {
				return nil, noBool(b[0])
			}
			copy(unsafe.Slice((*byte)(p), s.size), b)
			b = b[s.size:]
		case walkArray:
			for i := range s.count {
				if b, err = s.each.read(b, unsafe.Add(p, uintptr(i)*s.size)); err != nil {
					return nil, err
				}
			}
		default:
			if b, err = s.readElements(b, p); err != nil {
				return nil, err
			}
		}
	}
	return b, nil
}

// readElements makes the string or slice at p.
func (s *step) readElements(b []byte, p unsafe.Pointer) (rest []byte, err error) {
	u, k := binary.Uvarint(b)
	if k <= 0 || u > uint64(len(b)-k)/uint64(s.least)+1 || u == 0 && s.does == copyText {
		return nil, errors.New("wrong length in the stream")
	}
	if b = b[k:]; u == 0 {
		return b, nil
	}
	n := int(u - 1)
	switch s.does {
	case copyText:
		*(*string)(p) = string(b[:n])
		return b[n:], nil
	case copySlice:
		size := n * int(s.size)
		setElements(p, s.typ, int(s.size), append([]byte(nil), b[:size]...))
		return b[size:], nil
	}
	data := reflect.MakeSlice(s.typ, n, n).UnsafePointer()
	*(*[]byte)(p) = unsafe.Slice((*byte)(data), n) // a slice has the layout of any other
	for i := range n {
		if b, err = s.each.read(b, unsafe.Add(data, uintptr(i)*s.size)); err != nil {
			return nil, err
		}
	}
	return b, nil
}
