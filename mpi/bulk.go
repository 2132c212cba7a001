package mpi

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/dlprun/dlp/internal/codec"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A transport may have collective operations of its own for large bodies (real MPI
// has). They notice nothing: no calls that differ, no lengths, no ctx; and a rank
// that never begins one leaves the others waiting. So the ranks first agree over
// the tree, where a notice goes in the place of the body, and begin when they
// know of each other that nobody will stay away.

// bulkSize is from how many bytes on a body is large: it is worth some small
// messages more. All ranks must have the same.
const bulkSize = 64 << 10

// bulk is what a communicator has beside the tree.
type bulk struct {
	group transport.Group // nil: not made yet
	off   bool            // it can't be made, or this rank has given up a call that others may have gone on with
}

// large reports whether a body of so many bytes may leave the tree.
func (k *call) large(bytes int) bool {
	return bytes >= bulkSize && k.c.engine.coll != nil && k.c.Size() > 1
}

// able reports whether this rank could begin an operation of the group.
func (k *call) able() bool {
	k.c.engine.mu.Lock()
	defer k.c.engine.mu.Unlock()
	return !k.c.bulk.off
}

// turnOff makes all large bodies of the communicator go over the tree, as this rank
// says whenever the ranks agree.
func (k *call) turnOff() {
	k.c.engine.mu.Lock()
	defer k.c.engine.mu.Unlock()
	k.c.bulk.off = true
}

// A notice goes over the tree in the place of a large body, and brings what was
// agreed about it.
type notice struct {
	form codec.Form
	yes  bool // the sender, and whoever it speaks for, can begin; they all shall
	size int  // bytes of the body, or elements
}

func (n notice) payload() payload {
	b := []byte{byte(n.form), 0}
	if n.yes {
		b[1] = 1
	}
	return payload{codec.Bulk, binary.LittleEndian.AppendUint64(b, uint64(n.size))}
}

// noticeIn returns the notice that m is, if it is one.
func noticeIn(m wire.Message) (n notice, ok bool) {
	if codec.Form(m.Form) != codec.Bulk || len(m.Body) != 10 {
		return n, false
	}
	return notice{codec.Form(m.Body[0]), m.Body[1] == 1, int(binary.LittleEndian.Uint64(m.Body[2:]))}, true
}

// spread is fromRoot for a body that may be large.
func spread(ctx context.Context, k *call, root int, p payload) (wire.Message, error) {
	first := p
	if k.c.rank == root && p.form != codec.Fault && k.large(len(p.body)) {
		first = notice{form: p.form, size: len(p.body)}.payload()
	}
	m, err := fromRoot(ctx, k, root, first)
	n, ok := noticeIn(m)
	if err != nil || !ok {
		return m, err
	}
	yes, err := k.agree(ctx, k.able())
	if err != nil {
		k.turnOff() // the others may have agreed
		return m, err
	}
	body := p.body
	if k.c.rank != root && yes {
		body = make([]byte, n.size)
	}
	done, err := k.together(ctx, yes, func(g transport.Group) (transport.Operation, error) { return g.Bcast(root, body) })
	if err != nil || done {
		return wire.Message{Form: uint8(n.form), Body: body}, err
	}
	return fromRoot(ctx, k, root, p)
}

// agree tells every rank whether all of them say yes.
func (k *call) agree(ctx context.Context, yes bool) (bool, error) {
	err := childrenOf(k.c.rank, k.c.Size(), func(child int) error {
		m, err := k.recv(ctx, child, stepUp)
		n, _ := noticeIn(m)
		yes = yes && n.yes
		return err
	})
	p := notice{yes: yes}.payload()
	if err == nil && k.c.rank != 0 {
		err = k.send(ctx, parentOf(k.c.rank), stepUp, uint8(p.form), p.body)
	}
	if err != nil {
		return false, err
	}
	m, err := fromRoot(ctx, k, 0, p)
	n, _ := noticeIn(m)
	return n.yes, err
}

// together does what all ranks have agreed on, if they have, and reports whether
// it was done: there may be no group. Nobody can go back from here on: a ctx that
// ends leaves the rank lateTime to be done, or nothing works any more.
func (k *call) together(ctx context.Context, agreed bool, begin func(transport.Group) (transport.Operation, error)) (bool, error) {
	if !agreed {
		return false, nil
	}
	ctx, stop := outlive(ctx, lateTime)
	defer stop()
	g, err := k.group(ctx)
	if g == nil && err == nil {
		return false, nil
	}
	var o transport.Operation
	if err == nil {
		o, err = begin(g)
	}
	if err == nil {
		err = k.finish(ctx, o)
	}
	if err != nil {
		k.c.engine.fail(err)
		err = k.c.engine.failed(k.op)
	}
	return true, err
}

// lateTime is how long a call goes on after its ctx has ended where it can't go
// back. All ranks are in it, so it is mostly over soon.
const lateTime = 3 * time.Second

// errLate is why everything fails after that.
var errLate = errors.New("its ctx has ended while an operation was under way that can't be taken back")

// outlive returns a context that ends some time after ctx does.
func outlive(ctx context.Context, by time.Duration) (_ context.Context, stop func()) {
	late, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unwatch := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(by)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel(fmt.Errorf("%w, and was not done %v later: %w", errLate, by, context.Cause(ctx)))
		case <-late.Done():
		}
	})
	return late, func() {
		unwatch()
		cancel(nil)
	}
}

// finish waits until o is done. Meanwhile it takes in what the engine should hear,
// and asks the others, as a call does that waits for a message.
func (k *call) finish(ctx context.Context, o transport.Operation) error {
	e, asked := k.c.engine, false
	for {
		turn, cancel := context.WithTimeout(ctx, patience)
		err := o.Wait(turn)
		over := turn.Err() != nil
		cancel()
		if err == nil || !over || ctx.Err() != nil {
			return err
		}
		if err := e.takeIn(); err != nil {
			return err
		}
		if !asked {
			asked = true
			e.ask(&want{kind: wire.Collective, c: k.c, seq: k.seq, note: k.note}, k.neighbours())
		}
	}
}

// takeIn files what has come, unless another call reads. It returns why nothing
// works any more.
func (e *engine) takeIn() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.err == nil && !e.reading && e.poll != nil {
		if !e.poll.Poll(&e.polled) {
			break
		}
		e.file()
	}
	return e.err
}

// neighbours returns the world ranks above and below this one in the tree.
func (k *call) neighbours() []int {
	var ranks []int
	if k.c.rank != 0 {
		ranks = append(ranks, k.c.world(parentOf(k.c.rank)))
	}
	childrenOf(k.c.rank, k.c.Size(), func(child int) error {
		ranks = append(ranks, k.c.world(child))
		return nil
	})
	return ranks
}
