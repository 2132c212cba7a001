package mpi

import (
	"context"
	"reflect"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// reduceMost is up to how many bytes a slice is combined at one rank by the
// transport's own operation. Beyond that MPI_Ireduce takes three times as long as
// our tree, other than MPI_Iallreduce.
const reduceMost = 1 << 20

// combinable reports whether v may be combined by the transport's own operations:
// it has the same result in every order, and every MPI gets it right. Integers of 8
// and 16 bits Open MPI does not let wrap around where the processor has AVX, and of
// unsigned ones MPICH takes the smallest and the largest as if they had a sign.
// Floating-point numbers keep to our tree, whose order is the same everywhere, as
// is its minimum of a NaN or of two zeros.
func combinable[T Number](k *call, v []T, op Op, most int) bool {
	switch reflect.TypeFor[T]().Kind() {
	case reflect.Int, reflect.Int32, reflect.Int64:
	case reflect.Uint, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		if op != OpSum && op != OpProd {
			return false
		}
	default:
		return false
	}
	body, ok := codec.Memory(v)
	return ok && len(body) <= most && k.large(len(body))
}

// answer tells the children that have sent a notice, and wait, what has become of
// it: rank 0's word that all go on or all use the tree, or in its place why the
// call fails. It reports whether all go on.
func (f *folded[T]) answer(ctx context.Context, k *call) (agreed bool, err error) {
	p := notice{yes: f.able}.payload()
	if f.failed != nil {
		p = fault(f.failed)
	}
	m := wire.Message{Form: uint8(p.form), Body: p.body}
	if f.noticed && k.c.rank != 0 {
		m, err = k.recv(ctx, parentOf(k.c.rank), stepDown)
	}
	for _, child := range f.waiting {
		if err == nil {
			err = k.send(ctx, child, stepDown, m.Form, m.Body)
		}
	}
	if err != nil {
		k.turnOff() // the others may have agreed
		return false, err
	}
	n, ok := noticeIn(m)
	if !ok && f.failed == nil {
		_, f.failed = decode[[]T](k, parentOf(k.c.rank), m)
	}
	return n.yes, nil
}

// reduceBulk combines the slices of all ranks at the root, or everywhere, if that
// was agreed on, and reports whether it was done.
func reduceBulk[T Number](ctx context.Context, k *call, root int, v []T, op Op, agreed bool) (result []T, done bool, err error) {
	done, err = k.together(ctx, agreed, func(g transport.Group) (transport.Operation, error) {
		if root == transport.All || root == k.c.rank {
			result = make([]T, len(v))
		}
		from, _ := codec.Memory(v)
		to, _ := codec.Memory(result)
		return g.Reduce(root, transport.Op(op), len(from)/len(v), from, to)
	})
	if err != nil {
		return nil, done, err // and result may yet be written to
	}
	return result, done, nil
}
