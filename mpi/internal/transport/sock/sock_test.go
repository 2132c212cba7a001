package sock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

func TestConformance(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "shm", "shm spinning"} {
		t.Run(network, func(t *testing.T) {
			transporttest.Run(t, transporttest.Harness{
				New: func(t *testing.T, n int) (ts []transport.Transport) {
					for _, tr := range ranks(t, network, n) {
						ts = append(ts, tr)
					}
					return ts
				},
				Kill: func(tr transport.Transport) { tr.(*Transport).kill() },
			})
		})
	}
}

// ranks returns the transports of n ranks in this process.
func ranks(t *testing.T, network string, n int) (ts []*Transport) {
	dir, err := os.MkdirTemp("", "sock") // t.TempDir's may be too long for a unix socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	var listeners []net.Listener
	peers := make([][]Addr, n)
	for r := range n {
		at := Addr{"unix", filepath.Join(dir, strconv.Itoa(r))}
		if network == "tcp" {
			at = Addr{"tcp", "127.0.0.1:0"}
		}
		ln, err := net.Listen(at.Network, at.Address)
		require.NoError(t, err)
		listeners = append(listeners, ln)
		peers[r] = []Addr{{at.Network, ln.Addr().String()}}
	}
	secret := auth.NewSecret()
	for r := range n {
		cfg := Config{Rank: r, Secret: secret, Peers: peers, Listeners: listeners[r : r+1], Spin: network == "shm spinning"}
		if strings.HasPrefix(network, "shm") {
			cfg.Ring = RingSize(n)
		}
		ts = append(ts, New(cfg))
	}
	return ts
}

// kill breaks all connections, as the end of the process would.
func (t *Transport) kill() {
	for _, ln := range t.cfg.Listeners {
		ln.Close()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.links {
		l.conn.Close()
	}
}

// pings is how many rounds of ping a test has.
const pings = 20_000

// ping sends to the other rank and takes its answer, n times. It busies itself in
// between for no longer than the other one takes to fall asleep, mostly: that is
// when a knock might be missed.
func ping(ctx context.Context, tr *Transport, n int) error {
	me := tr.cfg.Rank
	r := rand.New(rand.NewPCG(uint64(me), 3))
	m := wire.Message{Kind: wire.User, Body: make([]byte, 8)}
	for k := range n {
		for range r.IntN(3) {
			runtime.Gosched()
		}
		for start, d := time.Now(), time.Duration(r.Int64N(40_000)); time.Since(start) < d; {
		}
		if r.IntN(500) == 0 {
			time.Sleep(time.Duration(r.Int64N(1_000_000)))
		}
		m.Tag = int32(k)
		if me == 0 {
			if err := tr.Send(ctx, 1, &m); err != nil {
				return err
			}
		}
		got, err := tr.Recv(ctx)
		if err != nil {
			return fmt.Errorf("round %d: %w", k, err)
		}
		if got.Tag != m.Tag {
			return fmt.Errorf("round %d: message %d", k, got.Tag)
		}
		if me == 1 {
			if err := tr.Send(ctx, 0, &m); err != nil {
				return err
			}
		}
	}
	return nil
}

func TestNoKnockIsLost(t *testing.T) {
	for _, network := range []string{"shm", "shm spinning"} {
		t.Run(network, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ts := ranks(t, network, 2)
			errs := make([]error, 2)
			var both sync.WaitGroup
			for r, tr := range ts {
				both.Go(func() { errs[r] = ping(ctx, tr, pings) })
			}
			both.Wait()
			require.NoError(t, errors.Join(errs...))
			for _, tr := range ts {
				require.NoError(t, tr.Close())
			}
		})
	}
}

func text(s string) *wire.Message { return &wire.Message{Kind: wire.User, Body: []byte(s)} }

// Two ranks that dial each other at once have two connections. Order, and the
// one PeerError behind the last message, hold there too.
func TestTwoConnections(t *testing.T) {
	for _, network := range []string{"unix", "shm"} {
		t.Run(network, func(t *testing.T) { testTwoConnections(t, network) })
	}
}

func testTwoConnections(t *testing.T, network string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ts := ranks(t, network, 2)
	for _, tr := range ts {
		defer tr.Close()
	}
	recv := func(r int, want string) {
		t.Helper()
		m, err := ts[r].Recv(ctx)
		require.NoError(t, err)
		require.Equal(t, want, string(m.Body))
	}
	p := ts[0].peers[1]
	<-p.turn // as a Send that is just dialling would have it
	require.NoError(t, ts[1].Send(ctx, 0, text("one")))
	recv(0, "one")
	p.turn <- struct{}{}
	require.NoError(t, ts[0].Send(ctx, 1, text("two")))
	recv(1, "two")
	require.Len(t, ts[0].links, 2)

	for range 100 {
		require.NoError(t, ts[1].Send(ctx, 0, text("more")))
	}
	// The connection that carries nothing breaks first.
	ts[0].mu.Lock()
	for l := range ts[0].links {
		if l == p.link {
			l.conn.Close()
		}
	}
	ts[0].mu.Unlock()
	ts[1].kill()
	for range 100 {
		recv(0, "more")
	}
	_, err := ts[0].Recv(ctx)
	var gone *transport.PeerError
	require.ErrorAs(t, err, &gone)
	require.NoError(t, ts[0].Send(ctx, 0, text("last")))
	recv(0, "last")
}

