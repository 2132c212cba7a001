// Package sock is the transport over stream sockets: unix sockets between
// ranks of one host, TCP between hosts. Connections are authenticated (package
// auth) and opened on first use.
package sock

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
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
	TLS       bool        // TCP connections are inside of TLS
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
	life  context.Context // ends with Close
	end   context.CancelFunc

	mu      sync.Mutex
	conns   map[net.Conn]*peer // those that are read
	running sync.WaitGroup     // accept loops and readers
}

// peer is the way to one rank.
type peer struct {
	rank int
	turn chan struct{} // holds a token; whoever has it may send
	conn net.Conn      // nil before first use; changed with the token in hand
	dead error
	buf  []byte // header, note, and a small body

	watched <-chan struct{} // whose end interrupts writes on conn
	unwatch func() bool

	// The rest is guarded by Transport.mu.
	readers  int   // connections that are read
	left     bool  // it has said goodbye
	broken   error // why one of them ended without
	reported bool  // Recv has been told
}

// New starts a transport: it accepts connections on cfg.Listeners, which it
// owns from now on.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg, inbox: transport.NewInbox(), conns: map[net.Conn]*peer{}}
	t.life, t.end = context.WithCancel(context.Background())
	for r := range cfg.Peers {
		p := &peer{rank: r, turn: make(chan struct{}, 1)}
		p.turn <- struct{}{}
		t.peers = append(t.peers, p)
	}
	for _, ln := range cfg.Listeners {
		s := &auth.Server{Listener: ln, Secret: cfg.Secret, TLS: cfg.TLS, Admit: t.admit, Serve: t.accepted, Refused: cfg.Refused}
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
	p := t.peers[h.Rank]
	if !t.keep(conn, p) {
		return
	}
	select {
	case <-p.turn:
		if p.conn == nil {
			p.conn = conn
		}
		p.turn <- struct{}{}
	default: // a Send is on its way; it dials, or has dialled, by itself
	}
	t.read(conn, p)
}

// keep takes conn into the books, or closes it if the transport is closed.
func (t *Transport) keep(conn net.Conn, p *peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.keepLocked(conn, p)
}

// keepReading is keep that reads, too, in a goroutine that Close waits for.
func (t *Transport) keepReading(conn net.Conn, p *peer) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.keepLocked(conn, p) {
		return false
	}
	t.running.Go(func() { t.read(conn, p) })
	return true
}

func (t *Transport) keepLocked(conn net.Conn, p *peer) bool {
	if t.life.Err() != nil {
		conn.Close()
		return false
	}
	t.conns[conn] = p
	p.readers++
	return true
}

// read brings in what p sends on conn, until it says goodbye or breaks off.
func (t *Transport) read(conn net.Conn, p *peer) {
	r := wire.NewReader(conn, wire.MaxBody)
	for {
		m, err := r.Read()
		if err == nil && m.Kind == wire.Bye {
			t.ended(conn, p, nil)
			return
		}
		if err == nil {
			m.Src = p.rank
			err = t.inbox.Put(context.Background(), m)
		}
		if err != nil {
			if err == io.EOF {
				err = errors.New("its connection was closed without a goodbye")
			}
			t.ended(conn, p, err)
			return
		}
	}
}

// drainTime is how long the second connection with a peer may go on when the
// first has broken, and all of them with one that is given up.
const drainTime = 5 * time.Second

// ended takes conn out of the books; err is nil after a goodbye. Of a peer that
// has broken off, Recv hears once, behind what its last connection has brought.
func (t *Transport) ended(conn net.Conn, p *peer, err error) {
	conn.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, conn)
	p.readers--
	if err == nil {
		p.left = true
	} else {
		t.breakOff(p, err)
	}
	t.reportLocked(p)
}

// Drop gives up a peer; see transport.Dropper.
func (t *Transport) Drop(rank int, why error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.breakOff(t.peers[rank], why)
	t.reportLocked(t.peers[rank])
}

// breakOff notes that a connection with p has ended without a goodbye, or should.
// Others bring in what is on its way. The caller holds t.mu.
func (t *Transport) breakOff(p *peer, why error) {
	if p.broken != nil {
		return
	}
	p.broken = why
	for conn, q := range t.conns {
		if q == p {
			conn.SetReadDeadline(time.Now().Add(drainTime)) // an error: it has ended already
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

// Recv returns the next message; see transport.Transport.
func (t *Transport) Recv(ctx context.Context) (wire.Message, error) { return t.inbox.Recv(ctx) }

// Poll returns the next message if there is one; see transport.Poller.
func (t *Transport) Poll() (wire.Message, bool) { return t.inbox.Poll() }

// Send writes m to dst; see transport.Transport.
func (t *Transport) Send(ctx context.Context, dst int, m *wire.Message) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
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
		case <-t.life.Done():
			return transport.ErrClosed
		}
	}
	err := p.dead
	if t.life.Err() != nil {
		err = transport.ErrClosed
	}
	if err == nil && p.conn == nil {
		err = t.dial(ctx, p)
	}
	if err != nil {
		p.turn <- struct{}{}
		return err
	}
	return t.write(ctx, p, m)
}

