package sock

import (
	"runtime"
	"syscall"
)

var oneKnock = []byte{sayKnock}

// tap writes a knock, if the socket has room for it.
func tap(fd uintptr) { syscall.Write(int(fd), oneKnock) }

// yield lets others run: goroutines of this process, then other processes.
func yield() {
	runtime.Gosched()
	syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
}
