package auth

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Pending is how many connections may be in the middle of their handshake at
// once. When one more comes, the oldest of them is dropped: idle strangers
// can't lock a rank out.
const Pending = 256

// A Server takes the connections of one listener in.
type Server struct {
	Listener net.Listener
	Secret   Secret
	TLS      bool                  // TCP connections are inside of TLS, see TLS
	Admit    func(Hello) error     // see Accept
	Left     func(Hello)           // one that Admit welcomed did not wait for it; may be nil
	Serve    func(net.Conn, Hello) // owns the connection; runs in a goroutine of its own
	Refused  func(error)           // told of what was dropped; may be nil

	mu      sync.Mutex
	pending list.List // of *guest, oldest first
	running sync.WaitGroup
}

// A guest is a connection in the middle of its handshake.
type guest struct {
	conn    net.Conn
	welcome bool // it has proved itself: a crowd of strangers can't drop it any more
}

// Run accepts until the listener is closed, and returns when all that it
// started has ended: the handshakes are broken off, Serve's calls are waited for.
func (s *Server) Run() {
	for pause := time.Duration(0); ; {
		conn, err := s.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			break
		}
		if err != nil { // out of descriptors, or the peer is gone already
			s.dropOldest()
			s.refused(err)
			pause = min(max(2*pause, 5*time.Millisecond), 100*time.Millisecond)
			time.Sleep(pause)
			continue
		}
		pause = 0
		e := s.admitPending(conn)
		s.running.Go(func() { s.greet(conn, e) })
	}
	s.mu.Lock()
	for e := s.pending.Front(); e != nil; e = e.Next() {
		e.Value.(*guest).conn.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
}

func (s *Server) greet(conn net.Conn, e *list.Element) {
	h, err := Hello{}, SameUser(conn)
	if _, local := conn.(*net.UnixConn); err == nil && s.TLS && !local {
		var config *tls.Config
		if config, err = tlsConfig(s.Secret); err == nil {
			conn = tls.Server(conn, config)
		}
	}
	if err == nil {
		var welcome *Hello
		h, err = Accept(conn, s.Secret, func(h Hello) error {
			err := s.Admit(h)
			if err == nil {
				welcome = &h
				s.mu.Lock()
				e.Value.(*guest).welcome = true
				s.mu.Unlock()
			}
			return err
		})
		if err != nil && welcome != nil && s.Left != nil {
			s.Left(*welcome)
		}
	}
	s.mu.Lock()
	s.pending.Remove(e)
	s.mu.Unlock()
	if err != nil {
		if misfit := (*MisfitError)(nil); errors.As(err, &misfit) {
			misfit.From = remote(conn)
		}
		s.refused(fmt.Errorf("a connection from %s was dropped: %w", remote(conn), err))
		conn.Close() // now: see refuse
		return
	}
	s.Serve(conn, h)
}

func (s *Server) admitPending(conn net.Conn) *list.Element {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending.Len() >= Pending {
		s.dropOldestLocked()
	}
	return s.pending.PushBack(&guest{conn: conn})
}

func (s *Server) dropOldest() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropOldestLocked()
}

func (s *Server) dropOldestLocked() {
	for e := s.pending.Front(); e != nil; e = e.Next() {
		if g := e.Value.(*guest); !g.welcome {
			g.conn.Close()
			// Its goroutine takes it off the list; until then it is out of the way.
			s.pending.MoveToBack(e)
			return
		}
	}
}

func (s *Server) refused(err error) {
	if s.Refused != nil {
		s.Refused(err)
	}
}

func remote(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil && a.String() != "" && a.String() != "@" {
		return a.String()
	}
	return "this host"
}

// cutTries is how often Once greets somebody who hangs up: a Server that a crowd
// of strangers besets drops the wrong one at times, and at once. Who hangs up after
// longer than cutTime is not asked again: a network that lets nothing through looks
// like that, when the other end has waited for Timeout as this one does.
const (
	cutTries = 5
	cutTime  = Timeout / 2
)

// Once dials and greets. It does not wait for somebody to listen there. The network
// is one of net.Dial, or TLS.
func Once(ctx context.Context, network, address string, secret Secret, h Hello) (net.Conn, error) {
	for try := 1; ; try++ {
		began := time.Now()
		conn, err := once(ctx, network, address, secret, h)
		if !errors.Is(err, ErrCut) || time.Since(began) > cutTime || try == cutTries {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Duration(try) * 10 * time.Millisecond):
		}
	}
}

func once(ctx context.Context, network, address string, secret Secret, h Hello) (net.Conn, error) {
	d := net.Dialer{Timeout: Timeout}
	inTLS := network == TLS
	if inTLS {
		network = "tcp"
	}
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		// The dialer keeps ctx's deadline by a clock of its own, and may be ahead.
		if end, ok := ctx.Deadline(); ok && !time.Now().Before(end) {
			<-ctx.Done()
			err = context.Cause(ctx)
		}
		return nil, err
	}
	if inTLS {
		config, err := tlsConfig(secret)
		if err != nil {
			conn.Close()
			return nil, err
		}
		conn = tls.Client(conn, config)
	}
	if err := Dial(ctx, conn, secret, h); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}
