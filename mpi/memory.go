package mpi

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"github.com/dlprun/dlp/mpi/internal/shm"
)

// ErrNoMemory is returned where ranks can't share memory: on different hosts, on
// systems other than Linux, where a container forbids it, and where
// DLP_TRANSPORT asks for sockets.
var ErrNoMemory = shm.ErrNone

// SharedMemory is a block of memory that ranks of one host share. It is made for
// libraries built on this package, which synchronise what they do with it by
// sync/atomic.
type SharedMemory struct {
	Bytes []byte // all zero at first; aligned to 64 bytes
	Name  string // for [Comm.OpenMemory] on other ranks of this host
	free  func()
}

// Free gives the block back. The caller sees to it that no rank uses it any more.
func (m *SharedMemory) Free() { m.free() }

// ShareMemory returns a block of size bytes that other ranks of this host can
// open by its name, which the caller sends them. It does not block, and returns
// an error that is [ErrNoMemory] where nothing can be shared, or not so much.
// Nothing is left behind however the ranks end.
func (c *Comm) ShareMemory(size int) (*SharedMemory, error) {
	m, err := c.job.memory.alloc(size)
	if err != nil {
		return nil, fmt.Errorf("mpi: ShareMemory: %w", err)
	}
	return m, nil
}

// OpenMemory returns the block that another rank of this host has shared, as long
// as that rank has not freed it. It does not block. Its errors are [ErrNoMemory].
func (c *Comm) OpenMemory(name string) ([]byte, error) {
	b, err := c.job.memory.open(name)
	if err != nil {
		return nil, fmt.Errorf("mpi: OpenMemory: %w", err)
	}
	return b, nil
}

// memory is what the ranks of a job share, as far as this process knows.
type memory interface {
	alloc(size int) (*SharedMemory, error)
	open(name string) ([]byte, error)
}

// memoryFor returns what ranks that are processes share, if they may, as
// DLP_TRANSPORT says.
func memoryFor(transport string) memory {
	if sharesMemory(transport) {
		return &hostMemory{}
	}
	return noMemory{}
}

// sharesMemory says whether ranks of one host may, by DLP_TRANSPORT.
func sharesMemory(transport string) bool { return transport == "auto" || transport == "shm" }

// noMemory is for jobs that are told to use sockets.
type noMemory struct{}

func (noMemory) alloc(int) (*SharedMemory, error) { return nil, ErrNoMemory }
func (noMemory) open(string) ([]byte, error)      { return nil, ErrNoMemory }

// hostMemory is shared by processes. A name is that of an arena, with offset and
// size before it.
type hostMemory struct {
	mu     sync.Mutex
	own    *shm.Arena
	opened map[string][]byte // arenas of others
}

func (h *hostMemory) alloc(size int) (*SharedMemory, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.own == nil {
		var err error
		if h.own, err = shm.New(); err != nil {
			return nil, err
		}
	}
	arena := h.own
	offset, block, err := arena.Alloc(size)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%d %d %s", offset, size, arena.Name())
	return &SharedMemory{Bytes: block, Name: name, free: func() { arena.Free(offset, size) }}, nil
}

func (h *hostMemory) open(name string) ([]byte, error) {
	first, rest, _ := strings.Cut(name, " ")
	second, arena, _ := strings.Cut(rest, " ")
	offset, err1 := strconv.Atoi(first)
	size, err2 := strconv.Atoi(second)
	if err1 != nil || err2 != nil || offset < 0 || size < 0 || offset > shm.Size || size > shm.Size-offset {
		return nil, fmt.Errorf("%w: %q is no block's name", ErrNoMemory, name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	mem := h.opened[arena]
	if mem == nil {
		var err error
		if mem, err = shm.Open(arena); err != nil {
			return nil, err
		}
		if h.opened == nil {
			h.opened = map[string][]byte{}
		}
		h.opened[arena] = mem
	}
	return mem[offset : offset+size : offset+size], nil
}

// localMemory is shared by ranks that are goroutines.
type localMemory struct {
	mu     sync.Mutex
	made   int
	blocks map[string][]byte
}

func (l *localMemory) alloc(size int) (*SharedMemory, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.blocks == nil {
		l.blocks = map[string][]byte{}
	}
	l.made++
	name, block := strconv.Itoa(l.made), aligned(size)
	l.blocks[name] = block
	return &SharedMemory{Bytes: block, Name: name, free: func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.blocks, name)
	}}, nil
}

func (l *localMemory) open(name string) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if b := l.blocks[name]; b != nil {
		return b, nil
	}
	return nil, fmt.Errorf("%w: %q is no block's name", ErrNoMemory, name)
}

// aligned returns size bytes of memory that begin with a cache line.
func aligned(size int) []byte {
	const line = 64
	b := make([]byte, size+line)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (line - 1)
	return b[skip : skip+size : skip+size]
}
