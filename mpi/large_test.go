package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/mpitest"
)

// Bodies that are large enough to leave the tree, where the transport has
// collective operations of its own, and those around that size. Without such a
// transport they go as all others do, and the answers must be the same.

var largeRanks = []int{1, 2, 3, 4}

// onRanks runs body on jobs of all sizes.
func onRanks(t *testing.T, body func(ctx context.Context, c *mpi.Comm) error) {
	for _, n := range largeRanks {
		t.Run(strconv.Itoa(n), func(t *testing.T) { mpitest.Run(t, n, body) })
	}
}

// number returns the element i of rank's slice.
func number[T mpi.Number](rank, i int) T {
	x := uint64(rank+1)*0x9e3779b97f4a7c15 + uint64(i)*0xbf58476d1ce4e5b9
	x ^= x >> 29
	if T(1)/2 != 0 { // a float
		switch x % 1000 {
		case 0:
			return T(math.NaN())
		case 1:
			return T(math.Copysign(0, -1))
		}
		return T(int64(x)) / 3
	}
	return T(x | 1) // products of odd numbers never become 0
}

func numbers[T mpi.Number](rank, n int) []T {
	v := make([]T, n)
	for i := range v {
		v[i] = number[T](rank, i)
	}
	return v
}

// folded is the fold of the elements i of the ranks from r on that are below r in
// the binomial tree.
func folded[T mpi.Number](r, size, i int, op func(a, b T) T) T {
	acc := number[T](r, i)
	for bit := 1; r+bit < size && r&bit == 0; bit <<= 1 {
		acc = op(acc, folded(r+bit, size, i, op))
	}
	return acc
}

func operations[T mpi.Number]() map[mpi.Op]func(a, b T) T {
	return map[mpi.Op]func(a, b T) T{mpi.OpSum: mpi.Sum[T], mpi.OpProd: mpi.Prod[T], mpi.OpMin: mpi.Min[T], mpi.OpMax: mpi.Max[T]}
}

// sameBits compares memory: a NaN is itself, and a negative zero is no zero.
func sameBits[T mpi.Number](got, want []T) error {
	memory := func(v []T) []byte {
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(*new(T))))
	}
	if len(got) == len(want) && bytes.Equal(memory(got), memory(want)) {
		return nil
	}
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(memory(got[i:i+1]), memory(want[i:i+1])) {
			return fmt.Errorf("element %d of %d is %v, not %v", i, len(want), got[i], want[i])
		}
	}
	return fmt.Errorf("%d elements, not %d", len(got), len(want))
}

// reductions compares every operation on every root with a fold by one.
func reductions[T mpi.Number](ctx context.Context, c *mpi.Comm, sizes ...int) error {
	for _, n := range sizes {
		v := numbers[T](c.Rank(), n)
		for _, op := range []mpi.Op{mpi.OpSum, mpi.OpProd, mpi.OpMin, mpi.OpMax} {
			f := operations[T]()[op]
			want := make([]T, n)
			for i := range want {
				want[i] = folded(0, c.Size(), i, f)
			}
			all, err := mpi.AllreduceSlice(ctx, c, v, op)
			if err == nil {
				err = sameBits(all, want)
			}
			for root := 0; root < c.Size() && err == nil; root++ {
				var one []T
				one, err = mpi.ReduceSlice(ctx, c, root, v, op)
				if err == nil && c.Rank() == root {
					err = sameBits(one, want)
				} else if one != nil {
					err = fmt.Errorf("%d elements at rank %d, which is not the root %d", len(one), c.Rank(), root)
				}
			}
			if err == nil {
				err = sameBits(v, numbers[T](c.Rank(), n)) // it was only read
			}
			if err != nil {
				return fmt.Errorf("%T, %d elements, %v: %w", v, n, op, err)
			}
		}
	}
	return nil
}

// large is from how many elements on a slice is.
func large[T mpi.Number]() int { return mpi.BulkSize / int(unsafe.Sizeof(*new(T))) }

// around returns numbers of elements around that.
func around[T mpi.Number]() []int { return []int{0, 1, large[T]() - 1, large[T](), large[T]() + 1} }

type meters int32

