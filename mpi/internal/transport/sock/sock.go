// Package sock is the transport over stream sockets: unix sockets between
// ranks of one host, TCP between hosts. Connections are authenticated (package
// auth) and opened on first use.
package sock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Addr is one address of a rank, as net.Dial takes it.
type Addr struct{ Network, Address string }

// Config says what the transport of one rank needs to know.
type Config struct {
	Rank      int
	Secret    auth.Secret
	Build     [16]byte
	Peers     [][]Addr // by rank: where it listens, best first
	Listeners []net.Listener
	Refused   func(error) // told of strangers; may be nil
}

// Transport is one rank's end.
//
// Between two ranks there is one connection, or two if both dialled at once.
// Each rank sends all it has for a peer on the first connection that it has
// with it, so that order is kept, and reads from all of them.
type Transport struct {
	cfg   Config
	inbox *transport.Inbox
	peers []*peer

	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	running sync.WaitGroup // accept loops and readers
}

// peer is the way to one rank.
type peer struct {
	rank int
	turn chan struct{} // holds a token; whoever has it may send
	conn net.Conn      // nil before first use; changed with the token in hand
	dead error
	buf  []byte // header, note, and a small body

	watched context.Context // whose end interrupts writes on conn
	unwatch func() bool
}

// New starts a transport: it accepts connections on cfg.Listeners, which it
// owns from now on.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg, inbox: transport.NewInbox(), conns: map[net.Conn]struct{}{}}
	for r := range cfg.Peers {
		p := &peer{rank: r, turn: make(chan struct{}, 1)}
		p.turn <- struct{}{}
		t.peers = append(t.peers, p)
	}
	for _, ln := range cfg.Listeners {
		s := &auth.Server{Listener: ln, Secret: cfg.Secret, Admit: t.admit, Serve: t.accepted, Refused: cfg.Refused}
		t.running.Go(s.Run)
	}
	return t
}

func (t *Transport) admit(h auth.Hello) error {
	switch {
	case h.Purpose != auth.Data:
		return errors.New("this is a rank, not the hub of its job")
	case h.Size != len(t.peers) || h.Rank < 0 || h.Rank >= h.Size || h.Rank == t.cfg.Rank:
		return fmt.Errorf("rank %d of %d is not expected by rank %d of %d", h.Rank, h.Size, t.cfg.Rank, len(t.peers))
	}
	return nil
}

// accepted reads from a connection that h.Rank opened, and sends on it if
// there was none to that rank.
func (t *Transport) accepted(conn net.Conn, h auth.Hello) {
	if !t.keep(conn) {
		return
	}
	p := t.peers[h.Rank]
	select {
	case <-p.turn:
		if p.conn == nil {
			p.conn = conn
		}
		p.turn <- struct{}{}
	default: // a Send is on its way; it dials, or has dialled, by itself
	}
	t.read(conn, h.Rank)
}

// keep takes conn into the books, or closes it if the transport is closed.
func (t *Transport) keep(conn net.Conn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		conn.Close()
		return false
	}
	t.conns[conn] = struct{}{}
	return true
}

// read brings in what rank sends on conn, until it says goodbye or breaks off.
func (t *Transport) read(conn net.Conn, rank int) {
	defer func() {
		t.mu.Lock()
		delete(t.conns, conn)
		t.mu.Unlock()
		conn.Close()
	}()
	r := wire.NewReader(conn, wire.MaxBody)
	for {
		m, err := r.Read()
		if err == nil && m.Kind == wire.Bye {
			return
		}
		if err != nil {
			if err == io.EOF {
				err = errors.New("its connection was closed without a goodbye")
			}
			t.inbox.Fail(&transport.PeerError{Rank: rank, Err: err})
			return
		}
		m.Src = rank
		if t.inbox.Put(context.Background(), m) != nil {
			return
		}
	}
}

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (wire.Message, error) { return t.inbox.Recv(ctx) }

