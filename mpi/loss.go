package mpi

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// This file is what a rank does where the job goes on without ranks that are lost
// (DLP_ON_FAILURE). Two hear of a loss: the hub knows why, the transport when all
// that the rank has sent is here. When both have, calls that need the rank fail, and
// nothing more comes from it.

// A loss is what is known of a rank that is lost.
type loss struct {
	word  error         // of the hub
	heard chan struct{} // closed when there is one
	cut   error         // of the transport
	gone  *RankError    // of both; nil until then
}

// why is the best explanation.
func (l *loss) why() error {
	if l.word != nil {
		return l.word
	}
	return l.cut
}

// GoesOn reports whether the job goes on when a rank other than 0 is lost, as
// dlprun --on-failure=continue or DLP_ON_FAILURE say. Loops of package split then
// give what a lost rank had begun to others. Barrier and Finalize do without it;
// other collective operations that it should take part in fail with a [RankError],
// on each rank that has not been through, and so does Send to it, and Recv from it
// when all that it had sent is taken. Recv from AnySource fails once for each lost
// rank of the communicator, with that rank as the Source of its Status.
func (c *Comm) GoesOn() bool { return c.engine.goesOn }

// Together makes the communicator one whose ranks need each other: every call on it
// fails when one of them is lost, as collective operations do. It is meant for
// libraries, whose messages among many ranks make no sense without one of them.
func (c *Comm) Together() { c.together = true }

// Resign ends this rank, as a library must that can't go on in this process. Where the
// job goes on without lost ranks, and this is not rank 0, it goes on: this process exits
// with code (1 if that would be status 0), and the others hear the reason. Elsewhere it is
// Abort. It does not return.
func (c *Comm) Resign(code int, reason string) {
	if code&0xff == 0 {
		code = 1
	}
	j, rank := c.job, c.engine.rank
	if !c.engine.goesOn || rank == Root {
		j.end(rank, code, reason, true)
	}
	if !j.session.Resign(code, reason) {
		fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", rank, in(j.host(rank)), reason)
	}
	if j.folder != "" {
		os.RemoveAll(j.folder) // the launcher is told nothing: it may end all ranks for that
	}
	os.Exit(code)
}

// loss returns what is known of a rank that is, or seems, lost. The caller holds
// e.mu.
func (e *engine) loss(rank int) *loss {
	if e.losses == nil {
		e.losses = make([]*loss, e.size)
	}
	if e.losses[rank] == nil {
		e.losses[rank] = &loss{heard: make(chan struct{})}
	}
	return e.losses[rank]
}

// lost is told by the hub that a rank is.
func (e *engine) lost(rank int, why error) {
	e.mu.Lock()
	l := e.loss(rank)
	if l.word != nil {
		e.mu.Unlock()
		return
	}
	l.word = why
	close(l.heard)
	e.bereaved.Store(true)
	cut := l.cut != nil
	if cut {
		e.mourn(rank, l)
	}
	e.mu.Unlock()
	if d, ok := e.t.(transport.Dropper); ok && !cut {
		d.Drop(rank, why)
	}
}

// cutOff is told by the transport that nothing more comes from a rank. If the hub
// does not know why, that is what counts after a while. The caller holds e.mu.
func (e *engine) cutOff(gone *transport.PeerError) {
	l := e.loss(gone.Rank)
	l.cut = gone.Err
	if l.word != nil {
		e.mourn(gone.Rank, l)
		return
	}
	time.AfterFunc(verdictTime, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if l.gone == nil {
			e.mourn(gone.Rank, l)
		}
	})
}

// mourn makes a loss known to all calls, blocked or to come. The caller holds e.mu.
func (e *engine) mourn(rank int, l *loss) {
	l.gone = &RankError{Rank: rank, Host: e.host(rank), Err: l.why()}
	e.bereaved.Store(true)
	e.wakeAll()
	e.rouse()
}

