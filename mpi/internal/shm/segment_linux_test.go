package shm_test

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/dlprun/dlp/mpi/internal/shm"
)

// sockets returns the two ends of a unix connection.
func sockets(t *testing.T) (a, b *net.UnixConn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		conn, err := net.FileConn(f)
		require.NoError(t, err)
		require.NoError(t, f.Close())
		ends[i] = conn.(*net.UnixConn)
		t.Cleanup(func() { conn.Close() })
	}
	return ends[0], ends[1]
}

// descriptors returns those that this process has open.
func descriptors(t *testing.T) (names []string) {
	open, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	for _, d := range open {
		if _, err := os.Readlink("/proc/self/fd/" + d.Name()); err == nil { // else it was ReadDir's own
			names = append(names, d.Name())
		}
	}
	return names
}

func TestMemoryIsPassed(t *testing.T) {
	a, b := sockets(t)
	before := descriptors(t)
	own, err := shm.Offer(a, 10_000)
	require.NoError(t, err)
	received, err := shm.Receive(b, 10_000)
	require.NoError(t, err)
	require.Subset(t, before, descriptors(t), "what was passed is closed")
	require.Equal(t, make([]byte, 10_000), received)
	own[9_999] = 7
	require.EqualValues(t, 7, received[9_999])
	require.NoError(t, shm.Free(own))
	received[0] = 1 // it stays with whoever has it
	require.NoError(t, shm.Free(received))
}

// Where this process may not have one descriptor more, the memory stays away, and the
// connection can still be used.
func TestTooManyFiles(t *testing.T) {
	a, b := sockets(t)
	free, err := unix.Dup(0) // takes the lowest number
	require.NoError(t, err)
	require.NoError(t, unix.Close(free))
	var limit unix.Rlimit
	require.NoError(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	most := limit
	most.Cur = uint64(free)
	refused := func(f func() error) {
		t.Helper()
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &most))
		err := f()
		require.NoError(t, unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
		require.ErrorIs(t, err, shm.ErrNone)
	}
	refused(shm.Probe)
	refused(func() error { _, err := shm.Offer(a, 100); return err })
	refused(func() error { _, err := shm.Receive(b, 100); return err })
	own, err := shm.Offer(a, 100)
	require.NoError(t, err)
	require.NoError(t, shm.Free(own))
	refused(func() error { _, err := shm.Receive(b, 100); return err })
	_, err = a.Write([]byte("x"))
	require.NoError(t, err)
	_, err = b.Read(make([]byte, 1))
	require.NoError(t, err)
}

func TestProbe(t *testing.T) {
	before := descriptors(t)
	require.NoError(t, shm.Probe())
	require.Subset(t, before, descriptors(t))
}

// What can't be mapped without danger is not; the connection can still be used.
func TestMemoryThatIsRefused(t *testing.T) {
	memory := func(t *testing.T, size, seals int) int {
		fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
		require.NoError(t, err)
		t.Cleanup(func() { unix.Close(fd) })
		require.NoError(t, unix.Ftruncate(fd, int64(size)))
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
		require.NoError(t, err)
		return fd
	}
	const sealed = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	for name, rights := range map[string]func(t *testing.T) []byte{
		"no descriptor":  func(*testing.T) []byte { return nil },
		"a pipe":         func(*testing.T) []byte { return unix.UnixRights(0) },
		"can shrink":     func(t *testing.T) []byte { return unix.UnixRights(memory(t, 100, unix.F_SEAL_GROW)) },
		"can be changed": func(t *testing.T) []byte { return unix.UnixRights(memory(t, 100, sealed&^unix.F_SEAL_SEAL)) },
		"too large":      func(t *testing.T) []byte { return unix.UnixRights(memory(t, 101, sealed)) },
		"empty":          func(t *testing.T) []byte { return unix.UnixRights(memory(t, 0, sealed)) },
		"two":            func(t *testing.T) []byte { fd := memory(t, 100, sealed); return unix.UnixRights(fd, fd) },
	} {
		t.Run(name, func(t *testing.T) {
			a, b := sockets(t)
			_, _, err := a.WriteMsgUnix([]byte{0}, rights(t), nil)
			require.NoError(t, err)
			before := descriptors(t)
			_, err = shm.Receive(b, 100)
			require.ErrorIs(t, err, shm.ErrNone)
			require.Subset(t, before, descriptors(t), "what came is closed")
			_, err = a.Write([]byte("x"))
			require.NoError(t, err)
			_, err = b.Read(make([]byte, 1))
			require.NoError(t, err)
		})
	}
	a, b := sockets(t)
	require.NoError(t, a.Close())
	_, err := shm.Receive(b, 100)
	require.Error(t, err)
	require.NotErrorIs(t, err, shm.ErrNone)
}
