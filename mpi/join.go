package mpi

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"github.com/dlprun/dlp/mpi/internal/shm"
	"github.com/dlprun/dlp/mpi/internal/transport/sock"
	"github.com/dlprun/dlp/mpi/launch"
)

// join meets the other ranks.
func join(ctx context.Context, found launch.Job) (_ *Comm, err error) {
	j := &job{backend: "embedded", size: found.Size, meeting: found.Meeting, memory: memoryFor(found.Transport)}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			closeAll(listeners)
			err = j.giveUp(err)
		}
	}()
	if found.Rank == 0 && !found.Hosted {
		if j.hub, err = hostHub(ctx, found); err != nil {
			return nil, err
		}
	}
	if j.session, err = launch.Join(ctx, found, j.hub); err != nil {
		return nil, err
	}
	self, listeners, err := j.listen(found)
	if err != nil {
		return nil, err
	}
	var e *engine
	over := make(chan struct{})
	defer close(over)
	down := func(d launch.Down) {
		if <-over; e != nil {
			e.hear(d)
		}
	}
	if j.peers, err = j.session.Register(ctx, self, down); err != nil {
		return nil, err
	}
	if err = found.Meeting.Joined(); err != nil {
		return nil, err
	}
	t, err := j.transport(found, listeners)
	if err != nil {
		return nil, err
	}
	e = newEngine(t, found.Rank, found.Size, j.host)
	e.goesOn = j.session.GoesOn()
	j.rootHub = !found.Hosted
	go j.watchHub(e)
	c := j.world(e, found.Rank)
	shareProcessors(j.sharing(found.Rank))
	return c, nil
}

// transport starts what carries messages to all others, whom the hub has named.
func (j *job) transport(found launch.Job, listeners []net.Listener) (*sock.Transport, error) {
	addrs, err := j.addresses(found)
	if err != nil {
		return nil, err
	}
	insist := found.Transport == "shm"
	if insist {
		if err := shm.Probe(); err != nil {
			return nil, fmt.Errorf("DLP_TRANSPORT is shm, but there is %w; with auto its messages go over sockets", err)
		}
	}
	return sock.New(sock.Config{
		Rank: found.Rank, Secret: j.session.Secret(), Build: found.Build, TLS: found.TLS, Peers: addrs, Listeners: listeners,
		Ring: j.ringSize(found), Insist: insist, Spin: j.sharing(found.Rank) <= runtime.NumCPU(),
		Heartbeat: found.Heartbeat, Refused: j.shortOf(found.Rank),
	}), nil
}

// shortOf returns what is told of connections that rank has dropped: that it could not
// take them shows the user once, since others know only that it did not.
func (j *job) shortOf(rank int) func(error) {
	var once sync.Once
	return func(err error) {
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			once.Do(func() {
				fmt.Fprintf(os.Stderr, "dlp: rank %d%s can't let other ranks in: %v (ulimit -n)\n", rank, in(j.host(rank)), err)
			})
		}
	}
}

// ringSize is how much memory this rank shares with each other one of its host.
func (j *job) ringSize(found launch.Job) int {
	if !sharesMemory(found.Transport) {
		return 0
	}
	near := 0
	for _, p := range j.peers {
		if p.HostID == j.peers[found.Rank].HostID {
			near++
		}
	}
	return sock.RingSize(near)
}

// giveUp ends what join has begun. If the hub knows why, whoever hosts it shows
// the reason, and the error is a toldError.
func (j *job) giveUp(err error) error {
	var early *launch.DownError
	told := errors.As(err, &early)
	if j.session != nil && !told {
		told = j.tell(1, err.Error(), false)
	}
	j.release(1) // the reason why counts, not what goes wrong on the way out
	if told {
		return &toldError{err}
	}
	return err
}

// toldError is an error that the user has been shown.
type toldError struct{ error }

func (e *toldError) Unwrap() error { return e.error }