// Send writes m to dst; see transport.Transport.
func (t *Transport) Send(ctx context.Context, dst int, m *wire.Message) error {
	if dst == t.cfg.Rank {
		c := *m
		c.Src, c.Body = dst, append([]byte(nil), m.Body...)
		return t.inbox.PutNow(c)
	}
	p := t.peers[dst]
	t.inbox.Block()
	defer t.inbox.Unblock()
	select {
	case <-p.turn:
	default:
		select {
		case <-p.turn:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if p.conn == nil && p.dead == nil {
		if err := t.dial(ctx, p); err != nil {
			p.turn <- struct{}{}
			return err
		}
	}
	if p.dead != nil {
		p.turn <- struct{}{}
		return p.dead
	}
	return p.send(ctx, m)
}

// dial opens p's connection. The caller has p's turn.
func (t *Transport) dial(ctx context.Context, p *peer) error {
	if t.isClosed() {
		return transport.ErrClosed
	}
	hello := auth.Hello{Purpose: auth.Data, Rank: t.cfg.Rank, Size: len(t.peers), Build: t.cfg.Build}
	var errs []error
	for _, a := range t.cfg.Peers[p.rank] {
		conn, err := auth.Once(ctx, a.Network, a.Address, t.cfg.Secret, hello)
		if err == nil {
			if !t.keep(conn) {
				return transport.ErrClosed
			}
			p.conn = conn
			t.running.Go(func() { t.read(conn, p.rank) })
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		errs = append(errs, err)
	}
	if t.isClosed() {
		return transport.ErrClosed
	}
	p.dead = &transport.PeerError{Rank: p.rank, Err: errors.Join(errs...)}
	return p.dead
}

func (t *Transport) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// small bodies are copied behind their header: one write, no vector.
const small = 16 << 10

// send writes one frame and gives the turn back. If ctx ends in the middle, the
// rest is copied and written in the background, so that the stream stays whole
// and m.Body is the caller's again.
func (p *peer) send(ctx context.Context, m *wire.Message) error {
	p.buf = wire.AppendHeader(p.buf[:0], m)
	bufs := net.Buffers{p.buf}
	if len(m.Body) <= small {
		p.buf = append(p.buf, m.Body...)
		bufs[0] = p.buf
	} else {
		bufs = append(bufs, m.Body)
	}
	p.watch(ctx)
	for {
		err := write(p.conn, &bufs)
		switch {
		case err == nil:
			p.turn <- struct{}{}
			return nil
		case !timedOut(err):
			p.dead = &transport.PeerError{Rank: p.rank, Err: err}
			p.turn <- struct{}{}
			return p.dead
		case ctx.Err() != nil:
			return p.finish(ctx, bufs)
		}
		p.conn.SetWriteDeadline(time.Time{}) // it was meant for the Send before this one
	}
}

// watch lets the end of ctx interrupt a write. It stays in place from one Send
// to the next while their ctx is the same, which makes it free.
func (p *peer) watch(ctx context.Context) {
	if ctx == p.watched {
		return
	}
	if p.unwatch != nil {
		p.unwatch()
		p.unwatch = nil
	}
	p.watched = ctx
	if ctx.Done() != nil {
		conn := p.conn
		p.unwatch = context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// finish is the end of a send whose ctx has ended.
func (p *peer) finish(ctx context.Context, bufs net.Buffers) error {
	var rest []byte
	for _, b := range bufs {
		rest = append(rest, b...)
	}
	go func() {
		defer func() { p.turn <- struct{}{} }()
		for len(rest) > 0 {
			p.conn.SetWriteDeadline(time.Time{})
			n, err := p.conn.Write(rest)
			rest = rest[n:]
			if err != nil && !timedOut(err) {
				p.dead = &transport.PeerError{Rank: p.rank, Err: err}
				return
			}
		}
	}()
	return context.Cause(ctx)
}

// write writes all of bufs, a plain Write where there is one.
func write(conn net.Conn, bufs *net.Buffers) error {
	if len(*bufs) == 1 {
		n, err := conn.Write((*bufs)[0])
		(*bufs)[0] = (*bufs)[0][n:]
		return err
	}
	_, err := bufs.WriteTo(conn)
	return err
}

// Close says goodbye on every connection and releases everything; see
// transport.Transport.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	conns := t.conns
	t.conns = map[net.Conn]struct{}{}
	t.mu.Unlock()
	for _, ln := range t.cfg.Listeners {
		ln.Close()
	}
	for conn := range conns {
		goodbye(conn)
	}
	t.inbox.Close()
	t.running.Wait()
	return nil
}

// goodbye ends conn in order, if the peer takes it within a second.
func goodbye(conn net.Conn) {
	bye := wire.AppendHeader(nil, &wire.Message{Kind: wire.Bye})
	if conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		conn.Write(bye) // a peer that is gone needs no goodbye
	}
	conn.Close()
}
