//go:build mpi

package mpi

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/dlprun/dlp/mpi/internal/transport/gompi"
	"github.com/dlprun/dlp/mpi/launch"
)

// joinLibrary joins the job that mpiexec has started, through the MPI library that
// this program is linked against.
func joinLibrary(ctx context.Context, found launch.Job) (*Comm, error) {
	w, err := gompi.Start(ctx)
	if err != nil {
		return nil, err
	}
	if found.Size != 0 && found.Size != w.Size || found.Rank != w.Rank && found.Launcher != "mpi" {
		return nil, otherLibrary(found, w)
	}
	j := &job{backend: "mpi", size: w.Size, library: w, memory: memoryFor(found.Transport)}
	if j.peers, err = meetByLibrary(ctx, w, found.Build); err != nil {
		return nil, err
	}
	sharing := j.sharing(w.Rank)
	t, err := w.New(ctx, sharing <= runtime.NumCPU())
	if err != nil {
		return nil, err
	}
	shareProcessors(sharing)
	return j.world(newEngine(t, w.Rank, w.Size, j.host), w.Rank), nil
}

// otherLibrary says that the launcher and the library know nothing of each other.
func otherLibrary(found launch.Job, w *gompi.World) error {
	size := ""
	if found.Size != 0 {
		size = fmt.Sprint(" of ", found.Size)
	}
	return fmt.Errorf("this program is linked against another MPI than this mpiexec: %s say rank %d%s, but %s says rank %d of %d; "+
		"build it with the mpicc that belongs to this mpiexec, start it with the other one's mpiexec, or set DLP_BACKEND=embedded",
		found.Why, found.Rank, size, gompi.Version(), w.Rank, w.Size)
}

// introduction is what the ranks tell each other when they meet.
type introduction struct {
	launch.Peer
	Build [16]byte
}

// meetByLibrary lets all ranks know of each other.
func meetByLibrary(ctx context.Context, w *gompi.World, build [16]byte) ([]launch.Peer, error) {
	own, err := json.Marshal(introduction{launch.Self(w.Rank), build})
	if err != nil {
		return nil, err
	}
	all, err := w.Exchange(ctx, own)
	if err != nil {
		return nil, err
	}
	peers := make([]launch.Peer, len(all))
	for r, b := range all {
		var i introduction
		if err := json.Unmarshal(b, &i); err != nil {
			return nil, fmt.Errorf("rank %d introduces itself with %q: %w", r, b, err)
		}
		if none := [16]byte{}; i.Build != build && i.Build != none && build != none {
			return nil, fmt.Errorf("rank %d runs another build of the program than rank %d: start one binary everywhere, or set DLP_BUILD=any", r, w.Rank)
		}
		peers[r] = i.Peer
	}
	return peers, nil
}
