package split

import "math/rand/v2"

// Rand returns a source of random numbers for item i alone. The numbers depend
// on seed and i and on nothing else: not on the number of ranks, on which rank
// has the item, or on the order of the items. They stay the same in all future
// versions of this package. Different items, and different seeds, have streams
// that are not correlated. It sends nothing; the result must not be used by
// several goroutines at once.
//
// The generator is PCG (O'Neill, "PCG: A Family of Simple Fast
// Space-Efficient Statistically Good Algorithms for Random Number Generation",
// 2014). Its 128 bits of state are mixed from seed and i by SplitMix64 (Steele,
// Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014),
// since states that differ in a few bits would give streams that look alike.
func Rand(seed uint64, i int) *rand.Rand {
	return rand.New(rand.NewPCG(mix(mix(seed)^uint64(i)), mix(seed^mix(uint64(i)))))
}

// mix is one step of SplitMix64: it maps 64 bits to 64 bits, one to one, and
// each bit of x changes about half of the bits of the result.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio, made odd
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
