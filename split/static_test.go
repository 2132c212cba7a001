package split

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStaticSplitsHandOutEachIndexOnce(t *testing.T) {
	for _, n := range []int{-3, 0, 1, 2, 3, 7, 1000} {
		for _, size := range []int{1, 2, 3, 5, 8} {
			var robin, blocks []int
			seq := map[int]string{}
			for rank := range size {
				mine := slices.Collect(roundRobin(rank, size, n))
				require.True(t, slices.IsSorted(mine))
				robin = append(robin, mine...)
				share := slices.Collect(block(rank, size, n))
				require.InDelta(t, max(n, 0)/size, len(share), 1)
				blocks = append(blocks, share...)
				items := slices.Values(make([]string, max(n, 0)))
				maps.Insert(seq, roundRobinSeq(rank, size, items))
			}
			slices.Sort(robin)
			require.Equal(t, upTo(n), robin, "round robin, n %d, size %d", n, size)
			require.Equal(t, upTo(n), blocks, "block, n %d, size %d", n, size)
			require.Len(t, seq, max(n, 0))
		}
	}
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestStaticSplitsStopWhenLeft(t *testing.T) {
	for range roundRobin(0, 1, 5) {
		break
	}
	for range block(0, 1, 5) {
		break
	}
	walked := 0
	endless := func(yield func(int) bool) {
		for yield(walked) {
			walked++
		}
	}
	for i, item := range roundRobinSeq(1, 3, endless) {
		require.Equal(t, i, item)
		if i == 7 {
			break
		}
	}
	require.Equal(t, 7, walked)
}
