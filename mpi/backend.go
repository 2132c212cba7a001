package mpi

import (
	"context"
	"fmt"
	"os"
	"time"
)

// A library is a real MPI that carries a job: nothing else does, no hub and no
// socket.
type library interface {
	// Finalize leaves it. It is collective and blocks.
	Finalize(ctx context.Context) error
	// Abort ends all ranks with a status. It returns only where the library is stuck.
	Abort(status int)
}

// abort ends the job through MPI and shows the reason. A reason that all ranks
// have should be shown once, so each gives those before it a moment.
func (j *job) abort(rank, status int, reason string) {
	time.Sleep(min(time.Duration(rank)*speakTime, maxSpeakTime))
	fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", rank, in(j.host(rank)), reason)
	j.library.Abort(status)
	os.Exit(status)
}

const (
	speakTime    = 50 * time.Millisecond
	maxSpeakTime = 500 * time.Millisecond
)

// sharing returns how many ranks may run on the same processors as a rank does,
// itself among them: those of its host, unless they are bound elsewhere.
func (j *job) sharing(rank int) int {
	n := 0
	for _, p := range j.peers {
		if p.HostID == j.peers[rank].HostID && p.CPUs == j.peers[rank].CPUs {
			n++
		}
	}
	return n
}
