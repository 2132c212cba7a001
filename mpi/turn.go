package mpi

import (
	"context"
	"slices"

	"github.com/dlprun/dlp/mpi/internal/transport"
)

// group returns the communicator's group, made on first use; nil if it can't be
// made. All ranks call it in the same call.
func (k *call) group(ctx context.Context) (transport.Group, error) {
	e, b := k.c.engine, &k.c.bulk
	e.mu.Lock()
	g, off := b.group, b.off
	e.mu.Unlock()
	if g != nil || off {
		return g, nil
	}
	g, failed, err := k.newGroup(ctx)
	if err != nil {
		return nil, err
	}
	all, err := k.agree(ctx, failed == nil)
	if err != nil {
		return nil, err
	}
	if !all { // MPI allows some thousands: the tree does it too
		k.turnOff()
		return nil, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	b.group = g
	return g, nil
}

// newGroup makes the group. That holds up all else a rank does until the others
// make it too, so two groups that are made at the same time, in different orders
// on two ranks, would wait for each other for ever. Hence each rank makes one at a
// time, and takes its turn only when all members of lower rank in the world have
// taken theirs. failed says why it can't be made, err that the call can't go on.
func (k *call) newGroup(ctx context.Context) (g transport.Group, failed, err error) {
	e := k.c.engine
	order := make([]int, k.c.Size()) // ranks of the communicator
	for r := range order {
		order[r] = r
	}
	slices.SortFunc(order, func(a, b int) int { return k.c.world(a) - k.c.world(b) })
	at, last := slices.Index(order, k.c.rank), len(order)-1
	if at > 0 {
		if _, err := k.recv(ctx, order[at-1], stepUp); err != nil {
			return nil, nil, err
		}
	}
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	case <-e.dead:
		return nil, nil, e.failed(k.op)
	}
	defer func() { <-e.turn }()
	if at < last {
		if err := k.send(ctx, order[at+1], stepUp, 0, nil); err != nil {
			return nil, nil, err
		}
	}
	if _, err := fromRoot(ctx, k, order[last], payload{}); err != nil {
		return nil, nil, err
	}
	g, failed = e.coll.Group(k.c.id, k.c.group)
	return g, failed, nil
}
