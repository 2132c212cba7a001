package gather

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi"
)

// A rank that says it has more or fewer items than it sends is found out.
func TestItemsThatWereNotDue(t *testing.T) {
	for name, c := range map[string]struct {
		errs []error
		want string
	}{
		"fewer strings":       {liar(t, "Slice(string)", 4, make([]string, 3)), "gather: Slice: rank 1 sent 3 items where 4 were due"},
		"more strings":        {liar(t, "Slice(string)", 2, make([]string, 300_000)), "gather: Slice: rank 1 sent 300000 items where 2 were due"},
		"fewer numbers":       {liar(t, "Slice(int64)", 4, make([]int64, 3)), "gather: Slice: rank 1 sent 24 bytes at first of 32 that were due"},
		"fewer, in pieces":    {liar(t, "Slice(int64)", 400_000, make([]int64, 300_000)), "gather: Slice: rank 1 sent 302848 bytes where 1048576 were due"},
		"many, but few came":  {liar(t, "Slice(int64)", 400_000, make([]int64, 3)), "gather: Slice: rank 1 sent 24 bytes at first of 3200000 that were due"},
		"few, but many came":  {liar(t, "Slice(int64)", 4, make([]int64, 400_000)), "gather: Slice: rank 1 sent 0 bytes at first of 32 that were due"},
		"more than there are": {liar(t, "Slice(int64)", math.MaxInt, make([]int64, 3)), fmt.Sprintf("gather: Slice: rank 1 has %d items, which are too many", math.MaxInt)},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, c.errs[0], c.want) })
	}
}

// liar gathers on two ranks, one of which says that it has so many items.
func liar[T any](t *testing.T, op string, items int, local []T) []error {
	return errorsOf(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			_, err := Slice[T](ctx, c, nil)
			return err
		}
		p, err := open(c, op, 1)
		if err != nil {
			return err
		}
		defer p.Free()
		s := &sender{c: p, items: items}
		if mem, ok := codec.Memory(local); ok {
			return sendMemory(ctx, s, mem)
		}
		return sendItems(ctx, s, local)
	})
}

func TestGreetings(t *testing.T) {
	r := receiver{c: &call{op: "op"}, rank: 3}
	rest, err := r.greet([]byte{2, 'o', 'p', 7, 1, 2})
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2}, rest)
	require.Equal(t, 7, r.items)
	for _, bad := range [][]byte{{}, {2, 'o'}, {2, 'o', 'p'}, {2, 'o', 'p', 0x80}, slices.Concat([]byte{2, 'o', 'p'}, slices.Repeat([]byte{0xff}, 9), []byte{1})} {
		_, err := r.greet(bad)
		require.EqualError(t, err, "rank 3: unexpected EOF")
	}
}

// Items of one rank take many batches of different sizes; no value may be of
// memory that the next batch is received into.
func TestBatchesShareNoMemory(t *testing.T) {
	run(t, 3, func(ctx context.Context, c *mpi.Comm) error {
		f := func(rank int) [][]string {
			var all [][]string
			for i := range 2000 {
				all = append(all, []string{fmt.Sprint(rank, i), string(bytesOf(rank, i%700)), string(bytesOf(rank, i/1999<<20))})
			}
			return all
		}
		return errors.Join(sliceIs(ctx, c, f), streamIs(ctx, c, f))
	})
}
