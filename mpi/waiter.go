package mpi

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A waiter is one blocked call. After patience it asks those it waits for what
// they are doing: ranks that will never send, because they have called
// something else or are in Finalize, then say so, and nobody hangs.
type waiter struct {
	e     *engine
	want  want
	wake  chan struct{} // holds one token: look again
	timer *time.Timer
	live  bool // it is in e.waiting; guarded by e.mu
}

// patience is long beside any message and short beside any patience of people.
const patience = 200 * time.Millisecond

var waiters = sync.Pool{New: func() any {
	w := &waiter{wake: make(chan struct{}, 1)}
	w.timer = time.AfterFunc(time.Hour, w.ask)
	w.timer.Stop()
	return w
}}

// wait enters a blocked call into the books. The caller holds e.mu.
func (e *engine) wait(want *want) *waiter {
	w := waiters.Get().(*waiter)
	w.e, w.want, w.live = e, *want, true
	e.waiting = append(e.waiting, w)
	if e.size > 1 {
		w.timer.Reset(patience)
	}
	return w
}

// unwait strikes it out again, and lets another one read. The caller holds e.mu.
func (e *engine) unwait(w *waiter) {
	last := len(e.waiting) - 1
	for i, other := range e.waiting {
		if other == w {
			e.waiting[i] = e.waiting[last]
			e.waiting[last] = nil
			e.waiting = e.waiting[:last]
			break
		}
	}
	w.live = false
	stopped := w.timer.Stop()
	e.passOn()
	if !stopped && e.size > 1 {
		return // ask may still run, and look at w: leave it to the garbage collector
	}
	select {
	case <-w.wake:
	default:
	}
	w.e, w.want = nil, want{}
	waiters.Put(w)
}

func (w *waiter) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (e *engine) wakeAll() {
	for _, w := range e.waiting {
		w.signal()
	}
}

// ask runs when w has been blocked for a while.
func (w *waiter) ask() {
	e := w.e
	e.mu.Lock()
	live, want := w.live, w.want
	e.mu.Unlock()
	switch {
	case !live:
	case want.src == AnySource:
		e.ask(&want, want.c.group)
	default:
		e.ask(&want, []int{want.src})
	}
}

// ask asks peers, ranks of the world that want waits for, what they are doing.
func (e *engine) ask(want *want, peers []int) {
	asks := []wire.Message{{Kind: wire.Ask, Form: uint8(want.kind), Comm: want.c.id, Seq: want.seq, Note: want.note}}
	// Where another call than ours has made their communicator, they are not in this
	// one. That comes first: it says more than that they have left.
	for k := want.c.born; k != nil; k = k.c.born {
		asks = append(asks, wire.Message{Kind: wire.Ask, Form: uint8(wire.Collective), Comm: k.c.id, Seq: k.seq, Note: k.note})
	}
	slices.Reverse(asks)
	for _, r := range peers {
		if r == e.rank {
			continue
		}
		go func() {
			for i := range asks {
				e.t.Send(context.Background(), r, &asks[i]) // a peer that can't be reached is found out by the transport
			}
		}()
	}
}
