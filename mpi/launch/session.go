package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Session is a rank's end of its connection with the hub of its job.
type Session struct {
	conn net.Conn
	r    *wire.Reader
	send sync.Mutex

	ack    chan struct{} // closed when the hub knows of our failure
	end    chan struct{} // closed when every rank has finalized
	gone   chan struct{} // closed when the session is over
	acked  sync.Once
	closed sync.Once
	down   func(Down)
}

// ErrHubGone is why a session ended that nobody closed: the process that hosts
// the hub died.
var ErrHubGone = errors.New("the launcher is gone")

// Join opens job's session. It tries until the hub is there or ctx ends.
func Join(ctx context.Context, job Job) (*Session, error) {
	netw, addr, err := network(job.Rendezvous)
	if err != nil {
		return nil, fmt.Errorf("DLP_RENDEZVOUS: %w", err)
	}
	conn, err := auth.Connect(ctx, netw, addr, job.Secret, auth.Hello{Purpose: auth.Session, Rank: job.Rank, Size: job.Size, Build: job.Build})
	if err != nil {
		return nil, fmt.Errorf("rank %d could not join its job at %s: %w", job.Rank, job.Rendezvous, err)
	}
	return &Session{conn: conn, r: wire.NewReader(conn, maxControl), ack: make(chan struct{}), end: make(chan struct{}), gone: make(chan struct{})}, nil
}

// LocalIP returns this host's address on the way to the hub, "" where they
// share a machine.
func (s *Session) LocalIP() string {
	if a, ok := s.conn.LocalAddr().(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}

// Register tells the hub where this rank listens and blocks until all ranks
// have done so, or ctx ends. It returns the table of all ranks, by rank. From
// then on down is called, from one goroutine, for each rank that is lost.
func (s *Session) Register(ctx context.Context, self Peer, down func(Down)) ([]Peer, error) {
	self.Host, self.HostID, self.Pid = Host(), hostID(), os.Getpid()
	stop := context.AfterFunc(ctx, func() { s.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := s.write(msgRegister, self); err != nil {
		return nil, err
	}
	msg, err := readControl(s.r)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("the job ended while rank %d waited for the others: %w", self.Rank, err)
	}
	switch msg.Form {
	case msgTable:
		var table []Peer
		if err := json.Unmarshal(msg.Body, &table); err != nil {
			return nil, err
		}
		s.down = down
		go s.listen()
		return table, nil
	case msgDown:
		var d Down
		if err := json.Unmarshal(msg.Body, &d); err != nil {
			return nil, err
		}
		return nil, &DownError{d}
	}
	return nil, fmt.Errorf("%w: control message %d instead of the table", wire.ErrFrame, msg.Form)
}

// DownError is a Down that came before the job had begun.
type DownError struct{ Down }

func (e *DownError) Error() string {
	if e.Rank < 0 {
		return e.Cause
	}
	return fmt.Sprintf("rank %d (%s) was lost before all ranks had joined: %s", e.Rank, e.Host, e.Cause)
}

// listen takes what the hub says, until the session is over.
func (s *Session) listen() {
	defer close(s.gone)
	for {
		msg, err := readControl(s.r)
		if err != nil {
			return
		}
		switch msg.Form {
		case msgAck:
			s.acked.Do(func() { close(s.ack) })
		case msgEnd:
			close(s.end)
			return
		case msgDown:
			var d Down
			if json.Unmarshal(msg.Body, &d) != nil {
				return
			}
			s.down(d)
		}
	}
}

// Fail tells the hub that this rank fails, with the exit status that its
// process will have, and waits a second at most until the hub knows. It reports
// whether it does: the hub's host then shows the reason, and this rank need not.
func (s *Session) Fail(code int, reason string, aborted bool) bool {
	if s.write(msgFailed, failure{Code: code, Reason: oneLine(reason), Aborted: aborted}) != nil {
		return false
	}
	select {
	case <-s.ack:
		return true
	case <-s.gone:
	case <-time.After(time.Second):
	}
	return false
}

// Finalize tells the hub that this rank is done, and blocks until every rank
// is, or ctx ends.
func (s *Session) Finalize(ctx context.Context) error {
	if err := s.write(msgFinalized, nil); err != nil {
		return fmt.Errorf("%w: %w", ErrHubGone, err)
	}
	select {
	case <-s.end:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.gone:
	}
	select {
	case <-s.end: // both were ready
		return nil
	default:
		return ErrHubGone
	}
}

// Gone is closed when the session is over, whoever ended it.
func (s *Session) Gone() <-chan struct{} { return s.gone }

// Ended reports whether the job has ended in order.
func (s *Session) Ended() bool {
	select {
	case <-s.end:
		return true
	default:
		return false
	}
}

// Close ends the session. A rank that has neither finalized nor failed counts
// as lost.
func (s *Session) Close() error {
	err := error(nil)
	s.closed.Do(func() { err = s.conn.Close() })
	return err
}

func (s *Session) write(form uint8, body any) error {
	s.send.Lock()
	defer s.send.Unlock()
	if err := s.conn.SetWriteDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	return writeControl(s.conn, form, body)
}
