package mpi

import (
	"cmp"
	"slices"
)

type splitRequest struct{ Color, Key int }

// groupOf returns the world ranks of one color in the order of their keys.
func groupOf(world []int, all []splitRequest, color int) []int {
	var ranks []int
	for r, q := range all {
		if q.Color == color {
			ranks = append(ranks, r)
		}
	}
	slices.SortStableFunc(ranks, func(a, b int) int { return cmp.Compare(all[a].Key, all[b].Key) })
	for i, r := range ranks {
		ranks[i] = world[r]
	}
	return ranks
}

// mix hashes a parent's id, a call number and a text: FNV-1a over all of it,
// then the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
func mix(id, seq uint64, what string) uint64 {
	h := uint64(14695981039346656037)
	for _, v := range []uint64{id, seq} {
		for i := 0; i < 64; i += 8 {
			h = (h ^ v>>i&0xff) * 1099511628211
		}
	}
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 1099511628211
	}
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