// A peer that is given up is reported once, behind what it has sent, though it seems
// to live; and so is one that there was no connection with.
func TestDrop(t *testing.T) {
	for _, network := range []string{"unix", "tcp", "shm"} {
		t.Run(network, func(t *testing.T) { testDrop(t, network) })
	}
}

func testDrop(t *testing.T, network string) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ts := ranks(t, network, 3)
	for _, tr := range ts {
		defer tr.Close()
	}
	for range 10 {
		require.NoError(t, ts[1].Send(ctx, 0, text("one")))
	}
	m, err := ts[0].Recv(ctx) // so that there is a connection
	require.NoError(t, err)
	why := errors.New("its host burns")
	for range 2 {
		ts[0].Drop(2, why)
		ts[0].Drop(1, why)
	}
	var gone []int
	for count := 1; len(gone) < 2; {
		m, err = ts[0].Recv(ctx)
		var peer *transport.PeerError
		switch {
		case err == nil:
			require.Equal(t, 1, m.Src)
			count++
		case errors.As(err, &peer):
			require.ErrorIs(t, err, why)
			gone = append(gone, peer.Rank)
			require.True(t, peer.Rank == 2 || count == 10)
		default:
			require.NoError(t, err)
		}
	}
	require.Equal(t, []int{2, 1}, gone)
	for _, r := range gone {
		require.ErrorIs(t, ts[0].Send(ctx, r, text("still there?")), why)
	}
}

// A ctx of a type that can't be compared must not take the process down.
func TestUncomparableContext(t *testing.T) {
	ts := ranks(t, "unix", 2)
	for _, tr := range ts {
		defer tr.Close()
	}
	ctx := odd{t.Context(), nil}
	for range 2 {
		require.NoError(t, ts[0].Send(ctx, 1, text("x")))
		_, err := ts[1].Recv(ctx)
		require.NoError(t, err)
	}
}

type odd struct {
	context.Context
	_ []int
}

// A peer that is not at its first address is looked for at the next.
func TestNextAddress(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ts := ranks(t, "tcp", 3)
	for _, tr := range ts {
		defer tr.Close()
	}
	peers := ts[0].cfg.Peers // all have it
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for r := range peers {
		peers[r] = append([]Addr{{"unix", nowhere}}, peers[r]...)
	}
	require.NoError(t, ts[0].Send(ctx, 1, text("peer")))
	m, err := ts[1].Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "peer", string(m.Body))
	ts[2].kill()
	err = ts[0].Send(ctx, 2, text("nobody"))
	require.Regexp(t, `^.*dial unix `+nowhere+`: .*; dial tcp 127\.0\.0\.1:\d+: .*$`, err.Error(), "one line")
}

// A rank refuses connections that are not a peer's.
func TestStrangers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ts := ranks(t, "tcp", 3)
	for _, tr := range ts {
		defer tr.Close()
	}
	addr := ts[0].cfg.Listeners[0].Addr().String()
	for _, h := range []auth.Hello{
		{Purpose: auth.Session, Rank: 1, Size: 3},
		{Purpose: auth.Data, Rank: 0, Size: 3},
		{Purpose: auth.Data, Rank: 3, Size: 3},
		{Purpose: auth.Data, Rank: -1, Size: 3},
		{Purpose: auth.Data, Rank: 1, Size: 2},
	} {
		_, err := auth.Once(ctx, "tcp", addr, ts[0].cfg.Secret, h)
		var refused *auth.RefusedError
		require.ErrorAs(t, err, &refused, "%+v", h)
	}
	_, err := auth.Once(ctx, "tcp", addr, auth.NewSecret(), auth.Hello{Purpose: auth.Data, Rank: 1, Size: 3})
	require.ErrorIs(t, err, auth.ErrSecret)
	require.NoError(t, ts[1].Send(ctx, 0, text("peer")))
	m, err := ts[0].Recv(ctx)
	require.NoError(t, err)
	require.Equal(t, "peer", string(m.Body))
}

// What is no frame ends the connection, and is the peer's fault.
func TestGarbageFrame(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ts := ranks(t, "unix", 2)
	for _, tr := range ts {
		defer tr.Close()
	}
	a := ts[0].cfg.Peers[0][0]
	conn, err := auth.Once(ctx, a.Network, a.Address, ts[0].cfg.Secret, auth.Hello{Purpose: auth.Data, Rank: 1, Size: 2})
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write(make([]byte, wire.HeaderLen))
	require.NoError(t, err)
	_, err = ts[0].Recv(ctx)
	var gone *transport.PeerError
	require.ErrorAs(t, err, &gone)
	require.ErrorIs(t, err, wire.ErrFrame)
	require.Equal(t, 1, gone.Rank)
}
