package codec

import (
	"encoding"
	"encoding/gob"
	"fmt"
	"reflect"
	"runtime"
)

// A TypeError says why values of a type cannot travel, or would not arrive whole.
type TypeError struct {
	Type   string // the type of the value that was to travel
	Field  string // the field at fault, as a path from Type; empty if it is no field
	Reason string // what is wrong with it, and what to do
}

func (e *TypeError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("%s: %s", e.Type, e.Reason)
	}
	return fmt.Sprintf("%s: field %s %s", e.Type, e.Field, e.Reason)
}

// Check reports why a T would not survive the journey: nil if gob carries it
// whole, otherwise a *[TypeError]. What an interface holds is known only when a
// value travels; it is checked then. The answer is remembered per type.
func Check[T any]() error {
	return planFor[T]().err
}

// A visit is a type, and whether gob would find values of it where they have an
// address. It does not in maps.
type visit struct {
	t           reflect.Type
	addressable bool
}

// An inspector walks a type as gob would.
type inspector struct {
	top     reflect.Type
	seen    map[visit]bool // true while the type's parts are being walked
	dynamic bool           // it holds interfaces, or may hold itself: values need a look too
}

// fieldFault makes the error for a field that would be lost.
func (in *inspector) fieldFault(path, format string, args ...any) error {
	return &TypeError{Type: in.top.String(), Field: path, Reason: fmt.Sprintf(format, args...)}
}

// typeFault makes the error for the type t, found at path, that gob cannot
// carry because it is, has or does what.
func (in *inspector) typeFault(t reflect.Type, path, what string) error {
	switch {
	case path != "":
		what = fmt.Sprintf("holds a %v, which %s", t, what)
	case t != in.top:
		what = fmt.Sprintf("%v %s", t, what)
	}
	return &TypeError{Type: in.top.String(), Field: path, Reason: what}
}

// inspect looks at type t, found at the field path (empty at the top).
func (in *inspector) inspect(t reflect.Type, path string, addressable bool) error {
	here := visit{t, addressable}
	if open, known := in.seen[here]; known {
		in.dynamic = in.dynamic || open
		return nil
	}
	in.seen[here] = true
	defer func() { in.seen[here] = false }()

	own, err := in.marshals(t, path, addressable)
	if own || err != nil {
		return err
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return in.typeFault(t, path, "cannot leave its process: send what it stands for")
	case reflect.Interface:
		in.dynamic = true
	case reflect.Pointer:
		if isPointerCycle(t) {
			return in.typeFault(t, path, "points to nothing but itself")
		}
		return in.inspect(t.Elem(), path, true)
	case reflect.Slice:
		return in.inspect(t.Elem(), path, true)
	case reflect.Array:
		return in.inspect(t.Elem(), path, addressable)
	case reflect.Map:
		if err := in.inspect(t.Key(), path, false); err != nil {
			return err
		}
		return in.inspect(t.Elem(), path, false)
	case reflect.Struct:
		return in.inspectFields(t, path, addressable)
	}
	return nil
}

func (in *inspector) inspectFields(t reflect.Type, path string, addressable bool) error {
	sent := 0
	for i := range t.NumField() {
		f := t.Field(i)
		if f.Name == "_" {
			continue
		}
		at := f.Name
		if path != "" {
			at = path + "." + f.Name
		}
		if !f.IsExported() {
			return in.fieldFault(at, "is unexported; gob would drop it: export it, or let %v implement encoding.BinaryMarshaler and BinaryUnmarshaler", t)
		}
		if k := pointee(f.Type).Kind(); k == reflect.Chan || k == reflect.Func {
			return in.fieldFault(at, "is a %v; gob would drop it: leave it out of what travels", f.Type)
		}
		if err := in.inspect(f.Type, at, addressable); err != nil {
			return err
		}
		sent++
	}
	if sent == 0 && t.NumField() > 0 {
		return in.typeFault(t, path, "has only blank fields: use struct{}")
	}
	return nil
}

