package gather

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// Indexed collects the results of n items, each of which is computed on some
// rank, and puts them in the order of the items. It is not safe for concurrent
// use.
type Indexed[T any] struct {
	own pairs[int, T]
}

// NewIndexed returns an empty collection for the results of items 0 to n-1.
// Every rank must pass the same n; if not, or if n is below 0, Gather fails.
func NewIndexed[T any](n int) *Indexed[T] {
	return &Indexed[T]{pairs[int, T]{n: n}}
}

// Set gives item i its result. It sends nothing, and keeps v as it is. An i that
// is out of range, or set before, on this rank or another, is an error of Gather.
func (x *Indexed[T]) Set(i int, v T) {
	x.own.keys = append(x.own.keys, i)
	x.own.values = append(x.own.values, v)
}

// Gather returns the results in the order of the items, of length n, at the
// root, and nil elsewhere. It is collective, and blocks until the root has
// everything. The collection stays as it is.
//
// Errors, the same on every rank: indices that are missing, set more than once
// or out of range, with the ranks that set them; another n on another rank; a T
// that cannot travel whole, or a value that cannot. Also those of Send and Recv.
func (x *Indexed[T]) Gather(ctx context.Context, c *mpi.Comm) (all []T, err error) {
	defer wrap(&err, c, "Indexed.Gather")
	if err := codec.Check[T](); err != nil {
		return nil, err
	}
	p, err := open(c, fmt.Sprintf("Indexed.Gather(%v)", reflect.TypeFor[T]()), 1)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	return gatherPairs(ctx, p, x.own, inOrder[T])
}

// inOrder puts the values in their places.
func inOrder[T any](parts []pairs[int, T]) ([]T, error) {
	n := parts[0].n
	if n < 0 {
		return nil, fmt.Errorf("n is %d; pass NewIndexed the number of items, 0 or more", n)
	}
	for rank, part := range parts {
		if part.n != n {
			return nil, fmt.Errorf("rank 0 has n = %d, rank %d has n = %d; pass the same n to NewIndexed on every rank", n, rank, part.n)
		}
	}

	all, set := make([]T, n), make([]bool, n)
	doubled := map[int]bool{}
	var outside []string
	for rank, part := range parts {
		for j, i := range part.keys {
			switch {
			case i < 0 || i >= n:
				outside = append(outside, fmt.Sprintf("%d by rank %d", i, rank))
			case set[i]:
				doubled[i] = true
			default:
				all[i], set[i] = part.values[j], true
			}
		}
	}
	if err := wrongIndices(set, outside, clashes(parts, doubled)); err != nil {
		return nil, err
	}
	return all, nil
}

// wrongIndices says in one line what is wrong with the indices, if anything is.
func wrongIndices(set []bool, outside []string, doubled []clash[int]) error {
	var missing []int
	for i := range set {
		if !set[i] {
			missing = append(missing, i)
		}
	}
	var wrong []string
	if len(missing) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %d indices are missing: %s", len(missing), len(set), enumerate(missing, strconv.Itoa)))
	}
	if len(doubled) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d set more than once: %s", len(doubled),
			enumerate(doubled, func(c clash[int]) string { return fmt.Sprintf("%d %s", c.key, c.by()) })))
	}
	if len(outside) > 0 {
		wrong = append(wrong, fmt.Sprintf("%d out of range [0, %d): %s", len(outside), len(set),
			enumerate(outside, func(s string) string { return s })))
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; ") + "; set each index once, on one rank")
}
