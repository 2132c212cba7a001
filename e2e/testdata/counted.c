// Counts the collective operations that go through MPI, and prints how many of each
// there were when MPI is left: preloaded, it stands before the real one.
#include <mpi.h>
#include <stdio.h>

static int groups, bcasts, reduces, allreduces;

int MPI_Comm_create_group(MPI_Comm comm, MPI_Group group, int tag, MPI_Comm *made) {
	groups++;
	return PMPI_Comm_create_group(comm, group, tag, made);
}

int MPI_Ibcast(void *buffer, int count, MPI_Datatype type, int root, MPI_Comm comm, MPI_Request *request) {
	bcasts++;
	return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

int MPI_Ireduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, int root, MPI_Comm comm, MPI_Request *request) {
	reduces++;
	return PMPI_Ireduce(from, to, count, type, op, root, comm, request);
}

int MPI_Iallreduce(const void *from, void *to, int count, MPI_Datatype type, MPI_Op op, MPI_Comm comm, MPI_Request *request) {
	allreduces++;
	return PMPI_Iallreduce(from, to, count, type, op, comm, request);
}

int MPI_Finalize(void) {
	printf("counted: %d MPI_Comm_create_group, %d MPI_Ibcast, %d MPI_Ireduce, %d MPI_Iallreduce\n", groups, bcasts, reduces, allreduces);
	fflush(stdout);
	return PMPI_Finalize();
}
