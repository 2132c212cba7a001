package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/shm"
	"github.com/dlprun/dlp/mpi/internal/transport"
)

func (t *Transport) admit(h auth.Hello) error {
	switch {
	case h.Purpose != auth.Data && h.Purpose != auth.Memory:
		return errors.New("this is a rank, not the hub of its job")
	case h.Size != len(t.peers) || h.Rank < 0 || h.Rank >= h.Size || h.Rank == t.cfg.Rank:
		return fmt.Errorf("rank %d of %d is not expected by rank %d of %d", h.Rank, h.Size, t.cfg.Rank, len(t.peers))
	}
	return nil
}

// accepted reads from a connection that h.Rank opened, and sends on it if
// there was none to that rank.
func (t *Transport) accepted(conn net.Conn, h auth.Hello) {
	l := t.newLink(t.peers[h.Rank], conn)
	if h.Purpose == auth.Memory {
		if err := l.agree(t.life); err != nil { // its Send hears of it
			err = errors.Join(err, l.discard())
			if t.cfg.Refused != nil {
				t.cfg.Refused(fmt.Errorf("rank %d was dropped while it offered shared memory: %w", h.Rank, err))
			}
			return
		}
	}
	if !t.keep(l) {
		return
	}
	p := l.peer
	select {
	case <-p.turn:
		if p.link == nil {
			p.link = l
		}
		p.turn <- struct{}{}
	default: // a Send is on its way; it dials, or has dialled, by itself
	}
	t.read(l)
}

// keep takes l into the books, or closes it if the transport is closed.
func (t *Transport) keep(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keepLocked(l)
}

// keepReading is keep that reads, too, in a goroutine that Close waits for.
func (t *Transport) keepReading(l *link) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.keepLocked(l) {
		return false
	}
	t.running.Go(func() { t.read(l) })
	return true
}

func (t *Transport) keepLocked(l *link) bool {
	if t.life.Err() != nil {
		l.discard() // an error: it is over anyhow
		return false
	}
	t.links[l] = struct{}{}
	if l.mem != nil {
		t.shared = append(t.shared, l)
	}
	l.peer.readers++
	if l.far {
		l.peer.far++
	}
	return true
}

// read brings in what the peer sends, until it says goodbye or breaks off.
func (t *Transport) read(l *link) {
	if l.in != nil {
		t.ended(l, t.tend(l))
		return
	}
	t.ended(l, t.readStream(l))
}

// errEnd is what the end of a connection means.
var errEnd = errors.New("its connection was closed without a goodbye")

// drainTime is how long the second connection with a peer may go on when the
// first has broken, and all of them with one that is given up.
const drainTime = 5 * time.Second

// ended takes l out of the books; err is nil after a goodbye. Of a peer that
// has broken off, Recv hears once, behind what its last link has brought.
func (t *Transport) ended(l *link, err error) {
	p := l.peer
	l.conn.Close()
	t.drop(l)
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.links, l)
	p.readers--
	if l.far {
		p.far--
	}
	if err == nil {
		p.left = true
	} else {
		t.breakOff(p, err, drainTime)
	}
	t.reportLocked(p)
	close(l.gone)
}

// Drop gives up a peer; see transport.Dropper.
func (t *Transport) Drop(rank int, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breakOff(t.peers[rank], why, drainTime)
	t.reportLocked(t.peers[rank])
}

// breakOff notes that a link with p has ended without a goodbye, or should. Those that
// have not may bring in what is on its way for so long. The caller holds t.mu.
func (t *Transport) breakOff(p *peer, why error, rest time.Duration) {
	if p.broken != nil {
		return
	}
	p.broken = why
	for l := range t.links {
		if l.peer == p {
			l.conn.SetReadDeadline(time.Now().Add(rest)) // an error: it has ended already
		}
	}
}

// reportLocked lets Recv hear of a peer that has broken off. The caller holds t.mu.
func (t *Transport) reportLocked(p *peer) {
	if p.readers == 0 && p.broken != nil && !p.reported {
		p.reported = true
		t.inbox.Fail(&transport.PeerError{Rank: p.rank, Err: p.broken})
	}
}

// dial opens p's link. The caller has p's turn.
func (t *Transport) dial(ctx context.Context, p *peer) error {
	t.mu.Lock()
	broken := p.broken
	t.mu.Unlock()
	if broken != nil {
		return t.lose(p, broken)
	}
	t.inbox.Block()
	defer t.inbox.Unblock()
	ctx, stop := transport.Until(ctx, t.life)
	defer stop()
	var lost error
	for _, a := range t.cfg.Peers[p.rank] {
		l, err := t.greet(ctx, p, a)
		if err == nil {
			if !t.keepReading(l) {
				return transport.ErrClosed
			}
			p.link = l
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if lost != nil {
			err = fmt.Errorf("%w; %w", lost, err) // one line
		}
		lost = err
		if errors.Is(err, shm.ErrNone) { // another address would do without, too
			break
		}
	}
	return t.lose(p, lost)
}

// greet opens a link with p at one of its addresses.
func (t *Transport) greet(ctx context.Context, p *peer, a Addr) (*link, error) {
	hello := auth.Hello{Purpose: auth.Data, Rank: t.cfg.Rank, Size: len(t.peers), Build: t.cfg.Build}
	if t.cfg.Ring > 0 && a.Network == "unix" {
		hello.Purpose = auth.Memory
	}
	conn, err := auth.Once(ctx, a.Network, a.Address, t.cfg.Secret, hello)
	if err != nil {
		return nil, err
	}
	l := t.newLink(p, conn)
	if hello.Purpose == auth.Memory {
		if err := l.offer(ctx); err != nil {
			return nil, errors.Join(err, l.discard())
		}
	}
	return l, nil
}

// lose notes that p can't be sent to, and why; err is what a Send met. The
// caller has p's turn.
func (t *Transport) lose(p *peer, err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.life.Err() != nil:
		return transport.ErrClosed
	case p.broken != nil: // the reader knows better
		err = p.broken
	case p.left:
		err = transport.ErrLeft
	}
	p.dead = &transport.PeerError{Rank: p.rank, Err: err}
	return p.dead
}
