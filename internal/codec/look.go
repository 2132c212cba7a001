package codec

import (
	"errors"
	"fmt"
	"reflect"
)

// inspectValue looks into *v for what only a value can tell: that an interface
// holds something which would not arrive whole, or that the value contains
// itself, so that gob would never come to an end.
func inspectValue[T any](v *T, p *plan) error {
	if !p.dynamic && reflect.TypeFor[T]().Kind() != reflect.Pointer {
		return nil
	}
	top := reflect.ValueOf(v).Elem()
	for top.Kind() == reflect.Pointer {
		if top.IsNil() {
			return encodeError[T](errors.New("it points to a nil pointer, which gob cannot carry"))
		}
		top = top.Elem()
	}
	if !p.dynamic {
		return nil
	}
	if err := new(looker).look(reflect.ValueOf(v).Elem(), 0); err != nil {
		return encodeError[T](err)
	}
	return nil
}

// suspiciousDepth is how deep a value must be before it is suspected to contain
// itself; up to there a look costs no bookkeeping (encoding/json does the same).
const suspiciousDepth = 1000

// A place is the memory of a pointer, map or slice.
type place struct {
	data uintptr
	len  int
	typ  reflect.Type
}

// A looker walks a value as gob would.
type looker struct {
	path map[place]bool // the places between the top and here, below suspiciousDepth
}

// look looks at v, which is depth pointers, maps, slices and interfaces below the top.
func (l *looker) look(v reflect.Value, depth int) error {
	t := v.Type()
	if !planOf(t).dynamic {
		return nil
	}
	if enc, _ := marshaler(t); enc >= 0 {
		return nil
	}
	switch t.Kind() {
	case reflect.Interface:
		return l.lookInside(v, depth)
	case reflect.Struct:
		for i := range v.NumField() {
			if t.Field(i).Name == "_" {
				continue
			}
			if err := l.look(v.Field(i), depth); err != nil {
				return err
			}
		}
		return nil
	case reflect.Array:
		return l.lookAtAll(v, depth)
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return nil
		}
		leave, err := l.enter(v, depth)
		if err != nil {
			return err
		}
		defer leave()
		return l.lookAtAll(v, depth+1)
	}
	return nil
}

// lookInside looks at what the interface v holds.
func (l *looker) lookInside(v reflect.Value, depth int) error {
	if v.IsNil() {
		return nil
	}
	if err := planOf(v.Elem().Type()).err; err != nil {
		return fmt.Errorf("an interface in it holds %w", err)
	}
	return l.look(v.Elem(), depth+1)
}

// lookAtAll looks at everything that v points to or has as elements.
func (l *looker) lookAtAll(v reflect.Value, depth int) error {
	switch v.Kind() {
	case reflect.Pointer:
		return l.look(v.Elem(), depth)
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			if err := errors.Join(l.look(it.Key(), depth), l.look(it.Value(), depth)); err != nil {
				return err
			}
		}
	default:
		for i := range v.Len() {
			if err := l.look(v.Index(i), depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// enter notes that the walk passes through v, a pointer, map or slice; leave
// takes the note back. It fails if the walk is in v already.
func (l *looker) enter(v reflect.Value, depth int) (leave func(), err error) {
	if depth < suspiciousDepth || v.Kind() == reflect.Slice && v.Len() == 0 {
		return func() {}, nil
	}
	here := place{data: v.Pointer(), typ: v.Type()}
	if v.Kind() == reflect.Slice {
		here.len = v.Len()
	}
	if l.path[here] {
		return nil, fmt.Errorf("the %v contains itself; gob cannot carry it", v.Type())
	}
	if l.path == nil {
		l.path = map[place]bool{}
	}
	l.path[here] = true
	return func() { delete(l.path, here) }, nil
}
