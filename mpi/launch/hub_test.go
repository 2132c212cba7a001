package launch_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/launch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is a Hub under test and what it says.
type hub struct {
	*launch.Hub
	secret launch.Secret
	size   int
	ctx    context.Context // ends when a test hangs

	mu     sync.Mutex
	more   sync.Cond
	events []launch.Event
}

// start starts a hub for size ranks on a unix socket.
func start(t *testing.T, cfg launch.HubConfig) *hub {
	t.Helper()
	dir, err := os.MkdirTemp("", "hub") // t.TempDir's may be too long for a unix socket
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	h := &hub{secret: launch.NewSecret(), size: cfg.Size, ctx: ctx}
	h.more.L = &h.mu
	cfg.Secret = h.secret
	cfg.OnEvent = func(e launch.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, e)
		h.more.Broadcast()
	}
	h.Hub, err = launch.ListenHub("unix:"+filepath.Join(dir, "hub"), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// event waits for the i-th event.
func (h *hub) event(t *testing.T, i int) launch.Event {
	t.Helper()
	defer context.AfterFunc(h.ctx, h.more.Broadcast)()
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.events) <= i && h.ctx.Err() == nil {
		h.more.Wait()
	}
	require.Greater(t, len(h.events), i, "the hub has said %+v", h.events)
	return h.events[i]
}

// job is what a rank of h is told by its environment, with changes.
func (h *hub) job(t *testing.T, rank int, env ...string) launch.Job {
	t.Helper()
	vars := map[string]string{
		"DLP_LAUNCHER": "dlprun", "DLP_RANK": strconv.Itoa(rank), "DLP_SIZE": strconv.Itoa(h.size),
		"DLP_RENDEZVOUS": h.Addr(), "DLP_SECRET": hex.EncodeToString(h.secret[:]),
	}
	for i := 0; i < len(env); i += 2 {
		vars[env[i]] = env[i+1]
	}
	job, err := launch.Detect(func(name string) string { return vars[name] })
	require.NoError(t, err)
	return job
}

// member is a rank that has registered.
type member struct {
	*launch.Session
	table []launch.Peer
	downs chan launch.Down
}

// join lets a rank join.
func (h *hub) join(t *testing.T, rank int) (*launch.Session, error) {
	t.Helper()
	s, err := launch.Join(h.ctx, h.job(t, rank), nil)
	if err == nil {
		t.Cleanup(func() { s.Close() })
	}
	return s, err
}

// all lets all ranks join and register.
func (h *hub) all(t *testing.T) []*member {
	t.Helper()
	ms := make([]*member, h.size)
	errs := make([]error, h.size)
	var joining sync.WaitGroup
	for r := range ms {
		s, err := h.join(t, r)
		require.NoError(t, err)
		ms[r] = &member{Session: s, downs: make(chan launch.Down, 16)}
		joining.Go(func() {
			ms[r].table, errs[r] = s.Register(h.ctx, launch.Peer{Rank: r, Unix: fmt.Sprint("at ", r)}, func(d launch.Down) { ms[r].downs <- d })
		})
	}
	joining.Wait()
	require.NoError(t, errors.Join(errs...))
	for i := range ms {
		require.Equal(t, launch.Joined, h.event(t, i).Kind)
	}
	return ms
}

// down waits for what m hears.
func (h *hub) down(t *testing.T, m *member) launch.Down {
	t.Helper()
	select {
	case d := <-m.downs:
		return d
	case <-h.ctx.Done():
		require.Fail(t, "the rank is not told")
		return launch.Down{}
	}
}

func TestJobInOrder(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 3})
	ms := h.all(t)
	for r, m := range ms {
		require.Len(t, m.table, 3)
		for p, peer := range m.table {
			require.Equal(t, p, peer.Rank)
			require.Equal(t, fmt.Sprint("at ", p), peer.Unix)
			require.Equal(t, os.Getpid(), peer.Pid)
			require.Equal(t, m.table[r].HostID, peer.HostID)
		}
		require.False(t, m.Ended())
	}
	var done sync.WaitGroup
	for _, m := range ms {
		done.Go(func() {
			if err := m.Finalize(h.ctx); err != nil {
				t.Error(err)
			}
			<-m.Gone()
			if !m.Ended() {
				t.Error("the job has not ended in order")
			}
		})
	}
	done.Wait()
	for i := range ms {
		require.Equal(t, launch.Finalized, h.event(t, 3+i).Kind)
	}
	for _, m := range ms {
		require.NoError(t, m.Close())
	}
	require.NoError(t, h.Close())
	require.Len(t, h.events, 6)
	require.Empty(t, ms[0].downs)
}

