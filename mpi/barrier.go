package mpi

import (
	"context"

	"github.com/dlprun/dlp/internal/codec"
)

// Barrier blocks until every rank of the communicator has called it. It costs
// two messages a rank, in two sweeps over a binomial tree; where the job goes on
// without lost ranks, to and from rank 0, so that those who are left still meet.
func (c *Comm) Barrier(ctx context.Context) error {
	k, err := c.begin("Barrier", "", 1)
	if err != nil {
		return err
	}
	return k.barrier(ctx)
}

func (k *call) barrier(ctx context.Context) error {
	if k.partial = k.c.engine.goesOn; k.partial {
		return k.muster(ctx)
	}
	self, size := k.c.rank, k.c.Size()
	err := childrenOf(self, size, func(child int) error {
		_, err := k.recv(ctx, child, stepUp)
		return err
	})
	if err == nil && self != 0 {
		err = k.send(ctx, parentOf(self), stepUp, uint8(codec.Nil), nil)
	}
	if err == nil {
		_, err = fromRoot(ctx, k, 0, payload{form: codec.Nil})
	}
	return err
}