// dial opens p's connection. The caller has p's turn.
func (t *Transport) dial(ctx context.Context, p *peer) error {
	t.mu.Lock()
	broken := p.broken
	t.mu.Unlock()
	if broken != nil {
		return t.lose(p, broken)
	}
	ctx, stop := transport.Until(ctx, t.life)
	defer stop()
	hello := auth.Hello{Purpose: auth.Data, Rank: t.cfg.Rank, Size: len(t.peers), Build: t.cfg.Build}
	var lost error
	for _, a := range t.cfg.Peers[p.rank] {
		conn, err := auth.Once(ctx, a.Network, a.Address, t.cfg.Secret, hello)
		if err == nil {
			if !t.keepReading(conn, p) {
				return transport.ErrClosed
			}
			p.conn = conn
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if lost != nil {
			err = fmt.Errorf("%w; %w", lost, err) // one line
		}
		lost = err
	}
	return t.lose(p, lost)
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

// small bodies are copied behind their header: one write, no vector.
const small = 16 << 10

// write writes one frame and gives the turn back. If ctx ends in the middle, the
// rest is copied and written in the background, so that the stream stays whole
// and m.Body is the caller's again.
func (t *Transport) write(ctx context.Context, p *peer, m *wire.Message) error {
	p.buf = wire.AppendHeader(p.buf[:0], m)
	bufs := net.Buffers{p.buf}
	if len(m.Body) <= small {
		p.buf = append(p.buf, m.Body...)
		bufs[0] = p.buf
	} else {
		bufs = append(bufs, m.Body)
	}
	if _, ok := p.conn.(*tls.Conn); ok {
		return t.writeApart(ctx, p, slices.Concat(bufs...))
	}
	p.watch(ctx)
	for {
		err := writeAll(p.conn, &bufs)
		switch {
		case err == nil:
			p.turn <- struct{}{}
			return nil
		case !timedOut(err):
			err = t.lose(p, err)
			p.turn <- struct{}{}
			return err
		}
		p.conn.SetWriteDeadline(time.Time{}) // it may have been meant for the Send before this one
		if ctx.Err() != nil {
			rest := slices.Concat(bufs...)
			go t.finish(p, rest)
			return context.Cause(ctx)
		}
	}
}

// writeApart is write where the connection can't take up a write that was
// interrupted, as is so in TLS: the frame is written in the background, and only
// the waiting for it ends with ctx.
func (t *Transport) writeApart(ctx context.Context, p *peer, frame []byte) error {
	done := make(chan error, 1)
	go func() {
		_, err := p.conn.Write(frame)
		if err != nil {
			err = t.lose(p, err)
		}
		p.turn <- struct{}{}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// watch lets the end of ctx interrupt a write. It stays in place from one Send
// to the next while they end together, which makes it free.
func (p *peer) watch(ctx context.Context) {
	if ctx.Done() == p.watched {
		return
	}
	if p.unwatch != nil {
		p.unwatch()
		p.unwatch = nil
	}
	if p.watched = ctx.Done(); p.watched != nil {
		conn := p.conn
		p.unwatch = context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	}
}

func timedOut(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// finish writes the rest of a Send whose ctx has ended, and gives its turn back.
func (t *Transport) finish(p *peer, rest []byte) {
	defer func() { p.turn <- struct{}{} }()
	for len(rest) > 0 {
		n, err := p.conn.Write(rest)
		rest = rest[n:]
		if err != nil && !timedOut(err) {
			t.lose(p, err) // for the next Send
			return
		}
		p.conn.SetWriteDeadline(time.Time{}) // an error: the next Write has it too
	}
}

// writeAll writes all of bufs, by a plain Write where there is only one.
func writeAll(conn net.Conn, bufs *net.Buffers) error {
	if len(*bufs) == 1 {
		n, err := conn.Write((*bufs)[0])
		(*bufs)[0] = (*bufs)[0][n:]
		return err
	}
	_, err := bufs.WriteTo(conn)
	return err
}

// byeTime bounds the goodbyes of Close.
const byeTime = time.Second

// Close says goodbye on every connection and releases everything; see
// transport.Transport. It waits at most a second for a Send that is still
// writing, or a peer that does not read.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.life.Err() != nil {
		t.mu.Unlock()
		return nil
	}
	t.end()
	conns := maps.Clone(t.conns)
	t.mu.Unlock()
	for _, ln := range t.cfg.Listeners {
		ln.Close()
	}
	t.inbox.Close()
	var byes sync.WaitGroup
	over := time.Now().Add(byeTime)
	for conn, p := range conns {
		byes.Go(func() {
			p.goodbye(conn, over)
			conn.Close()
		})
	}
	byes.Wait()
	t.running.Wait()
	return nil
}

// goodbye is the last frame on conn, if it can be written until over.
func (p *peer) goodbye(conn net.Conn, over time.Time) {
	select {
	case <-p.turn:
	case <-time.After(time.Until(over)):
		return // in the middle of another frame
	}
	defer func() { p.turn <- struct{}{} }()
	if conn == p.conn {
		p.watch(context.Background())
	}
	bye := wire.AppendHeader(nil, &wire.Message{Kind: wire.Bye})
	for len(bye) > 0 {
		conn.SetWriteDeadline(over)
		n, err := conn.Write(bye)
		bye = bye[n:]
		if err != nil && (!timedOut(err) || time.Now().After(over)) {
			return // a peer that is gone needs no goodbye
		}
	}
}
