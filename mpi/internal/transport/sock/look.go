package sock

import (
	"context"
	"time"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Whoever waits for a message looks at the rings by itself, which takes no switch
// of goroutines. Where nothing comes for a while, it has those who write into them
// knock, and sleeps. A knock wakes the goroutine that reads the socket; so it does
// where a writer has found no room, as this rank does not look. That goroutine
// then moves messages from the ring into the inbox.

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (wire.Message, error) {
	for {
		var m wire.Message
		switch ok := t.lookOn(ctx, &m); {
		case ok:
			t.missed = 0
			return m, nil
		case ctx.Err() != nil:
			return t.inbox.Recv(ctx) // an error that waits there counts
		case t.fallAsleep():
			t.missed++
			return t.sleep(ctx)
		}
	}
}

// sleep is Recv without looking.
func (t *Transport) sleep(ctx context.Context) (wire.Message, error) {
	defer t.wakeUp()
	return t.inbox.Recv(ctx)
}

// lookOn looks for longer than Poll, and lets others run in between.
func (t *Transport) lookOn(ctx context.Context, m *wire.Message) bool {
	for p := (pace{}); ; {
		ok, coming := t.glance(m)
		if ok || coming == nothing {
			return ok
		}
		if coming == more {
			p = pace{}
		}
		if ctx.Err() != nil || t.hopeless() || !p.yield(t.cfg.Spin) {
			return false
		}
	}
}

// hopeless reports whether it is not worth while to wait awake for longer than Poll
// does, since the last calls have done so in vain. One in a while tries again.
func (t *Transport) hopeless() bool { return t.missed >= maxMissed && t.missed%tryAgain != 0 }

// Poll moves the next message to m if it comes soon; see transport.Poller.
func (t *Transport) Poll(m *wire.Message) bool {
	t.look.Lock()
	defer t.look.Unlock()
	return t.watch(m)
}

// outlook is what a look that has found no message tells.
type outlook int

const (
	nothing outlook = iota // no message can be found by looking
	quiet                  // nothing has come
	more                   // parts of one have come
)

func (t *Transport) glance(m *wire.Message) (bool, outlook) {
	t.look.Lock()
	defer t.look.Unlock()
	return t.scan(m)
}

// watch looks until a message is whole, or nothing has come for a while.
func (t *Transport) watch(m *wire.Message) bool {
	ok, coming := t.scan(m)
	if ok || coming == nothing || !t.cfg.Spin {
		return ok
	}
	start := time.Now()
	for i, last := 1, start; ; i++ {
		ok, coming := t.scan(m)
		if ok || coming == nothing {
			return ok
		}
		if coming == more {
			last = time.Now()
		}
		if i%spinTries == 0 {
			if at := time.Now(); at.Sub(last) > spinTime || at.Sub(start) > spinLimit {
				return false
			}
		}
	}
}

// spinTries is how often a call looks between two looks at the clock.
const spinTries = 32

// sweepEvery is how many messages are taken out of the inbox, at most, before the
// rings have a turn.
const sweepEvery = 32

// scan looks once.
func (t *Transport) scan(m *wire.Message) (ok bool, coming outlook) {
	if !t.inbox.Empty() { // what was moved there came before what is in the rings
		if t.passed++; t.passed%sweepEvery == 0 {
			t.sweep()
		}
		return t.inbox.Poll(m), nothing
	}
	for range t.rings {
		if t.first++; t.first >= len(t.rings) {
			t.first = 0
		}
		l := t.rings[t.first]
		coming = max(coming, quiet)
		if l.in.Idle() || l.broken != nil {
			continue
		}
		if t.next(l, m) {
			return true, more
		}
		coming = more
	}
	return false, coming
}

// sweep moves a message of each ring into the inbox, while that has room.
func (t *Transport) sweep() {
	for _, l := range t.rings {
		if l.broken != nil || l.in.Idle() || !t.inbox.Roomy() {
			continue
		}
		var m wire.Message
		if t.next(l, &m) {
			t.inbox.PutNow(m) // an error: closed
		}
	}
}

// takeIn is sweep where nobody else is looking.
func (t *Transport) takeIn() {
	if t.look.TryLock() {
		t.sweep()
		t.look.Unlock()
	}
}

// next takes what has come by l. Where that makes no sense, it breaks the
// connection, which lets the goroutine that reads it tell.
func (t *Transport) next(l *link, m *wire.Message) bool {
	ok, err := l.in.Next(l, m)
	if err != nil {
		l.broken = err
		l.conn.Close()
		return false
	}
	if ok {
		m.Src = l.peer.rank
		t.settle(l)
	}
	return ok
}

// fallAsleep has all who write to this rank knock. It reports false where something
// has come meanwhile: then there is no time to sleep.
func (t *Transport) fallAsleep() bool {
	t.look.Lock()
	defer t.look.Unlock()
	t.asleep = true
	for _, l := range t.rings {
		if l.broken == nil && !l.in.Sleep() && t.inbox.Empty() {
			t.wakeUpLocked()
			return false
		}
	}
	return true
}

// wakeUp lets nobody knock who finds room.
func (t *Transport) wakeUp() {
	t.look.Lock()
	defer t.look.Unlock()
	t.wakeUpLocked()
}

func (t *Transport) wakeUpLocked() {
	t.asleep = false
	for _, l := range t.rings {
		l.in.Wake()
	}
}