// hostHub lets rank 0 host the meeting place where no launcher does.
func hostHub(ctx context.Context, found launch.Job) (*launch.Hub, error) {
	failed := false
	return launch.HostHub(ctx, found, launch.HubConfig{
		OnEvent: func(e launch.Event) {
			switch e.Kind {
			case launch.Failed, launch.Lost, launch.Missing:
			default:
				return
			}
			if failed { // what comes after the first is mostly its consequence
				return
			}
			failed = !e.GoesOn
			if e.GoesOn {
				e.Reason += "; the job goes on without it"
			}
			if e.Rank < 0 {
				fmt.Fprintf(os.Stderr, "dlp: %s (%v)\n", e.Reason, found.Meeting)
			} else {
				fmt.Fprintf(os.Stderr, "dlp: rank %d%s: %s\n", e.Rank, in(e.Host), e.Reason)
			}
		},
		OnRefused: func(err error) { fmt.Fprintf(os.Stderr, "dlp: rank 0: %v\n", err) },
	})
}

// listen opens what other ranks will connect to: a unix socket for those of
// this host, TCP for others, if there may be any.
func (j *job) listen(found launch.Job) (self launch.Peer, listeners []net.Listener, err error) {
	self.Rank = found.Rank
	_, near := j.session.Unix() // so all are
	if found.Transport != "tcp" {
		ln, err := j.listenUnix()
		if err != nil {
			return self, nil, err
		}
		self.Unix = ln.Addr().String()
		listeners = append(listeners, ln)
	}
	if found.Transport == "unix" || near && found.Transport != "tcp" {
		return self, listeners, nil
	}
	ip, err := launch.ListenIP(found.Interface, j.session.LocalIP())
	if err != nil {
		return self, listeners, err
	}
	besideHub := j.hub != nil || ip == j.session.RemoteIP() && !net.ParseIP(ip).IsLoopback()
	if besideHub && !found.OneHost && found.Interface == "" {
		ip = "" // the others know better by which address they reach the hub's host
	}
	ln, err := net.Listen("tcp", net.JoinHostPort(ip, "0"))
	if err != nil {
		return self, listeners, err
	}
	_, port, err := net.SplitHostPort(ln.Addr().String())
	self.TCP = []string{net.JoinHostPort(ip, port)}
	return self, append(listeners, ln), err
}

// listenUnix opens a unix socket: beside the hub's, if that has a file; else, on
// Linux, one without a file, which leaves nothing behind however the rank ends;
// elsewhere one in a folder of its own.
func (j *job) listenUnix() (net.Listener, error) {
	if folder, _ := j.session.Unix(); folder != "" {
		return net.Listen("unix", filepath.Join(folder, strconv.Itoa(j.session.Rank())))
	}
	if runtime.GOOS == "linux" {
		return net.Listen("unix", "@dlp-"+rand.Text())
	}
	folder, err := os.MkdirTemp("", "dlp-") // mode 0700
	if err != nil {
		return nil, err
	}
	j.folder = folder
	return net.Listen("unix", filepath.Join(folder, strconv.Itoa(j.session.Rank())))
}

// addresses says where each rank is reached: by its unix socket on this host, by
// TCP elsewhere, and on this host too, if the socket is not there: containers with
// networks of their own may have one name. Rank 0, where it hosts the hub, is
// reached like that.
func (j *job) addresses(found launch.Job) ([][]sock.Addr, error) {
	here := j.peers[found.Rank].HostID
	all := make([][]sock.Addr, len(j.peers))
	network := "tcp"
	if found.TLS {
		network = "tls"
	}
	for r, p := range j.peers {
		if p.HostID == here && p.Unix != "" {
			all[r] = append(all[r], sock.Addr{Network: "unix", Address: p.Unix})
		}
		for _, a := range p.TCP {
			host, port, err := net.SplitHostPort(a)
			if err != nil {
				return nil, err
			}
			if host == "" {
				host = j.session.RemoteIP()
			}
			all[r] = append(all[r], sock.Addr{Network: network, Address: net.JoinHostPort(host, port)})
		}
		if len(all[r]) == 0 {
			return nil, fmt.Errorf("rank %d on %s can't be reached from rank %d on %s by unix sockets; set DLP_TRANSPORT=auto and a rendezvous of the form host:port", r, p.Host, found.Rank, j.peers[found.Rank].Host)
		}
	}
	return all, nil
}
