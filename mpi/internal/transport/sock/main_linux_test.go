package sock

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/internal/auth"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
)

// Ranks that are processes: this test binary again, in a role.
const roleEnv = "SOCK_TEST_ROLE"

// roles are what a rank does with its transport.
var roles = map[string]func(ctx context.Context, tr *Transport) error{
	"agent":     func(_ context.Context, tr *Transport) error { return transporttest.Serve(tr.cfg.Rank, tr) },
	"exchange":  exchange,
	"ping":      pingOfProcess,
	"send on":   sendOn,
	"verify on": verifyOn,
}

// roleTime bounds the life of a rank, so that none is left over.
const roleTime = 3 * time.Minute

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	var err error
	switch role {
	case "":
		goleak.VerifyTestMain(m)
		return
	case "agents":
		err = startAgents()
	default:
		err = play(role)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// play is the life of a rank.
func play(role string) error {
	ctx, cancel := context.WithTimeout(context.Background(), roleTime)
	defer cancel()
	rank, err := strconv.Atoi(os.Getenv("RANK"))
	if err != nil {
		return err
	}
	ln, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	secret, err := hex.DecodeString(os.Getenv("SECRET"))
	if err != nil {
		return err
	}
	cfg := Config{Rank: rank, Secret: auth.Secret(secret), Listeners: []net.Listener{ln}, Spin: os.Getenv("SPIN") == "1", Insist: os.Getenv("INSIST") == "1"}
	for _, address := range strings.Split(os.Getenv("PEERS"), ",") {
		cfg.Peers = append(cfg.Peers, []Addr{{"unix", address}})
	}
	if os.Getenv("RING") != "0" {
		cfg.Ring = RingSize(len(cfg.Peers))
	}
	if err := forbid(os.Getenv("FORBID")); err != nil {
		return err
	}
	tr := New(cfg)
	return errors.Join(roles[role](ctx, tr), tr.Close())
}

// startRanks returns processes for so many ranks, started in their roles, with what
// they print. Their sockets are there before any of them is.
func startRanks(roles []string, env ...string) (ranks []*exec.Cmd, outputs []*output, err error) {
	var secret [32]byte
	rand.Read(secret[:])
	peers, files := make([]string, len(roles)), make([]*os.File, len(roles))
	for r := range peers {
		peers[r] = "@dlp-test-" + rand.Text()
		ln, err := net.Listen("unix", peers[r])
		if err != nil {
			return nil, nil, err
		}
		defer ln.Close() // when all are started
		if files[r], err = ln.(*net.UnixListener).File(); err != nil {
			return nil, nil, err
		}
		defer files[r].Close()
	}
	for r, role := range roles {
		cmd, out := exec.Command(os.Args[0]), &output{}
		cmd.ExtraFiles, cmd.Stdout, cmd.Stderr = files[r:r+1], out, out
		cmd.Env = append(os.Environ(), roleEnv+"="+role, "RANK="+strconv.Itoa(r), "SECRET="+hex.EncodeToString(secret[:]),
			"PEERS="+strings.Join(peers, ","), "GORACE=atexit_sleep_ms=0") // else a second for each
		cmd.Env = append(cmd.Env, env...)
		if err := cmd.Start(); err != nil {
			return ranks, outputs, err
		}
		ranks, outputs = append(ranks, cmd), append(outputs, out)
	}
	return ranks, outputs, nil
}

// runRanks runs ranks in their roles to their end, which must be a good one, and
// returns what each has printed.
func runRanks(t *testing.T, roles []string, env ...string) (printed []string) {
	t.Helper()
	ranks, outputs, err := startRanks(roles, env...)
	require.NoError(t, err)
	for r, cmd := range ranks {
		err := cmd.Wait()
		require.NoError(t, err, "rank %d: %s", r, outputs[r])
		printed = append(printed, outputs[r].String())
	}
	return printed
}

// startAgents starts the ranks of the conformance suite, and waits for them. One
// that is killed is meant to be.
func startAgents() error {
	n, err := strconv.Atoi(os.Getenv("AGENTS"))
	if err != nil {
		return err
	}
	agents := make([]string, n)
	for r := range agents {
		agents[r] = "agent"
	}
	ranks, outputs, err := startRanks(agents)
	for r, cmd := range ranks {
		failed := cmd.Wait()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if failed != nil && !(status.Signaled() && status.Signal() == syscall.SIGKILL) {
			err = errors.Join(err, fmt.Errorf("rank %d: %w: %s", r, failed, outputs[r]))
		}
	}
	return err
}

// output is what a process has printed so far.
type output struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.all.String()
}
