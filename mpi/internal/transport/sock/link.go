package sock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/shm"
	"github.com/dlprun/dlp/mpi/internal/transport/ring"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// A link is one connection with a peer. Frames go over its socket; or through two
// rings in memory that both ends share, and then the socket carries knocks and the
// goodbye, and its end says that the peer is gone.
type link struct {
	t    *Transport
	peer *peer
	conn net.Conn
	gone chan struct{} // closed when nothing more will come
	far  bool          // over a network, which may swallow what it should carry

	out    *ring.Writer // nil: frames go over conn; used with the peer's turn in hand
	in     *ring.Frames // used with t.look held
	broken error        // why in can't be read any more
	mem    []byte       // that the rings are in
	raw    syscall.RawConn
	knock  func(fd uintptr) bool
	roomy  chan struct{} // holds a token when the peer has knocked: there may be room in out
	cut    bool          // what was put into out ends in the middle of a frame
}

func (t *Transport) newLink(p *peer, conn net.Conn) *link {
	_, near := conn.(*net.UnixConn)
	return &link{t: t, peer: p, conn: conn, gone: make(chan struct{}), far: !near}
}

// What a socket whose frames go through memory carries.
const (
	sayKnock = '.' // look: there may be something to read, or room to write
	sayBye   = '!' // this end leaves in order; what it had to say is in the ring
)

// The answers to an offer of memory, and the word of the one who has made it that it
// has heard the answer: a link counts for both ends or for neither, also where the
// offer is given up in the middle.
const (
	declined  = 'n'
	agreed    = 'y'
	confirmed = '+'
)

// ringBudget is how much memory all rings of a host may take when every rank has
// filled those to every other.
const ringBudget = 256 << 20

// RingSize returns how large the rings between ranks of a host are to be that has so
// many of them.
func RingSize(ranks int) int {
	size := ring.MaxSize
	for size > ring.MinSize && ranks*(ranks-1)*size > ringBudget {
		size /= 2
	}
	return size
}

// bear returns nil in place of err where the socket may do without memory.
func (t *Transport) bear(err error) error {
	if errors.Is(err, shm.ErrNone) && !t.cfg.Insist {
		return nil
	}
	return err
}

// offer offers memory to the other end, and waits for its answer.
func (l *link) offer(ctx context.Context) error {
	err := l.negotiate(ctx, func(conn *net.UnixConn) error {
		mem, refused := shm.Offer(conn, ring.SegmentSize(l.t.cfg.Ring))
		if refused != nil && !errors.Is(refused, shm.ErrNone) {
			return refused
		}
		l.mem = mem
		answer := make([]byte, 1)
		if _, err := io.ReadFull(conn, answer); err != nil {
			return fmt.Errorf("no answer to an offer of shared memory: %w", err)
		}
		switch {
		case refused != nil:
			return l.t.bear(refused)
		case answer[0] != agreed:
			l.mem = nil
			return errors.Join(l.t.bear(fmt.Errorf("%w: it has declined", shm.ErrNone)), shm.Free(mem))
		}
		return l.share(true)
	})
	if err == nil {
		_, err = l.conn.Write([]byte{confirmed}) // not within ctx any more
	}
	return err
}

// agree takes in what the other end offers, if this one can, and waits until that has
// heard so.
func (l *link) agree(ctx context.Context) error {
	return l.negotiate(ctx, func(conn *net.UnixConn) error {
		mem, refused := shm.Receive(conn, ring.MaxSegment)
		var err error
		answer := byte(declined)
		switch {
		case errors.Is(refused, shm.ErrNone):
		case refused != nil:
			return refused
		case l.t.cfg.Ring == 0:
			err = shm.Free(mem)
		default:
			l.mem, answer = mem, agreed
			err = l.share(false)
		}
		said := []byte{answer}
		if err == nil {
			_, err = conn.Write(said)
		}
		if err = errors.Join(err, l.t.bear(refused)); err != nil {
			return err
		}
		if _, err := io.ReadFull(conn, said); err != nil {
			return fmt.Errorf("it gave up, as where the context of its Send ends: %w", err)
		}
		if said[0] != confirmed {
			return fmt.Errorf("%w: %q after an offer of memory", wire.ErrFrame, said)
		}
		return nil
	})
}

// negotiate does what the two ends agree by, within a bound. It returns the cause
// of ctx's end if that comes first.
func (l *link) negotiate(ctx context.Context, f func(conn *net.UnixConn) error) error {
	conn, ok := l.conn.(*net.UnixConn)
	if !ok {
		return errors.New("memory is shared over unix sockets alone")
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := conn.SetDeadline(time.Now().Add(auth.Timeout))
	if err == nil {
		err = f(conn)
	}
	if !stop() {
		return context.Cause(ctx)
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	return err
}

// share lets frames go through l's memory, which this end has made, or has been
// handed.
func (l *link) share(own bool) error {
	out, in, err := ring.Pair(l.mem, own)
	if err != nil {
		return err
	}
	if l.raw, err = l.conn.(*net.UnixConn).SyscallConn(); err != nil {
		return err
	}
	l.knock = func(fd uintptr) bool {
		tap(fd)
		return true
	}
	l.out, l.in = out, &ring.Frames{Reader: in, MaxBody: wire.MaxBody}
	l.roomy = make(chan struct{}, 1)
	return nil
}

// discard releases what l holds, before anybody else knows of it.
func (l *link) discard() error {
	if l.conn != nil {
		l.conn.Close() // an error: it is closed already
	}
	if l.mem != nil {
		return shm.Free(l.mem)
	}
	return nil
}

// Knock wakes the other end; see ring.Host. Where the socket is full of knocks, one
// more is not needed; where it is broken, the goroutine that reads it knows.
func (l *link) Knock() { l.raw.Write(l.knock) }

// free gives the memory back when nobody sends any more; the reader has ended.
func (l *link) free() error {
	<-l.peer.turn
	defer func() { l.peer.turn <- struct{}{} }()
	return shm.Free(l.mem)
}
