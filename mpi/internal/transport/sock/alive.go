package sock

import (
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/dlprun/dlp/mpi/internal/wire"
)

// silentBeats is how many heartbeats without a byte make a connection count as broken
// that has not ended: something between the two hosts swallows what it should carry.
// The hub takes fewer to find a rank silent, so that it comes first where the rank is
// at fault: it knows better.
const silentBeats = 8

// A pulse says whether a peer is heard. It counts heartbeats instead of looking at a
// clock, so that a process that was stopped does not take others for dead.
type pulse struct {
	beats     atomic.Int32 // since something has come
	listening atomic.Int32 // links whose reader waits for more
}

// An ear is what a link over a network is read through.
type ear struct {
	io.Reader
	heard *pulse
}

func (e ear) Read(b []byte) (int, error) {
	e.heard.listening.Add(1)
	n, err := e.Reader.Read(b)
	e.heard.listening.Add(-1)
	e.heard.beats.Store(0)
	return n, err
}

// beat counts one heartbeat and reports whether the peer counts as cut off. As long as
// this rank does not take in all that comes by so many links, it can't tell.
func (p *pulse) beat(links int) bool {
	if int(p.listening.Load()) < links {
		p.beats.Store(0)
		return false
	}
	return p.beats.Add(1) > silentBeats
}

// keepAlive gives signs of life until the transport is closed.
func (t *Transport) keepAlive() {
	tick := time.NewTicker(t.cfg.Heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			t.beat()
		case <-t.life.Done():
			return
		}
	}
}

// beat gives all peers a sign of life by the connections that go over a network, and
// breaks with those who have given none. Where one does not, both ends are on one host.
func (t *Transport) beat() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range t.peers {
		switch {
		case p.far == 0 || p.far < p.readers:
		case p.heard.beat(p.far):
			t.breakOff(p, fmt.Errorf("nothing has come from it for %v, not even a sign of life: the network in between lets nothing through", silentBeats*t.cfg.Heartbeat), 0)
		default:
			t.sign(p)
		}
	}
}

// sign gives p a sign of life, unless it is being sent something, which is one. The
// caller holds t.mu.
func (t *Transport) sign(p *peer) {
	select {
	case <-p.turn:
	default:
		return
	}
	for l := range t.links {
		if p.link == nil && l.peer == p {
			p.link = l
		}
	}
	go p.finish(wire.AppendHeader(nil, &wire.Message{Kind: wire.Alive}))
}
