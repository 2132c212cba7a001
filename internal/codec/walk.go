package codec

import (
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"unsafe"
)

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
