package launch

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

// Secret is what the processes of one job share and nobody else knows.
type Secret = auth.Secret

// NewSecret returns a secret for a new job: 32 random bytes.
func NewSecret() Secret { return auth.NewSecret() }

// DefaultInitTimeout is how long the ranks of a job wait for each other where
// DLP_INIT_TIMEOUT does not say.
const DefaultInitTimeout = 300 * time.Second

// HubConfig says what a hub is for.
type HubConfig struct {
	Size    int           // ranks of the job
	Secret  Secret        // what they prove themselves with
	Build   [16]byte      // what they run; zero: what the first of them does that says so
	TLS     bool          // TCP connections are inside of TLS
	Timeout time.Duration // all must have registered by then; 0: DefaultInitTimeout
	// Heartbeat is how often the hub and each rank give a sign of life; who has
	// given none for six times as long is lost. 0: DefaultHeartbeat.
	Heartbeat time.Duration
	// Grace is how long the hub waits, when a rank's session ends without a
	// word, for Down to be called by somebody who knows why. 0: not at all.
	Grace time.Duration
	// GoesOn lets the job go on, once all ranks have joined, without those that are
	// lost, except for rank 0; not without one that says that it fails.
	GoesOn bool
	// Linger makes Close wait, where the job has failed, for ranks that have not
	// come yet: nobody else would tell them.
	Linger bool
	// OnEvent is told what happens, one event at a time. It must not block and
	// must not call the hub. It may be nil.
	OnEvent func(Event)
	// OnRefused is told of connections that were dropped, at a limited rate. It
	// may be nil.
	OnRefused func(error)
}

// EventKind tells the events of a hub apart.
type EventKind int

// The events of a hub.
const (
	Joined    EventKind = iota // a rank has registered
	Failed                     // a rank says that it fails: Code, Reason
	Finalized                  // a rank has reached Finalize
	Lost                       // a rank's session ended, and it neither failed nor finalized: Reason, as far as is known
	Missing                    // the time is over: Reason lists the ranks that never came
)

// Vanished is the cause where a rank's session ends and nobody knows why.
const Vanished = "it ended before Finalize (killed, or exited on its own)"

// Event is something that a hub has seen.
type Event struct {
	Kind   EventKind
	Rank   int // -1 for Missing
	Host   string
	Pid    int
	Code   int
	Reason string // one line
	GoesOn bool   // with Lost: the job does, without that rank
}

// Hub is where the ranks of one job meet: each keeps a session with it from
// Init to Finalize. It hands round who listens where, knows first when a rank
// is gone, and lets the ranks go when all have finalized. One process hosts it:
// dlprun, or rank 0 where no dlprun is there.
type Hub struct {
	cfg    HubConfig
	addr   string
	server auth.Server
	done   chan struct{} // closed when the accept loop and all sessions have ended
	beat   sync.WaitGroup
	expire *time.Timer

	events sync.Mutex // OnEvent is called under it, never under mu

	mu       sync.Mutex
	members  []*member // by rank; nil until it has joined
	build    [16]byte  // what all ranks run; zero: nobody has said yet
	coming   []bool    // ranks in the last step of their handshake
	settled  sync.Cond // one of them is through
	joined   int       // registered
	begun    bool      // all were told so
	through  int       // ranks that have finalized, or without which the job goes on
	down     []bool
	downs    []Down // all that was told, for those who join later
	refusals int
	sessions int
	closing  bool
	idle     chan struct{} // closed when Close waits for nobody any more
	isIdle   bool
	closed   bool
}

// member is a rank that has a session.
type member struct {
	rank                          int
	conn                          net.Conn
	out                           chan func(net.Conn) error // drained by one writer, so that a frozen rank blocks nobody
	peer                          Peer
	registered, failed, finalized bool
	told                          bool // its Joined event was told
	gone                          bool // its session is over
	heard                         pulse
}

// ListenHub starts a hub at addr, "unix:/path" or "tcp:host:port" (port 0: any
// free one). It does not block. Errors are those of net.Listen.
func ListenHub(addr string, cfg HubConfig) (*Hub, error) {
	netw, at, err := network(addr)
	if err != nil {
		return nil, err
	}
	if cfg.Size < 1 {
		return nil, fmt.Errorf("a job has 1 rank or more, not %d", cfg.Size)
	}
	ln, err := net.Listen(netw, at)
	if err != nil {
		return nil, err
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultInitTimeout)
	cfg.Heartbeat = cmp.Or(cfg.Heartbeat, DefaultHeartbeat)
	h := &Hub{
		cfg: cfg, addr: netw + ":" + ln.Addr().String(), done: make(chan struct{}), idle: make(chan struct{}),
		members: make([]*member, cfg.Size), build: cfg.Build, coming: make([]bool, cfg.Size), down: make([]bool, cfg.Size),
	}
	h.settled.L = &h.mu
	h.server = auth.Server{Listener: ln, Secret: cfg.Secret, TLS: cfg.TLS, Admit: h.admit, Left: h.forget, Serve: h.session, Refused: h.refused}
	h.expire = time.AfterFunc(cfg.Timeout, h.timeout)
	go func() {
		defer close(h.done)
		h.server.Run()
	}()
	h.beat.Go(func() { every(cfg.Heartbeat, h.done, h.heartbeat) })
	return h, nil
}

