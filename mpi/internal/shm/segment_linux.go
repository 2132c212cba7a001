package shm

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// NewSegment makes a segment of size bytes. It returns ErrNone where that is not
// allowed.
func NewSegment(size int) (*Segment, error) {
	mem, f, err := create(size)
	if err != nil {
		return nil, err
	}
	return &Segment{Mem: mem, file: f}, nil
}

// Pass hands s to the process at the other end of conn, with one byte. It can be
// done once.
func (s *Segment) Pass(conn *net.UnixConn) error {
	_, _, err := conn.WriteMsgUnix([]byte{0}, unix.UnixRights(int(s.file.Fd())), nil)
	return errors.Join(err, s.forget())
}

// forget closes the file. The mapping stays.
func (s *Segment) forget() error {
	f := s.file
	s.file = nil
	return f.Close()
}

// Receive takes in what the process at the other end of conn passes, of at most
// limit bytes. The error is ErrNone where this process can't have it; others are the
// connection's.
func Receive(conn *net.UnixConn, limit int) (*Segment, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, rightsLen, _, _, err := conn.ReadMsgUnix(make([]byte, 1), rights)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("no memory was passed")
	}
	f, err := descriptor(rights[:rightsLen])
	if err != nil {
		return nil, err
	}
	defer f.Close() // the mapping stays
	mem, err := mapSealed(f, limit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	return &Segment{Mem: mem}, nil
}

// descriptor returns the file that came beside a byte. There is none where this
// process has too many open.
func descriptor(rights []byte) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("%w: no descriptor came", ErrNone)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			err = errors.Join(err, unix.Close(fd))
		}
		return nil, errors.Join(fmt.Errorf("%w: %d descriptors came", ErrNone, len(fds)), err)
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

// Free gives the memory back: nobody in this process may use it any more. It can be
// done once.
func (s *Segment) Free() error {
	var err error
	if s.file != nil {
		err = s.forget()
	}
	return errors.Join(err, unix.Munmap(s.Mem))
}
