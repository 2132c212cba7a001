// Package split says which rank does which index.
//
// There are n items, every rank has the same list, and an index says which one
// is meant. Indices travel, and the results of [Map] and its kin, never the items.
//
// # Fixed shares
//
// [RoundRobin], [Block] and [RoundRobinSeq] are plain arithmetic on the rank
// and the number of ranks. They send nothing, and suit items that cost alike.
//
// # Shares handed out while the work goes on
//
// [Managed] turns a serial loop into one whose indices rank 0 hands out as
// ranks become free:
//
//	loop := split.Managed(ctx, world, len(files))
//	for i := range loop.All() {
//		words.Add(files[i])
//	}
//	if err := loop.Err(); err != nil {
//		return err
//	}
//
// [ManagedSeq] does it for what can only be walked and whose length nobody
// knows. Results stay with the rank that made them; package gather brings them
// together.
//
// # Results at the root
//
// [Map], [MapUnordered] and [Collect] also run the work and bring each result to
// rank 0, in index order, as they complete, or as a slice:
//
//	sizes, err := split.Collect(ctx, world, len(files), func(ctx context.Context, i int) (int64, error) {
//		return sizeOf(files[i])
//	})
//
// # Jobs that are killed, or whose time is over
//
// With [Journal], what a loop has done is in a file, and the next run goes on from
// there. When the job's time is nearly over, or a signal asks for it, a loop begins
// nothing new, finishes what its ranks have in hand, and ends with an error that wraps
// mpi.ErrStopped; mpi.Main then exits with mpi.StatusStopped.
//
// # What holds for all of them
//
// On hosts other than rank 0's, the lowest rank speaks with rank 0 for the others, also
// after it has left the loop itself: they begin when it has called the loop.
//
// All ranks of the communicator call the same function, with the same n and the
// same [Keys]; a disagreement is an error on every rank that names ranks and
// index. Rank 0 manages and works: four ranks are four workers, and one rank
// runs the same code without a message. How many indices a rank gets at a time
// is measured while the loop runs, unless [Chunk] or [Policy] say otherwise.
// [Rand] gives each item random numbers that depend on nothing but the seed and
// the index.
//
// A lost rank ends the job, and with it every loop. Where the job goes on without lost
// ranks ([mpi.Comm.GoesOn]), what one had in hand goes to others, and its results count
// as far as they had come. What a Managed or ManagedSeq had finished there is done
// again, as long as the loop lasts, since it was in the rank's own variables; with a
// [Journal] it is not, since then it is kept elsewhere. An item with which three ranks
// were lost has failed.
//
// Each loop has messages of its own, so that nothing else that a program sends
// can meet them, and several loops may run at once on different communicators.
package split
