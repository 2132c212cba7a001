// An MPI that does not come back when it is to make a communicator: preloaded, it stands
// before the real one.
#include <mpi.h>
#include <unistd.h>

int MPI_Comm_create_group(MPI_Comm comm, MPI_Group group, int tag, MPI_Comm *made) {
	for (;;) pause();
}