func TestFailedRank(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 3})
	ms := h.all(t)
	require.True(t, ms[1].Fail(7, "  no data\nat line 5\n", true), "the hub knows")
	e := h.event(t, 3)
	e.Host = ""
	require.Equal(t, launch.Event{Kind: launch.Failed, Rank: 1, Pid: os.Getpid(), Code: 7, Reason: "no data"}, e)
	for _, r := range []int{0, 2} {
		require.Equal(t, launch.Down{Rank: 1, Host: launch.Host(), Cause: "no data", Aborted: true}, h.down(t, ms[r]))
	}
	// A second one is told as well; the first one's end is nothing new.
	require.NoError(t, ms[1].Close())
	require.True(t, ms[2].Fail(1, "rank 1 is gone", false))
	require.Equal(t, 2, h.event(t, 4).Rank)
	require.Equal(t, 2, h.down(t, ms[0]).Rank)
	require.Empty(t, ms[2].downs, "nobody hears of himself")
}

func TestLostRank(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	ms := h.all(t)
	require.NoError(t, ms[1].Close())
	require.Equal(t, launch.Lost, h.event(t, 2).Kind)
	require.Equal(t, launch.Down{Rank: 1, Host: launch.Host(), Cause: launch.Vanished}, h.down(t, ms[0]))
}

// A job that goes on ends when all that are left have finalized.
func TestJobGoesOn(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 4, GoesOn: true})
	ms := h.all(t)
	ended := make([]chan error, h.size)
	finalize := func(r int) {
		ended[r] = make(chan error, 1)
		go func() { ended[r] <- ms[r].Finalize(h.ctx) }()
		for i := 0; ; i++ {
			if e := h.event(t, i); e.Kind == launch.Finalized && e.Rank == r {
				return
			}
		}
	}
	require.True(t, ms[1].GoesOn())
	finalize(3)
	require.NoError(t, ms[2].Close())
	want := launch.Down{Rank: 2, Host: launch.Host(), Cause: launch.Vanished, GoesOn: true}
	require.Equal(t, want, h.down(t, ms[0]))
	require.Equal(t, want, h.down(t, ms[1]))
	h.Down(3, "killed by signal 9 (killed)") // on its way out
	require.Equal(t, 3, h.down(t, ms[0]).Rank)
	finalize(0)
	require.False(t, ms[0].Ended())
	require.NoError(t, ms[1].Close())
	require.NoError(t, <-ended[0])
	require.NoError(t, <-ended[3])
}

// It goes on without one that has resigned, where it does without lost ones.
func TestResign(t *testing.T) {
	for _, goesOn := range []bool{true, false} {
		h := start(t, launch.HubConfig{Size: 3, GoesOn: goesOn})
		ms := h.all(t)
		require.True(t, ms[2].Resign(1, "a task is stuck"))
		want := launch.Failed
		if goesOn {
			want = launch.Lost
		}
		require.Equal(t, want, h.event(t, 3).Kind)
		require.Equal(t, "a task is stuck", h.event(t, 3).Reason)
		require.Equal(t, launch.Down{Rank: 2, Host: launch.Host(), Cause: "a task is stuck", GoesOn: goesOn}, h.down(t, ms[1]))
		require.True(t, ms[0].Resign(1, "rank 0 is another thing"))
		require.False(t, h.down(t, ms[1]).GoesOn)
	}
}

// It does not go on without rank 0, nor without one that says that it fails.
func TestJobThatCannotGoOn(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 3, GoesOn: true})
	ms := h.all(t)
	require.True(t, ms[2].Fail(1, "no data", false))
	require.False(t, h.down(t, ms[1]).GoesOn)
	require.NoError(t, ms[0].Close())
	d := h.down(t, ms[1])
	require.Equal(t, 0, d.Rank)
	require.False(t, d.GoesOn)

	h = start(t, launch.HubConfig{Size: 2, GoesOn: true})
	s, err := h.join(t, 1)
	require.NoError(t, err)
	other, err := h.join(t, 0)
	require.NoError(t, err)
	require.NoError(t, s.Close()) // before all have joined
	_, err = other.Register(h.ctx, launch.Peer{Rank: 0}, nil)
	require.ErrorContains(t, err, "rank 1 (host unknown) was lost before all ranks had joined")
}

