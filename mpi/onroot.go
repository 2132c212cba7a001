package mpi

import "context"

// OnRoot runs f at Root alone and gives its value to every rank. If f fails,
// every rank gets its error: Root the error itself, the others its text. It
// blocks until f is done and its value has come.
func OnRoot[T any](ctx context.Context, c *Comm, f func(ctx context.Context) (T, error)) (T, error) {
	k, err := beginTyped[T](c, "OnRoot", Root, 1)
	var v T
	if err != nil {
		return v, err
	}
	if c.IsRoot() {
		v, err = f(ctx)
	}
	return bcast(ctx, k, Root, v, err)
}
