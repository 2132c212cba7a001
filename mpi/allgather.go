package mpi

import "context"

// Allgather returns the values of all ranks, by rank, on every rank: a Gather
// to Root and a broadcast of what has come. It blocks until every rank has
// called it.
//
// If a rank's value can't be encoded, every rank gets the error.
func Allgather[T any](ctx context.Context, c *Comm, v T) ([]T, error) {
	k, err := beginTyped[T](c, "Allgather", Root, 1)
	if err != nil {
		return nil, err
	}
	return allgather(ctx, k, v)
}

func allgather[T any](ctx context.Context, k *call, v T) ([]T, error) {
	vs, failed, err := gather(ctx, k, Root, v)
	if err != nil {
		return nil, err
	}
	return bcast(ctx, k, Root, vs, failed)
}
