/* The minimum effective task granularity METG(50 %) of a farm of two-sided
   messages, as Slaughter and others define it ("Task Bench", arXiv 1908.05790):
   of all lengths of task at which half of the processors' time is work, the
   smallest. Rank 0 hands out the tasks one by one, and between two tasks of its
   own looks who asks: if it did nothing else, two ranks could not be efficient. */
#include "bench.h"

#include <math.h>
#include <stdint.h>

static long steps; /* of a task */

__attribute__((noinline))
static uint64_t spin(long n)
{
	uint64_t x = n;

	for (long i = 0; i < n; i++)
		x = x * 6364136223846793005u + 1442695040888963407u;
	return x;
}

static void task(long index)
{
	if (spin(steps) == 0)
		return; /* never: it keeps the compiler from leaving spin out */
	tally[0]++;
	tally[1] += index;
}

/* answer gives the next index to one that asks, and returns how many it dismissed. */
static int answer(long *next, long n)
{
	long index, asks;
	MPI_Status from;

	MPI_Recv(&asks, 1, MPI_LONG, MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &from);
	index = *next < n ? (*next)++ : -1;
	MPI_Send(&index, 1, MPI_LONG, from.MPI_SOURCE, 0, MPI_COMM_WORLD);
	return index < 0;
}

static void manage(long n)
{
	long next = 0;
	int working = size - 1, asked;

	while (next < n) {
		task(next++);
		for (;;) {
			MPI_Iprobe(MPI_ANY_SOURCE, 0, MPI_COMM_WORLD, &asked, MPI_STATUS_IGNORE);
			if (!asked)
				break;
			working -= answer(&next, n);
		}
	}
	while (working > 0)
		working -= answer(&next, n);
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
		task(index);
	}
}

/* step_time returns the seconds a step takes while all ranks compute. */
static double step_time(void)
{
	double best = 1, slowest;
	const long some = 500000;

	MPI_Barrier(MPI_COMM_WORLD);
	for (int i = 0; i < 20; i++) {
		double took = -MPI_Wtime();

		if (spin(some) == 0)
			continue;
		took += MPI_Wtime();
		best = fmin(best, took / some);
	}
	MPI_Allreduce(&best, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
	return slowest;
}

/* length returns what a task of so many steps costs altogether, measured for 25 ms
   at least. */
static double length(void)
{
	static long tasks = 1000;

	for (;;) {
		double took = timed(work, tasks), each = took * size / tasks;

		check_tally(tasks);
		tasks = more(tasks, took, 0.025);
		if (took >= 0.025)
			return each;
	}
}

/* efficient tells whether half of the time of tasks that long is work, in one try of
   three: what else the machine does makes a try look worse, never better. If so, it
   keeps their length. */
static int efficient(double of_steps, double step, double *metg)
{
	steps = (long)of_steps;
	for (int try = 0; try < 3; try++) {
		double each = length();

		if (steps * step >= each / 2) {
			*metg = each;
			return 1;
		}
	}
	return 0;
}

/* search starts with long tasks, and halves them until neither the half nor a quarter
   is efficient; then it finds the limit to 5 %. Where none is efficient it is
   infinite. */
static double search(double step)
{
	double high = 2e6, low, metg = INFINITY;

	while (high >= 4) {
		if (efficient(high / 2, step, &metg))
			high /= 2;
		else if (efficient(high / 4, step, &metg))
			high /= 4;
		else
			break;
	}
	for (low = high / 2; high / low > 1.05;) {
		double middle = sqrt(low * high);

		if (efficient(middle, step, &metg))
			high = middle;
		else
			low = middle;
	}
	return metg;
}

int main(int argc, char **argv)
{
	start(&argc, &argv);
	show("metg", search(step_time()));
	MPI_Finalize();
	return 0;
}