// Addr returns the address that ranks dial, in ListenHub's form.
func (h *Hub) Addr() string { return h.addr }

// Addrs returns all addresses by which ranks on this and other hosts may reach
// the hub, in ListenHub's form: where it listens everywhere, those of all network
// interfaces, loopback last. Only one of them need work for a rank.
func (h *Hub) Addrs() ([]string, error) { return reachable(h.server.Listener.Addr()) }

// Down tells every other rank that rank is gone, and why. The first call for a
// rank counts. It does not block.
func (h *Hub) Down(rank int, cause string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellLost(rank, cause)
}

// Close ends the hub and waits until nothing of it is left. Ranks that have a
// session, or, with Linger, are still to come, get 2 s to hang up by themselves,
// so that each hears why the job ends.
func (h *Hub) Close() error {
	h.expire.Stop()
	h.mu.Lock()
	h.closing = true
	h.settle()
	h.mu.Unlock()
	select {
	case <-h.idle:
	case <-h.done: // by another Close
	case <-time.After(2 * time.Second):
	}
	h.mu.Lock()
	h.closed = true
	for _, m := range h.members {
		if m != nil && !m.gone {
			m.conn.Close()
		}
	}
	h.mu.Unlock()
	err := h.server.Listener.Close()
	<-h.done
	h.beat.Wait()
	if errors.Is(err, net.ErrClosed) { // it was closed before
		return nil
	}
	return err
}

// settle lets Close go on when nobody is left to wait for. The caller holds h.mu.
func (h *Hub) settle() {
	if h.closing && !h.isIdle && h.sessions == 0 && !h.lingers() {
		h.isIdle = true
		close(h.idle)
	}
}

// lingers reports whether ranks that are still to come should hear of a failure.
// The caller holds h.mu.
func (h *Hub) lingers() bool {
	if !h.cfg.Linger || h.closed || len(h.downs) == 0 {
		return false
	}
	for r, m := range h.members {
		if m == nil && !h.down[r] {
			return true
		}
	}
	return false
}

// admit judges a rank that holds the secret.
func (h *Hub) admit(hello auth.Hello) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case hello.Purpose != auth.Session:
		return errors.New("this is the hub of a job, not a rank")
	case hello.Size != h.cfg.Size:
		return fmt.Errorf("rank %d believes the job has %d ranks; it has %d", hello.Rank, hello.Size, h.cfg.Size)
	case hello.Rank < 0 || hello.Rank >= h.cfg.Size:
		return fmt.Errorf("rank %d does not exist in a job of %d", hello.Rank, h.cfg.Size)
	case !h.reserve(hello.Rank):
		p := h.members[hello.Rank].peer
		return fmt.Errorf("rank %d has joined already (process %d on %s): two processes were given one rank", hello.Rank, p.Pid, p.Host)
	}
	if unknown := [16]byte{}; hello.Build != unknown {
		if h.build == unknown {
			h.build = hello.Build
		}
		if h.build != hello.Build {
			h.release(hello.Rank)
			return &auth.MisfitError{Rank: hello.Rank, Reason: fmt.Sprintf("another build of the program (%x) than that of the ranks before it (%x): start one binary everywhere, or set DLP_BUILD=any", hello.Build[:4], h.build[:4])}
		}
	}
	return nil
}

// reserve keeps a rank's place while its handshake ends, and reports false if it
// is taken. Where another process is about to take it, reserve waits for that,
// no longer than a handshake may last. The caller holds h.mu.
func (h *Hub) reserve(rank int) bool {
	for h.coming[rank] {
		h.settled.Wait()
	}
	if h.members[rank] != nil {
		return false
	}
	h.coming[rank] = true
	return true
}

// release ends reserve. The caller holds h.mu.
func (h *Hub) release(rank int) {
	h.coming[rank] = false
	h.settled.Broadcast()
}

// forget is told of a rank that was welcome and did not wait for it.
func (h *Hub) forget(hello auth.Hello) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.release(hello.Rank)
}

