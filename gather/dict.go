package gather

import (
	"cmp"
	"context"
	"fmt"
	"reflect"
	"slices"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// Dict collects results by key, each of which is set once, on one rank. It is
// not safe for concurrent use.
type Dict[K comparable, V any] struct {
	values map[K]V
	again  []K // set once more, after the first time
}

// NewDict returns an empty Dict.
func NewDict[K comparable, V any]() *Dict[K, V] {
	return &Dict[K, V]{values: map[K]V{}}
}

// Set gives the key k its value. It sends nothing, and keeps v as it is. A key
// that was set before, on this rank or another, is an error of Gather.
func (d *Dict[K, V]) Set(k K, v V) {
	if _, ok := d.values[k]; ok {
		d.again = append(d.again, k)
		return
	}
	d.values[k] = v
}

// Gather returns the values of all ranks by key at the root, and nil elsewhere.
// It is collective, and blocks until the root has everything. The Dict stays as
// it is. Keys are compared as they arrive: a key that is or holds a pointer is
// never equal to another.
//
// Errors, the same on every rank: keys that were set more than once, with the
// ranks that did; a K or V that cannot travel whole, or a key or value that
// cannot. Also those of Send and Recv.
func (d *Dict[K, V]) Gather(ctx context.Context, c *mpi.Comm) (all map[K]V, err error) {
	defer wrap(&err, c, "Dict.Gather")
	if err := first([]error{codec.Check[K](), codec.Check[V]()}); err != nil {
		return nil, err
	}
	p, err := open(c, fmt.Sprintf("Dict.Gather(%v, %v)", reflect.TypeFor[K](), reflect.TypeFor[V]()), 1)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	return gatherPairs(ctx, p, d.pairs(), byKey[K, V])
}

// pairs returns the contents as pairs. Keys that were set again come again, so
// that the root notices.
func (d *Dict[K, V]) pairs() pairs[K, V] {
	p := pairs[K, V]{
		keys:   make([]K, 0, len(d.values)+len(d.again)),
		values: make([]V, 0, len(d.values)+len(d.again)),
	}
	add := func(k K, v V) {
		p.keys = append(p.keys, k)
		p.values = append(p.values, v)
	}
	for k, v := range d.values {
		add(k, v)
	}
	for _, k := range d.again {
		add(k, d.values[k])
	}
	return p
}

// byKey makes one map of all.
func byKey[K comparable, V any](parts []pairs[K, V]) (map[K]V, error) {
	n := 0
	for _, part := range parts {
		n += len(part.keys)
	}
	all := make(map[K]V, n)
	doubled := map[K]bool{}
	for _, part := range parts {
		for i, k := range part.keys {
			before := len(all)
			all[k] = part.values[i]
			if len(all) == before {
				doubled[k] = true
			}
		}
	}
	if len(doubled) == 0 {
		return all, nil
	}
	found := clashes(parts, doubled)
	spell := func(c clash[K]) string { return fmt.Sprintf("%#v %s", c.key, c.by()) }
	slices.SortFunc(found, func(a, b clash[K]) int { return cmp.Compare(spell(a), spell(b)) })
	return nil, fmt.Errorf("%d of %d keys were set more than once: %s; set each key once, on one rank", len(found), len(all), enumerate(found, spell))
}
