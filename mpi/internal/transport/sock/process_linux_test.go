package sock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
	"github.com/dlprun/dlp/mpi/internal/wire"
)

func TestConformanceOfProcesses(t *testing.T) {
	if raceEnabled {
		t.Skip("what processes do to each other is no race that the detector sees; without it the suite is ten times as fast")
	}
	transporttest.Run(t, transporttest.Harness{
		New: transporttest.Remote(func(_ *testing.T, n int) *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleEnv+"=agents", "AGENTS="+strconv.Itoa(n), "SPIN=1")
			return cmd
		}),
		Kill: transporttest.Kill,
	})
}

// exchange sends a message to the other rank and takes its own, in both orders,
// and prints what memory this process shares with others.
func exchange(ctx context.Context, tr *Transport) error {
	me := tr.cfg.Rank
	for k := range 4 {
		if k%2 == me {
			if err := tr.Send(ctx, 1-me, numbered(k)); err != nil {
				return err
			}
			continue
		}
		m, err := tr.Recv(ctx)
		if err == nil {
			err = isNumbered(&m, k)
		}
		if err != nil {
			return err
		}
	}
	if err := allowFiles(); err != nil {
		return err
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return err
	}
	shared := regexp.MustCompile(`(?m)^\S+ ...s .* ([^ ]*/.*)$`)
	for _, found := range shared.FindAllSubmatch(maps, -1) {
		fmt.Printf("%s\n", found[1])
	}
	return nil
}

// numbered returns message k, whose length and bytes nobody else's are.
func numbered(k int) *wire.Message {
	n := rand.New(rand.NewPCG(uint64(k), 7)).IntN(1000)
	if k%16 == 0 {
		n *= 3000
	}
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(k + i*7 + i>>8)
	}
	return &wire.Message{Kind: wire.User, Tag: int32(k), Body: body}
}

func isNumbered(m *wire.Message, k int) error {
	want := numbered(k)
	if int(m.Tag) != k || string(m.Body) != string(want.Body) {
		return fmt.Errorf("message %d has tag %d and %d bytes, which are not its %d", k, m.Tag, len(m.Body), len(want.Body))
	}
	return nil
}

const memfd = "/memfd:dlp (deleted)\n"

// refusals are what may keep ranks from sharing memory, and what is said of it by the
// one who offers it, rank 0. A number names the only rank that it is taken from.
var refusals = map[string]string{
	"memfd":     "memfd_create: operation not permitted",
	"mmap":      "operation not permitted",
	"sendmsg":   "write unix .*: sendmsg: operation not permitted",
	"files 0":   "memfd_create: too many open files",
	"size 0":    "file too large",
	"mmap 1":    "it has declined",
	"recvmsg 1": "it has declined",
}

// Ranks of one host share memory that has no name. Where either of them is not
// allowed to, or told not to, they speak over the socket.
func TestWhoSharesMemory(t *testing.T) {
	type test struct {
		env  string
		want string
	}
	tests := map[string]test{"allowed": {"", memfd}, "insisting": {"INSIST=1", memfd}, "sockets alone": {"RING=0", ""}}
	for what := range refusals {
		tests["no "+what] = test{"FORBID=" + what, ""}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for r, printed := range runRanks(t, []string{"exchange", "exchange"}, test.env) {
				require.Equal(t, test.want, printed, "rank %d", r)
			}
		})
	}
}

// A rank that insists on memory fails where there is none, and says why in one line.
func TestInsistOnMemory(t *testing.T) {
	for what, why := range refusals {
		t.Run("no "+what, func(t *testing.T) {
			ranks, outputs, err := startRanks([]string{"exchange", "exchange"}, "FORBID="+what, "INSIST=1")
			require.NoError(t, err)
			require.Error(t, ranks[0].Wait(), "%s", outputs[0])
			require.NoError(t, ranks[1].Process.Kill()) // it waits for a message
			require.Error(t, ranks[1].Wait())
			require.Regexp(t, `^rank 1: no shared memory between the processes of this host: `+why+`\n$`, outputs[0].String())
		})
	}
}