// session serves one rank until its connection ends.
func (h *Hub) session(conn net.Conn, hello auth.Hello) {
	m := &member{rank: hello.Rank, conn: conn, out: make(chan func(net.Conn) error, 64), peer: Peer{Rank: hello.Rank}}
	h.mu.Lock()
	h.release(m.rank)
	closing := h.closing && !h.lingers()
	if !closing {
		h.members[m.rank] = m
		h.sessions++
		for _, d := range h.downs {
			m.tell(msgDown, d)
		}
	}
	h.mu.Unlock()
	if closing {
		conn.Close()
		return
	}
	var writing sync.WaitGroup
	writing.Go(func() { m.write() })
	h.read(m)
	h.lost(m)
	close(m.out)
	writing.Wait()
	conn.Close()
}

// write sends what is queued; a rank that takes nothing for 5 s is cut off.
func (m *member) write() {
	for send := range m.out {
		m.conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if send(m.conn) != nil {
			m.conn.Close() // the reader sees it
		}
	}
}

// tell queues a message. The caller holds h.mu and m is not gone.
func (m *member) tell(form uint8, body any) {
	select {
	case m.out <- func(c net.Conn) error { return writeControl(c, form, body) }:
	default:
		m.conn.Close() // 64 messages behind: it is not reading
	}
}

func (h *Hub) read(m *member) {
	r := wire.NewReader(m.conn, maxControl)
	for {
		msg, err := readControl(r)
		if err != nil {
			return
		}
		m.heard.sign()
		if err := h.handle(m, msg); err != nil {
			h.refused(fmt.Errorf("the session of rank %d was ended: %w", m.rank, err))
			return
		}
	}
}

func (h *Hub) handle(m *member, msg wire.Message) error {
	switch msg.Form {
	case msgRegister:
		var p Peer
		if err := json.Unmarshal(msg.Body, &p); err != nil {
			return err
		}
		p.Rank = m.rank
		h.register(m, p)
	case msgFailed:
		var f failure
		if err := json.Unmarshal(msg.Body, &f); err != nil {
			return err
		}
		h.failed(m, f)
	case msgFinalized:
		h.event(Event{Kind: Finalized, Rank: m.rank, Host: m.peer.Host, Pid: m.peer.Pid})
		h.finalize(m)
	case msgAlive:
	default:
		return fmt.Errorf("%w: control message %d", wire.ErrFrame, msg.Form)
	}
	return nil
}

// failed deals with a rank that says that it fails: the others hear of it, and so does
// it that they do.
func (h *Hub) failed(m *member, f failure) {
	e := Event{Kind: Failed, Rank: m.rank, Host: m.peer.Host, Pid: m.peer.Pid, Code: f.Code, Reason: oneLine(f.Reason)}
	d := Down{Rank: m.rank, Cause: e.Reason, Aborted: f.Aborted}
	h.mu.Lock()
	m.failed = true
	if f.Alone && h.spares(m.rank) {
		e.Kind, e.Code, e.GoesOn, d.GoesOn = Lost, 0, true, true
	}
	h.mu.Unlock()
	h.event(e)
	h.mu.Lock()
	defer h.mu.Unlock()
	m.tell(msgAck, nil)
	h.tellDown(d)
}

// register books a rank, tells the event, and hands the table round when it was
// the last one: so a rank has Joined before any rank can be done.
func (h *Hub) register(m *member, p Peer) {
	h.mu.Lock()
	m.peer = p
	if !m.registered {
		m.registered = true
		h.joined++
	}
	h.mu.Unlock()
	h.event(Event{Kind: Joined, Rank: p.Rank, Host: p.Host, Pid: p.Pid})
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.told = true; !h.allTold() {
		return
	}
	h.expire.Stop()
	h.begun = true
	table := roll{Ranks: make([]Peer, 0, h.cfg.Size), GoesOn: h.cfg.GoesOn}
	for _, m := range h.members {
		table.Ranks = append(table.Ranks, m.peer)
	}
	h.tellAll(-1, msgTable, table)
}

// allTold reports whether all ranks are there and their events were told. The
// caller holds h.mu.
func (h *Hub) allTold() bool {
	if h.joined < h.cfg.Size {
		return false
	}
	for _, m := range h.members {
		if !m.told || m.gone { // one that is gone again: its Down is on the way
			return false
		}
	}
	return true
}

func (h *Hub) finalize(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !m.finalized && !h.down[m.rank] {
		m.finalized = true
		h.passed()
	}
}

// passed counts a rank that is not waited for any more, and lets the ranks go when
// all are. The caller holds h.mu.
func (h *Hub) passed() {
	if h.through++; h.through == h.cfg.Size {
		h.tellAll(-1, msgEnd, nil)
	}
}

