package transporttest

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Ranks that are processes pass the same suite: each of them, an agent, has the
// real transport and makes the calls that the test asks for over a unix socket.

// agentEnv names that socket to an agent.
const agentEnv = "DLP_TRANSPORTTEST"

// Remote returns a Harness.New for ranks that are processes. command returns what
// starts n of them, each of which must call Serve; it must not be bound to t's
// context, which ends before they do.
func Remote(command func(t *testing.T, n int) *exec.Cmd) func(t *testing.T, n int) []transport.Transport {
	return func(t *testing.T, n int) []transport.Transport {
		dir, err := os.MkdirTemp("", "dlp-") // unix sockets need short paths, t.TempDir's may be long
		require.NoError(t, err)
		ln, err := net.Listen("unix", filepath.Join(dir, "s"))
		require.NoError(t, err)
		cmd := command(t, n)
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		cmd.Env = append(cmd.Environ(), agentEnv+"="+ln.Addr().String())
		cmd.WaitDelay = agentTime
		require.NoError(t, cmd.Start())
		ended := make(chan error, 1)
		go func() {
			ended <- cmd.Wait()
			ln.Close() // nobody will come any more
		}()
		agents := make([]transport.Transport, n)
		t.Cleanup(func() {
			for _, a := range agents {
				if a != nil {
					a.(*agent).conn.Close()
				}
			}
			select {
			case err := <-ended:
				require.NoError(t, err, "%s", &output)
			case <-time.After(agentTime):
				cmd.Process.Kill()
				require.Fail(t, "the ranks do not end", "%v", <-ended)
			}
			require.NoError(t, os.RemoveAll(dir))
		})
		for range n {
			conn, err := ln.Accept()
			require.NoError(t, err, "the ranks have not started")
			a := newAgent(conn)
			agents[a.rank] = a
		}
		return agents
	}
}

// agentTime is how long the processes of a test may take to end.
const agentTime = 20 * time.Second

// request is a call that an agent is to make.
type request struct {
	ID      uint64
	Op      string // "send", "recv", "close", "die"; "cancel" ends the ctx of the call ID
	Ended   bool   // the call's ctx has ended before
	Dst     int
	Message wire.Message
}

// response is how a call has ended.
type response struct {
	ID      uint64
	Message wire.Message
	Failure failure
}

// failure is an error on its way between processes.
type failure struct {
	Kind string // "", "ctx", "closed", "left", "peer", "other"
	Rank int    // of a PeerError
	Text string
}

func failureOf(ctx context.Context, err error) failure {
	var gone *transport.PeerError
	switch {
	case err == nil:
		return failure{}
	case errors.Is(err, transport.ErrClosed):
		return failure{Kind: "closed"}
	case ctx.Err() != nil && errors.Is(err, context.Cause(ctx)):
		return failure{Kind: "ctx"}
	case errors.As(err, &gone) && errors.Is(err, transport.ErrLeft):
		return failure{Kind: "left", Rank: gone.Rank}
	case errors.As(err, &gone):
		return failure{Kind: "peer", Rank: gone.Rank, Text: gone.Err.Error()}
	}
	return failure{Kind: "other", Text: err.Error()}
}

func (f failure) error(ctx context.Context) error {
	switch f.Kind {
	case "":
		return nil
	case "closed":
		return transport.ErrClosed
	case "ctx":
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	case "left":
		return &transport.PeerError{Rank: f.Rank, Err: transport.ErrLeft}
	case "peer":
		return &transport.PeerError{Rank: f.Rank, Err: errors.New(f.Text)}
	}
	return fmt.Errorf("the agent says: %s %s", f.Kind, f.Text)
}

// agent is the test's end of a rank that is a process.
type agent struct {
	rank int
	conn net.Conn

	send sync.Mutex
	enc  *gob.Encoder

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan response // closed when the process is gone
	gone    bool
	killed  bool // it was to go
}

func newAgent(conn net.Conn) *agent {
	a := &agent{conn: conn, enc: gob.NewEncoder(conn), waiting: map[uint64]chan response{}}
	dec := gob.NewDecoder(conn)
	var hello response
	if err := dec.Decode(&hello); err != nil {
		a.gone = true
		return a
	}
	a.rank = int(hello.ID)
	go a.read(dec)
	return a
}

func (a *agent) read(dec *gob.Decoder) {
	for {
		var r response
		err := dec.Decode(&r)
		a.mu.Lock()
		if err != nil {
			a.gone = true
			for _, c := range a.waiting {
				close(c)
			}
			a.mu.Unlock()
			return
		}
		c := a.waiting[r.ID]
		delete(a.waiting, r.ID)
		a.mu.Unlock()
		c <- r
	}
}

