//go:build mpi

package gompi

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// canRead says that one process may read the memory of another. That what it loads
// afterwards is no older than what it has read is certain on this processor.
const canRead = true

// readMemory fills b from an address in a process of this user.
func readMemory(pid int, from uintptr, b []byte) error {
	local := [...]unix.Iovec{{Base: &b[0], Len: uint64(len(b))}}
	remote := [...]unix.RemoteIovec{{Base: from, Len: len(b)}}
	n, err := unix.ProcessVMReadv(pid, local[:], remote[:], 0)
	if err == nil && n != len(b) {
		err = fmt.Errorf("process_vm_readv has read %d bytes of %d", n, len(b))
	}
	return err
}
