package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// sealed is a meeting at the ports of a window for hosts that share neither a folder
// nor a secret, but a munge key, as those of a Slurm cluster do. Rank 0 hands its
// invitation to everybody who connects, sealed so that only processes of its user
// can open it; and who opens it sees that the same user has made it, for this job.
//
// One seal is for all, since it tells strangers nothing: however many knock, they
// do not make rank 0 start a process. Munge takes it for replayed when the second
// rank of a host opens it; here that is no harm.
type sealed struct {
	ports
	job    string // a digest of the job's name, of fixed length
	keeper munge
	fresh  time.Duration // a seal that is older is made anew: munge lets it expire after 300 s
	out    *handout      // at rank 0
}

// newSealed makes the meeting of a Slurm step, where the programs of munge are there.
func newSealed(getenv func(string) string, p *place) (*sealed, error) {
	keeper, err := findMunge()
	if err != nil {
		return nil, err
	}
	at, err := slurmPorts(getenv, p)
	if err != nil {
		return nil, err
	}
	name := sha256.Sum256([]byte("dlp sealed " + p.id))
	return &sealed{ports: at, job: "DLP! " + hex.EncodeToString(name[:]) + " ", keeper: keeper, fresh: time.Minute}, nil
}

func (s *sealed) String() string   { return s.ports.String() + ", by munge" }
func (s *sealed) Listen() []string { return nil }

func (s *sealed) Publish(ctx context.Context, i Invitation) error {
	text := s.job + i.encode()
	seal, err := s.keeper.seal(ctx, text)
	if err != nil {
		return err
	}
	made := time.Now()
	ln, err := s.listen()
	if err != nil {
		return err
	}
	s.out = handOut(ln, func(conn net.Conn) {
		if time.Since(made) > s.fresh {
			made = time.Now()
			if again, err := s.keeper.seal(context.Background(), text); err == nil { // else the one before must do
				seal = again
			}
		}
		io.WriteString(conn, s.job+seal) // who doesn't take it comes again
	})
	return nil
}

// listen takes a free port of the window.
func (s *sealed) listen() (ln net.Listener, err error) {
	for _, at := range s.at("") {
		if ln, err = net.Listen("tcp", strings.TrimPrefix(at, "tcp:")); err == nil {
			return ln, nil
		}
	}
	return nil, fmt.Errorf("rank 0 finds no free port (%v): %w", s, err)
}

func (s *sealed) Find(ctx context.Context) (Invitation, error) {
	if _, err := s.keeper.seal(ctx, ""); err != nil { // no daemon here: nothing could be opened
		return Invitation{}, err
	}
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		i, err := s.knock(ctx)
		if err == nil {
			return i, nil
		}
		select {
		case <-ctx.Done():
			return Invitation{}, fmt.Errorf("no invitation at %v (%w): %w", s, err, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// knock asks at all ports at once, and opens what comes.
func (s *sealed) knock(ctx context.Context) (found Invitation, why error) {
	type answer struct {
		seal string
		err  error
	}
	ctx, cancel := context.WithTimeout(ctx, knockTime)
	defer cancel()
	answers := make(chan answer, windowSize)
	for _, at := range s.at(s.host) {
		go func() {
			seal, err := s.ask(ctx, strings.TrimPrefix(at, "tcp:"))
			answers <- answer{seal, err}
		}()
	}
	why = errUnasked
	for range windowSize { // all of them, so that none outlives the call
		a := <-answers
		switch {
		case why == nil:
		case a.err == nil:
			if found, why = s.open(ctx, a.seal); why == nil {
				cancel()
			}
		case errors.Is(why, errUnasked):
			why = a.err
		}
	}
	return found, why
}

// knockTime bounds one round at all ports; a host may not answer at all.
const knockTime = 5 * time.Second

var errUnasked = errors.New("nobody was asked")

// ask returns what is handed out at an address, if it is this job's.
func (s *sealed) ask(ctx context.Context, at string) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	name := make([]byte, len(s.job))
	if _, err := io.ReadFull(conn, name); err != nil || string(name) != s.job {
		return "", fmt.Errorf("%s belongs to somebody else", at)
	}
	seal, err := io.ReadAll(io.LimitReader(conn, maxInvitation))
	return string(seal), err
}

func (s *sealed) open(ctx context.Context, seal string) (Invitation, error) {
	text, err := s.keeper.open(ctx, seal)
	if err != nil {
		return Invitation{}, err
	}
	text, ours := strings.CutPrefix(text, s.job)
	if !ours {
		return Invitation{}, errors.New("an invitation to another job")
	}
	return decodeInvitation(text)
}

// Joined ends it: all have the invitation.
func (s *sealed) Joined() error   { return s.out.Close() }
func (s *sealed) Leave(int) error { return s.out.Close() }