// lost deals with the end of m's session.
func (h *Hub) lost(m *member) {
	h.mu.Lock()
	m.gone = true
	h.sessions--
	h.settle()
	inOrder := m.failed || m.finalized || h.closed
	down, goesOn := h.down[m.rank], h.spares(m.rank)
	h.mu.Unlock()
	if inOrder {
		return
	}
	e := Event{Kind: Lost, Rank: m.rank, Host: m.peer.Host, Pid: m.peer.Pid, Reason: Vanished, GoesOn: goesOn}
	if m.heard.silent() {
		e.Reason = silence(h.cfg.Heartbeat)
	}
	h.event(e)
	if down {
		return
	}
	time.AfterFunc(h.cfg.Grace, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.tellLost(m.rank, e.Reason)
	})
}

// heartbeat gives all ranks a sign of life and ends the sessions of those that
// have given none for long.
func (h *Hub) heartbeat() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellAll(-1, msgAlive, nil)
	for _, m := range h.members {
		if m != nil && !m.gone && m.heard.beat() {
			m.conn.Close()
		}
	}
}

// tellLost tells the others that rank is gone without a word, and whether the job
// goes on. The caller holds h.mu.
func (h *Hub) tellLost(rank int, cause string) {
	h.tellDown(Down{Rank: rank, Cause: cause, GoesOn: h.spares(rank)})
}

// spares reports whether the job can go on without rank. The caller holds h.mu.
func (h *Hub) spares(rank int) bool { return h.cfg.GoesOn && h.begun && rank > 0 }

// tellDown tells the others once that a rank is gone. The caller holds h.mu.
func (h *Hub) tellDown(d Down) {
	if d.Rank < 0 || d.Rank >= h.cfg.Size || h.down[d.Rank] || h.closed {
		return
	}
	h.down[d.Rank] = true
	d.Cause = oneLine(d.Cause)
	m := h.members[d.Rank]
	if m != nil {
		d.Host = m.peer.Host
	}
	h.downs = append(h.downs, d)
	h.tellAll(d.Rank, msgDown, d)
	if d.GoesOn && !m.finalized {
		h.passed()
	}
	h.settle()
}

// tellAll queues a message for every rank but one. The caller holds h.mu.
func (h *Hub) tellAll(except int, form uint8, body any) {
	for r, m := range h.members {
		if m != nil && !m.gone && r != except {
			m.tell(form, body)
		}
	}
}

// timeout ends a job whose ranks did not all come.
func (h *Hub) timeout() {
	h.mu.Lock()
	var missing []string
	for r, m := range h.members {
		if m == nil || !m.registered {
			missing = append(missing, strconv.Itoa(r))
		}
	}
	if len(missing) == 0 || h.closed {
		h.mu.Unlock()
		return
	}
	h.mu.Unlock()
	reason := fmt.Sprintf("missing ranks: %s of %d did not join within %v", strings.Join(missing, ","), h.cfg.Size, h.cfg.Timeout)
	h.event(Event{Kind: Missing, Rank: -1, Reason: reason}) // before any rank can leave because of it
	h.mu.Lock()
	defer h.mu.Unlock()
	d := Down{Rank: -1, Cause: reason}
	h.downs = append(h.downs, d)
	h.tellAll(-1, msgDown, d)
}

func (h *Hub) event(e Event) {
	if h.cfg.OnEvent == nil {
		return
	}
	h.events.Lock()
	defer h.events.Unlock()
	h.cfg.OnEvent(e)
}

// misfit ends a job that can't become whole: the process that came as one of its
// ranks holds the secret, and was built of something else. It reports false where
// that rank is there already, and the process is no more than one too many.
func (h *Hub) misfit(e *auth.MisfitError) bool {
	h.mu.Lock()
	stray := e.Rank < 0 || e.Rank >= h.cfg.Size || h.members[e.Rank] != nil
	h.mu.Unlock()
	if stray {
		return false
	}
	h.event(Event{Kind: Failed, Rank: e.Rank, Host: e.From, Code: 1, Reason: e.Reason})
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tellDown(Down{Rank: e.Rank, Cause: e.Reason})
	return true
}

// refused passes on the first few, then one in a hundred.
func (h *Hub) refused(err error) {
	if e := (*auth.MisfitError)(nil); errors.As(err, &e) && h.misfit(e) {
		return
	}
	h.mu.Lock()
	h.refusals++
	n, closed := h.refusals, h.closed
	h.mu.Unlock()
	if h.cfg.OnRefused != nil && !closed && (n <= 3 || n%100 == 0) {
		h.cfg.OnRefused(err)
	}
}
