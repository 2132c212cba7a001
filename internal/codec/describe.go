package codec

import (
	"fmt"
	"reflect"
	"strings"
)

// Describe returns what T is, in words: its name, and behind it what the types with
// names in it are. Two types with the same description read each other's values.
func Describe[T any]() string {
	t := reflect.TypeFor[T]()
	d := describer{seen: map[reflect.Type]bool{}}
	d.define(t)
	if len(d.defs) == 0 {
		return t.String()
	}
	return t.String() + ": " + strings.Join(d.defs, ", ")
}

type describer struct {
	seen map[reflect.Type]bool
	defs []string
}

// define adds the definitions that t needs, unless t looks after its own values.
func (d *describer) define(t reflect.Type) {
	if d.seen[t] {
		return
	}
	d.seen[t] = true
	if enc, _ := marshaler(t); enc >= 0 {
		return
	}
	if t.PkgPath() != "" && t.Kind() != reflect.Interface {
		d.defs = append(d.defs, fmt.Sprintf("%v is %s", t, underlying(t)))
	}
	switch t.Kind() {
	case reflect.Map:
		d.define(t.Key())
		d.define(t.Elem())
	case reflect.Pointer, reflect.Slice, reflect.Array:
		d.define(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			d.define(t.Field(i).Type)
		}
	}
}

// underlying returns what stands behind the name of t.
func underlying(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Map:
		return fmt.Sprintf("map[%v]%v", t.Key(), t.Elem())
	case reflect.Pointer:
		return fmt.Sprintf("*%v", t.Elem())
	case reflect.Slice:
		return fmt.Sprintf("[]%v", t.Elem())
	case reflect.Array:
		return fmt.Sprintf("[%d]%v", t.Len(), t.Elem())
	case reflect.Struct:
		var fields []string
		for i := range t.NumField() {
			fields = append(fields, fmt.Sprintf("%s %v", t.Field(i).Name, t.Field(i).Type))
		}
		return "{" + strings.Join(fields, "; ") + "}"
	}
	return t.Kind().String()
}