func TestLargeReductions(t *testing.T) {
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		return errors.Join(
			reductions[int](ctx, c, around[int]()...),
			reductions[int64](ctx, c, mpi.ReduceMost/8+1),
			largeSum(ctx, c, 3<<17+1, 1),
			reductions[float64](ctx, c, around[float64]()...),
			reductions[int8](ctx, c, large[int8]()),
			reductions[int16](ctx, c, large[int16]()),
			reductions[int32](ctx, c, large[int32]()),
			reductions[uint](ctx, c, large[uint]()),
			reductions[uint8](ctx, c, large[uint8]()),
			reductions[uint16](ctx, c, large[uint16]()),
			reductions[uint32](ctx, c, large[uint32]()),
			reductions[uint64](ctx, c, large[uint64]()),
			reductions[uintptr](ctx, c, large[uintptr]()),
			reductions[meters](ctx, c, large[meters]()),
			reductions[float32](ctx, c, large[float32]()),
		)
	})
}

// Values of all kinds are broadcast whole, whatever their bytes are.
func TestLargeBcast(t *testing.T) {
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		for root := range c.Size() {
			for _, n := range []int{0, 1, mpi.BulkSize - 1, mpi.BulkSize, mpi.BulkSize + 1, 3<<20 + 1} {
				own, want := fill(c.Rank(), n), fill(root, n)
				b, err := mpi.Bcast(ctx, c, root, own)
				if err == nil {
					err = errors.Join(same("bytes", b, want), same("own bytes", own, fill(c.Rank(), n)))
				}
				if err == nil && n > 0 && c.Rank() != root {
					b[0]++ // it is the caller's
				}
				text, err2 := mpi.Bcast(ctx, c, root, string(own))
				if err2 == nil && text != string(want) {
					err2 = errors.New("another text")
				}
				r, err3 := mpi.Bcast(ctx, c, root, record{c.Rank(), "r", own})
				if err3 == nil {
					err3 = same("record", r, record{root, "r", want})
				}
				f, err4 := mpi.Bcast(ctx, c, root, numbers[float64](c.Rank(), n/8))
				if err4 == nil {
					err4 = sameBits(f, numbers[float64](root, n/8))
				}
				if err := errors.Join(err, err2, err3, err4); err != nil {
					return fmt.Errorf("root %d, %d bytes: %w", root, n, err)
				}
			}
		}
		return nil
	})
}

// Whatever lengths meet, large or not, every rank of an AllreduceSlice and the root
// of a ReduceSlice hear of it, nobody waits, and the next call is as good as any.
func TestLargeLengthsThatDiffer(t *testing.T) {
	lengths := []int{1, mpi.BulkSize / 8, mpi.BulkSize/8 + 1, mpi.ReduceMost/8 + 1}
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		for odd := range c.Size() {
			for i, most := range lengths {
				n, root := most, (odd+i)%c.Size()
				if c.Rank() == odd {
					n = lengths[(i+1)%len(lengths)]
				}
				_, err := mpi.AllreduceSlice(ctx, c, make([]int64, n), mpi.OpSum)
				if told := err != nil && strings.Contains(err.Error(), "must be equal"); told != (c.Size() > 1) {
					return fmt.Errorf("AllreduceSlice at rank %d, rank %d is odd, %d elements here: %v", c.Rank(), odd, n, err)
				}
				_, err = mpi.ReduceSlice(ctx, c, root, make([]int64, n), mpi.OpSum)
				if told := err != nil && strings.Contains(err.Error(), "must be equal"); c.Rank() == root && told != (c.Size() > 1) {
					return fmt.Errorf("ReduceSlice at root %d, rank %d is odd, %d elements here: %v", root, odd, n, err)
				}
			}
		}
		return reductions[int64](ctx, c, mpi.BulkSize/8)
	})
}

// An error in the place of a large value reaches every rank, however long it is;
// an operation that does not exist is an error with large slices too.
func TestLargeFaults(t *testing.T) {
	long := strings.Repeat("why ", mpi.BulkSize)
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		_, err := mpi.OnRoot(ctx, c, func(context.Context) ([]byte, error) { return make([]byte, mpi.BulkSize), errors.New(long) })
		if err == nil || !strings.HasSuffix(err.Error(), long) {
			return fmt.Errorf("OnRoot: %.100v", err)
		}
		_, err = mpi.AllreduceSlice(ctx, c, make([]int32, mpi.BulkSize), mpi.Op(9))
		if err == nil || !strings.Contains(err.Error(), "Op(9) is no operation") {
			return fmt.Errorf("AllreduceSlice: %v", err)
		}
		return reductions[int64](ctx, c, mpi.BulkSize/8)
	})
}

