package mpi

import "context"

// Number is what can be added and compared.
type Number interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 |
		~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr |
		~float32 | ~float64
}

// Sum returns a + b, for Reduce.
func Sum[T Number](a, b T) T { return a + b }

// Prod returns a * b, for Reduce.
func Prod[T Number](a, b T) T { return a * b }

// Min returns the smaller of a and b, for Reduce. A NaN wins.
func Min[T Number](a, b T) T { return min(a, b) }

// Max returns the larger of a and b, for Reduce. A NaN wins.
func Max[T Number](a, b T) T { return max(a, b) }

// Reduce folds the values of all ranks in rank order, op(op(v0, v1), v2) and so
// on, at the root; elsewhere it returns the zero value. So the result is the
// same bits in every run, also where op is not associative. The root returns
// when all values have come, the others when theirs is sent.
func Reduce[T any](ctx context.Context, c *Comm, root int, v T, op func(a, b T) T) (T, error) {
	var zero T
	k, err := beginTyped[T](c, "Reduce", root, 1)
	if err != nil {
		return zero, err
	}
	acc, failed, err := reduce(ctx, k, root, v, op)
	if err == nil {
		err = failed
	}
	return acc, err
}

// Allreduce is Reduce with the result on every rank. It blocks until every rank
// has called it.
func Allreduce[T any](ctx context.Context, c *Comm, v T, op func(a, b T) T) (T, error) {
	var zero T
	k, err := beginTyped[T](c, "Allreduce", Root, 1)
	if err != nil {
		return zero, err
	}
	v, failed, err := reduce(ctx, k, Root, v, op)
	if err != nil {
		return zero, err
	}
	return bcast(ctx, k, Root, v, failed)
}

func reduce[T any](ctx context.Context, k *call, root int, v T, op func(a, b T) T) (acc T, failed, err error) {
	vs, failed, err := gather(ctx, k, root, v)
	if err != nil || failed != nil || k.c.rank != root {
		return acc, failed, err
	}
	acc = vs[0]
	for _, next := range vs[1:] {
		acc = op(acc, next)
	}
	return acc, nil, nil
}
