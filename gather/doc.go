// Package gather brings results from all ranks of a job to the root, rank 0.
//
// What every rank calls in the same order is a gather; which one depends on
// what the results are:
//
//   - [Slice] and [List] concatenate what the ranks have, in rank order.
//   - [Stream] hands the same to the root one by one, in bounded memory.
//   - [Indexed] puts the result of item i at place i, and finds items that were
//     forgotten or done twice. The result does not depend on the number of ranks.
//   - [Dict] collects by key.
//
// A typical loop keeps its results where they were computed until it is done:
//
//	results := gather.NewIndexed[float64](n)
//	loop := split.Managed(ctx, world, n)
//	for i := range loop.All() {
//		results.Set(i, work(i))
//	}
//	if err := loop.Err(); err != nil {
//		return err
//	}
//	all, err := results.Gather(ctx, world) // at rank 0
//
// Results arrive as if they had travelled as gob; what has neither pointers, maps,
// interfaces nor methods of its own to encode it goes a faster way, and slices of
// numbers as their memory. A type that gob cannot carry, or would rob of its
// unexported fields, is an error at once, on every rank. The root's own results
// come out as if they had travelled too, so that one rank gives the same answer as
// many: inside a value an empty slice becomes nil, say, and so does a pointer to a
// zero value.
//
// Every gather runs in a context of messages of its own, which no other message
// of the program can match. When a rank is lost the gather fails with a
// [github.com/dlprun/dlp/mpi.RankError]; when ctx ends, with its cause.
package gather