// rouse gets whoever reads out of the transport, by a message to oneself, which never
// blocks. The caller holds e.mu.
func (e *engine) rouse() {
	if e.reading {
		e.t.Send(context.Background(), e.rank, &wire.Message{Kind: wire.Wake}) // an error: closed, so he is out
	}
}

// gone returns the error about a rank that is lost, nil if it isn't. The caller
// holds e.mu.
func (e *engine) gone(rank int) *RankError {
	if e.losses == nil || e.losses[rank] == nil {
		return nil
	}
	return e.losses[rank].gone
}

// missing returns why a message that fits w can't come, or must not be waited for,
// as ranks are lost. The caller holds e.mu.
func (e *engine) missing(w *want) error {
	if !e.bereaved.Load() {
		return nil
	}
	if w.src != AnySource {
		if gone := e.gone(w.src); gone != nil {
			return withOp(gone, w.op)
		}
	}
	for _, r := range w.c.group {
		gone := e.gone(r)
		if gone == nil {
			continue
		}
		b := w.c.arrivals()
		switch {
		case w.together:
			return withOp(gone, w.op)
		case w.src == AnySource && !b.mourned[r]:
			if b.mourned == nil {
				b.mourned = map[int]bool{}
			}
			b.mourned[r] = true
			return withOp(gone, w.op)
		}
	}
	return nil
}

// needs returns the error of a call that is to send to ranks, or needs them in
// another way, of which one is known to be lost. What that one has sent may still be
// on its way.
func (e *engine) needs(op string, ranks ...int) error {
	if !e.bereaved.Load() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range ranks {
		if l := e.losses[r]; l != nil && (l.word != nil || l.gone != nil) {
			return &RankError{Rank: r, Host: e.host(r), Op: op, Err: l.why()}
		}
	}
	return nil
}

// unreachable waits for the word of the hub about a rank that can't be sent to, and
// returns the error of the call op.
func (e *engine) unreachable(ctx context.Context, op string, peer *transport.PeerError) error {
	e.mu.Lock()
	l := e.loss(peer.Rank)
	e.mu.Unlock()
	select {
	case <-l.heard:
	case <-e.dead:
		return e.failed(op)
	case <-ctx.Done():
	case <-time.After(verdictTime):
	}
	if err := e.needs(op, peer.Rank); err != nil {
		return err
	}
	return &RankError{Rank: peer.Rank, Host: e.host(peer.Rank), Op: op, Err: peer.Err}
}

// lostRank returns the world rank that err says is lost while the job goes on, -1 if
// it says something else.
func (e *engine) lostRank(err error) int {
	var gone *RankError
	if !e.goesOn || e.down.Load() || !errors.As(err, &gone) || gone.Rank <= 0 || errors.Is(err, ErrFinalized) {
		return -1
	}
	return gone.Rank
}

// lostRanks lists the ranks that were lost while the job went on.
func (e *engine) lostRanks() (ranks []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for r, l := range e.losses {
		if l != nil && (l.word != nil || l.gone != nil) {
			ranks = append(ranks, strconv.Itoa(r))
		}
	}
	return ranks
}

// muster is a barrier among those that are left. Rank 0 of the communicator waits for
// each of the others in turn, so that the loss of any of them holds up nobody.
func (k *call) muster(ctx context.Context) error {
	if k.c.rank != 0 {
		if err := k.send(ctx, 0, stepUp, 0, nil); err != nil {
			return err
		}
		_, err := k.recv(ctx, 0, stepDown)
		return err
	}
	for r := 1; r < k.c.Size(); r++ {
		if _, err := k.recv(ctx, r, stepUp); err != nil && k.c.engine.lostRank(err) != k.c.world(r) {
			return err
		}
	}
	for r := 1; r < k.c.Size(); r++ {
		if err := k.send(ctx, r, stepDown, 0, nil); err != nil && k.c.engine.lostRank(err) != k.c.world(r) {
			return err
		}
	}
	return nil
}
