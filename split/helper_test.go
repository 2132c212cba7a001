package split_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

var (
	itemCounts = []int{0, 1, 2, 3, 1000}
	rankCounts = []int{1, 2, 3, 5, 8}
)

// onRanks runs body on n ranks, as goroutines, and fails t if it does not end or
// a rank returns an error.
func onRanks(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	require.NoError(t, mpi.RunLocal(ctx, n, body))
}

// errorsOf runs body on n ranks and returns what it returned on each of them. No
// rank leaves before all have come to the end.
func errorsOf(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) []error {
	t.Helper()
	errs := make([]error, n)
	onRanks(t, n, func(ctx context.Context, c *mpi.Comm) error {
		errs[c.Rank()] = body(ctx, c)
		return c.Barrier(ctx)
	})
	return errs
}

// A tally counts which index was seen how often, and where.
type tally struct {
	mu    sync.Mutex
	seen  []int
	ranks map[int]int
}

func (y *tally) add(rank, i int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.seen = append(y.seen, i)
	if y.ranks == nil {
		y.ranks = map[int]int{}
	}
	y.ranks[rank]++
}

// sorted returns the indices seen, in order.
func (y *tally) sorted() []int {
	y.mu.Lock()
	defer y.mu.Unlock()
	return slices.Sorted(slices.Values(y.seen))
}

func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	if n == 0 {
		return nil
	}
	return all
}
