package codec

import (
	"encoding/binary"
	"reflect"
	"strconv"
	"sync"
	"unsafe"
)

// A shape is the way in which a type travels.
type shape uint8

const (
	asGob   shape = iota
	asFixed       // a number or a bool: its memory
	asBytes       // a string or a slice of numbers: the memory of its elements
)

// A plan is what there is to know about a type.
type plan struct {
	err     error // why it cannot travel
	shape   shape
	size    int  // bytes of an element (asBytes) or of the value (asFixed)
	nilable bool // a value may be nil
	dynamic bool // a value must be looked at, see [inspectValue]

	walk   steps  // how a value travels in a stream, nil if as gob
	layout uint64 // what distinguishes the walk from those of other types
	exact  bool   // no part of a value is blurred, but for negative zeros, see [steps.blur]
}

// copies reports whether a value comes to what it is after a journey without one, by
// blurs.
func (p *plan) copies() bool { return p.shape != asGob || p.exact }

// blurs makes the value at v what it is after a journey, if it can without one.
func (p *plan) blurs(v unsafe.Pointer) bool {
	if p.shape == asGob && p.exact {
		p.walk.blur(v)
	}
	return p.copies()
}

// plans remembers the plan of each type, as encoding/gob and encoding/json do.
var plans sync.Map // reflect.Type to *plan

func planFor[T any]() *plan {
	return planOf(reflect.TypeFor[T]())
}

func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(t, newPlan(t))
	return p.(*plan)
}

func newPlan(t reflect.Type) *plan {
	in := inspector{top: t, seen: map[visit]bool{}}
	err := in.inspect(t, "", true)
	p := &plan{err: err, dynamic: in.dynamic}
	if p.err != nil {
		return p
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Interface:
		p.nilable = true
	}
	p.shape, p.size = shapeOf(t)
	p.walk, p.layout, p.exact = compile(t)
	return p
}

// shapeOf returns how t travels, and the size of its elements in bytes.
func shapeOf(t reflect.Type) (shape, int) {
	if enc, _ := marshaler(t); enc >= 0 {
		return asGob, 0
	}
	switch k := t.Kind(); {
	case k == reflect.Bool:
		return asFixed, 1
	case k == reflect.String:
		return asBytes, 1
	case isPlainNumber(t):
		return asFixed, int(t.Size())
	case k == reflect.Slice && isPlainNumber(t.Elem()):
		return asBytes, int(t.Elem().Size())
	}
	return asGob, 0
}

// littleEndian is whether the memory of this machine reads like a message.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// isPlainNumber reports whether t is a number that looks the same in memory on
// every machine that dlp runs its short way on.
func isPlainNumber(t reflect.Type) bool {
	if enc, _ := marshaler(t); enc >= 0 || !littleEndian {
		return false
	}
	switch k := t.Kind(); k {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return strconv.IntSize == 64
	default:
		return reflect.Int8 <= k && k <= reflect.Complex128
	}
}