// A launcher that knows better is heard, if it speaks within Grace.
func TestLauncherKnowsBetter(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2, Grace: time.Hour})
	ms := h.all(t)
	require.NoError(t, ms[1].Close())
	require.Equal(t, launch.Lost, h.event(t, 2).Kind)
	h.Down(1, "killed by signal 9 (killed)")
	h.Down(1, "something else")
	h.Down(5, "no such rank")
	h.Down(-1, "no such rank")
	require.Equal(t, "killed by signal 9 (killed)", h.down(t, ms[0]).Cause)
	require.True(t, ms[0].Fail(1, "so I stop", false)) // what came before has been read
	require.Empty(t, ms[0].downs)
}

// Whoever joins later hears what has happened before.
func TestLossBeforeAllHaveJoined(t *testing.T) {
	for name, lose := range map[string]func(*hub, *launch.Session){
		"it left":                func(_ *hub, s *launch.Session) { s.Close() },
		"the launcher says so":   func(h *hub, _ *launch.Session) { h.Down(0, "exit status 1") },
		"it has joined, no more": func(h *hub, s *launch.Session) { s.Fail(1, "bad interface", false) },
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, launch.HubConfig{Size: 2})
			s, err := h.join(t, 0)
			require.NoError(t, err)
			lose(h, s)
			if name != "the launcher says so" {
				h.event(t, 0)
			}
			late, err := h.join(t, 1)
			require.NoError(t, err)
			_, err = late.Register(h.ctx, launch.Peer{}, nil)
			var down *launch.DownError
			require.ErrorAs(t, err, &down)
			require.Zero(t, down.Rank)
			require.ErrorContains(t, err, "was lost before all ranks had joined")
		})
	}
}

func TestRefusals(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	_, err := h.join(t, 1)
	require.NoError(t, err)
	for want, env := range map[string][]string{
		"rank 1 has joined already":                     {},
		"rank 0 believes the job has 3 ranks; it has 2": {"DLP_RANK", "0", "DLP_SIZE", "3"},
		"the other end does not hold this job's secret": {"DLP_SECRET", hex.EncodeToString(make([]byte, 32))},
	} {
		_, err := launch.Join(h.ctx, h.job(t, 1, env...), nil)
		require.ErrorContains(t, err, want)
	}
}

func TestBuilds(t *testing.T) {
	for name, test := range map[string]struct {
		first, second byte
		ok            bool
	}{
		"equal": {1, 1, true}, "different": {1, 2, false}, "the first is any": {0, 2, true}, "the second is any": {1, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := start(t, launch.HubConfig{Size: 2})
			for rank, build := range []byte{test.first, test.second} {
				job := h.job(t, rank)
				job.Build = [16]byte{build}
				s, err := launch.Join(h.ctx, job, nil)
				if err == nil {
					defer s.Close()
				}
				if rank == 1 && !test.ok {
					require.ErrorContains(t, err, "another build of the program (02000000) than that of the ranks before it (01000000): start one binary everywhere, or set DLP_BUILD=any")
				} else {
					require.NoError(t, err)
				}
			}
		})
	}
	require.Equal(t, [16]byte{}, (&hub{Hub: start(t, launch.HubConfig{Size: 1}).Hub, size: 1}).job(t, 0, "DLP_BUILD", "any").Build)
}

// A rank of another build ends the job at once: it can't become whole.
func TestMisfit(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 3, Build: [16]byte{1}})
	s, err := h.join(t, 0)
	require.Error(t, err, "this test's own build is not that of the hub")
	require.Nil(t, s)
	e := h.event(t, 0)
	require.Equal(t, []any{launch.Failed, 0, "this host", 1}, []any{e.Kind, e.Rank, e.Host, e.Code})
	require.Contains(t, e.Reason, "another build of the program")
	job := h.job(t, 1, "DLP_BUILD", "any")
	s, err = launch.Join(h.ctx, job, nil)
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Register(h.ctx, launch.Peer{}, nil)
	require.EqualError(t, err, "rank 0 (host unknown) was lost before all ranks had joined: "+e.Reason)
}

// A hub that lingers tells those who come when the job has failed already.
func TestLinger(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2, Linger: true})
	s, err := h.join(t, 0)
	require.NoError(t, err)
	require.True(t, s.Fail(1, "on purpose", false))
	require.NoError(t, s.Close())
	closed := make(chan error, 1)
	go func() { closed <- h.Close() }()
	select {
	case <-closed:
		t.Fatal("it does not wait for rank 1")
	case <-time.After(50 * time.Millisecond):
	}
	late, err := h.join(t, 1)
	require.NoError(t, err)
	_, err = late.Register(h.ctx, launch.Peer{}, nil)
	require.EqualError(t, err, "rank 0 (host unknown) was lost before all ranks had joined: on purpose")
	require.NoError(t, late.Close())
	require.NoError(t, <-closed)
}

