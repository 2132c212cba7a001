package mpi

import "context"

// Bcast gives every rank the value v of rank root, over a binomial tree; v
// elsewhere is ignored. The root returns when its own messages are sent, the
// others when the value has come. Over real MPI a large value takes as long as
// all ranks need to come to the call.
//
// If the value can't be encoded, every rank gets the error.
func Bcast[T any](ctx context.Context, c *Comm, root int, v T) (T, error) {
	k, err := beginTyped[T](c, "Bcast", root, 1)
	if err != nil {
		var zero T
		return zero, err
	}
	return bcast(ctx, k, root, v, nil)
}

// bcast brings v, or the error in its place, to every rank.
func bcast[T any](ctx context.Context, k *call, root int, v T, failed error) (T, error) {
	var zero T
	if k.c.rank != root {
		m, err := spread(ctx, k, root, payload{})
		if err != nil {
			return zero, err
		}
		return decode[T](k, root, m)
	}
	p := payload{}
	if failed == nil && k.c.Size() > 1 {
		p, failed = encode(v)
	}
	if failed != nil {
		p = fault(failed)
	}
	if _, err := spread(ctx, k, root, p); err != nil {
		return zero, err
	}
	if failed != nil {
		return zero, failed
	}
	return own(k, v)
}
