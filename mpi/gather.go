package mpi

import (
	"context"
	"errors"
)

// Gather returns the values of all ranks, by rank, at the root, and nil
// elsewhere. The root returns when all have come, the others when theirs is
// sent.
//
// If a rank's value can't be encoded, that rank and the root get the error.
func Gather[T any](ctx context.Context, c *Comm, root int, v T) ([]T, error) {
	k, err := beginTyped[T](c, "Gather", root, 1)
	if err != nil {
		return nil, err
	}
	vs, failed, err := gather(ctx, k, root, v)
	if err == nil {
		err = failed
	}
	return vs, err
}

// gather collects the values of all ranks at the root. failed says what is
// wrong with the values, here or at the root; err that the call can't go on.
func gather[T any](ctx context.Context, k *call, root int, v T) (vs []T, failed, err error) {
	if k.c.rank != root {
		failed, err = sendUp(ctx, k, root, v)
		return nil, failed, err
	}
	vs = make([]T, k.c.Size())
	for r := range vs {
		var bad error
		if r == root {
			vs[r], bad = own(k, v)
		} else {
			m, err := k.recv(ctx, r, stepUp)
			if err != nil {
				return nil, nil, err
			}
			vs[r], bad = decode[T](k, r, m)
		}
		failed = errors.Join(failed, bad)
	}
	if failed != nil {
		return nil, failed, nil
	}
	return vs, nil, nil
}

// sendUp sends v towards dst, or in its place why it can't be sent.
func sendUp[T any](ctx context.Context, k *call, dst int, v T) (failed, err error) {
	p, failed := encode(v)
	if failed != nil {
		p = fault(failed)
	}
	return failed, k.send(ctx, dst, stepUp, uint8(p.form), p.body)
}
