package codec

import (
	"fmt"
	"hash/fnv"
	"reflect"
)

// Types made of numbers, bools, strings, and arrays, slices and structs of such
// are plain: in a stream they travel without gob, by a walk through the value.
// Numbers are their memory, a bool is a byte, a string or slice follows its
// length, 1 more than it is, so that 0 is nil. What gob blurs is blurred here as
// well, by the sender, so that users need not know what travels how.

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
