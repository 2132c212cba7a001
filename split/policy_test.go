package split

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// chunks returns what p hands out when nobody knows anything about times.
func chunks(p Chunking, items, ranks int) (sizes []int) {
	for left := items; left > 0; {
		k := policies[p].size(outlook{items: items, ranks: ranks, left: left, turn: len(sizes)})
		k = min(max(k, 1), left)
		sizes = append(sizes, k)
		left -= k
	}
	return sizes
}

// The sequences for 1000 items and 4 ranks that the literature prints.
func TestPoliciesGiveThePublishedSequences(t *testing.T) {
	require.Equal(t, []int{250, 250, 250, 250}, chunks(Static, 1000, 4))
	require.Equal(t, []int{250, 188, 141, 106, 79, 59, 45, 33, 25, 19, 14, 11, 8, 6, 4, 3, 3, 2, 1, 1, 1, 1},
		chunks(Guided, 1000, 4))
	require.Equal(t, []int{125, 117, 109, 101, 93, 85, 77, 69, 61, 53, 45, 37, 28}, chunks(Trapezoid, 1000, 4))
	require.Equal(t, []int{
		125, 125, 125, 125, 63, 63, 63, 63, 31, 31, 31, 31, 16, 16, 16, 16,
		8, 8, 8, 8, 4, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1, 1,
	}, chunks(Factoring, 1000, 4))
}

func TestPoliciesHandOutEverything(t *testing.T) {
	for p := range policies {
		for _, items := range []int{1, 2, 3, 17, 1000, 99_991} {
			for _, ranks := range []int{1, 2, 3, 7, 64, 2000} {
				if items/ranks > 10_000 && (Chunking(p) == Single || Chunking(p) == Adaptive) {
					continue // one by one
				}
				sum := 0
				for _, k := range chunks(Chunking(p), items, ranks) {
					sum += k
				}
				require.Equal(t, items, sum, "%v of %d items among %d ranks", Chunking(p), items, ranks)
			}
		}
	}
}

func TestAdaptiveFollowsTheMeasuredTimes(t *testing.T) {
	o := outlook{items: 100_000, ranks: 4, left: 50_000, done: 50_000, did: 12_500, cost: 20 * time.Microsecond}
	for _, c := range []struct {
		name string
		mean time.Duration
		want int
	}{
		{"nothing measured", 0, 1},
		{"a request is lost in an item", 10 * time.Millisecond, 1},
		{"just long enough", 2 * time.Millisecond, 1},
		{"at most a tenth of a second", time.Millisecond, 100},
		{"half of what is left", time.Microsecond, 6250},
		{"at least nineteen requests", 50 * time.Nanosecond, 7600},
		{"at most a rank's share", time.Nanosecond, 12500},
	} {
		o.mean = c.mean
		require.Equal(t, c.want, adaptive(o), c.name)
	}
	o.mean, o.done = time.Microsecond, 12
	require.Equal(t, 12, adaptive(o), "no more than has been measured")
	o.mean, o.done, o.did = time.Microsecond, 50_000, 3
	require.Equal(t, 7, adaptive(o), "it may be a slow rank")
}

func TestAdaptiveWeighsRanks(t *testing.T) {
	o := outlook{items: 100_000, ranks: 4, left: 50_000, done: 50_000, did: 12_500, cost: 20 * time.Microsecond, mean: time.Millisecond}
	for own, want := range map[time.Duration]int{
		0:                       100, // nothing is known of it
		time.Millisecond:        100,
		950 * time.Microsecond:  100, // about as fast
		1050 * time.Microsecond: 100,
		500 * time.Microsecond:  200,
		4 * time.Millisecond:    25,
		time.Microsecond:        800, // a measurement of few items
		time.Second:             12,
	} {
		o.own = own
		require.Equal(t, want, adaptive(o), "an item takes %v here", own)
	}
	o.own, o.done = 500*time.Microsecond, 120
	require.Equal(t, 120, adaptive(o), "no more than has been measured")
	o.own, o.done, o.left = 4*time.Second, 50_000, 1
	require.Equal(t, 1, adaptive(o))
}

func TestAskingAheadStopsNearTheEnd(t *testing.T) {
	o := outlook{items: 1000, ranks: 4, left: 900, mean: 10 * time.Microsecond, cost: 20 * time.Microsecond}
	require.Equal(t, 5, ahead(o, 50))
	require.Equal(t, 2, ahead(o, 2), "no more than the chunk")
	o.left = 8
	require.Zero(t, ahead(o, 2), "a chunk for each rank is left")
	o.left, o.mean = 900, time.Second
	require.Zero(t, ahead(o, 50), "items are long")
	o.mean, o.ranks = time.Microsecond, 1
	require.Zero(t, ahead(o, 50), "nobody to ask")
}

func TestChunkingNames(t *testing.T) {
	require.Equal(t, "Factoring", Factoring.String())
	require.Equal(t, "Chunking(-1)", Chunking(-1).String())
	require.Equal(t, "Chunking(99)", Chunking(99).String())
}
