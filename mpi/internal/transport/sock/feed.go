package sock

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// feed puts one frame into p's ring and gives the turn back. If ctx ends in the
// middle, the rest is copied and put in the background, so that the frames stay
// whole and m.Body is the caller's again.
func (t *Transport) feed(ctx context.Context, p *peer, m *wire.Message) error {
	l := p.link
	p.buf = wire.AppendUnsummed(p.buf[:0], m)
	room, err := t.room(ctx, t.life.Done(), l, len(p.buf), len(p.buf))
	if err == nil {
		l.out.Put(p.buf)
		rest := l.out.Stream(l, m.Body, room-len(p.buf))
		if rest, err = t.feedRest(ctx, t.life.Done(), l, rest); err == errInterrupted {
			go t.finishFeed(p, slices.Clone(rest))
			return context.Cause(ctx)
		}
	}
	switch err {
	case nil, transport.ErrClosed:
	case errInterrupted:
		err = context.Cause(ctx)
	default:
		err = t.lose(p, err)
	}
	p.turn <- struct{}{}
	return err
}

// errInterrupted says that ctx has ended.
var errInterrupted = errors.New("interrupted")

// feedRest puts the rest of a body into l's ring, and returns what is left when it
// gives up.
func (t *Transport) feedRest(ctx context.Context, life <-chan struct{}, l *link, rest []byte) ([]byte, error) {
	for len(rest) > 0 {
		room, err := t.room(ctx, life, l, 1, min(len(rest), l.out.Size()/2))
		if err != nil {
			l.cut = true
			return rest, err
		}
		rest = l.out.Stream(l, rest, room)
	}
	l.cut = false
	return nil, nil
}

// finishFeed puts the rest of a Send whose ctx has ended, and gives its turn back.
func (t *Transport) finishFeed(p *peer, rest []byte) {
	if _, err := t.feedRest(context.Background(), nil, p.link, rest); err != nil {
		t.lose(p, err) // for the next Send
	}
	p.turn <- struct{}{}
}

// room waits until need bytes of l's ring are free, and returns how many are. If it
// has to sleep, it does until the peer has made room for want. Meanwhile it takes in
// what comes from others: two ranks that send to each other both get on.
func (t *Transport) room(ctx context.Context, life <-chan struct{}, l *link, need, want int) (int, error) {
	select {
	case <-l.gone:
		return 0, errEnd
	default:
	}
	room, err := l.out.Room(need)
	if room >= need || err != nil {
		return room, err
	}
	t.inbox.Block()
	defer t.inbox.Unblock()
	if room, err = t.roomSoon(l, need); room >= need || err != nil {
		return room, err
	}
	for knocked := false; ; knocked = true {
		l.out.Await(want)
		if room, err = l.out.Room(need); room >= need || err != nil {
			return room, err
		}
		if !knocked {
			l.Knock() // it may be busy with something else than messages
		}
		select {
		case <-l.roomy:
		case <-ctx.Done():
			return 0, errInterrupted
		case <-life:
			return 0, transport.ErrClosed
		case <-l.gone:
			return 0, errEnd
		}
	}
}

// roomSoon is room without sleep.
func (t *Transport) roomSoon(l *link, need int) (room int, err error) {
	for start := time.Now(); t.cfg.Spin && time.Since(start) < spinTime; {
		if room, err = l.out.Room(need); room >= need || err != nil {
			return room, err
		}
	}
	for p := (pace{}); p.yield(t.cfg.Spin); {
		if room, err = l.out.Room(need); room >= need || err != nil {
			return room, err
		}
		t.takeIn()
	}
	return l.out.Room(need)
}
