package mpi

import "github.com/dlprun/dlp/mpi/internal/transport"

// BulkSize is from how many bytes on a body may go another way than the tree, and
// ReduceMost up to how many that of a ReduceSlice may.
const (
	BulkSize   = bulkSize
	ReduceMost = reduceMost
)

// Wrap puts what wrap makes of a rank's transport in its place.
func Wrap(c *Comm, wrap func(transport.Transport) transport.Transport) {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	wrapped := newEngine(wrap(e.t), e.rank, e.size, e.host)
	e.t, e.poll, e.into, e.coll = wrapped.t, wrapped.poll, wrapped.into, wrapped.coll
}
