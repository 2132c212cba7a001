package launch

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Session is a rank's end of its connection with the hub of its job.
type Session struct {
	rank   int
	secret Secret
	conn   net.Conn
	r      *wire.Reader
	heard  pulse
	beat   time.Duration
	send   sync.Mutex

	table  chan roll       // what Register waits for
	early  chan Down       // before the table has come
	down   chan func(Down) // who is told afterwards
	ack    chan struct{}   // closed when the hub knows of our failure
	end    chan struct{}   // closed when every rank has finalized
	gone   chan struct{}   // closed when the session is over
	quit   chan struct{}   // closed by Close
	acked  sync.Once
	closed sync.Once

	goesOn bool // set by Register
}

// ErrHubGone is why a session ended that nobody closed: the process that hosts
// the hub died.
var ErrHubGone = errors.New("the launcher is gone")

// Join opens the session of a rank with the hub of its job. hub is the one that
// this rank hosts, nil elsewhere. Join tries until the hub is there or ctx ends.
func Join(ctx context.Context, job Job, hub *Hub) (*Session, error) {
	hello := auth.Hello{Purpose: auth.Session, Rank: job.Rank, Size: job.Size, Build: job.Build}
	find := job.Meeting.Find
	if hub != nil {
		find = func(context.Context) (Invitation, error) {
			return Invitation{At: []string{hub.Addr()}, Secret: hub.cfg.Secret}, nil
		}
	}
	patience := time.Second // for one address; the host behind it may not answer at all
	for pause := time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		i, err := find(ctx)
		if err != nil {
			return nil, fmt.Errorf("rank %d can't find its job: %w", job.Rank, err)
		}
		final := true // of several addresses, one may be somebody else's on this host
		for _, at := range i.At {
			var conn net.Conn
			if conn, err = job.dial(ctx, at, patience, i.Secret, hello); err == nil {
				return newSession(conn, job, i.Secret), nil
			}
			final = final && job.hopeless(err)
			if refused := (*auth.RefusedError)(nil); errors.As(err, &refused) { // by one with the right secret
				final = true
				break
			}
		}
		if final {
			return nil, fmt.Errorf("rank %d could not join its job (%v): %w%s", job.Rank, job.Meeting, err, job.hint(err))
		}
		patience = min(2*patience, auth.Timeout)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("rank %d could not join its job (%v) in time: %w", job.Rank, job.Meeting, err)
		case <-time.After(pause):
		}
	}
}

func newSession(conn net.Conn, job Job, secret Secret) *Session {
	s := &Session{
		rank: job.Rank, secret: secret, conn: conn, r: wire.NewReader(conn, maxControl), beat: cmp.Or(job.Heartbeat, DefaultHeartbeat),
		table: make(chan roll, 1), early: make(chan Down, 1), down: make(chan func(Down), 1),
		ack: make(chan struct{}), end: make(chan struct{}), gone: make(chan struct{}), quit: make(chan struct{}),
	}
	go s.listen()
	go every(s.beat, s.gone, s.heartbeat)
	return s
}

// heartbeat gives the hub a sign of life, and ends the session if the hub has
// given none for long.
func (s *Session) heartbeat() {
	if s.heard.beat() || s.write(msgAlive, nil) != nil {
		s.conn.Close()
	}
}

func (job *Job) dial(ctx context.Context, at string, patience time.Duration, s Secret, hello auth.Hello) (net.Conn, error) {
	netw, addr, err := network(at)
	if err != nil {
		return nil, err
	}
	if job.TLS && netw == "tcp" {
		netw = auth.TLS
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return auth.Once(ctx, netw, addr, s, hello)
}

// hopeless reports whether trying an address again can't help: it is one that all
// ranks were told, and somebody else is there; or it can't be seen from here.
func (job *Job) hopeless(err error) bool {
	_, told := job.Meeting.(fixed)
	return told && (errors.Is(err, auth.ErrSecret) || errors.Is(err, auth.ErrStranger) || errors.Is(err, auth.ErrProtocol) || errors.Is(err, errAddress)) || job.unseen(err)
}

// unseen reports whether a unix socket is not there for this rank, though the hub
// had begun to listen before anybody was told of it.
func (job *Job) unseen(err error) bool {
	_, published := job.Meeting.(*store)
	var op *net.OpError
	return (job.Hosted || published) && errors.As(err, &op) && op.Net == "unix" &&
		(errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED))
}

// hint says what more there is to know of an error.
func (job *Job) hint(err error) string {
	if job.unseen(err) {
		return "; whoever listened there is gone, or this rank runs in a container that can't see it: start such ranks with dlprun --with"
	}
	return ""
}

