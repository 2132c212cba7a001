package split

import (
	"context"
	"encoding/binary"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// A client is a rank's way to the manager at the root, where the rank is not the
// root itself.
type client struct {
	comm *mpi.Comm
	cfg  *config
	ctx  context.Context
	hand *hand
	way  *mpi.Comm // to the root; of its host, where the rank has a leader
	free func()    // of comm and way
	in   mailbox   // of what comes that way
	out  []byte    // the last report, as it travelled
	room []span    // for what is granted

	// sending is the context of all messages to the root. It ends some time after
	// ctx: what was begun is sent whole, so that both sides agree on what is done.
	sending context.Context
	release func() // of sending

	mu  sync.Mutex
	own map[int]error // Map: what failed here, to be found again in what the root says
}

// newClient says hello.
func newClient(ctx context.Context, comm *mpi.Comm, cfg *config, hand *hand) *client {
	c := &client{comm: comm, cfg: cfg, ctx: ctx, hand: hand, way: comm, free: comm.Free}
	c.in.tag = tag
	if isLed(comm) {
		c.follow()
	}
	c.in.comm = c.way
	c.sending, c.release = outlive(ctx, patience)
	h := hello{items: cfg.items}
	err := cfg.check()
	if err == nil {
		h.keys = cfg.fingerprint()
	} else {
		h.err = err.Error()
		hand.close(err, byItself)
	}
	if err := c.send(h.encode()); err != nil {
		hand.close(cfg.errorf("%w", err), byItself)
	}
	return c
}

// follow has what this rank and the root say go by the rank's leader, which may be
// this one.
func (c *client) follow() {
	here := c.comm.PrivateOnHost()
	c.way, c.in.tag = here, clientTag
	if here.IsRoot() {
		c.free = lead(c.ctx, c.comm, here).over
		return
	}
	c.free = func() {
		here.Free()
		c.comm.Free()
	}
}

// report sends r to the manager, and keeps nothing of it.
func (c *client) report(r *report) error {
	r.seen = c.hand.seen()
	c.out = r.append(c.out[:0])
	err := c.send(c.out)
	if cap(c.out) > mostKept {
		c.out = nil
	}
	return err
}

// wait blocks until something is in the hand, or this rank is told to stop.
func (c *client) wait() (waited bool, err error) {
	for err == nil && c.hand.waits() {
		waited, err = true, c.receive(c.ctx)
	}
	return waited, err
}

// receive takes in one message of the manager.
func (c *client) receive(ctx context.Context) error {
	b, _, _, err := c.in.recv(ctx, mpi.Root)
	if err != nil {
		return err
	}
	if len(b) == 0 {
		return errMalformed
	}
	switch body := b[1:]; kind(b[0]) {
	case kindGrant:
		g, err := decodeGrant(body, c.room[:0])
		if err != nil {
			return err
		}
		c.room = g.spans
		c.look(g.offer)
		c.hand.put(g)
	case kindQuery:
		return c.answer(body)
	case kindEnd:
		v, err := decodeVerdict(body)
		if err != nil {
			return err
		}
		c.hand.close(c.restore(v).err(), byManager)
	default:
		return errMalformed
	}
	return nil
}

// look opens the board or the shelf that the root offers. Where that can't be done, the
// manager goes on granting.
func (c *client) look(o offer) {
	if o.name == "" {
		return
	}
	mem, err := c.comm.OpenMemory(o.name)
	switch {
	case err != nil:
	case o.shelf && len(mem) >= shelfSize(o.place+1):
		c.hand.shelved(newPicker(shelfOf(mem), o.place))
	case !o.shelf && len(mem) >= boardSize(o.place+1):
		c.hand.offered(newDrawer(boardOf(mem, c.cfg.items), o, c.comm.Size()))
	}
}

// answer tells the root which is the first key that differs from the root's,
// whose hashes it got.
func (c *client) answer(hashes []byte) error {
	if len(hashes) != 8*c.cfg.items || c.cfg.keys == nil {
		return errMalformed
	}
	index, key := unknown, ""
	for i := range c.cfg.items {
		if binary.LittleEndian.Uint64(hashes[8*i:]) != c.cfg.keyHash(i) {
			index, key = i, c.cfg.key(i)
			break
		}
	}
	return c.send(encodeDiffers(index, key))
}

// restore puts the errors of this rank's own tasks back in the place of their
// texts.
func (c *client) restore(v verdict) verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range v.failures {
		if err, ok := c.own[f.Index]; ok && f.Rank == c.comm.Rank() {
			f.Err = err
		}
	}
	return v
}

// remember keeps the error of an item for restore.
func (c *client) remember(index int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own == nil {
		c.own = map[int]error{}
	}
	c.own[index] = err
}

// leave sends the last report, and sees to it that the manager's last message is
// read. That is waited for only in the background: the root may be far from
// calling the loop.
func (c *client) leave(r report) {
	r.leave = true
	err := c.report(&r)
	c.release()
	if err != nil || c.hand.is(byManager) {
		c.free()
		return
	}
	go c.drain()
}

// drain reads what the manager still sends to a rank that has left.
func (c *client) drain() {
	defer c.free()
	for {
		b, _, _, err := c.in.recv(context.WithoutCancel(c.ctx), mpi.Root)
		if err != nil || len(b) == 0 || kind(b[0]) == kindEnd {
			return
		}
	}
}

func (c *client) send(b []byte) error {
	return c.way.Send(c.sending, mpi.Root, tag, b)
}

// outlive returns a context that ends d after ctx has, or when release is called.
func outlive(ctx context.Context, d time.Duration) (longer context.Context, release func()) {
	longer, end := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		time.AfterFunc(d, func() { end(context.Cause(ctx)) })
	})
	return longer, func() {
		stop()
		end(nil)
	}
}
