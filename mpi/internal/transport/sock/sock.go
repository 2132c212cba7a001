// Package sock is the transport of processes: over stream sockets, TCP between
// hosts and unix sockets between ranks of one host, and through memory that these
// share. Connections are authenticated (package auth) and opened on first use.
package sock

import (
	"context"
	"errors"
	"maps"
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
	TLS       bool          // TCP connections are inside of TLS
	Ring      int           // bytes of memory to share each way with a rank of this host, see RingSize; 0: none
	Insist    bool          // on that memory: messages do not go over a unix socket where it can't be shared
	Spin      bool          // each rank of this host has a processor to itself
	Heartbeat time.Duration // between two signs of life on a TCP connection; 0: none
	Refused   func(error)   // told of strangers; may be nil
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
	links   map[*link]struct{} // those that are read
	shared  []*link            // all that ever had rings
	running sync.WaitGroup     // accept loops and readers

	// The rest is guarded by look, which is never taken with mu held.
	look   sync.Mutex
	rings  []*link // those of links that are read
	first  int     // which of them to look at first
	passed int     // how often they were not looked at
	asleep bool    // Recv does not look
	place  lodging
	missed int // calls of Recv in a row that have slept; Recv's own, not guarded
}

// peer is the way to one rank.
type peer struct {
	rank int
	turn chan struct{} // holds a token; whoever has it may send
	link *link         // nil before first use; changed with the token in hand
	dead error
	buf  []byte      // header, note, and a small body
	bufs net.Buffers // what is to be written of buf and a large body
	room [2][]byte   // for bufs

	heard pulse

	watched <-chan struct{} // whose end interrupts writes on a socket
	unwatch func() bool

	// The rest is guarded by Transport.mu.
	readers  int   // links that are read
	far      int   // those of them that go over a network
	left     bool  // it has said goodbye
	broken   error // why one of them ended without
	reported bool  // Recv has been told
}

// New starts a transport: it accepts connections on cfg.Listeners, which it
// owns from now on.
func New(cfg Config) *Transport {
	t := &Transport{cfg: cfg, inbox: transport.NewInbox(), links: map[*link]struct{}{}}
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
	if cfg.Heartbeat > 0 {
		t.running.Go(t.keepAlive)
	}
	return t
}

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
	if err := t.takeTurn(ctx, p); err != nil {
		return err
	}
	err := p.dead
	if t.life.Err() != nil {
		err = transport.ErrClosed
	}
	if err == nil && p.link == nil {
		err = t.dial(ctx, p)
	}
	switch {
	case err != nil:
		p.turn <- struct{}{}
		return err
	case p.link.out != nil:
		return t.feed(ctx, p, m)
	}
	return t.write(ctx, p, m)
}

// takeTurn waits until nobody else sends to p.
func (t *Transport) takeTurn(ctx context.Context, p *peer) error {
	select {
	case <-p.turn:
		return nil
	default:
	}
	t.inbox.Block()
	defer t.inbox.Unblock()
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.life.Done():
		return transport.ErrClosed
	}
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
	links := maps.Clone(t.links)
	t.mu.Unlock()
	for _, ln := range t.cfg.Listeners {
		ln.Close()
	}
	t.inbox.Close()
	var byes sync.WaitGroup
	over := time.Now().Add(byeTime)
	for l := range links {
		byes.Go(func() {
			l.goodbye(over)
			l.conn.Close()
		})
	}
	byes.Wait()
	t.running.Wait()
	t.mu.Lock()
	shared := t.shared // nobody adds to them any more
	t.mu.Unlock()
	var err error
	for _, l := range shared {
		err = errors.Join(err, l.free())
	}
	return err
}

// goodbye is the last frame on l, if it can be written until over.
func (l *link) goodbye(over time.Time) {
	p := l.peer
	select {
	case <-p.turn:
	case <-time.After(time.Until(over)):
		return // in the middle of another frame
	}
	defer func() { p.turn <- struct{}{} }()
	if l == p.link {
		p.watch(context.Background())
	}
	bye := wire.AppendHeader(nil, &wire.Message{Kind: wire.Bye})
	switch {
	case l.cut:
		return
	case l.out != nil:
		bye = []byte{sayBye}
	}
	for len(bye) > 0 {
		l.conn.SetWriteDeadline(over)
		n, err := l.conn.Write(bye)
		bye = bye[n:]
		if err != nil && (!timedOut(err) || time.Now().After(over)) {
			return // a peer that is gone needs no goodbye
		}
	}
}
