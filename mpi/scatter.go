package mpi

import (
	"context"
	"fmt"
)

// Scatter gives rank i the value vs[i] of rank root. At the root len(vs) must
// be Size; elsewhere vs is ignored. The root returns when its messages are
// sent, the others when their value has come.
//
// A wrong length is an error on every rank.
func Scatter[T any](ctx context.Context, c *Comm, root int, vs []T) (T, error) {
	var zero T
	k, err := beginTyped[T](c, "Scatter", root, 1)
	if err != nil {
		return zero, err
	}
	if c.rank != root {
		m, err := k.recv(ctx, root, stepDown)
		if err != nil {
			return zero, err
		}
		return decode[T](k, root, m)
	}
	if len(vs) != c.Size() {
		err = fmt.Errorf("mpi: Scatter: %d values for %d ranks; pass one for each", len(vs), c.Size())
	}
	for r := range c.Size() {
		if r == root {
			continue
		}
		p, failed := payload{}, err
		if failed == nil {
			p, failed = encode(vs[r])
		}
		if failed != nil {
			p = fault(failed)
			err = failed
		}
		if err := k.send(ctx, r, stepDown, uint8(p.form), p.body); err != nil {
			return zero, err
		}
	}
	if err != nil {
		return zero, err
	}
	return own(k, vs[root])
}