// forbid takes something from this process; from one rank alone if a number follows.
func forbid(what string) error {
	what, one, _ := strings.Cut(what, " ")
	if one != "" && one != os.Getenv("RANK") {
		return nil
	}
	switch what {
	case "memfd":
		return refuseCall(unix.SYS_MEMFD_CREATE, 0, 0)
	case "mmap":
		return refuseCall(unix.SYS_MMAP, 3, unix.MAP_SHARED)
	case "sendmsg":
		return refuseCall(unix.SYS_SENDMSG, 0, 0)
	case "recvmsg":
		return refuseCall(unix.SYS_RECVMSG, 0, 0)
	case "size":
		return unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 4096, Max: 4096})
	case "files":
		return refuseFiles()
	}
	return nil
}

// refuseFiles leaves this process one descriptor, which its next connection takes.
func refuseFiles() error {
	f, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	free := uint64(f.Fd()) // the lowest
	if err := f.Close(); err != nil {
		return err
	}
	return limitFiles(func(l *unix.Rlimit) { l.Cur = free + 1 })
}

// allowFiles takes refuseFiles back.
func allowFiles() error { return limitFiles(func(l *unix.Rlimit) { l.Cur = l.Max }) }

func limitFiles(change func(*unix.Rlimit)) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return err
	}
	change(&l)
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &l)
}

// refuseCall has the kernel answer a system call with EPERM: any, or those that
// have one of these bits set in an argument.
func refuseCall(number, argument int, bits uint32) error {
	const load, equal, set, end = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, unix.BPF_RET | unix.BPF_K
	refuse, allow := uint32(unix.SECCOMP_RET_ERRNO|unix.EPERM), uint32(unix.SECCOMP_RET_ALLOW)
	filter := []unix.SockFilter{
		{Code: load, K: 0}, // the call's number
		{Code: equal, K: uint32(number), Jt: 1},
		{Code: end, K: allow},
	}
	if bits != 0 {
		filter = append(filter,
			unix.SockFilter{Code: load, K: uint32(16 + 8*argument)}, // its lower half, on little-endian machines
			unix.SockFilter{Code: set, K: bits, Jt: 1},
			unix.SockFilter{Code: end, K: allow})
	}
	filter = append(filter, unix.SockFilter{Code: end, K: refuse})
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	return nil
}

// sendOn sends numbered messages to rank 0 until it is gone.
func sendOn(ctx context.Context, tr *Transport) error {
	for k := 0; ; k++ {
		err := tr.Send(ctx, 0, numbered(k))
		if k == 0 {
			fmt.Println("begun")
		}
		if err != nil {
			return lost(err, 0)
		}
	}
}

// verifyOn receives them from rank 1 until it is gone.
func verifyOn(ctx context.Context, tr *Transport) error {
	for k := 0; ; k++ {
		m, err := tr.Recv(ctx)
		if err != nil {
			return lost(err, 1)
		}
		if err := isNumbered(&m, k); err != nil {
			return err
		}
		if k == 0 {
			fmt.Println("begun")
		}
	}
}

// lost returns nil if err says that a rank is gone.
func lost(err error, rank int) error {
	var gone *transport.PeerError
	if errors.As(err, &gone) && gone.Rank == rank {
		return nil
	}
	return fmt.Errorf("want a PeerError about rank %d: %w", rank, err)
}

// Whenever a rank is killed, whatever it was writing or reading: the other one gets
// whole messages, in order, and then a PeerError.
func TestKilled(t *testing.T) {
	const rounds = 20
	for victim, name := range []string{"receiver", "sender"} {
		t.Run(name, func(t *testing.T) {
			for k := range rounds {
				ranks, outputs, err := startRanks([]string{"verify on", "send on"}, "SPIN="+strconv.Itoa(k%2))
				require.NoError(t, err)
				survivor := 1 - victim
				require.Eventually(t, func() bool { return outputs[survivor].String() != "" }, roleTime, time.Millisecond)
				time.Sleep(rand.N(20 * time.Millisecond))
				require.NoError(t, ranks[victim].Process.Kill())
				require.Error(t, ranks[victim].Wait())
				require.NoError(t, ranks[survivor].Wait(), "%s", outputs[survivor])
				require.Equal(t, "begun\n", outputs[survivor].String())
			}
		})
	}
}

// pingOfProcess is play between ranks that are processes.
func pingOfProcess(ctx context.Context, tr *Transport) error { return ping(ctx, tr, pings) }

// A rank that sleeps is woken for every message: each of two ranks waits for the
// other's at moments that differ from round to round.
func TestNoKnockIsLostBetweenProcesses(t *testing.T) {
	for _, spin := range []string{"0", "1"} {
		runRanks(t, []string{"ping", "ping"}, "SPIN="+spin)
	}
}