func TestMissingRanks(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 4, Timeout: 50 * time.Millisecond})
	s, err := h.join(t, 2)
	require.NoError(t, err)
	_, err = s.Register(h.ctx, launch.Peer{}, nil)
	const text = "missing ranks: 0,1,3 of 4 did not join within 50ms"
	require.EqualError(t, err, text)
	require.Equal(t, launch.Event{Kind: launch.Missing, Rank: -1, Reason: text}, h.event(t, 1))
	late, err := h.join(t, 3) // too late, and told so
	require.NoError(t, err)
	_, err = late.Register(h.ctx, launch.Peer{}, nil)
	require.EqualError(t, err, text)
}

func TestCloseOfAHub(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	ms := h.all(t)
	var closing sync.WaitGroup
	for range 3 {
		closing.Go(func() {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	for _, m := range ms {
		require.NoError(t, m.Close())
	}
	closing.Wait()
	for _, m := range ms {
		<-m.Gone()
		require.False(t, m.Ended())
		require.Error(t, m.Finalize(h.ctx))
		require.False(t, m.Fail(1, "too late", false))
	}
}

// Members that do not hang up are cut off, and see that the hub is gone.
func TestCloseOfAHubWithMembers(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	ms := h.all(t)
	require.NoError(t, h.Close())
	for _, m := range ms {
		<-m.Gone()
		require.ErrorIs(t, m.Finalize(h.ctx), launch.ErrHubGone)
	}
}

func TestFinalizeEndsWithItsContext(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	ms := h.all(t)
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(h.ctx, time.Millisecond, enough)
	defer cancel()
	require.ErrorIs(t, ms[0].Finalize(ctx), enough)
}

func TestRegisterEndsWithItsContext(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 2})
	s, err := h.join(t, 0)
	require.NoError(t, err)
	enough := errors.New("enough")
	ctx, cancel := context.WithTimeoutCause(h.ctx, time.Millisecond, enough)
	defer cancel()
	_, err = s.Register(ctx, launch.Peer{}, nil)
	require.ErrorIs(t, err, enough)
}

// A session ends with a hub that is silent; that it has ended is no error.
func TestSilentHub(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 1, Heartbeat: time.Hour})
	s, err := launch.Join(h.ctx, h.job(t, 0, "DLP_HEARTBEAT", "1ms"), nil)
	require.NoError(t, err)
	<-s.Gone()
	require.Contains(t, s.Silence(), "nothing was heard of it for 6ms")
	require.NoError(t, s.Close())
}

// A rank that takes nothing in holds up nobody.
func TestFrozenMember(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 3})
	frozen := make(chan struct{})
	defer close(frozen)
	sessions := make([]*launch.Session, 3)
	downs := make(chan launch.Down, 1000)
	var joining sync.WaitGroup
	for r := range sessions {
		s, err := h.join(t, r)
		require.NoError(t, err)
		sessions[r] = s
		joining.Go(func() {
			down := func(d launch.Down) { downs <- d }
			if r == 2 {
				down = func(launch.Down) { <-frozen } // it reads no more
			}
			if _, err := s.Register(h.ctx, launch.Peer{}, down); err != nil {
				t.Error(err)
			}
		})
	}
	joining.Wait()
	require.True(t, sessions[0].Fail(1, "out of luck", false))
	require.Zero(t, (<-downs).Rank)
	require.True(t, sessions[1].Fail(1, "rank 0 is gone", false))
}

func TestGarbageAtTheHub(t *testing.T) {
	h := start(t, launch.HubConfig{Size: 1})
	for range 20 {
		conn, err := net.Dial("unix", h.Addr()[len("unix:"):])
		require.NoError(t, err)
		_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a scanner of ports, and a long one at that\r\nAccept: */*\r\n\r\n"))
		require.NoError(t, err)
		defer conn.Close()
	}
	ms := h.all(t)
	require.NoError(t, ms[0].Finalize(h.ctx))
}

func TestListenHubErrors(t *testing.T) {
	for addr, want := range map[string]string{
		"":             "is no address",
		"pigeon:5":     "is no address: write unix:/path or tcp:host:port",
		"unix:":        "is no address",
		"tcp:here":     "missing port",
		"unix:/no/dir": "no such file",
	} {
		_, err := launch.ListenHub(addr, launch.HubConfig{Size: 1})
		require.ErrorContains(t, err, want, addr)
	}
	_, err := launch.ListenHub("tcp:127.0.0.1:0", launch.HubConfig{Size: 0})
	require.EqualError(t, err, "a job has 1 rank or more, not 0")
}
