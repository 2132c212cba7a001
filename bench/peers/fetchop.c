/* A farm without a manager: all ranks, rank 0 too, take the next index from a
   counter at rank 0 by MPI_Fetch_and_op. */
#include "bench.h"

static MPI_Win window;

static long add(long k, MPI_Op op)
{
	long before;

	MPI_Fetch_and_op(&k, &before, MPI_LONG, 0, 0, op, window);
	MPI_Win_flush(0, window);
	return before;
}

static void work(long n)
{
	long index;

	while ((index = add(1, MPI_SUM)) < n) {
		tally[0]++;
		tally[1] += index;
	}
}

static void check(long n)
{
	check_tally(n); /* a barrier: nobody adds any more */
	if (rank == 0)
		add(0, MPI_REPLACE);
}

int main(int argc, char **argv)
{
	long *counter;

	start(&argc, &argv);
	MPI_Win_allocate(rank == 0 ? sizeof *counter : 0, sizeof *counter, MPI_INFO_NULL, MPI_COMM_WORLD, &counter, &window);
	MPI_Win_lock_all(0, window);
	if (rank == 0)
		add(0, MPI_REPLACE);
	show_index(enough(10000, work, check));
	MPI_Win_unlock_all(window);
	MPI_Win_free(&window);
	MPI_Finalize();
	return 0;
}
