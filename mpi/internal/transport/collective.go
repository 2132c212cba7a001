package transport

import "context"

// A Collective is a Transport that has collective operations of its own, for
// bodies that are large.
type Collective interface {
	// Group returns the operations among some ranks of the job, which are numbered
	// as they stand in ranks. All of them must call it at once, with the id of
	// their communicator: it blocks until they have, and holds up all else that
	// this rank does.
	Group(id uint64, ranks []int) (Group, error)
}

// A Group is some ranks that begin the same operations in the same order. That
// they agree on each is up to the caller: an operation that one of them does not
// begin never ends at the others. Beginning one does not block.
type Group interface {
	// Bcast brings the body of root to the others, whose bodies are as long. The
	// root's is only read.
	Bcast(root int, body []byte) (Operation, error)
	// Reduce combines the memory of integers of size bytes, 4 or 8, element by
	// element, into result at root, or everywhere if root is All. v is only read.
	Reduce(root int, op Op, size int, v, result []byte) (Operation, error)
}

// All in the place of a root says that every rank gets the result.
const All = -1

// Op is how Reduce combines two integers. Sums and products wrap around; Min and
// Max take them as signed.
type Op int

// The operations of Reduce.
const (
	Sum Op = iota
	Prod
	Min
	Max
)

// An Operation is under way. It can't be taken back.
type Operation interface {
	// Wait blocks until the operation is done here, or ctx ends; it may then be
	// called again. The memory of the operation must be left alone until it is done.
	Wait(ctx context.Context) error
}
