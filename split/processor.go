package split

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A loan is a processor for the manager. Where the user's code keeps all of
// GOMAXPROCS busy, with one being the usual setting under dlprun, a goroutine
// that gets a message runs up to 10 ms late, and all ranks wait for it. So
// GOMAXPROCS is one higher while any manager of this process runs. The
// manager uses next to nothing of it.
type loan struct{ returned atomic.Bool }

// A change of GOMAXPROCS stops all goroutines for some 30 µs. So what was given back is
// kept for up to this long, and short loops, one after the other, do not pay for it each.
const loanKept = 100 * time.Millisecond

var loans struct {
	mu     sync.Mutex
	count  int
	to     int  // GOMAXPROCS while a processor is lent or kept; else 0
	ending bool // endLoans will be called
}

// borrowProcessor does so before it returns. To leave it to a timer would be to leave it
// to the very goroutines that run late.
func borrowProcessor() *loan {
	loans.mu.Lock()
	defer loans.mu.Unlock()
	if loans.count++; loans.count == 1 && runtime.GOMAXPROCS(0) != loans.to {
		loans.to = runtime.GOMAXPROCS(0) + 1
		runtime.GOMAXPROCS(loans.to)
	}
	return &loan{}
}

// giveBack does nothing if l is nil, or has been given back.
func (l *loan) giveBack() {
	if l == nil || l.returned.Swap(true) {
		return
	}
	loans.mu.Lock()
	defer loans.mu.Unlock()
	if loans.count--; loans.count == 0 && !loans.ending {
		loans.ending = true
		time.AfterFunc(loanKept, endLoans)
	}
}

// endLoans sets GOMAXPROCS to what it was, unless somebody borrows again, or has set it
// to something else meanwhile.
func endLoans() {
	loans.mu.Lock()
	defer loans.mu.Unlock()
	loans.ending = false
	if loans.count > 0 {
		return
	}
	if runtime.GOMAXPROCS(0) == loans.to {
		runtime.GOMAXPROCS(loans.to - 1)
	}
	loans.to = 0
}
