/* A ping-pong of 8 bytes over a socket with calls that block, without MPI: how long
   they take one way. The argument says what kind of socket: tcp or unix. */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void need(int holds, const char *what)
{
	if (!holds) {
		perror(what);
		exit(1);
	}
}

/* loopback makes a connected pair of TCP sockets. */
static void loopback(int pair[2])
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof here;
	int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	need(bind(listener, (struct sockaddr *)&here, length) == 0 && listen(listener, 1) == 0, "listen");
	need(getsockname(listener, (struct sockaddr *)&here, &length) == 0, "getsockname");
	pair[0] = socket(AF_INET, SOCK_STREAM, 0);
	need(connect(pair[0], (struct sockaddr *)&here, length) == 0, "connect");
	pair[1] = accept(listener, NULL, NULL);
	need(pair[1] >= 0, "accept");
	for (int i = 0; i < 2; i++)
		need(setsockopt(pair[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
}

static int receive(int fd, uint64_t *value)
{
	return recv(fd, value, sizeof *value, MSG_WAITALL) == sizeof *value;
}

static void echo(int fd)
{
	uint64_t value;

	while (receive(fd, &value)) {
		value++;
		need(write(fd, &value, sizeof value) == sizeof value, "write");
	}
	exit(0);
}

static double play(int fd, long n)
{
	struct timespec from, to;
	uint64_t value = 0;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long i = 0; i < n; i++) {
		need(write(fd, &value, sizeof value) == sizeof value, "write");
		need(receive(fd, &value), "read");
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	need(value == (uint64_t)n, "the count that came back is wrong");
	return to.tv_sec - from.tv_sec + 1e-9 * (to.tv_nsec - from.tv_nsec);
}

int main(int argc, char **argv)
{
	int pair[2];
	double took;
	long n = 1000;

	if (argc > 1 && strcmp(argv[1], "tcp") == 0)
		loopback(pair);
	else
		need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
	if (fork() == 0) {
		close(pair[0]);
		echo(pair[1]);
	}
	close(pair[1]);
	while ((took = play(pair[0], n)) < 0.2)
		n *= 3;
	printf("bytes8 %.9g\n", took / n / 2);
	close(pair[0]);
	wait(NULL);
	return 0;
}
