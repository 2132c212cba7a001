/* What the C peers have in common: times between barriers, of the slowest rank. */
#ifndef BENCH_H
#define BENCH_H

#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

static int rank, size;

static inline void start(int *argc, char ***argv)
{
	MPI_Init(argc, argv);
	MPI_Comm_rank(MPI_COMM_WORLD, &rank);
	MPI_Comm_size(MPI_COMM_WORLD, &size);
}

/* show prints a figure, at rank 0 alone. */
static inline void show(const char *name, double value)
{
	if (rank == 0)
		printf("%s %.9g\n", name, value);
}

/* need ends the job unless what was measured is what should have been done. */
static inline void need(int holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "rank %d: wrong: %s\n", rank, what);
		MPI_Abort(MPI_COMM_WORLD, 1);
	}
}

/* timed runs work on all ranks and returns the seconds of the slowest. */
static inline double timed(void (*work)(long n), long n)
{
	double took, slowest;

	MPI_Barrier(MPI_COMM_WORLD);
	took = -MPI_Wtime();
	work(n);
	took += MPI_Wtime();
	MPI_Allreduce(&took, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
	return slowest;
}

/* more is how often to do what was done n times in the seconds that took, to be at
   it for some seconds at least. */
static inline long more(long n, double took, double seconds)
{
	double factor = 1.25 * seconds / (took > 1e-9 ? took : 1e-9);

	return (long)(n * (factor < 10 ? factor : 10)) + 1;
}

/* enough runs work with a growing n until it takes 0.2 s, and returns the seconds
   for one. check, outside of the time measured, may look at what was done. */
static inline double enough(long n, void (*work)(long n), void (*check)(long n))
{
	for (;;) {
		double took = timed(work, n);

		check(n);
		if (took >= 0.2)
			return took / n;
		n = more(n, took, 0.2);
	}
}

/* A tally tells whether each index was done once, and what an index costs. */
static long tally[2]; /* how many were done here, and their sum */
static long done, busiest; /* last time, by all, and by that rank other than 0 that did most */

static inline void check_tally(long n)
{
	long all[2], here = rank == 0 ? 0 : tally[0];

	MPI_Allreduce(&here, &busiest, 1, MPI_LONG, MPI_MAX, MPI_COMM_WORLD);
	MPI_Allreduce(tally, all, 2, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
	need(all[0] == n && all[1] == n * (n - 1) / 2, "an index was lost or done twice");
	tally[0] = tally[1] = 0;
	done = n;
}

/* show_index prints the seconds of an index, and those of one that is not done by
   rank 0. */
static inline void show_index(double seconds)
{
	show("index", seconds);
	show("elsewhere", seconds * done / (busiest > 0 ? busiest : 1));
}

#endif
