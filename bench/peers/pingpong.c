/* How long messages of some sizes take one way: half of there and back. The argument
   is the size of the largest. */
#include "bench.h"

static unsigned char *ball;
static int bytes;

static void play(long n)
{
	for (long i = 0; i < n; i++) {
		if (rank == 0) {
			ball[bytes - 1]++;
			MPI_Send(ball, bytes, MPI_BYTE, 1, 0, MPI_COMM_WORLD);
		}
		MPI_Recv(ball, bytes, MPI_BYTE, 1 - rank, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
		if (rank == 1) {
			ball[0]++;
			MPI_Send(ball, bytes, MPI_BYTE, 0, 0, MPI_COMM_WORLD);
		}
	}
}

static unsigned char pattern(int i) { return i * 7; }

/* check wants the counts of both ranks in the ball, and between them a pattern that
   only rank 0 had at first. */
static void check(long n)
{
	need(ball[0] == (unsigned char)n && ball[bytes - 1] == (unsigned char)n, "the ball was not always passed on");
	ball[0] = ball[bytes - 1] = 0;
	for (int i = 1; i < bytes - 1; i++)
		need(ball[i] == pattern(i), "a byte came that was not sent");
}

int main(int argc, char **argv)
{
	static const int sizes[] = {8, 4 << 10, 64 << 10, 1 << 20};
	char name[32];
	int most = argc > 1 ? atoi(argv[1]) : 1 << 20;

	start(&argc, &argv);
	ball = calloc(1 << 20, 1);
	for (int i = 0; i < 4 && sizes[i] <= most; i++) {
		bytes = sizes[i];
		ball[0] = ball[bytes - 1] = 0;
		for (int k = 1; k < bytes - 1; k++)
			ball[k] = rank == 0 ? pattern(k) : 0;
		snprintf(name, sizeof name, "bytes%d", bytes);
		show(name, enough(10, play, check) / 2);
	}
	MPI_Finalize();
	return 0;
}
