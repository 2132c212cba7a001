// What gompi lacks: messages that are looked for and sent without blocking, a
// thread level of one's own choice, private communicators, and errors with text.
// No function here blocks but those that say so, and only one may run at a time.
// All return an error code of MPI, MPI_SUCCESS (0) if all is well; those that every
// message takes leave it in memory, which makes a call from Go cheaper.

#if !__has_include(<mpi.h>)
#error "mpi.h is not found: build with 'make build-mpi', which asks mpicc where it is (docs/mpi.md)"
#else

#include <mpi.h>
#include <stdint.h>

enum {
	dlp_piece = 4000,        // bytes of a message on ctl: below what Open MPI sends at once within a host
	dlp_slots = 16,          // receives that are posted at any time
	dlp_most = 1 << 30,      // bytes of a message on bulk: an int counts them
};

// A dlp_port is one rank's end of two communicators. On ctl come all messages, of
// at most dlp_piece bytes, into receives that are always posted; on bulk the
// bodies of large ones, into memory of their own.
typedef struct {
	int32_t wanted; // somebody else waits for his turn: dlp_poll returns

	// What dlp_poll returns: whether it has found a message, and which. Its bytes stay
	// until the next call.
	int code;
	int found;
	int src, tag, len;
	void *data;

	MPI_Comm ctl, bulk;
	MPI_Request request[dlp_slots];
	char *slot[dlp_slots];
	int head;  // the slot that the next message comes into
	int taken; // the slot before it has been read, and is not posted
} dlp_port;

// A dlp_parcel is memory for a message on ctl. It belongs to MPI from when it is
// posted until it is done.
typedef struct {
	MPI_Request request;
	int code, done; // what dlp_send and dlp_sent return
	char data[dlp_piece];
} dlp_parcel;

int dlp_init(int *level);
int dlp_open(dlp_port **port, int *tag_ub);          // collective, blocks
int dlp_close(uintptr_t port);
void dlp_poll(uintptr_t port, int tries, int yield, uintptr_t mark);
void dlp_send(uintptr_t port, uintptr_t parcel, int len, int dst, int tag, int sync);
void dlp_sent(uintptr_t parcel);
int dlp_pieces(int64_t len);
int dlp_send_bulk(uintptr_t port, void *body, int64_t len, int dst, int tag, MPI_Request *requests);
int dlp_recv_bulk(uintptr_t port, void *body, int64_t len, int src, int tag, MPI_Request *requests);
int dlp_test(int n, MPI_Request *requests, int *done);
int dlp_cancel(int n, MPI_Request *requests);        // of receives that nothing has come for
int dlp_take_back(MPI_Request *request, int *taken); // of a receive; if nothing has come for it
void dlp_nap(long ns);                               // blocks, and needs no turn
int dlp_error(int code, char *text);
int dlp_failed(void);

#define dlp_seen UINT64_MAX // what a mark is when the receiver has read the body

enum { dlp_sum, dlp_prod, dlp_min, dlp_max }; // as package transport has them

int dlp_group(int n, int *ranks, int tag, MPI_Comm *comm); // collective, blocks
int dlp_ibcast(MPI_Comm comm, void *body, int64_t len, int root, MPI_Request *requests);
int dlp_ireduce(MPI_Comm comm, void *v, void *result, int64_t len, int size, int op, int root, MPI_Request *requests);
#endif