// call has r done, and waits for the end also if ctx has ended.
func (a *agent) call(ctx context.Context, r request) (wire.Message, error) {
	done := make(chan response, 1)
	a.mu.Lock()
	if a.gone {
		a.mu.Unlock()
		return wire.Message{}, errAgentGone
	}
	a.last++
	r.ID, r.Ended = a.last, ctx.Err() != nil
	a.waiting[r.ID] = done
	a.mu.Unlock()
	if err := a.write(r); err != nil {
		return wire.Message{}, err
	}
	stop := context.AfterFunc(ctx, func() { a.write(request{ID: r.ID, Op: "cancel"}) }) // an error: gone, which read sees
	defer stop()
	answer, ok := <-done
	if !ok {
		return wire.Message{}, errAgentGone
	}
	return answer.Message, answer.Failure.error(ctx)
}

var errAgentGone = errors.New("the process of this rank is gone")

func (a *agent) write(r request) error {
	a.send.Lock()
	defer a.send.Unlock()
	return a.enc.Encode(r)
}

func (a *agent) Send(ctx context.Context, dst int, m *wire.Message) error {
	_, err := a.call(ctx, request{Op: "send", Dst: dst, Message: *m})
	return err
}

func (a *agent) Recv(ctx context.Context) (wire.Message, error) {
	return a.call(ctx, request{Op: "recv"})
}

func (a *agent) Close() error {
	_, err := a.call(context.Background(), request{Op: "close"})
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.killed {
		return nil
	}
	return err
}

// Kill is a Harness.Kill for ranks that Remote has started: the process kills
// itself, by a signal where there are any. Whatever starts the ranks must put up
// with it.
func Kill(tr transport.Transport) {
	a := tr.(*agent)
	a.mu.Lock()
	a.killed = true
	a.mu.Unlock()
	a.call(context.Background(), request{Op: "die"}) // an error: its process is gone
}

// Serve makes the calls on tr, the transport of a rank, that the test asks for,
// until the test has enough of it.
func Serve(rank int, tr transport.Transport) error {
	conn, err := net.Dial("unix", os.Getenv(agentEnv))
	if err != nil {
		return err
	}
	defer conn.Close()
	s := &server{tr: tr, enc: gob.NewEncoder(conn), calls: map[uint64]context.CancelFunc{}}
	s.answer(response{ID: uint64(rank)})
	dec := gob.NewDecoder(conn)
	for {
		var r request
		if err := dec.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		s.mu.Lock()
		if r.Op == "cancel" {
			if cancel := s.calls[r.ID]; cancel != nil {
				cancel()
			}
			s.mu.Unlock()
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.calls[r.ID] = cancel
		s.mu.Unlock()
		if r.Ended {
			cancel()
		}
		s.running.Go(func() { s.serve(ctx, r) })
	}
	s.running.Wait()
	return s.failed
}

// server is an agent in its own process.
type server struct {
	tr      transport.Transport
	running sync.WaitGroup
	send    sync.Mutex
	enc     *gob.Encoder
	failed  error // why the test could not be answered

	mu    sync.Mutex
	calls map[uint64]context.CancelFunc
}

func (s *server) serve(ctx context.Context, r request) {
	answer := response{ID: r.ID}
	var err error
	switch r.Op {
	case "send":
		err = sendAndScribble(ctx, s.tr, r.Dst, &r.Message)
	case "recv":
		answer.Message, err = s.tr.Recv(ctx)
	case "close":
		err = s.tr.Close()
	case "die":
		err = die()
	}
	answer.Failure = failureOf(ctx, err)
	s.mu.Lock()
	s.calls[r.ID]()
	delete(s.calls, r.ID)
	s.mu.Unlock()
	s.answer(answer)
	scribble(answer.Message.Body) // ours: nobody else sees it
}

// die ends this process at once. It returns only if that fails.
func die() error {
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return err
	}
	if err := self.Kill(); err != nil {
		return err
	}
	select {}
}

func (s *server) answer(r response) {
	s.send.Lock()
	defer s.send.Unlock()
	s.failed = errors.Join(s.failed, s.enc.Encode(r))
}

// sendAndScribble sends m, and overwrites its body as soon as Send returns: the
// bytes are the sender's again.
func sendAndScribble(ctx context.Context, tr transport.Transport, dst int, m *wire.Message) error {
	before := bytes.Clone(m.Body)
	err := tr.Send(ctx, dst, m)
	if !bytes.Equal(before, m.Body) {
		return errors.New("Send has changed the sender's bytes")
	}
	scribble(m.Body)
	return err
}

func scribble(b []byte) {
	for i := range b {
		b[i] ^= 0x5a
	}
}
