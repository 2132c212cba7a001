package proxytest

import (
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is sent after Break has returned meets the fault, also where it comes before the
// goroutine that Break has woken gets a processor: there is only one here, which the
// test keeps until the runtime has seen what came.
func TestNothingPassesAfterBreak(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	for _, fault := range []Fault{Stop, HalfClose, Reset, Corrupt} {
		t.Run(fault.String(), func(t *testing.T) {
			near, far, p := through(t)
			p.Break(fault)
			near.Write([]byte("late")) // an error: it is reset already
			for start := time.Now(); time.Since(start) < 50*time.Millisecond; {
			}
			if fault == Corrupt {
				b := make([]byte, 4)
				_, err := io.ReadFull(far, b)
				require.NoError(t, err)
				require.NotEqual(t, "late", string(b))
				return
			}
			require.Eventually(t, func() bool { return p.Struck() == 2 }, time.Minute, time.Millisecond)
			if fault == Stop { // nothing tells that nothing comes
				require.NoError(t, far.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
			}
			b, err := io.ReadAll(far)
			require.Empty(t, b)
			require.Equal(t, fault == HalfClose, err == nil, "%v", err)
		})
	}
}

// through returns the ends of a connection through a proxy, over which a byte has gone
// each way.
func through(t *testing.T) (near, far net.Conn, p *Proxy) {
	target, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer target.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p = New(Config{Listener: ln, Dial: Dialer(target.Addr().String())})
	t.Cleanup(p.Close)
	near, err = net.Dial("tcp", p.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { near.Close() })
	far, err = target.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { far.Close() })
	for _, ends := range [][2]net.Conn{{near, far}, {far, near}} {
		_, err = ends[0].Write([]byte{1})
		require.NoError(t, err)
		_, err = io.ReadFull(ends[1], make([]byte, 1))
		require.NoError(t, err)
	}
	return near, far, p
}
