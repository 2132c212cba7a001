package split

import (
	"slices"
	"sync"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func newBoard(n, ranks int) *board {
	words := make([]uint64, boardSize(ranks)/8)
	return boardOf(bytesOf(words), n)
}

// Whatever way ranks take from a board, at once, each index goes to one of them.
func TestBoardGivesEachIndexOnce(t *testing.T) {
	const n, ranks = 100_000, 8
	b := newBoard(n, ranks)
	takes := []func(r int) span{
		func(int) span { return b.add(1) },
		func(int) span { return b.add(7) },
		func(int) span { return b.draw(n, func(left, _ int) int { return left / 1000 }) },
		func(int) span {
			if i := b.out(); b.take(i) {
				return span{i, i + 1}
			}
			return b.draw(n, func(int, int) int { return 2 })
		},
	}
	var mu sync.Mutex
	var all []int
	var wg sync.WaitGroup
	for r := range ranks {
		wg.Go(func() {
			var mine []int
			for run := takes[r%len(takes)](r); run.len() > 0; run = takes[r%len(takes)](r) {
				for i := run.lo; i < run.hi; i++ {
					mine = append(mine, i)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
		})
	}
	wg.Wait()
	slices.Sort(all)
	require.Equal(t, upToN(n), all)
	require.Equal(t, n, b.out())
}

func upToN(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func TestBoardKeepsTheLimit(t *testing.T) {
	b := newBoard(10, 1)
	two := func(int, int) int { return 2 }
	require.Equal(t, span{0, 2}, b.draw(3, two))
	require.Equal(t, span{2, 3}, b.draw(3, two))
	require.Equal(t, span{}, b.draw(3, two))
	require.False(t, b.take(4))
	require.True(t, b.take(3), "what the root waits for goes beyond the limit")
	require.Equal(t, 4, b.out())
	require.Equal(t, 2, b.turn())
	b.close()
	require.Equal(t, span{}, b.draw(10, two))
	require.Zero(t, b.add(3).len())
	require.Equal(t, 10, b.out())
}

func TestBoardTooLarge(t *testing.T) {
	require.True(t, fits(1<<30, 100))
	require.False(t, fits(1<<39, 100))
	require.False(t, fits(unknown, 2))
	require.True(t, fits(0, 1))
}

// A drawer follows rank 0's policy, chunk by chunk.
func TestDrawerFollowsThePolicy(t *testing.T) {
	for _, c := range []struct {
		o    offer
		want []int
	}{
		{offer{chunk: 4}, []int{4, 4, 2}},
		{offer{chunk: 4, bounded: true}, []int{4, 4, 2}},
		{offer{policy: Single}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{offer{policy: Static}, []int{5, 5}},
		{offer{policy: Guided}, []int{5, 3, 1, 1}},
		{offer{policy: Factoring}, []int{3, 3, 1, 1, 1, 1}},
	} {
		b := newBoard(10, 1)
		b.limit.Store(10)
		d := newDrawer(b, c.o, 2)
		var got []int
		for run := d.draw(); run.len() > 0; run = d.draw() {
			require.True(t, d.note.busy.Load())
			got = append(got, run.len())
		}
		require.Equal(t, c.want, got, "%+v", c.o)
		require.EqualValues(t, 10, d.note.done.Load())
		require.False(t, d.note.busy.Load())
	}
}

func bytesOf(words []uint64) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 8*len(words))
}
