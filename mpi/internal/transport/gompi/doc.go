// Package gompi is the transport over real MPI, by way of
// github.com/sbromberger/gompi and of what that lacks (port.h). It is built with
// -tags mpi only.
//
// # Threads
//
// Goroutines move between threads, so MPI is asked for MPI_THREAD_SERIALIZED: any
// thread may call it, one at a time. One lock sees to that, World.mu, which every
// call of MPI is made under. It is never held for long, because nothing that
// waits for another rank is called under it: messages and collectives are posted,
// looked for and tested, never waited for. The one exception is the making of a
// communicator, which all its ranks are about to do. Where MPI grants less, Start is an error. MPI_Init and
// MPI_Finalize must be called by one thread; a goroutine of its own keeps it.
//
// No goroutine polls while its rank computes. A call that waits polls: briefly
// without a pause where each rank has a processor to itself, then with
// sched_yield, then once in a millisecond.
//
// # Messages
//
// All messages of a rank, of at most 4000 bytes, come on one communicator into
// receives that are always posted. A plain message of a user is nothing but its
// bytes under its tag; others have a header. Longer ones are cut into pieces; MPI
// copies each, so that none refers to the sender's memory when Send returns. Of
// large ones the header comes first. On the same host the receiver may read the body
// from the sender's memory (view). Else it comes on a second communicator, between
// the memories of the two ranks without a copy, when the receiver asks for it. Until
// it has begun to come the sender can still change its mind.
//
// # Collectives
//
// A group is a communicator of MPI with some ranks of the world. Its operations are
// MPI's nonblocking ones, between memory that is pinned until they are done.
package gompi
