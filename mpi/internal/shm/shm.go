// Package shm is memory that processes of one host share. It has no name in any
// file system: it goes with the last process that has it mapped, however that
// one ends.
package shm

import (
	"errors"
	"os"
	"sync"
)

// ErrNone is returned where there is no shared memory: on systems other than
// Linux, and where the kernel or a container does not allow it.
var ErrNone = errors.New("no shared memory between the processes of this host")

// Size is how much an Arena has, in bytes. Pages that nobody has written to cost
// nothing.
const Size = 1 << 20

const page = 4096

// An Arena is shared memory of one process, from which it gives away blocks. It
// lives as long as the process does. Its methods may be called by any number of
// goroutines.
type Arena struct {
	mem  []byte
	name string
	file *os.File // which others find it by

	mu   sync.Mutex
	used [Size / page]bool
}

// Name is what other processes of this host Open the arena by.
func (a *Arena) Name() string { return a.name }

// Alloc returns a block of size bytes, all zero, that begins at a page, and its
// offset. It returns ErrNone if there is no such room.
func (a *Arena) Alloc(size int) (offset int, block []byte, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	pages, run := (size+page-1)/page, 0
	for p := range a.used {
		if run++; a.used[p] {
			run = 0
		}
		if run < pages {
			continue
		}
		first := p + 1 - pages
		for q := first; q <= p; q++ {
			a.used[q] = true
		}
		offset = first * page
		block = a.mem[offset : offset+size : offset+size]
		clear(block)
		return offset, block, nil
	}
	return 0, nil, ErrNone
}

// Free takes a block back, which no process uses any more.
func (a *Arena) Free(offset, size int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for p := offset / page; p < (offset+size+page-1)/page; p++ {
		a.used[p] = false
	}
}
