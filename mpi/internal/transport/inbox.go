package transport

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// InboxLimit is how many bytes may wait in an Inbox while nobody wants them,
// each message counted with overhead, so that empty ones are not for free.
const (
	InboxLimit = 64 << 20
	overhead   = 256
)

// Inbox is the queue between whatever brings messages in and the one goroutine
// that calls Recv. It is bounded: Put blocks while more than InboxLimit bytes
// wait, unless somebody on this rank is blocked himself, in Recv or in Send.
// That keeps the memory of a busy rank small and can't lead into a deadlock,
// since whoever waits for anything keeps the messages coming.
type Inbox struct {
	mu      sync.Mutex
	queue   []item
	head    int
	bytes   int
	blocked int // calls of this rank that wait for something
	closed  bool
	waiting atomic.Int64  // items in the queue
	room    sync.Cond     // for Put
	ready   chan struct{} // for Recv; holds one token when the queue may not be empty
}

type item struct {
	m   wire.Message
	err error
}

// NewInbox returns an empty Inbox.
func NewInbox() *Inbox {
	b := &Inbox{ready: make(chan struct{}, 1)}
	b.room.L = &b.mu
	return b
}

// Put appends m and takes ownership of its Body. It blocks while there is no
// room, until ctx ends, and returns ErrClosed if the Inbox was closed.
func (b *Inbox) Put(ctx context.Context, m wire.Message) error {
	stop := func() bool { return true }
	if ctx.Done() != nil {
		stop = context.AfterFunc(ctx, func() {
			b.mu.Lock()
			b.room.Broadcast()
			b.mu.Unlock()
		})
	}
	defer stop()
	b.mu.Lock()
	for b.full() && ctx.Err() == nil {
		b.room.Wait()
	}
	if b.full() {
		b.mu.Unlock()
		return context.Cause(ctx)
	}
	return b.append(item{m: m})
}

// PutNow is Put that never blocks.
func (b *Inbox) PutNow(m wire.Message) error {
	b.mu.Lock()
	return b.append(item{m: m})
}

// Room blocks while Put would, and returns ErrClosed if the Inbox was closed.
func (b *Inbox) Room() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.full() {
		b.room.Wait()
	}
	if b.closed {
		return ErrClosed
	}
	return nil
}

// Roomy reports whether Put would not block.
func (b *Inbox) Roomy() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.full()
}

// Empty reports, without waiting for anybody, whether there is nothing for Recv.
func (b *Inbox) Empty() bool { return b.waiting.Load() == 0 }

// Fits reports whether a message that waits may go to p.
func (b *Inbox) Fits(p *Place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.queue[b.head:], func(it item) bool { return p.Fits(&it.m, len(it.m.Body)) })
}

// Evict gives a message whose body is in p memory of its own.
func (b *Inbox) Evict(p *Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := b.head; i < len(b.queue); i++ {
		if m := &b.queue[i].m; p.Holds(m.Body) {
			m.Body = slices.Clone(m.Body)
		}
	}
}

// Offer is Put that gives up where Put would block.
func (b *Inbox) Offer(m wire.Message) bool {
	b.mu.Lock()
	if b.full() {
		b.mu.Unlock()
		return false
	}
	return b.append(item{m: m}) == nil
}

// Fail lets Recv return err once, in its turn.
func (b *Inbox) Fail(err error) {
	b.mu.Lock()
	b.append(item{err: err})
}

func (b *Inbox) full() bool { return b.bytes > InboxLimit && b.blocked == 0 && !b.closed }

// append needs b.mu and releases it.
func (b *Inbox) append(it item) error {
	if b.closed {
		b.mu.Unlock()
		return ErrClosed
	}
	b.queue = append(b.queue, it)
	b.waiting.Add(1)
	b.bytes += len(it.m.Body) + overhead
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
	return nil
}

// Recv returns the next message, or the next error; see Transport.Recv.
func (b *Inbox) Recv(ctx context.Context) (wire.Message, error) {
	if it, ok := b.take(); ok {
		return it.m, it.err
	}
	b.Block()
	defer b.Unblock()
	for {
		select {
		case <-b.ready:
		case <-ctx.Done():
			return wire.Message{}, context.Cause(ctx)
		}
		if it, ok := b.take(); ok {
			return it.m, it.err
		}
	}
}

// Poll moves the next message to m if there is one; see Poller.
func (b *Inbox) Poll(m *wire.Message) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.head == len(b.queue) || b.queue[b.head].err != nil {
		return false
	}
	it, _ := b.takeLocked()
	*m = it.m
	return true
}

func (b *Inbox) take() (item, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.takeLocked()
}

func (b *Inbox) takeLocked() (item, bool) {
	if b.head == len(b.queue) {
		if b.closed {
			return item{err: ErrClosed}, true
		}
		return item{}, false
	}
	it := b.queue[b.head]
	b.queue[b.head] = item{}
	b.head++
	b.waiting.Add(-1)
	b.bytes -= len(it.m.Body) + overhead
	switch {
	case b.head == len(b.queue):
		b.queue, b.head = b.queue[:0], 0
	case b.head > 1024 && 2*b.head > len(b.queue): // a queue that never runs empty must not grow for ever
		n := copy(b.queue, b.queue[b.head:])
		clear(b.queue[n:])
		b.queue, b.head = b.queue[:n], 0
	}
	if b.bytes <= InboxLimit {
		b.room.Broadcast()
	}
	return it, true
}

// Block says that a call of this rank waits for something: room or not,
// messages must come in until Unblock.
func (b *Inbox) Block() {
	b.mu.Lock()
	b.blocked++
	if b.bytes > InboxLimit {
		b.room.Broadcast()
	}
	b.mu.Unlock()
}

// Unblock ends Block.
func (b *Inbox) Unblock() {
	b.mu.Lock()
	b.blocked--
	b.mu.Unlock()
}

// Close makes Put return ErrClosed, and Recv return too when the queue is
// empty.
func (b *Inbox) Close() {
	b.mu.Lock()
	b.closed = true
	b.room.Broadcast()
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
