package split

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"
)

// These digits must never change: users' results depend on them.
func TestRandDigitsStayForEver(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		i    int
		want [2]uint64
	}{
		{0, 0, [2]uint64{0x6660149af9880179, 0x4ce705dc0d0bb996}},
		{0, 1, [2]uint64{0x23d938fd8e2b59ba, 0x50da98275d36dff2}},
		{1, 0, [2]uint64{0xc81fd8a4355016d2, 0xa8548f6946f37cc7}},
		{42, 1_000_000, [2]uint64{0x3b6fa1689d6cd46b, 0x3352723c9ecc5b8c}},
		{1<<64 - 1, -1, [2]uint64{0xa0a116db666313f4, 0x90ab6a44c0b5683e}},
	} {
		r := Rand(c.seed, c.i)
		require.Equal(t, c.want, [2]uint64{r.Uint64(), r.Uint64()}, "seed %d, item %d", c.seed, c.i)
	}
}

// Streams of neighbouring items and seeds, and of items and seeds swapped,
// differ in half of their bits, as unrelated ones do.
func TestRandStreamsAreNotCorrelated(t *testing.T) {
	const items, draws = 200, 32
	for name, next := range map[string]func(i int) (uint64, int, uint64, int){
		"item":     func(i int) (uint64, int, uint64, int) { return 1, i, 1, i + 1 },
		"seed":     func(i int) (uint64, int, uint64, int) { return uint64(i), 1, uint64(i) + 1, 1 },
		"both":     func(i int) (uint64, int, uint64, int) { return uint64(i), i + 1, uint64(i) + 1, i },
		"high bit": func(i int) (uint64, int, uint64, int) { return 7, i, 7, i | 1<<40 },
	} {
		differ := 0
		for i := range items {
			s1, i1, s2, i2 := next(i)
			a, b := Rand(s1, i1), Rand(s2, i2)
			for range draws {
				differ += bits.OnesCount64(a.Uint64() ^ b.Uint64())
			}
		}
		// The standard deviation of the mean of 409600 bits is 0.0008.
		require.InDelta(t, 0.5, float64(differ)/(items*draws*64), 0.005, name)
	}
}

func TestRandFirstNumbersAreEven(t *testing.T) {
	var buckets [16]int
	for i := range 16000 {
		buckets[Rand(3, i).Uint64()>>60]++
	}
	for _, n := range buckets {
		require.InDelta(t, 1000, n, 160) // five standard deviations
	}
}
