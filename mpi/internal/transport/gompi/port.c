//go:build mpi

#include "port.h"
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

// remembered is the first error of calls whose callers do not look at their codes.
static int remembered;

static void remember(MPI_Comm *comm, int *code, ...) {
	(void)comm;
	if (remembered == MPI_SUCCESS) remembered = *code;
}

int dlp_failed(void) {
	int code = remembered;
	remembered = MPI_SUCCESS;
	return code;
}

// dlp_init is MPI_Init_thread. An MPI library may put handlers of its own in the
// place of those by which Go turns faults into panics: they are put back.
int dlp_init(int *level) {
	static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE};
	struct sigaction before[3];
	for (int i = 0; i < 3; i++) sigaction(faults[i], NULL, &before[i]);
	int code = MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, level);
	for (int i = 0; i < 3; i++) sigaction(faults[i], &before[i], NULL);
	if (code != MPI_SUCCESS) return code;
	MPI_Errhandler handler;
	code = MPI_Comm_create_errhandler(remember, &handler);
	if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, handler);
	return code;
}

int dlp_open(dlp_port **out, int *tag_ub) {
	dlp_port *p = calloc(1, sizeof *p);
	char *slots = malloc(dlp_slots * dlp_piece);
	void *limit;
	int set, code;
	if (p == NULL || slots == NULL) return MPI_ERR_NO_MEM;
	if ((code = MPI_Comm_get_attr(MPI_COMM_WORLD, MPI_TAG_UB, &limit, &set)) != MPI_SUCCESS) return code;
	*tag_ub = set ? *(int *)limit : 32767;
	MPI_Comm *comms[] = {&p->ctl, &p->bulk};
	for (int i = 0; i < 2; i++) {
		if ((code = MPI_Comm_dup(MPI_COMM_WORLD, comms[i])) != MPI_SUCCESS) return code;
		if ((code = MPI_Comm_set_errhandler(*comms[i], MPI_ERRORS_RETURN)) != MPI_SUCCESS) return code;
	}
	for (int i = 0; i < dlp_slots; i++) {
		p->slot[i] = slots + i * dlp_piece;
		code = MPI_Recv_init(p->slot[i], dlp_piece, MPI_BYTE, MPI_ANY_SOURCE, MPI_ANY_TAG, p->ctl, &p->request[i]);
		if (code == MPI_SUCCESS) code = MPI_Start(&p->request[i]);
		if (code != MPI_SUCCESS) return code;
	}
	*out = p;
	return MPI_SUCCESS;
}

