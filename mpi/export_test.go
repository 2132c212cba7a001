package mpi

// BulkSize is from how many bytes on a body may go another way than the tree, and
// ReduceMost up to how many that of a ReduceSlice may.
const (
	BulkSize   = bulkSize
	ReduceMost = reduceMost
)
