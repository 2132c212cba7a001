package launch

import (
	"errors"
	"net"
	"time"
)

// handout gives something to everybody who connects to a listener. It reads
// nothing of them, so that there is nothing to decode and nobody to wait for, and
// any number of strangers costs no more than their connections.
type handout struct {
	ln   net.Listener
	done chan struct{}
}

// handOut starts one. It owns ln, and closes what it has given to.
func handOut(ln net.Listener, give func(net.Conn)) *handout {
	h := &handout{ln: ln, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.run(give)
	}()
	return h
}

func (h *handout) run(give func(net.Conn)) {
	for pause := time.Duration(0); ; {
		conn, err := h.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // out of descriptors, or the peer is gone already
			pause = min(max(2*pause, 5*time.Millisecond), 100*time.Millisecond)
			time.Sleep(pause)
			continue
		}
		pause = 0
		if conn.SetDeadline(time.Now().Add(time.Second)) == nil {
			give(conn)
		}
		conn.Close()
	}
}

// Close ends it. There may be none, or it may have been closed before.
func (h *handout) Close() error {
	if h == nil {
		return nil
	}
	err := h.ln.Close()
	<-h.done
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
