package split

import (
	"context"

	"github.com/dlprun/dlp/mpi"
)

// A member is one rank's part in a loop.
type member struct {
	ctx    context.Context
	cfg    *config
	comm   *mpi.Comm // private to the loop
	hand   *hand
	link   link
	server *server // at the root; the same as link
	client *client // elsewhere; the same as link
	forget func()  // requests to come to an end
}

// A link is a rank's way to the manager: calls at the root, messages elsewhere.
type link interface {
	report(r *report) error // does not wait for the answer

	// wait blocks until the rank's hand has what the last request brought, and
	// reports whether it had to.
	wait() (waited bool, err error)
}

// join takes part in a loop, called skip frames above join's caller. It blocks
// no longer than sending a small message takes.
func join(ctx context.Context, c *mpi.Comm, cfg *config, skip int, what string, to sink) *member {
	b := &member{ctx: ctx, cfg: cfg, hand: newHand()}
	comm, err := c.Private("split."+cfg.call+what, skip+1)
	if err != nil {
		b.hand.close(cfg.errorf("%w", err), byManager)
		return b
	}
	b.comm = comm
	if c.IsRoot() {
		b.server = newServer(ctx, comm, cfg, b.hand, to)
		b.link = b.server
	} else {
		b.client = newClient(ctx, comm, cfg, b.hand)
		b.link = b.client
	}
	b.forget = b.heed()
	if b.server != nil {
		b.server.whenOver(b.forget)
	}
	return b
}

// stop ends the loop because ctx has ended: at the root on all ranks, elsewhere
// for this rank.
func (b *member) stop() {
	if b.server != nil {
		b.server.stop()
		return
	}
	b.hand.close(b.cfg.errorf("%w", context.Cause(b.ctx)), byItself)
}

// leave ends this rank's part with its last report.
func (b *member) leave(r report) {
	switch {
	case b.server != nil:
		r.leave = true
		b.server.reportOf(0, &r)
		b.server.done()
	case b.client != nil:
		b.forget()
		b.client.leave(r)
	}
}

// result returns how the loop ended. At the root it waits for all ranks.
func (b *member) result() error {
	if b.server != nil {
		return b.server.result()
	}
	return b.hand.reason()
}
