// Package proxytest is a network that misbehaves: a TCP proxy that tests put between
// real sockets. It is slow, or breaks connections after so many bytes, or all of them
// at a moment.
package proxytest

import (
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"time"
)

// A Fault is what may happen to one way of a connection.
type Fault int

// The faults.
const (
	None      Fault = iota
	Stop            // a black hole: nothing more is taken, nothing comes through, and nobody is told
	Corrupt         // one bit of the next byte is flipped
	HalfClose       // the receiver sees the end of the stream, the other way stays
	Reset           // the connection is reset, at both ends
)

func (f Fault) String() string {
	return [...]string{"none", "stop", "corrupt", "half-close", "reset"}[f]
}

// A Way is what one direction of a connection is like.
type Way struct {
	Delay, Jitter time.Duration // each piece arrives so much later, and up to Jitter more
	Rate          int           // bytes a second; 0: as many as there are
	Fault         Fault
	After         int // so many bytes pass before the fault
}

// Config says where a proxy stands and what it does. It owns the listener.
type Config struct {
	Listener net.Listener
	Dial     func() (net.Conn, error)            // reaches whom it stands in front of
	Plan     func(conn int) (there, back Way)    // of each connection, from 0; nil: good ones
	Watch    func(conn int, back bool, b []byte) // sees what comes before it goes on; may be nil
}

// A Proxy carries connections.
type Proxy struct {
	cfg     Config
	running sync.WaitGroup
	over    chan struct{} // closed by Close

	mu     sync.Mutex
	conns  []*net.TCPConn
	broken Fault // what Break has done
	struck int
}

// New starts a proxy. Close ends it, and all of its connections.
func New(cfg Config) *Proxy {
	if cfg.Plan == nil {
		cfg.Plan = func(int) (there, back Way) { return Way{}, Way{} }
	}
	p := &Proxy{cfg: cfg, over: make(chan struct{})}
	p.running.Go(p.accept)
	return p
}

// Dialer returns a Dial for an address.
func Dialer(address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial("tcp", address) }
}

// Addr returns where the proxy listens.
func (p *Proxy) Addr() string { return p.cfg.Listener.Addr().String() }

// Break lets the fault happen now, to both ways of all connections, those to come
// included: to what is sent after it has returned, and maybe to a little of what was
// before. It is to be called once.
func (p *Proxy) Break(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = f
	for _, c := range p.conns {
		c.SetReadDeadline(time.Unix(1, 0)) // an error: it has ended
	}
}

// Struck returns to how many ways a fault has happened.
func (p *Proxy) Struck() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.struck
}

// Close ends everything and waits for it. It is to be called once.
func (p *Proxy) Close() {
	p.mu.Lock()
	close(p.over)
	for _, c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.cfg.Listener.Close()
	p.running.Wait()
}

func (p *Proxy) accept() {
	for i := 0; ; i++ {
		conn, err := p.cfg.Listener.Accept()
		if err != nil {
			return // it was closed
		}
		p.running.Go(func() { p.connect(i, conn.(*net.TCPConn)) })
	}
}

// connect carries one connection to its end. Where nobody is reached it closes it.
func (p *Proxy) connect(i int, near *net.TCPConn) {
	defer near.Close()
	conn, err := p.cfg.Dial()
	if err != nil {
		return
	}
	far := conn.(*net.TCPConn)
	defer far.Close()
	if !p.keep(near, far) {
		return
	}
	there, back := p.cfg.Plan(i)
	var both sync.WaitGroup
	both.Go(func() { p.carry(&way{Way: there, conn: i, src: near, dst: far}) })
	both.Go(func() { p.carry(&way{Way: back, conn: i, back: true, src: far, dst: near}) })
	both.Wait()
}

func (p *Proxy) keep(conns ...*net.TCPConn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, conns...)
	if p.broken != None {
		for _, c := range conns {
			c.SetReadDeadline(time.Unix(1, 0))
		}
	}
	select {
	case <-p.over:
		return false
	default:
		return true
	}
}

// way is one direction of one connection.
type way struct {
	Way
	conn     int
	back     bool
	src, dst *net.TCPConn
	flip     bool // a bit of the next byte
	broken   bool // by Break
}

// A parcel is on its way.
type parcel struct {
	b   []byte
	due time.Time
}

// carry brings what comes by w.src to w.dst, until a fault or the end.
func (p *Proxy) carry(w *way) {
	queue := make(chan parcel, 64)
	var delivering sync.WaitGroup
	delivering.Go(func() { w.deliver(queue) })
	end, why := p.collect(w, queue)
	close(queue)
	delivering.Wait()
	if why == Stop {
		<-p.over // what the sender has on its way fills up
		return
	}
	if why == Reset {
		w.src.SetLinger(0)
		w.dst.SetLinger(0)
		w.src.Close()
		w.dst.Close()
	}
	if end {
		w.dst.CloseWrite() // an error: it has ended
	}
	io.Copy(io.Discard, w.src) // what nobody gets; an error: it has ended
}

// collect reads what is to be delivered. It returns the fault that has ended that, and
// whether the receiver is to see the end of the stream.
func (p *Proxy) collect(w *way, queue chan<- parcel) (end bool, why Fault) {
	for {
		if w.due() {
			p.strike()
			return w.Fault == HalfClose, w.Fault
		}
		b := make([]byte, w.piece())
		n, err := w.src.Read(b)
		if p.breaks(w) && w.due() || errors.Is(err, os.ErrDeadlineExceeded) {
			continue // what it has brought, though Break has woken it, came later
		}
		if n > 0 {
			w.After -= n
			queue <- parcel{p.seen(w, b[:n]), time.Now().Add(w.Delay + jitter(w.Jitter))}
		}
		switch {
		case err == io.EOF:
			return true, None
		case err != nil:
			return false, Reset
		}
	}
}

// breaks lets w have the fault of Break, and reports whether it is new to it.
func (p *Proxy) breaks(w *way) bool {
	p.mu.Lock()
	f := p.broken
	p.mu.Unlock()
	if f == None || w.broken {
		return false
	}
	w.broken, w.Fault, w.After = true, f, 0
	w.src.SetReadDeadline(time.Time{}) // an error: it has ended
	return true
}

// due reports whether w ends by its fault now. A bit is flipped on the way.
func (w *way) due() bool {
	if w.Fault == Corrupt && w.After == 0 {
		w.Fault, w.flip = None, true
	}
	return w.Fault != None && w.After == 0
}

// seen is b as it goes on.
func (p *Proxy) seen(w *way, b []byte) []byte {
	if p.cfg.Watch != nil {
		p.cfg.Watch(w.conn, w.back, b)
	}
	if w.flip {
		b[0] ^= 1 << rand.IntN(8)
		w.flip = false
		p.strike()
	}
	return b
}

// strike counts a fault.
func (p *Proxy) strike() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.struck++
}

// piece is how much to read at once.
func (w *way) piece() int {
	n := 64 << 10
	if w.Rate > 0 {
		n = min(n, max(1, w.Rate/50))
	}
	if w.Fault != None {
		n = min(n, w.After)
	}
	return n
}

func jitter(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d) + 1)) }

// deliver writes parcels when they are due, at the rate of w.
func (w *way) deliver(queue <-chan parcel) {
	for it := range queue {
		time.Sleep(time.Until(it.due))
		if w.Rate > 0 {
			time.Sleep(time.Duration(len(it.b)) * time.Second / time.Duration(w.Rate))
		}
		w.dst.Write(it.b) // an error: the receiver has gone, and the sender will see
	}
}