// Rank returns the rank whose session it is.
func (s *Session) Rank() int { return s.rank }

// Secret returns the secret of the job.
func (s *Session) Secret() Secret { return s.secret }

// Unix reports whether the hub is reached by a unix socket, and the folder that
// it is in; "" if it has no file.
func (s *Session) Unix() (folder string, ok bool) {
	a, ok := s.conn.RemoteAddr().(*net.UnixAddr)
	if !ok || strings.HasPrefix(a.Name, "@") {
		return "", ok
	}
	return filepath.Dir(a.Name), true
}

// LocalIP returns this host's address on the way to the hub, "" where that is
// a unix socket.
func (s *Session) LocalIP() string { return ipOf(s.conn.LocalAddr()) }

// RemoteIP returns the address by which this rank reaches the hub, "" where that
// is a unix socket.
func (s *Session) RemoteIP() string { return ipOf(s.conn.RemoteAddr()) }

func ipOf(addr net.Addr) string {
	if a, ok := addr.(*net.TCPAddr); ok {
		return a.IP.String()
	}
	return ""
}

// Register tells the hub where this rank listens and blocks until all ranks
// have done so, or ctx ends. It returns the table of all ranks, by rank. From
// then on down is called, from one goroutine, for each rank that is lost.
func (s *Session) Register(ctx context.Context, self Peer, down func(Down)) ([]Peer, error) {
	here := Self(self.Rank)
	here.Unix, here.TCP = self.Unix, self.TCP
	if _, near := s.Unix(); near {
		here.HostID = "that of the hub" // so are all; in containers, each may have a name of its own
	}
	if err := s.write(msgRegister, here); err != nil {
		return nil, fmt.Errorf("the job ended while rank %d joined: %w", s.rank, err)
	}
	select {
	case table := <-s.table:
		s.goesOn = table.GoesOn
		s.down <- down
		return table.Ranks, nil
	case d := <-s.early:
		return nil, &DownError{d}
	case <-s.gone:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	select {
	case d := <-s.early: // both were ready
		return nil, &DownError{d}
	default:
		return nil, fmt.Errorf("the job ended while rank %d waited for the others", s.rank)
	}
}

// GoesOn reports whether the job goes on without ranks that are lost, as whoever
// hosts the hub has decided. It is known when Register has returned.
func (s *Session) GoesOn() bool { return s.goesOn }

// DownError is a Down that came before the job had begun.
type DownError struct{ Down }

func (e *DownError) Error() string {
	if e.Rank < 0 {
		return e.Cause
	}
	return fmt.Sprintf("rank %d (%s) was lost before all ranks had joined: %s", e.Rank, cmp.Or(e.Host, "host unknown"), e.Cause)
}

// listen takes what the hub says, until the session is over.
func (s *Session) listen() {
	defer close(s.gone)
	var down func(Down) // nil until the table has come
	for {
		msg, err := readControl(s.r)
		if err != nil {
			return
		}
		s.heard.sign()
		switch msg.Form {
		case msgTable:
			var table roll
			if json.Unmarshal(msg.Body, &table) != nil {
				return
			}
			s.table <- table
			select {
			case down = <-s.down:
			case <-s.quit:
				return
			}
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
			if down != nil {
				down(d)
				continue
			}
			select {
			case s.early <- d:
			default: // one is enough
			}
		}
	}
}

// Fail tells the hub that this rank fails, with the exit status that its
// process will have, and waits a second at most until the hub knows. It reports
// whether it does: the hub's host then shows the reason, and this rank need not.
func (s *Session) Fail(code int, reason string, aborted bool) bool {
	return s.fail(failure{Code: code, Reason: oneLine(reason), Aborted: aborted})
}

// Resign is Fail of a rank without which the job may go on, if it does so without
// lost ranks.
func (s *Session) Resign(code int, reason string) bool {
	return s.fail(failure{Code: code, Reason: oneLine(reason), Alone: true})
}

func (s *Session) fail(f failure) bool {
	if s.write(msgFailed, f) != nil {
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

// Silence is why the session is over where the hub had given no sign of life for long,
// "" if it is not, or for another reason.
func (s *Session) Silence() string {
	if !s.heard.silent() {
		return ""
	}
	return silence(s.beat)
}

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
	s.closed.Do(func() {
		close(s.quit)
		if err = s.conn.Close(); errors.Is(err, net.ErrClosed) {
			err = nil // heartbeat has closed it: the hub was gone
		}
	})
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
