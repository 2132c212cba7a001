package auth

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// serve runs a Server on a loopback port. Its connections are closed at once.
func serve(t *testing.T, network, address string) (addr string, served, refused *atomic.Int32) {
	ln, err := net.Listen(network, address)
	require.NoError(t, err)
	served, refused = new(atomic.Int32), new(atomic.Int32)
	s := &Server{
		Listener: ln, Secret: secret, Admit: welcome,
		Serve:   func(conn net.Conn, _ Hello) { served.Add(1); conn.Close() },
		Refused: func(error) { refused.Add(1) },
	}
	var running sync.WaitGroup
	running.Go(s.Run)
	t.Cleanup(func() {
		ln.Close()
		running.Wait()
	})
	return ln.Addr().String(), served, refused
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// Idle strangers, more than may be pending, do not keep the rightful one out: the first
// of them are dropped, long before their time is over.
func TestIdleConnections(t *testing.T) {
	addr, _, refused := serve(t, "tcp", "127.0.0.1:0")
	for range Pending + 50 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
	}
	conn, err := Once(bounded(t), "tcp", addr, secret, hello)
	require.NoError(t, err)
	conn.Close()
	require.Eventually(t, func() bool { return refused.Load() >= 50 }, Timeout/2, time.Millisecond)
}

// A guest that has proved itself is out of their reach.
func TestIdleConnectionsAndAGuest(t *testing.T) {
	addr, served, refused := serve(t, "tcp", "127.0.0.1:0")
	guest, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer guest.Close()
	require.NoError(t, greet(guest, secret, hello))
	for range Pending + 50 {
		conn, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		defer conn.Close()
	}
	require.Eventually(t, func() bool { return refused.Load() >= 50 }, Timeout/2, time.Millisecond)
	_, err = guest.Write(ready[:])
	require.NoError(t, err)
	require.Eventually(t, func() bool { return served.Load() == 1 }, Timeout/2, time.Millisecond)
}

// Who is silent is given up, at both ends.
func TestSilence(t *testing.T) {
	for name, handshake := range map[string]func(t *testing.T, conn net.Conn) error{
		"of a client": func(_ *testing.T, conn net.Conn) error { _, err := Accept(conn, secret, welcome); return err },
		"of a server": func(t *testing.T, conn net.Conn) error { return Dial(t.Context(), conn, secret, hello) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer here.Close()
				defer there.Close()
				start := time.Now()
				require.ErrorIs(t, handshake(t, here), os.ErrDeadlineExceeded)
				require.Equal(t, Timeout, time.Since(start))
			})
		})
	}
}

// The same while strangers keep coming.
func TestCrowd(t *testing.T) {
	addr, served, _ := serve(t, "tcp", "127.0.0.1:0")
	ctx, stop := context.WithCancel(bounded(t))
	var crowd sync.WaitGroup
	for range 4 {
		crowd.Go(func() {
			var conns []net.Conn
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", addr)
				if err != nil {
					break
				}
				if conns = append(conns, conn); len(conns) == 200 {
					conns[0].Close()
					conns = conns[1:]
				}
			}
			for _, conn := range conns {
				conn.Close()
			}
		})
	}
	for range 20 {
		var conn net.Conn
		for ctx := bounded(t); conn == nil; { // in a crowd it may take several tries
			require.NoError(t, ctx.Err())
			conn, _ = Once(ctx, "tcp", addr, secret, hello)
		}
		conn.Close()
	}
	stop()
	crowd.Wait()
	// A guest knows that it is welcome before it is served: some are on their way yet.
	require.Eventually(t, func() bool { return served.Load() >= 20 }, time.Minute, time.Millisecond)
}

func TestGarbageIsDropped(t *testing.T) {
	addr, served, refused := serve(t, "unix", filepath.Join(t.TempDir(), "s"))
	for range 10 {
		conn, err := net.Dial("unix", addr)
		require.NoError(t, err)
		conn.Write(make([]byte, helloLen))
		_, err = conn.Read(make([]byte, 1))
		require.Error(t, err, "it hangs up")
		conn.Close()
	}
	require.Eventually(t, func() bool { return refused.Load() == 10 }, time.Minute, time.Millisecond)
	require.Zero(t, served.Load())
	conn, err := Once(bounded(t), "unix", addr, secret, hello)
	require.NoError(t, err)
	conn.Close()
}

// The end of the listener breaks off what is in the middle of a handshake.
func TestServerEnds(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &Server{Listener: ln, Secret: secret, Admit: welcome, Serve: func(conn net.Conn, _ Hello) { conn.Close() }}
	var running sync.WaitGroup
	running.Go(s.Run)
	idle, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	defer idle.Close()
	conn, err := Once(bounded(t), "tcp", ln.Addr().String(), secret, hello) // so idle has been accepted
	require.NoError(t, err)
	conn.Close()
	ln.Close()
	running.Wait()
}

// The deadline of ctx ends a dial with the cause of ctx, however the clocks run.
func TestDeadlineIsTheCause(t *testing.T) {
	addr, _, _ := serve(t, "tcp", "127.0.0.1:0")
	cause := errors.New("enough")
	for range 200 {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Microsecond, cause)
		conn, err := Once(ctx, "tcp", addr, secret, hello)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, cause)
			continue
		}
		conn.Close()
	}
}
