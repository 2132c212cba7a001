package mpi

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
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
// Floating-point numbers are combined up a binomial tree over neighbouring ranks,
// whatever the root and the transport: their sums are the same bits in every run
// with as many ranks. Integers wrap around.
func ReduceSlice[T Number](ctx context.Context, c *Comm, root int, v []T, op Op) ([]T, error) {
	k, err := beginTyped[[]T](c, "ReduceSlice["+op.String()+"]", root, 1)
	if err != nil {
		return nil, err
	}
	f, err := fold(ctx, k, v, op, combinable(k, v, op, reduceMost))
	if err == nil && (f.noticed || len(f.waiting) > 0) {
		var agreed bool
		if agreed, err = f.answer(ctx, k); err == nil && f.failed == nil {
			if acc, done, err := reduceBulk(ctx, k, root, v, op, agreed); done {
				return acc, err
			}
			f, err = fold(ctx, k, v, op, false)
		}
	}
	if err == nil && root != 0 {
		f.acc, f.failed, err = moveFromZero(ctx, k, root, f.acc, f.failed)
	}
	if err == nil {
		err = f.failed
	}
	return f.acc, err
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
	f, err := fold(ctx, k, v, op, combinable(k, v, op, math.MaxInt))
	if err == nil && f.noticed {
		var m wire.Message
		if m, err = fromRoot(ctx, k, Root, notice{yes: f.able}.payload()); err != nil {
			k.turnOff() // the others may have agreed
			return nil, err
		}
		n, ok := noticeIn(m)
		if !ok {
			return decode[[]T](k, Root, m) // why not
		}
		if acc, done, err := reduceBulk(ctx, k, transport.All, v, op, n.yes); done {
			return acc, err
		}
		f, err = fold(ctx, k, v, op, false)
	}
	if err != nil {
		return nil, err
	}
	return bcast(ctx, k, Root, f.acc, f.failed)
}

// folded is what a rank has when its part of the way up the tree is done.
type folded[T Number] struct {
	acc     []T   // at rank 0: the result
	failed  error // why there is none
	noticed bool  // there is none yet: this rank and all below it have large slices, and keep them
	able    bool  // and could combine them in another way
	waiting []int // the children that have done so, and wait for an answer
}

// fold combines the slices at rank 0, unless they are large. A length that does
// not fit goes up the tree as a fault, so that nobody waits.
func fold[T Number](ctx context.Context, k *call, v []T, op Op, large bool) (f folded[T], err error) {
	combine, failed := combiner[T](op)
	f.failed, f.able = failed, k.able()
	if !large {
		f.acc = slices.Clone(v)
	}
	err = childrenOf(k.c.rank, k.c.Size(), func(child int) error {
		m, err := k.recv(ctx, child, stepUp)
		if err != nil {
			return err
		}
		n, noticed := noticeIn(m)
		var next []T
		if noticed {
			f.waiting = append(f.waiting, child)
			f.able = f.able && n.yes
		} else {
			next, err = decode[[]T](k, child, m)
			n.size = len(next)
		}
		if err == nil && n.size != len(v) {
			err = fmt.Errorf("mpi: %s: rank %d has %d elements, rank %d has %d; they must be equal", k.op, k.c.rank, len(v), child, n.size)
		}
		if f.failed == nil {
			f.failed = err
		}
		if f.failed == nil && !large {
			combine(f.acc, next)
		}
		return nil
	})
	f.noticed = large && f.failed == nil
	if err != nil || k.c.rank == 0 {
		return f, err
	}
	if err = f.sendUp(ctx, k, len(v)); err != nil && large {
		k.turnOff() // it may have gone all the same, and the others agree
	}
	return f, err
}

// sendUp sends the parent what has come so far.
func (f *folded[T]) sendUp(ctx context.Context, k *call, length int) error {
	p := notice{yes: f.able, size: length}.payload()
	if !f.noticed {
		var bad error
		if p, bad = encode(f.acc); f.failed == nil {
			f.failed = bad
		}
	}
	if f.failed != nil {
		p = fault(f.failed)
	}
	f.acc = nil
	return k.send(ctx, parentOf(k.c.rank), stepUp, uint8(p.form), p.body)
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
