package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// stepsRole makes the test binary a rank that is killed at a step of a collective:
//
//	DLP_TEST_ROLE=steps mpi.test                          lists the collectives
//	DLP_TEST_ROLE=steps mpi.test NAME BYTES VICTIM STEP   is one rank
//
// Each rank says on standard output how it ended: "rank 1 is done" or "rank 1 has lost
// rank 2 (host): why". Where the job goes on without the victim it then meets the others,
// calls the same again, and says how that ended, too.
func stepsRole() {
	if len(os.Args) == 1 {
		for _, c := range collectives {
			fmt.Println(c.name, c.sized, c.goesOn)
		}
		return
	}
	at := slices.IndexFunc(collectives, func(c collective) bool { return c.name == os.Args[1] })
	do := collectives[at].do
	n, victim, step := argument(2), argument(3), argument(4)
	mpi.Main(func(ctx context.Context, c *mpi.Comm) error {
		s, b := &steps{}, brought(c.Rank(), n)
		mpi.Wrap(c, s.around)
		err := c.Barrier(ctx) // so that all have joined
		if err == nil {
			if c.Rank() == victim {
				s.left.Store(int64(step) + 1)
			}
			err = do(ctx, c, b)
			s.left.Store(0)
		}
		final := collectives[at].name == "Comm.Finalize"
		switch {
		case c.GoesOn() && !final:
			say(c, err)
			if err = c.Barrier(ctx); err == nil {
				say(c, do(ctx, c, b))
			}
			return err
		case err == nil && !final:
			err = c.Finalize(ctx) // the others need not wait for the victim in the collective
		}
		say(c, err)
		if err == nil {
			os.Exit(0)
		}
		return err
	})
}

// say prints how a call ended.
func say(c *mpi.Comm, err error) {
	var gone *mpi.RankError
	switch {
	case err == nil:
		fmt.Printf("rank %d is done\n", c.Rank())
	case errors.As(err, &gone):
		fmt.Printf("rank %d has lost rank %d (%s): %v\n", c.Rank(), gone.Rank, gone.Host, gone.Err)
	default:
		fmt.Printf("rank %d fails: %v\n", c.Rank(), err)
	}
}

func argument(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	if err != nil {
		panic(err)
	}
	return n
}

// Steps is a transport that counts what goes through it, and kills its process at a
// step: before a message is sent, in the middle of it, after it, or after one has come.
type steps struct {
	wrapped
	left atomic.Int64 // until the last; 0: that is not wanted
}

// wrapped is all that the transport of processes can do.
type wrapped interface {
	transport.Transport
	transport.Placer
	transport.Dropper
}

func (s *steps) around(t transport.Transport) transport.Transport {
	s.wrapped = t.(wrapped)
	return s
}

// last reports whether this step is to be the last.
func (s *steps) last() bool { return s.left.Load() > 0 && s.left.Add(-1) == 0 }

func (s *steps) step() {
	if s.last() {
		die()
	}
}

func die() {
	syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// long is how many bytes take so long that one can die meanwhile.
const long = 64 << 10

func (s *steps) Send(ctx context.Context, dst int, m *wire.Message) error {
	s.step()
	within := len(m.Body) >= long && s.last()
	if within {
		time.AfterFunc(rand.N(300*time.Microsecond), die)
	}
	err := s.wrapped.Send(ctx, dst, m)
	if within {
		die()
	}
	s.step()
	return err
}

func (s *steps) Recv(ctx context.Context) (wire.Message, error) {
	m, err := s.wrapped.Recv(ctx)
	if err == nil {
		s.step()
	}
	return m, err
}

func (s *steps) Poll(m *wire.Message) bool {
	ok := s.wrapped.Poll(m)
	if ok {
		s.step()
	}
	return ok
}

func (s *steps) PollInto(p *transport.Place, m *wire.Message) bool {
	ok := s.wrapped.PollInto(p, m)
	if ok {
		s.step()
	}
	return ok
}
