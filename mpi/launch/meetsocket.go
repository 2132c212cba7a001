package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
)

// socket is a meeting of ranks of one host at a unix socket without a file, whose
// name is the job's own. It needs no folder, which ranks in containers may not
// share, and leaves none behind. Rank 0 gives its invitation to processes of the
// same user, and the others take it from such only: the kernel says whose they are.
type socket struct {
	name string
	out  *handout // at rank 0
}

func newSocket(p *place) *socket {
	sum := sha256.Sum256([]byte(p.id))
	return &socket{name: "@dlp-job-" + hex.EncodeToString(sum[:12])}
}

func (s *socket) String() string   { return "the socket " + s.name }
func (s *socket) Listen() []string { return nil }

func (s *socket) Publish(_ context.Context, i Invitation) error {
	ln, err := net.Listen("unix", s.name)
	if err != nil {
		return fmt.Errorf("the ranks can't meet: %w; name a folder to meet in with DLP_FOLDER", err)
	}
	s.out = handOut(ln, func(conn net.Conn) {
		if auth.SameUser(conn) == nil {
			io.WriteString(conn, i.encode()) // who doesn't take it comes again
		}
	})
	return nil
}

// errOtherUser is why a rank waits no longer.
var errOtherUser = errors.New("another user has taken that name")

func (s *socket) Find(ctx context.Context) (Invitation, error) {
	for pause := time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		i, err := s.ask(ctx)
		switch {
		case err == nil:
			return i, nil
		case errors.Is(err, errOtherUser):
			return Invitation{}, fmt.Errorf("%w; name a folder to meet in with DLP_FOLDER", err)
		}
		select {
		case <-ctx.Done():
			return Invitation{}, fmt.Errorf("rank 0 is not at %v; if ranks run in containers with networks of their own, start them with dlprun --with: %w", s, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

func (s *socket) ask(ctx context.Context) (Invitation, error) {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "unix", s.name)
	if err != nil {
		return Invitation{}, err
	}
	defer conn.Close()
	if err := auth.SameUser(conn); err != nil {
		return Invitation{}, fmt.Errorf("%v: %w: %w", s, errOtherUser, err)
	}
	return readInvitation(conn)
}

// maxInvitation bounds what is read where an invitation is handed out.
const maxInvitation = 64 << 10

func readInvitation(conn net.Conn) (Invitation, error) {
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return Invitation{}, err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxInvitation))
	if err != nil {
		return Invitation{}, err
	}
	return decodeInvitation(string(text))
}

// Joined ends it: all have the invitation.
func (s *socket) Joined() error   { return s.out.Close() }
func (s *socket) Leave(int) error { return s.out.Close() }
