package shm

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// What makes a file an arena that can't shrink under those who have mapped it.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// tokenLen bytes at the end of an arena tell it from any other file.
const tokenLen = 16

// New makes an arena. Its name holds the pid of this process and a secret token,
// so that only who is told the name, and is the same user, finds it.
func New() (*Arena, error) {
	mem, f, err := create(Size)
	if err != nil {
		return nil, err
	}
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrNone, err), unix.Munmap(mem), f.Close())
	}
	token := mem[Size-tokenLen:]
	rand.Read(token)
	a := &Arena{mem: mem, file: f, name: fmt.Sprintf("%s %d %d %x", namespace, os.Getpid(), f.Fd(), token)}
	a.used[len(a.used)-1] = true // the token's page
	return a, nil
}

// create makes a file without a name, of size bytes, and maps it.
func create(size int) ([]byte, *os.File, error) {
	fd, err := unix.MemfdCreate("dlp", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: memfd_create: %w", ErrNone, err)
	}
	f := os.NewFile(uintptr(fd), "memfd:dlp")
	mem, err := seal(fd, size)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%w: %w", ErrNone, err), f.Close())
	}
	return mem, f, nil
}

func seal(fd, size int) ([]byte, error) {
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, err
	}
	return unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// Open maps the arena of another process, for good. It returns ErrNone where that
// process can't be looked into.
func Open(name string) ([]byte, error) {
	var namespace, digits string
	var pid, fd int
	if _, err := fmt.Sscanf(name, "%s %d %d %s", &namespace, &pid, &fd, &digits); err != nil {
		return nil, fmt.Errorf("%w: %q is no arena's name", ErrNone, name)
	}
	if own, err := os.Readlink("/proc/self/ns/pid"); err != nil || own != namespace {
		return nil, fmt.Errorf("%w: process %d is in another namespace", ErrNone, pid)
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), os.O_RDWR|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	defer f.Close() // the mapping stays
	if has, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0); err != nil || has&seals != seals {
		return nil, fmt.Errorf("%w: descriptor %d of process %d is no arena", ErrNone, fd, pid)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, Size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	token, err := hex.DecodeString(digits)
	if err != nil || subtle.ConstantTimeCompare(token, mem[Size-tokenLen:]) == 0 {
		return nil, errors.Join(fmt.Errorf("%w: descriptor %d of process %d is another arena", ErrNone, fd, pid), unix.Munmap(mem))
	}
	return mem, nil
}
