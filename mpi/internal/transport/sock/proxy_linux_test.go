package sock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/proxytest"
	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/transport"
)

// proxied returns two ranks. What rank 1 opens to rank 0, and the other way round,
// goes through proxies, by rank.
func proxied(t *testing.T, beat time.Duration, plan func(conn int) (there, back proxytest.Way)) (ts []*Transport, proxies []*proxytest.Proxy) {
	return proxiedOver(t, "tcp", beat, plan)
}

// proxiedOver is proxied over "tcp" or auth.TLS.
func proxiedOver(t *testing.T, network string, beat time.Duration, plan func(conn int) (there, back proxytest.Way)) (ts []*Transport, proxies []*proxytest.Proxy) {
	listen := func() net.Listener {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		return ln
	}
	var listeners []net.Listener
	var peers [][]Addr
	for range 2 {
		ln := listen()
		p := proxytest.New(proxytest.Config{Listener: listen(), Dial: proxytest.Dialer(ln.Addr().String()), Plan: plan})
		t.Cleanup(p.Close)
		listeners, proxies, peers = append(listeners, ln), append(proxies, p), append(peers, []Addr{{network, p.Addr()}})
	}
	secret := auth.NewSecret()
	for r := range 2 {
		tr := New(Config{Rank: r, Secret: secret, Peers: peers, Listeners: listeners[r : r+1], TLS: network == auth.TLS, Heartbeat: beat})
		t.Cleanup(func() { tr.Close() })
		ts = append(ts, tr)
	}
	return ts, proxies
}

// converse lets rank 1 send numbered messages, and rank 0 answer each, until all n are
// through, or each of the two has met an error. What arrives must be right.
func converse(ctx context.Context, ts []*Transport, n int) (errs [2]error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan int)
	for r, say := range []func(context.Context, *Transport, int) error{answer, ask} {
		go func() {
			errs[r] = say(ctx, ts[r], n)
			done <- r
		}()
	}
	first := <-done
	select {
	case <-done:
		return errs
	case <-time.After(200 * time.Millisecond): // a handshake that has succeeded is over by then
	}
	if errs[first] != nil && !ts[1-first].knows(first) {
		cancel() // nobody but its job can tell it
	}
	<-done
	return errs
}

// knows reports whether there has ever been a connection with a rank.
func (t *Transport) knows(rank int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.peers[rank]
	return p.readers > 0 || p.broken != nil || p.left
}

