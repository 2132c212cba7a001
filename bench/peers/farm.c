/* A farm of two-sided messages: rank 0 hands out indices one by one, the others
   ask for them. What an index costs whose item costs nothing. */
#include "bench.h"

static void manage(long n)
{
	long next = 0, last, index;
	MPI_Status from;

	for (int working = size - 1; working > 0;) {
		MPI_Recv(&last, 1, MPI_LONG, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &from);
		index = next < n ? next++ : -1;
		if (index < 0)
			working--;
		MPI_Send(&index, 1, MPI_LONG, from.MPI_SOURCE, 0, MPI_COMM_WORLD);
	}
}

static void work(long n)
{
	long index = -1;

	if (rank == 0) {
		manage(n);
		return;
	}
	for (;;) {
		MPI_Send(&index, 1, MPI_LONG, 0, 0, MPI_COMM_WORLD);
		MPI_Recv(&index, 1, MPI_LONG, 0, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		if (index < 0)
			return;
		tally[0]++;
		tally[1] += index;
	}
}

int main(int argc, char **argv)
{
	start(&argc, &argv);
	show_index(enough(10000, work, check_tally));
	MPI_Finalize();
	return 0;
}
