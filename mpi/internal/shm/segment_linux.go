package shm

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Offer makes memory of size bytes and hands it to the process at the other end of
// conn, with one byte: nobody else can find it. It is all zero at first and begins at
// a page. The error is ErrNone where only the byte was sent, since the memory can't be
// had, or not be handed on; others are the connection's.
func Offer(conn *net.UnixConn, size int) ([]byte, error) {
	mem, f, refused := create(size)
	if refused == nil {
		defer f.Close() // the mapping stays
		_, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(f.Fd())), nil)
		if err == nil {
			return mem, nil
		}
		refused = errors.Join(fmt.Errorf("%w: %w", ErrNone, err), Free(mem))
	}
	if _, err := conn.Write([]byte{0}); err != nil {
		return nil, err
	}
	return nil, refused
}

// Receive takes in what the process at the other end of conn offers, of at most
// limit bytes. The error is ErrNone where this process can't have it; others are the
// connection's.
func Receive(conn *net.UnixConn, limit int) ([]byte, error) {
	b, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	n, rightsLen, _, _, refused := conn.ReadMsgUnix(b, rights)
	if refused != nil || n == 0 {
		if _, err := conn.Read(b); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %w", ErrNone, refused)
	}
	f, err := descriptor(rights[:rightsLen])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer f.Close() // the mapping stays
	mem, err := mapSealed(f, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return mem, nil
}

// descriptor returns the file that came beside a byte. There is none where this
// process has too many open, or the other one has none to offer.
func descriptor(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("no descriptor came"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, errors.Join(fmt.Errorf("%d descriptors came", len(fds)), err)
	}
	return os.NewFile(uintptr(fds[0]), "memfd:dlp"), nil
}

// mapSealed maps a file whose size can't change any more: reading beyond its end
// would kill this process.
func mapSealed(f *os.File, limit int) ([]byte, error) {
	if has, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || has&seals != seals {
		return nil, errors.New("the memory that was passed is not sealed")
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > int64(limit) {
		return nil, fmt.Errorf("%d bytes of memory were passed, at most %d are taken", info.Size(), limit)
	}
	return unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Free gives back what Offer or Receive has returned: nobody in this process may use
// it any more.
func Free(mem []byte) error { return unix.Munmap(mem) }

// Probe says whether this process can share memory: it offers some to itself. The
// error is ErrNone, and says why not.
func Probe() error {
	here, there, err := socketPair()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer here.Close()
	defer there.Close()
	own, err := Offer(here, page)
	if err != nil {
		return err
	}
	received, err := Receive(there, page)
	if err == nil {
		err = Free(received)
	}
	return errors.Join(err, Free(own))
}

// socketPair returns two unix sockets that are connected with each other.
func socketPair() (a, b *net.UnixConn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	first, err1 := socket(fds[0])
	second, err2 := socket(fds[1])
	switch {
	case err1 != nil && err2 == nil:
		second.Close()
	case err1 == nil && err2 != nil:
		first.Close()
	}
	return first, second, errors.Join(err1, err2)
}

func socket(fd int) (*net.UnixConn, error) {
	f := os.NewFile(uintptr(fd), "socket")
	defer f.Close() // conn has a descriptor of its own
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}
