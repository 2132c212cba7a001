package mpi_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"sync"
	"testing"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

// The conformance matrix of the collectives: every transport, every number of
// ranks, every root, every size, with values that only one rank can have made.

var (
	matrixRanks = []int{1, 2, 3, 4, 7}
	matrixSizes = []int{0, 1, 4095, 64 << 10, matrixLarge()}
)

// matrixLarge is larger than anything that goes whole, rings included; not so under the
// race detector, which makes comparing it five times as slow: make within runs both.
func matrixLarge() int {
	if raceEnabled {
		return 300<<10 + 1
	}
	return 3<<20 + 1
}

func TestCollectives(t *testing.T) {
	for _, n := range matrixRanks {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			mpitest.Run(t, n, func(ctx context.Context, c *mpi.Comm) error {
				for _, size := range matrixSizes {
					for root := range n {
						if err := matrixRooted(ctx, c, root, size); err != nil {
							return fmt.Errorf("root %d, size %d: %w", root, size, err)
						}
					}
					if err := matrixSymmetric(ctx, c, size); err != nil {
						return fmt.Errorf("size %d: %w", size, err)
					}
				}
				return nil
			})
		})
	}
}

// noise is what all values are cut from.
var noise = sync.OnceValue(func() []byte {
	b := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
})

// fill returns size bytes that no other rank has. They must not be written to.
func fill(rank, size int) []byte { return noise()[rank*1009:][:size:size] }

type record struct {
	Rank int
	Text string
	Data []byte
}

func same(what string, got, want any) error {
	if a, ok := got.([]byte); ok {
		if b := want.([]byte); !bytes.Equal(a, b) {
			return fmt.Errorf("%s: %d bytes differ from %d", what, len(a), len(b))
		}
		return nil
	}
	if a, ok := got.(record); ok { // DeepEqual is slow on bytes
		b := want.(record)
		if a.Rank != b.Rank || a.Text != b.Text {
			return fmt.Errorf("%s: got %d %q, want %d %q", what, a.Rank, a.Text, b.Rank, b.Text)
		}
		return same(what, a.Data, b.Data)
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s: got %.200v, want %.200v", what, got, want)
	}
	return nil
}

func matrixRooted(ctx context.Context, c *mpi.Comm, root, size int) error {
	n, at := c.Size(), c.Rank() == root
	b, err := mpi.Bcast(ctx, c, root, fill(c.Rank(), size))
	if err == nil {
		err = same("Bcast", b, fill(root, size))
	}
	if err != nil {
		return err
	}
	vs, err := mpi.Gather(ctx, c, root, record{c.Rank(), "r", fill(c.Rank(), size+1)})
	if err != nil {
		return err
	}
	if at != (vs != nil) {
		return fmt.Errorf("Gather: %d values at rank %d, root %d", len(vs), c.Rank(), root)
	}
	for r := range vs {
		if err := same("Gather", vs[r], record{r, "r", fill(r, size+1)}); err != nil {
			return err
		}
	}
	var parts [][]byte
	if at {
		for r := range n {
			parts = append(parts, fill(r+100, size))
		}
	}
	if b, err = mpi.Scatter(ctx, c, root, parts); err == nil {
		err = same("Scatter", b, fill(c.Rank()+100, size))
	}
	if err != nil {
		return err
	}
	text, err := mpi.Reduce(ctx, c, root, strconv.Itoa(c.Rank())+" ", func(a, b string) string { return a + b })
	if err != nil {
		return err
	}
	want := ""
	for r := range n {
		want += strconv.Itoa(r) + " "
	}
	if at {
		err = same("Reduce", text, want)
	}
	if err != nil {
		return err
	}
	v := make([]float64, size/8)
	for i := range v {
		v[i] = float64(i + c.Rank())
	}
	sum, err := mpi.ReduceSlice(ctx, c, root, v, mpi.OpSum)
	if err != nil {
		return err
	}
	if at != (sum != nil) && size >= 8 {
		return fmt.Errorf("ReduceSlice: %d elements at rank %d, root %d", len(sum), c.Rank(), root)
	}
	for i := range sum {
		if want := float64(n*i + n*(n-1)/2); sum[i] != want {
			return fmt.Errorf("ReduceSlice[%d]: %v, want %v", i, sum[i], want)
		}
	}
	return c.Barrier(ctx)
}

func matrixSymmetric(ctx context.Context, c *mpi.Comm, size int) error {
	n := c.Size()
	vs, err := mpi.Allgather(ctx, c, fill(c.Rank(), size))
	if err != nil {
		return err
	}
	for r := range n {
		if err := same("Allgather", vs[r], fill(r, size)); err != nil {
			return err
		}
	}
	total, err := mpi.Allreduce(ctx, c, c.Rank()+1, mpi.Prod[int])
	if err != nil {
		return err
	}
	want := 1
	for r := range n {
		want *= r + 1
	}
	if err := same("Allreduce", total, want); err != nil {
		return err
	}
	low, err := mpi.AllreduceSlice(ctx, c, []int32{-int32(c.Rank()), 5}, mpi.OpMin)
	if err != nil {
		return err
	}
	if err := same("AllreduceSlice", low, []int32{-int32(n - 1), 5}); err != nil {
		return err
	}
	v, err := mpi.OnRoot(ctx, c, func(context.Context) ([]byte, error) { return fill(3, size), nil })
	if err != nil {
		return err
	}
	if err := same("OnRoot", v, fill(3, size)); err != nil {
		return err
	}
	// Around the ring: everybody sends before anybody receives.
	next, before := (c.Rank()+1)%n, (c.Rank()+n-1)%n
	if err := c.Send(ctx, next, 7, fill(c.Rank(), size)); err != nil {
		return err
	}
	got, s, err := c.Recv(ctx, before, 7)
	if err != nil {
		return err
	}
	if s != (mpi.Status{Source: before, Tag: 7, Len: size}) {
		return fmt.Errorf("status %+v", s)
	}
	if err := same("Recv", got, fill(before, size)); err != nil {
		return err
	}
	half, err := c.Split(ctx, c.Rank()%2, -c.Rank())
	if err != nil {
		return err
	}
	ranks, err := mpi.Allgather(ctx, half, c.Rank())
	if err != nil {
		return err
	}
	for i := range ranks { // keys are negative ranks: the order turns round
		if i > 0 && ranks[i] >= ranks[i-1] || ranks[i]%2 != c.Rank()%2 {
			return fmt.Errorf("Split: %v at rank %d", ranks, c.Rank())
		}
	}
	return nil
}
