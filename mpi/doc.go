// Package mpi gives the ranks of a job their numbers and lets them speak with
// each other, in the terms of the Message Passing Interface.
//
// Every rank runs the same program, and Main is its body:
//
//	func main() {
//		mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
//			sum, err := mpi.Reduce(ctx, world, mpi.Root, world.Rank(), mpi.Sum[int])
//			if world.IsRoot() {
//				fmt.Println(sum)
//			}
//			return err
//		})
//	}
//
// Started by dlprun -np 4 it has four ranks; started plainly it has one, and
// runs the same code.
//
// # Messages
//
// Send and Recv move bytes, SendValue and RecvValue any Go value that gob can
// carry. Bcast, Scatter, Gather, Reduce and the rest are collective: every rank
// of the communicator calls them, in the same order. Ranks that call different
// things get a MismatchError that names both calls; they do not hang.
//
// # Values
//
// Values travel as gob; numbers, strings and slices of numbers as their bytes.
// Gob drops unexported fields, channels and functions without a word: here such
// a type is an error at the call, on every rank. What gob does not tell apart
// stays so: inside of a value, an empty slice or map arrives as nil, and so does
// a pointer to a zero value. A rank's own value is treated like the others', so
// that an answer does not depend on which rank computed it.
//
// # Failure
//
// A rank that returns an error, panics, is killed, or exits before Finalize
// ends the job: the calls of the others fail with a RankError that names it.
package mpi
