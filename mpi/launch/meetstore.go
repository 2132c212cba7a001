package launch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// store is a meeting through the key-value store of a PMI server. Its barrier
// tells nobody who is missing; so each rank binds a name on its host while it
// waits, and where the time is over, the names that are not bound are missing.
type store struct {
	pmi     *pmi
	size    int
	oneHost bool
	joined  bool
	stays   bool         // with the launcher until this rank ends: see Joined
	flag    net.Listener // this rank's name; nil where there are none
	got     *Invitation
}

const storeKey = "dlp.0"

func newStore(getenv func(string) string, p *place) (Meeting, error) {
	if p.pmi == nil {
		var err error
		if p.pmi, err = dialPMI(getenv); err != nil {
			return nil, err
		}
	}
	s := &store{pmi: p.pmi, size: p.size, oneHost: p.oneHost}
	local := getenv("MPI_LOCALNRANKS") // Hydra's
	s.stays = p.rank == 0 && local != "" && local != strconv.Itoa(p.size)
	s.flag, _ = s.bind(p.rank) // without it a message is less exact, no more
	return s, nil
}

// bind takes the name of a rank on this host. It fails if the rank is there.
func (s *store) bind(rank int) (net.Listener, error) {
	if runtime.GOOS != "linux" { // elsewhere such a name is a file, which may stay behind
		return nil, errors.ErrUnsupported
	}
	return net.Listen("unix", "@dlp-"+s.pmi.kvs+"-"+strconv.Itoa(rank))
}

// missing lists the ranks that are not on this host.
func (s *store) missing() (ranks []string) {
	for r := range s.size {
		if ln, err := s.bind(r); err == nil {
			ln.Close()
			ranks = append(ranks, strconv.Itoa(r))
		}
	}
	return ranks
}

func (s *store) String() string   { return "the key-value store of the launcher (PMI)" }
func (s *store) Listen() []string { return nil }

func (s *store) Publish(ctx context.Context, i Invitation) error {
	if err := s.pmi.put(storeKey, i.encode()); err != nil {
		return err
	}
	return s.fence(ctx)
}

func (s *store) Find(ctx context.Context) (Invitation, error) {
	if s.got == nil {
		if err := s.fence(ctx); err != nil {
			return Invitation{}, err
		}
		text, err := s.pmi.get(storeKey)
		if err != nil {
			return Invitation{}, err
		}
		i, err := decodeInvitation(text)
		if err != nil {
			return Invitation{}, err
		}
		s.got = &i
	}
	return *s.got, nil
}

// fence waits for all ranks, as long as ctx allows.
func (s *store) fence(ctx context.Context) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(DefaultInitTimeout)
	}
	err := s.pmi.barrier(deadline)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		where := "on this host"
		if s.oneHost {
			where = "at all"
		}
		return fmt.Errorf("missing ranks: of %d, these did not come %s in time: %s", s.size, where, strings.Join(s.missing(), ","))
	}
	return err
}

// Joined leaves the launcher: from here on the ranks look after each other. A
// server that still counted on a finalize would take a rank that just exits for a
// crash, kill all others before one of them can tell which it was, and, Hydra,
// sometimes report success if its status was 0.
//
// Under Hydra rank 0 of several hosts stays, for abort's sake: mpiexec, when it
// only sees ranks exit, waits for its proxies, and one on a host that is cut off
// never answers.
func (s *store) Joined() error {
	s.joined = true
	err := error(nil)
	if !s.stays {
		err = s.pmi.finalize()
	}
	if s.flag != nil {
		err = errors.Join(err, s.flag.Close())
	}
	return err
}

// lastWords is the time that a process has to say why it could not join, and to
// exit, before the launcher is told to end the job: it kills this process too.
const lastWords = 500 * time.Millisecond

func (s *store) Leave(status int) error {
	switch {
	case s.joined && !s.stays:
		return nil
	case s.joined && status != 0: // all have heard why
		s.pmi.abort(status)
		return nil
	case status != 0:
		time.AfterFunc(lastWords, func() { s.pmi.abort(status) })
		return nil
	}
	return s.pmi.finalize()
}
