package mpi

import (
	"context"
	"fmt"
	"slices"
)

// Op is an element-wise operation on slices of numbers.
type Op int

// The operations of ReduceSlice.
const (
	OpSum Op = iota
	OpProd
	OpMin
	OpMax
)

var opNames = [...]string{"OpSum", "OpProd", "OpMin", "OpMax"}

func (o Op) String() string {
	if o < 0 || int(o) >= len(opNames) {
		return fmt.Sprintf("Op(%d)", int(o))
	}
	return opNames[o]
}

// ReduceSlice combines the slices of all ranks element by element at the root,
// result[j] = v0[j] op v1[j] op ..., and returns nil elsewhere. All slices must
// have one length; that they differ is an error at the root and at the ranks
// that find out. v is not changed.
//
// The slices are combined up a binomial tree over neighbouring ranks, whatever
// the root: sums of floating-point numbers are the same bits in every run with
// as many ranks.
func ReduceSlice[T Number](ctx context.Context, c *Comm, root int, v []T, op Op) ([]T, error) {
	k, err := beginTyped[[]T](c, "ReduceSlice["+op.String()+"]", root, 1)
	if err != nil {
		return nil, err
	}
	acc, failed, err := reduceSlice(ctx, k, v, op)
	if err == nil && root != 0 {
		acc, failed, err = moveFromZero(ctx, k, root, acc, failed)
	}
	if err == nil {
		err = failed
	}
	return acc, err
}

// moveFromZero takes the result, or the error, from the top of the tree to the
// root.
func moveFromZero[T Number](ctx context.Context, k *call, root int, acc []T, failed error) ([]T, error, error) {
	switch k.c.rank {
	case 0:
		p, bad := encode(acc)
		if failed == nil {
			failed = bad
		}
		if failed != nil {
			p = fault(failed)
		}
		return nil, failed, k.send(ctx, root, stepDown, uint8(p.form), p.body)
	case root:
		m, err := k.recv(ctx, 0, stepDown)
		if err != nil {
			return nil, nil, err
		}
		acc, failed = decode[[]T](k, 0, m)
	}
	return acc, failed, nil
}

// AllreduceSlice is ReduceSlice with the result on every rank. It blocks until
// every rank has called it; an error is every rank's.
func AllreduceSlice[T Number](ctx context.Context, c *Comm, v []T, op Op) ([]T, error) {
	k, err := beginTyped[[]T](c, "AllreduceSlice["+op.String()+"]", Root, 1)
	if err != nil {
		return nil, err
	}
	acc, failed, err := reduceSlice(ctx, k, v, op)
	if err != nil {
		return nil, err
	}
	return bcast(ctx, k, Root, acc, failed)
}

// reduceSlice combines the slices at rank 0; elsewhere it returns nil. A length
// that does not fit goes up the tree as a fault, so that nobody waits.
func reduceSlice[T Number](ctx context.Context, k *call, v []T, op Op) (acc []T, failed, err error) {
	combine, failed := combiner[T](op)
	acc = slices.Clone(v)
	err = childrenOf(k.c.rank, k.c.Size(), func(child int) error {
		m, err := k.recv(ctx, child, stepUp)
		if err != nil {
			return err
		}
		next, err := decode[[]T](k, child, m)
		if err == nil && len(next) != len(v) {
			err = fmt.Errorf("mpi: %s: rank %d has %d elements, rank %d has %d; they must be equal", k.op, k.c.rank, len(v), child, len(next))
		}
		if failed == nil {
			failed = err
		}
		if failed == nil {
			combine(acc, next)
		}
		return nil
	})
	if err != nil || k.c.rank == 0 {
		return acc, failed, err
	}
	p, bad := encode(acc)
	if failed == nil {
		failed = bad
	}
	if failed != nil {
		p = fault(failed)
	}
	return nil, failed, k.send(ctx, parentOf(k.c.rank), stepUp, uint8(p.form), p.body)
}

// combiner returns the loop for op: acc[j] = acc[j] op next[j].
func combiner[T Number](op Op) (func(acc, next []T), error) {
	switch op {
	case OpSum:
		return func(acc, next []T) {
			for j, x := range next {
				acc[j] += x
			}
		}, nil
	case OpProd:
		return func(acc, next []T) {
			for j, x := range next {
				acc[j] *= x
			}
		}, nil
	case OpMin:
		return func(acc, next []T) {
			for j, x := range next {
				acc[j] = min(acc[j], x)
			}
		}, nil
	case OpMax:
		return func(acc, next []T) {
			for j, x := range next {
				acc[j] = max(acc[j], x)
			}
		}, nil
	}
	return nil, fmt.Errorf("mpi: %v is no operation; use OpSum, OpProd, OpMin or OpMax", op)
}
