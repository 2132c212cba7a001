// An MPI in which a broadcast never comes to its end on rank 1: preloaded, it stands
// before the real one.
#include <mpi.h>

int MPI_Ibcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request) {
	int rank;
	PMPI_Comm_rank(comm, &rank);
	if (rank != 1) return PMPI_Ibcast(buffer, count, type, root, comm, request);
	return PMPI_Irecv(buffer, count, type, 0, 4711, comm, request); // which nobody sends
}
