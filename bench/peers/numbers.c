/* MPI_Gather of 5 million float64 of each rank into memory that nobody has touched
   before the call. */
#include "bench.h"

#include <sys/mman.h>

enum { EACH = 5000000 };

static double *local, *all;

static double number(long i) { return i * 1.000000123; }

static void gather(long n)
{
	(void)n;
	MPI_Gather(local, EACH, MPI_DOUBLE, all, EACH, MPI_DOUBLE, 0, MPI_COMM_WORLD);
}

static double once(void)
{
	size_t bytes = sizeof *all * EACH * size;
	double took;

	if (rank == 0) {
		all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		need(all != MAP_FAILED, "there is no memory");
	}
	took = timed(gather, 1);
	if (rank == 0) {
		for (long i = 0; i < (long)EACH * size; i++)
			need(all[i] == number(i), "a number came that was not sent");
		munmap(all, bytes);
	}
	return took;
}

int main(int argc, char **argv)
{
	double total = 0;
	int calls = 0;

	start(&argc, &argv);
	local = malloc(sizeof *local * EACH);
	for (long i = 0; i < EACH; i++)
		local[i] = number((long)rank * EACH + i);
	once();
	for (; total < 0.2; calls++)
		total += once();
	show("gather", total / calls);
	MPI_Finalize();
	return 0;
}