// dlp_close takes the receives back that are posted for nothing any more.
int dlp_close(uintptr_t port) {
	dlp_port *p = (dlp_port *)port;
	for (int i = 0; i < dlp_slots; i++) {
		int done, code;
		if (p->taken && (i + 1) % dlp_slots == p->head) continue;
		if ((code = MPI_Cancel(&p->request[i])) != MPI_SUCCESS) return code;
		if ((code = MPI_Test(&p->request[i], &done, MPI_STATUS_IGNORE)) != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

static int poll(dlp_port *p, int tries, int yield, const uint64_t *mark) {
	MPI_Status status;
	int code;
	p->found = 0;
	if (p->taken) {
		p->taken = 0;
		code = MPI_Start(&p->request[(p->head + dlp_slots - 1) % dlp_slots]);
		if (code != MPI_SUCCESS) return code;
	}
	for (;;) {
		code = MPI_Test(&p->request[p->head], &p->found, &status);
		if (code != MPI_SUCCESS) return code;
		if (p->found) break;
		if (mark != NULL && __atomic_load_n(mark, __ATOMIC_ACQUIRE) == dlp_seen) return MPI_SUCCESS;
		if (--tries <= 0 || __atomic_load_n(&p->wanted, __ATOMIC_RELAXED) != 0) return MPI_SUCCESS;
		if (yield) sched_yield();
	}
	p->src = status.MPI_SOURCE;
	p->tag = status.MPI_TAG;
	p->data = p->slot[p->head];
	p->head = (p->head + 1) % dlp_slots;
	p->taken = 1;
	return MPI_Get_count(&status, MPI_BYTE, &p->len);
}

// dlp_poll looks for the next message, at most tries times, and no longer than
// until the mark, if there is one, says seen.
void dlp_poll(uintptr_t port, int tries, int yield, uintptr_t mark) {
	dlp_port *p = (dlp_port *)port;
	p->code = poll(p, tries, yield, (const uint64_t *)mark);
}

// dlp_send sends a message on ctl. If sync, it is done when the receiver has taken
// it.
void dlp_send(uintptr_t port, uintptr_t parcel, int len, int dst, int tag, int sync) {
	dlp_port *p = (dlp_port *)port;
	dlp_parcel *c = (dlp_parcel *)parcel;
	c->done = 0;
	c->code = (sync ? MPI_Issend : MPI_Isend)(c->data, len, MPI_BYTE, dst, tag, p->ctl, &c->request);
	if (c->code == MPI_SUCCESS) dlp_sent(parcel);
}

void dlp_sent(uintptr_t parcel) {
	dlp_parcel *c = (dlp_parcel *)parcel;
	c->code = MPI_Test(&c->request, &c->done, MPI_STATUS_IGNORE);
}

// dlp_pieces says how many requests a body on bulk takes.
int dlp_pieces(int64_t len) { return (len + dlp_most - 1) / dlp_most; }

int dlp_send_bulk(uintptr_t port, void *body, int64_t len, int dst, int tag, MPI_Request *requests) {
	dlp_port *p = (dlp_port *)port;
	for (int64_t at = 0; at < len; at += dlp_most) {
		int n = len - at < dlp_most ? len - at : dlp_most;
		int code = MPI_Isend((char *)body + at, n, MPI_BYTE, dst, tag, p->bulk, requests++);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

int dlp_recv_bulk(uintptr_t port, void *body, int64_t len, int src, int tag, MPI_Request *requests) {
	dlp_port *p = (dlp_port *)port;
	for (int64_t at = 0; at < len; at += dlp_most) {
		int n = len - at < dlp_most ? len - at : dlp_most;
		int code = MPI_Irecv((char *)body + at, n, MPI_BYTE, src, tag, p->bulk, requests++);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

// dlp_test tells whether all of n requests are done.
int dlp_test(int n, MPI_Request *requests, int *done) {
	*done = 1;
	for (int i = 0; i < n && *done; i++) {
		int code = MPI_Test(&requests[i], done, MPI_STATUS_IGNORE);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

int dlp_cancel(int n, MPI_Request *requests) {
	for (int i = 0; i < n; i++) {
		int code = MPI_Cancel(&requests[i]);
		if (code == MPI_SUCCESS) code = MPI_Wait(&requests[i], MPI_STATUS_IGNORE);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

// dlp_take_back cancels a receive, unless a message is coming into it already: then
// it goes on.
int dlp_take_back(MPI_Request *request, int *taken) {
	MPI_Status status;
	int done;
	*taken = 0;
	int code = MPI_Cancel(request);
	if (code == MPI_SUCCESS) code = MPI_Test(request, &done, &status);
	if (code == MPI_SUCCESS && done) code = MPI_Test_cancelled(&status, taken);
	return code;
}

void dlp_nap(long ns) {
	struct timespec t = {.tv_nsec = ns};
	nanosleep(&t, NULL);
}

int dlp_error(int code, char *text) {
	int len = 0;
	if (MPI_Error_string(code, text, &len) != MPI_SUCCESS) return 0;
	return len;
}

// dlp_group makes a communicator of n ranks of the world, which call it at once.
int dlp_group(int n, int *ranks, int tag, MPI_Comm *comm) {
	MPI_Group world, members;
	int code = MPI_Comm_group(MPI_COMM_WORLD, &world);
	if (code != MPI_SUCCESS) return code;
	code = MPI_Group_incl(world, n, ranks, &members);
	MPI_Group_free(&world);
	if (code != MPI_SUCCESS) return code;
	code = MPI_Comm_create_group(MPI_COMM_WORLD, members, tag, comm);
	MPI_Group_free(&members);
	remembered = MPI_SUCCESS; // this error is the caller's: there may be too many communicators
	if (code == MPI_SUCCESS) code = MPI_Comm_set_errhandler(*comm, MPI_ERRORS_RETURN);
	return code;
}

int dlp_ibcast(MPI_Comm comm, void *body, int64_t len, int root, MPI_Request *requests) {
	for (int64_t at = 0; at < len; at += dlp_most) {
		int n = len - at < dlp_most ? len - at : dlp_most;
		int code = MPI_Ibcast((char *)body + at, n, MPI_BYTE, root, comm, requests++);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}

// Sums and products are those of unsigned integers, which wrap around in C as all
// do in Go; the smallest and the largest those of signed ones.
int dlp_ireduce(MPI_Comm comm, void *v, void *result, int64_t len, int size, int op, int root, MPI_Request *requests) {
	const MPI_Datatype wraps = size == 4 ? MPI_UINT32_T : MPI_UINT64_T, has_sign = size == 4 ? MPI_INT32_T : MPI_INT64_T;
	const MPI_Datatype type = op == dlp_sum || op == dlp_prod ? wraps : has_sign;
	const MPI_Op ops[] = {MPI_SUM, MPI_PROD, MPI_MIN, MPI_MAX};
	for (int64_t at = 0; at < len; at += dlp_most) {
		int n = (len - at < dlp_most ? len - at : dlp_most) / size;
		void *from = (char *)v + at, *to = result == NULL ? NULL : (char *)result + at;
		int code = root < 0 ? MPI_Iallreduce(from, to, n, type, ops[op], comm, requests++)
		                    : MPI_Ireduce(from, to, n, type, ops[op], root, comm, requests++);
		if (code != MPI_SUCCESS) return code;
	}
	return MPI_SUCCESS;
}