// Several goroutines of each rank use communicators of their own, of overlapping
// groups, which they come to in another order on each rank.
func TestLargeOnManyCommunicators(t *testing.T) {
	const several, rounds = 5, 8
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		for round := range rounds {
			comms := make([]*mpi.Comm, several)
			for i := range comms {
				var err error
				if i%2 == 0 {
					comms[i], err = c.Dup(ctx)
				} else { // all but one, in falling order
					color := 0
					if c.Size() > 2 && c.Rank() == (i+round)%c.Size() {
						color = -1
					}
					comms[i], err = c.Split(ctx, color, -c.Rank())
				}
				if err != nil {
					return err
				}
			}
			if err := usedByMany(ctx, comms, rand.New(rand.NewPCG(uint64(c.Rank()), uint64(round)))); err != nil {
				return err
			}
		}
		return nil
	})
}

// usedByMany uses each communicator by a goroutine, which begins some time.
func usedByMany(ctx context.Context, comms []*mpi.Comm, rnd *rand.Rand) error {
	results := make(chan error)
	for _, i := range rnd.Perm(len(comms)) {
		delay := time.Duration(rnd.IntN(3)) * time.Millisecond
		go func() {
			if comms[i] == nil {
				results <- nil
				return
			}
			time.Sleep(delay)
			results <- largeOn(ctx, comms[i], i)
		}()
	}
	var err error
	for range comms {
		err = errors.Join(err, <-results)
	}
	return err
}

func largeOn(ctx context.Context, c *mpi.Comm, salt int) error {
	for range 3 {
		b, err := mpi.Bcast(ctx, c, salt%c.Size(), fill(c.Rank()+salt, mpi.BulkSize))
		if err == nil {
			err = same("Bcast", b, fill(salt%c.Size()+salt, mpi.BulkSize))
		}
		if err == nil {
			err = largeSum(ctx, c, mpi.BulkSize/8, salt)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// largeSum adds slices up at every rank.
func largeSum(ctx context.Context, c *mpi.Comm, elements, salt int) error {
	v := make([]int64, elements)
	for i := range v {
		v[i] = int64(c.Rank()*salt + i)
	}
	sum, err := mpi.AllreduceSlice(ctx, c, v, mpi.OpSum)
	if err != nil {
		return err
	}
	n := c.Size()
	for i := range v {
		v[i] = int64(n*(n-1)/2*salt + n*i)
	}
	return sameBits(sum, v)
}

// A call whose ctx ends while another rank has not come is given up, also by those
// that have agreed on what follows; the next one is done.
func TestLargeGivenUp(t *testing.T) {
	onRanks(t, func(ctx context.Context, c *mpi.Comm) error {
		if c.Size() == 1 {
			return nil
		}
		v := numbers[int64](c.Rank(), mpi.BulkSize)
		for range 2 {
			brief, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
			if c.IsRoot() {
				cancel()
			}
			_, err := mpi.AllreduceSlice(brief, c, v, mpi.OpSum)
			cancel()
			if err == nil {
				return fmt.Errorf("rank %d was not told that its ctx had ended", c.Rank())
			}
			if err := c.Barrier(ctx); err != nil {
				return err
			}
			if err := largeOn(ctx, c, 1); err != nil {
				return err
			}
		}
		return nil
	})
}

// There may be more communicators than MPI has: the rest do without.
func TestLargeOnThousandsOfCommunicators(t *testing.T) {
	mpitest.Run(t, 2, func(ctx context.Context, c *mpi.Comm) error {
		for i := range 2500 {
			d, err := c.Dup(ctx)
			if err != nil {
				return err
			}
			b, err := mpi.Bcast(ctx, d, i%2, slices.Repeat([]byte{byte(i + c.Rank())}, mpi.BulkSize))
			if err == nil && (len(b) != mpi.BulkSize || b[0] != byte(i+i%2)) {
				err = errors.New("another value")
			}
			if err != nil {
				return fmt.Errorf("communicator %d: %w", i, err)
			}
		}
		return nil
	})
}
