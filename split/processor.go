package split

import (
	"runtime"
	"sync"
	"time"
)

// A loan is a processor for the manager. Where the user's code keeps all of
// GOMAXPROCS busy, with one being the usual setting under dlprun, a goroutine
// that gets a message runs up to 10 ms late, and all ranks wait for it. So
// GOMAXPROCS is one higher while any manager of this process runs. The
// manager uses next to nothing of it.
type loan struct {
	start    time.Time
	mu       sync.Mutex
	timer    *time.Timer // borrows; nil if that was done at once
	borrowed bool
	returned bool
}

// A change of GOMAXPROCS stops all goroutines for some 30 µs, which loops that
// are shorter than this need not pay.
const shortLoop = time.Millisecond

var loans struct {
	mu    sync.Mutex
	count int
	to    int  // GOMAXPROCS while count > 0
	short bool // the last loop was
}

// borrowProcessor does so before it returns. After a short loop it expects another one,
// and leaves it to a timer, which may be as late as what it is for.
func borrowProcessor() *loan {
	l := &loan{start: time.Now()}
	loans.mu.Lock()
	short := loans.short
	loans.mu.Unlock()
	if !short {
		l.borrow()
		return l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(shortLoop, l.borrow)
	return l
}

func (l *loan) borrow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned {
		return
	}
	l.borrowed = true
	loans.mu.Lock()
	defer loans.mu.Unlock()
	if loans.count++; loans.count == 1 {
		loans.to = runtime.GOMAXPROCS(0) + 1
		runtime.GOMAXPROCS(loans.to)
	}
}

// giveBack does nothing if l is nil, or has been given back.
func (l *loan) giveBack() {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.returned {
		return
	}
	l.returned = true
	if l.timer != nil {
		l.timer.Stop()
	}
	loans.mu.Lock()
	defer loans.mu.Unlock()
	loans.short = time.Since(l.start) < shortLoop
	if !l.borrowed {
		return
	}
	// If somebody has set it to something else meanwhile, that stays.
	if loans.count--; loans.count == 0 && runtime.GOMAXPROCS(0) == loans.to {
		runtime.GOMAXPROCS(loans.to - 1)
	}
}
