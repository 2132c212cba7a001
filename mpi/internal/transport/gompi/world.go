//go:build mpi

package gompi

// #include "port.h"
import "C"

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"github.com/sbromberger/gompi"
)

// World is this process's part in MPI_COMM_WORLD.
type World struct {
	Rank, Size int

	mu   sync.Mutex // whoever calls MPI holds it
	all  *mpi.Communicator
	main chan func() // what the thread that has called MPI_Init is to call
}

// Start joins the job that mpiexec has started. It blocks until all its
// processes have called it, or ctx ends. A process calls it once.
func Start(ctx context.Context) (*World, error) {
	if mpi.IsOn() {
		return nil, errors.New("MPI has been started in this process before")
	}
	w := &World{main: make(chan func())}
	go w.mainThread()
	err := w.do(ctx, func() error {
		var level C.int
		if err := check("MPI_Init_thread", C.dlp_init(&level)); err != nil {
			return err
		}
		if err := checkLevel(int(level)); err != nil {
			return err
		}
		w.Rank, w.Size = mpi.WorldRank(), mpi.WorldSize()
		w.all = mpi.NewCommunicator(nil)
		return remembered("MPI_Comm_group")
	})
	return w, err
}

// mainThread is the thread that MPI takes for the main one.
func (w *World) mainThread() {
	runtime.LockOSThread()
	for f := range w.main {
		f()
	}
}

// do runs f, which may block in MPI, on the main thread. If ctx ends first, this
// process can use MPI no more.
func (w *World) do(ctx context.Context, f func() error) error {
	done := make(chan error, 1)
	w.main <- func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		done <- f()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// checkLevel says whether a thread level is enough.
func checkLevel(granted int) error {
	if granted >= C.MPI_THREAD_SERIALIZED {
		return nil
	}
	name := "MPI_THREAD_SINGLE"
	if granted == C.MPI_THREAD_FUNNELED {
		name = "MPI_THREAD_FUNNELED"
	}
	return fmt.Errorf("this MPI (%s) grants no more than %s, and Go needs MPI_THREAD_SERIALIZED: use one that is built with thread support, or set DLP_BACKEND=embedded", Version(), name)
}

// Exchange gives every rank the bytes of all, by rank. It is collective and
// blocks.
func (w *World) Exchange(ctx context.Context, own []byte) (all [][]byte, err error) {
	err = w.do(ctx, func() error {
		longest := []int64{0}
		err := w.all.AllreduceInt64s(longest, []int64{int64(len(own))}, mpi.OpMax, 0)
		if err = errors.Join(err, remembered("MPI_Allreduce")); err != nil {
			return err
		}
		width := 8 + int(longest[0])
		if width > math.MaxInt32/w.Size {
			return fmt.Errorf("%d ranks can't exchange %d bytes each: MPI counts no further than %d", w.Size, width, math.MaxInt32)
		}
		// Each fills its own place and leaves zeros in the others.
		mine, sum := make([]byte, width*w.Size), make([]byte, width*w.Size)
		binary.LittleEndian.PutUint64(mine[w.Rank*width:], uint64(len(own)))
		copy(mine[w.Rank*width+8:], own)
		err = w.all.AllreduceBytes(sum, mine, mpi.OpBor, 0)
		for at := 0; at < len(sum); at += width {
			n := min(int(binary.LittleEndian.Uint64(sum[at:])), width-8)
			all = append(all, sum[at+8:][:n])
		}
		return errors.Join(err, remembered("MPI_Allreduce"))
	})
	return all, err
}

// Finalize leaves MPI. It is collective and blocks until all ranks have called
// it. Transports must be closed before.
func (w *World) Finalize(ctx context.Context) error {
	err := w.do(ctx, func() error {
		mpi.Stop()
		if C.dlp_failed() != C.MPI_SUCCESS {
			return errors.New("MPI_Finalize failed")
		}
		return nil
	})
	close(w.main)
	return err
}

// abortTime is how long Abort waits for other calls of MPI to end.
const abortTime = time.Second

// Abort ends all processes of the job by MPI_Abort with a status. It returns only
// where MPI is stuck in a call.
func (w *World) Abort(status int) {
	for over := time.Now().Add(abortTime); !w.mu.TryLock(); time.Sleep(time.Millisecond) {
		if time.Now().After(over) {
			return
		}
	}
	w.all.Abort(status)
}

// Version returns the first line of what the MPI library says it is.
func Version() string {
	var text [C.MPI_MAX_LIBRARY_VERSION_STRING]C.char
	var n C.int
	if C.MPI_Get_library_version(&text[0], &n) != C.MPI_SUCCESS {
		return "of unknown version"
	}
	first, _, _ := strings.Cut(C.GoStringN(&text[0], n), "\n")
	first, _, _ = strings.Cut(first, ",")
	return strings.Join(strings.Fields(first), " ")
}

// Error is what MPI says about a call that failed.
type Error struct {
	Call string // "MPI_Isend"
	Code int
	Text string // MPI's own
}

func (e *Error) Error() string { return e.Call + ": " + e.Text }

// check turns the code of a call into an error.
func check(call string, code C.int) error {
	if code == C.MPI_SUCCESS {
		return nil
	}
	return failure(call, code)
}

func failure(call string, code C.int) error {
	var text [C.MPI_MAX_ERROR_STRING]C.char
	n := C.dlp_error(code, (*C.char)(unsafe.Pointer(&text[0])))
	return &Error{Call: call, Code: int(code), Text: C.GoStringN(&text[0], n)}
}

// remembered is check for calls of package gompi, which drops their codes.
func remembered(call string) error { return check(call, C.dlp_failed()) }
