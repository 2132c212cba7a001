package split_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi"
)

// Tests that are repeated many times, with -short, try fewer numbers each time.
func itemCounts() []int {
	if testing.Short() {
		return []int{0, 2, 1000}
	}
	return []int{0, 1, 2, 3, 1000}
}

func rankCounts() []int {
	if testing.Short() {
		return []int{1, 2, 5}
	}
	return []int{1, 2, 3, 5, 8}
}

// onHosts returns the hosts of n ranks on so many of them: rank 0 is alone on its own,
// and the others take turns.
func onHosts(n, hosts int) []string {
	names := make([]string, n)
	for r := range names {
		names[r] = "h0"
		if r > 0 && hosts > 1 {
			names[r] = fmt.Sprint("h", 1+(r-1)%(hosts-1))
		}
	}
	return names
}

// testHosts says on how many hosts the ranks of all tests seem to be; one, if it is
// not set.
const testHosts = "DLP_TEST_HOSTS"

// onRanks runs body on n ranks, as goroutines, and fails t if it does not end or
// a rank returns an error.
func onRanks(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	hosts, _ := strconv.Atoi(os.Getenv(testHosts))
	require.NoError(t, mpi.RunLocalOn(ctx, onHosts(n, hosts), body))
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