func ask(ctx context.Context, tr *Transport, n int) error {
	for k := range n {
		if err := tr.Send(ctx, 0, numbered(k)); err != nil {
			return err
		}
		m, err := tr.Recv(ctx)
		if err == nil {
			err = isNumbered(&m, k+1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func answer(ctx context.Context, tr *Transport, n int) error {
	for k := range n {
		m, err := tr.Recv(ctx)
		if err == nil {
			err = isNumbered(&m, k)
		}
		if err != nil {
			return err
		}
		if err := tr.Send(ctx, 1, numbered(k+1)); err != nil {
			return err
		}
	}
	return nil
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// A slow network, and messages that take longer than a silent peer would be borne with,
// are no reason to give anybody up.
func TestSlowNetwork(t *testing.T) {
	for name, way := range map[string]proxytest.Way{
		"delayed":   {Delay: 30 * time.Millisecond, Jitter: 30 * time.Millisecond},
		"throttled": {Rate: 1 << 20},
		"both":      {Delay: 10 * time.Millisecond, Jitter: 30 * time.Millisecond, Rate: 2 << 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ts, _ := proxied(t, tick, func(int) (there, back proxytest.Way) { return way, way })
			errs := converse(bounded(t), ts, 16)
			require.NoError(t, errors.Join(errs[:]...))
		})
	}
}

// Where bytes of the handshake end, from the one who dials and to him, and frames begin.
const (
	framesThere = 96 + 32 + 1
	framesBack  = 72 + 256
)

// Whatever happens to a connection, whenever: what has arrived is right, and each end
// that knew of it hears that the other is lost.
func TestBrokenNetwork(t *testing.T) {
	for _, fault := range []proxytest.Fault{proxytest.Stop, proxytest.Corrupt, proxytest.HalfClose, proxytest.Reset} {
		for _, after := range []int{0, 50, 100, framesThere - 1, framesThere, framesThere + 10, framesThere + 60, 300_000} {
			if fault == proxytest.Stop && 0 < after && after < framesThere-1 {
				continue // each takes as long as a handshake may
			}
			t.Run(fmt.Sprint(fault, "/there/", after), func(t *testing.T) {
				t.Parallel()
				testBroken(t, proxytest.Way{Fault: fault, After: after}, proxytest.Way{})
			})
		}
		for _, after := range []int{0, 50, 100, framesBack, framesBack + 10, framesBack + 60, 300_000} {
			if fault == proxytest.Stop && after < 100 {
				continue
			}
			t.Run(fmt.Sprint(fault, "/back/", after), func(t *testing.T) {
				t.Parallel()
				testBroken(t, proxytest.Way{}, proxytest.Way{Fault: fault, After: after})
			})
		}
	}
}

func testBroken(t *testing.T, there, back proxytest.Way) {
	var conns atomic.Int32
	ts, proxies := proxied(t, tick, func(int) (proxytest.Way, proxytest.Way) {
		conns.Add(1)
		return there, back
	})
	errs := converse(bounded(t), ts, 10_000)
	require.Positive(t, proxies[0].Struck())
	if there.Fault == proxytest.Stop || back.Fault == proxytest.Stop {
		require.EqualValues(t, 1, conns.Load(), "who does not answer is not asked again")
	}
	told := 0
	for r, err := range errs {
		var gone *transport.PeerError
		if errors.As(err, &gone) {
			require.Equal(t, 1-r, gone.Rank)
			told++
			continue
		}
		require.ErrorIs(t, err, context.Canceled, "rank %d", r)
	}
	require.Positive(t, told)
}

// A black hole is found by both ends, whether they wait for a message or for room to
// send one, and named for what it is.
func TestBlackHole(t *testing.T) {
	for _, network := range []string{"tcp", auth.TLS} {
		for name, wait := range map[string]func(ctx context.Context, tr *Transport, peer int) error{"in Recv": waitInRecv, "in Send": waitInSend} {
			t.Run(network+" "+name, func(t *testing.T) {
				t.Parallel()
				testBlackHole(t, network, wait)
			})
		}
	}
}

func testBlackHole(t *testing.T, network string, wait func(ctx context.Context, tr *Transport, peer int) error) {
	ctx := bounded(t)
	ts, proxies := proxiedOver(t, network, tick, nil)
	errs := converse(ctx, ts, 10)
	require.NoError(t, errors.Join(errs[:]...))
	proxies[0].Break(proxytest.Stop)
	var waiting sync.WaitGroup
	for r, tr := range ts {
		waiting.Go(func() { errs[r] = wait(ctx, tr, 1-r) })
	}
	waiting.Wait()
	for r, err := range errs {
		var gone *transport.PeerError
		require.ErrorAs(t, err, &gone)
		require.Equal(t, 1-r, gone.Rank)
		require.ErrorContains(t, err, "nothing has come from it for 800ms, not even a sign of life: the network in between lets nothing through")
	}
}

func waitInRecv(ctx context.Context, tr *Transport, _ int) error {
	_, err := tr.Recv(ctx)
	return err
}

// waitInSend sends until the system has no room for more.
func waitInSend(ctx context.Context, tr *Transport, peer int) (err error) {
	m := text("bulk")
	m.Body = make([]byte, 1<<20)
	for err == nil {
		err = tr.Send(ctx, peer, m)
	}
	return err
}

// longWhile is several times as long as a peer may be silent, at a heartbeat of tick.
const (
	tick      = 100 * time.Millisecond
	longWhile = 3 * silentBeats * tick
)

// A connection that carries nothing is not given up, nor is one of two that carries
// nothing one way, nor one by which one of the ranks has never sent anything.
func TestIdleNetwork(t *testing.T) {
	for name, c := range map[string]struct{ beside, talk bool }{
		"one connection":            {false, true},
		"two":                       {true, true},
		"one of a Send in vain too": {true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := bounded(t)
			ts, _ := proxied(t, tick, nil)
			if c.beside {
				p := ts[1].peers[0]
				<-p.turn // as a Send that is just dialling would have it
				require.NoError(t, ts[0].Send(ctx, 1, text("first")))
				_, err := ts[1].Recv(ctx)
				require.NoError(t, err)
				p.turn <- struct{}{}
			}
			if c.talk {
				errs := converse(ctx, ts, 2)
				require.NoError(t, errors.Join(errs[:]...))
			}
			time.Sleep(longWhile)
			errs := converse(ctx, ts, 2)
			require.NoError(t, errors.Join(errs[:]...))
		})
	}
}

// A rank that takes nothing in, while others send it more than it has room for, is not
// given up, and gives up nobody.
func TestSlowReader(t *testing.T) {
	ctx := bounded(t)
	ts, _ := proxied(t, tick, nil)
	const n, size = 200, 1 << 20
	sent := make(chan error, 1)
	go func() {
		for k := range n {
			m := text("bulk")
			m.Tag, m.Body = int32(k), make([]byte, size)
			if err := ts[1].Send(ctx, 0, m); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	require.Eventually(t, func() bool { return !ts[0].inbox.Roomy() }, time.Minute, time.Millisecond)
	time.Sleep(longWhile)
	require.Empty(t, sent, "it waits for room")
	for k := range n {
		m, err := ts[0].Recv(ctx)
		require.NoError(t, err)
		require.EqualValues(t, k, m.Tag)
		require.Len(t, m.Body, size)
	}
	require.NoError(t, <-sent)
}
