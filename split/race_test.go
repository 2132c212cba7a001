//go:build race

package split_test

// raced is whether the race detector is on. It makes a sync.Pool, of which package mpi
// has some, drop things at random.
const raced = true
