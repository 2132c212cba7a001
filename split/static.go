package split

import (
	"iter"

	"github.com/dlprun/dlp/mpi"
)

// RoundRobin yields this rank's indices of [0, n): rank, rank+size,
// rank+2·size and so on. It sends nothing and does not block. It yields nothing
// if n is 0 or less.
func RoundRobin(c *mpi.Comm, n int) iter.Seq[int] {
	return roundRobin(c.Rank(), c.Size(), n)
}

func roundRobin(rank, size, n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := rank; i < n && yield(i); i += size {
		}
	}
}

// Block yields this rank's indices of [0, n), one contiguous run for each rank,
// in rank order. The first n mod size ranks have one index more than the others.
// It sends nothing and does not block. It yields nothing if n is 0 or less.
func Block(c *mpi.Comm, n int) iter.Seq[int] {
	return block(c.Rank(), c.Size(), n)
}

func block(rank, size, n int) iter.Seq[int] {
	share, more := max(n, 0)/size, max(n, 0)%size
	lo := rank*share + min(rank, more)
	hi := lo + share
	if rank < more {
		hi++
	}
	return func(yield func(int) bool) {
		for i := lo; i < hi && yield(i); i++ {
		}
	}
}

// RoundRobinSeq is RoundRobin for what can only be walked (rows, lines), of
// unknown length: every rank walks all of items, and takes the items rank,
// rank+size and so on, each with its index. It sends nothing and does not block
// by itself. Items that other ranks take are walked over, so that walking should
// cost little beside the work on an item.
func RoundRobinSeq[T any](c *mpi.Comm, items iter.Seq[T]) iter.Seq2[int, T] {
	return roundRobinSeq(c.Rank(), c.Size(), items)
}

func roundRobinSeq[T any](rank, size int, items iter.Seq[T]) iter.Seq2[int, T] {
	return func(yield func(int, T) bool) {
		i := 0
		for item := range items {
			if i%size == rank && !yield(i, item) {
				return
			}
			i++
		}
	}
}