// The pairs of methods by which a type may do its own encoding, in the order in
// which gob asks for them. It does not ask for MarshalText.
var marshalers = []struct {
	enc, dec         reflect.Type
	encName, decName string
}{
	{reflect.TypeFor[gob.GobEncoder](), reflect.TypeFor[gob.GobDecoder](), "GobEncode", "GobDecode"},
	{reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](), "MarshalBinary", "UnmarshalBinary"},
}

// marshals reports whether gob would let t encode itself, and whether that would go well.
func (in *inspector) marshals(t reflect.Type, path string, addressable bool) (bool, error) {
	enc, dec := marshaler(t)
	switch {
	case enc < 0 && dec < 0:
		return false, nil
	case enc < 0:
		return false, in.typeFault(t, path, "has "+marshalers[dec].decName+" without "+marshalers[dec].encName+": add it")
	case dec != enc:
		return false, in.typeFault(t, path, "has "+marshalers[enc].encName+" without "+marshalers[enc].decName+": add it")
	}
	if name := marshalers[enc].encName; promoted(pointee(t), marshalers[enc].enc, name) {
		return false, in.typeFault(t, path, "takes "+name+" from an embedded field, which would drop the other fields: "+
			"name that field, or give the type its own "+name+" and "+marshalers[enc].decName)
	}
	if !addressable && t.Kind() != reflect.Pointer && !t.Implements(marshalers[enc].enc) {
		return false, in.typeFault(t, path, "has "+marshalers[enc].encName+" on its pointer, which gob cannot reach inside a map: "+
			"let the map hold pointers")
	}
	return true, nil
}

// marshaler returns which of the marshalers t encodes and decodes itself with, -1 for none.
func marshaler(t reflect.Type) (enc, dec int) {
	enc, dec = -1, -1
	for i := len(marshalers) - 1; i >= 0; i-- {
		if implements(t, marshalers[i].enc) {
			enc = i
		}
		if implements(t, marshalers[i].dec) {
			dec = i
		}
	}
	return enc, dec
}

// implements reports whether t, what it points to, or a pointer to it has the
// methods of iface. These are the places where gob looks.
func implements(t, iface reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false // gob asks the value in it instead
	}
	return t.Implements(iface) || pointee(t).Implements(iface) || reflect.PointerTo(pointee(t)).Implements(iface)
}

// promoted reports whether the struct t has the method only because a field
// that it embeds has it, while it has other fields too. A struct that embeds a
// time.Time is the usual victim: gob would send the time and nothing else.
func promoted(t reflect.Type, iface reflect.Type, method string) bool {
	if t.Kind() != reflect.Struct || t.NumField() < 2 {
		return false
	}
	embeds := false
	for i := range t.NumField() {
		f := t.Field(i)
		embeds = embeds || f.Anonymous && (f.Type.Implements(iface) || reflect.PointerTo(f.Type).Implements(iface))
	}
	return embeds && !declares(t, method) && !declares(reflect.PointerTo(t), method)
}

// declares reports whether the method of t was written in a source file; the
// compiler generates those that t gets from embedded fields.
func declares(t reflect.Type, method string) bool {
	m, ok := t.MethodByName(method)
	if !ok {
		return false
	}
	pc := m.Func.Pointer()
	file, _ := runtime.FuncForPC(pc).FileLine(pc)
	return file != "<autogenerated>"
}

// pointee follows pointers to what they point to in the end.
func pointee(t reflect.Type) reflect.Type {
	if isPointerCycle(t) {
		return t
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// isPointerCycle reports whether t is like type T *T, which never ends.
func isPointerCycle(t reflect.Type) bool {
	seen := map[reflect.Type]bool{}
	for t.Kind() == reflect.Pointer {
		if seen[t] {
			return true
		}
		seen[t] = true
		t = t.Elem()
	}
	return false
}
