package gather

import (
	"context"

	"github.com/dlprun/dlp/mpi"
)

// A List collects a rank's results one by one. The zero List is empty and ready
// to use. It is not safe for concurrent use.
type List[T any] struct {
	items []T
}

// Append adds vs at the end of this rank's list. It sends nothing.
func (l *List[T]) Append(vs ...T) {
	l.items = append(l.items, vs...)
}

// Gather returns the lists of all ranks, one after another in rank order, at
// the root, and nil elsewhere. It is collective, and like [Slice] in what
// blocks and fails. The list stays as it is.
func (l *List[T]) Gather(ctx context.Context, c *mpi.Comm) ([]T, error) {
	return gatherSlice(ctx, c, "List.Gather", l.items)
}
