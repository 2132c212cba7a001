package split

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/dlprun/dlp/internal/codec"
)

// This file is what the goroutines of a rank do that run the work of a map.

var errGoexit = errors.New("the task called runtime.Goexit")

// worker does one item after the other until the loop is over for this rank.
func (r *Results[R]) worker(ctx context.Context, crew *sync.WaitGroup) {
	item, clone := unknown, codec.NewCloner[R]()
	done := &report{indices: make([]int, 1)} // of one item, at the root
	leave := sync.OnceFunc(crew.Done)
	shift := r.newShift(func() {
		r.ask(nothing) // what is done
		leave()
	})
	defer func() {
		shift.end()
		if item == unknown {
			leave()
			return
		}
		// The task has ended this goroutine by runtime.Goexit.
		r.failed(ctx, item, errGoexit, nil)
		go r.worker(ctx, crew)
	}()
	for ctx.Err() == nil { // or the tasks of a rank that is to end would fail one after the other
		i, ok := r.claim()
		if !ok {
			return
		}
		start := time.Now()
		item = i
		shift.begin(i)
		v, stack, err := r.attempt(ctx, i)
		shift.end()
		item = unknown
		if err == nil && r.stock.direct {
			v, err = clone.Clone(v)
		}
		if err != nil {
			r.failed(ctx, i, err, stack)
			continue
		}
		done.indices[0], done.busy = i, time.Since(start)
		r.finished(ctx, v, done)
	}
}

// attempt runs the work on item i.
func (r *Results[R]) attempt(ctx context.Context, i int) (v R, stack []byte, err error) {
	if r.cfg.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, r.cfg.timeout, r.cfg.late())
		defer cancel()
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case error:
			stack, err = debug.Stack(), fmt.Errorf("panic: %w", p)
		default:
			stack, err = debug.Stack(), fmt.Errorf("panic: %v", p)
		}
		if err != nil {
			err = explain(ctx, err)
		}
	}()
	v, err = r.work(ctx, i)
	return v, nil, err
}

// claim returns the next index of this rank, for one of its workers.
func (r *Results[R]) claim() (int, bool) {
	for {
		got := r.hand.take(1)
		switch {
		case got.over:
			return 0, false
		case got.ask != nothing:
			r.ask(got.ask)
		case got.run.len() > 0:
		case r.hand.ask():
			start := time.Now()
			r.ask(wantNow)
			if r.hand.wait() {
				r.post.waited(time.Since(start))
			}
			continue
		default: // Another worker has asked. What is done must not wait for the answer.
			r.ask(nothing)
			r.hand.wait()
			continue
		}
		return got.run.lo, true
	}
}

// ask sends what is done, and asks for more if w says so.
func (r *Results[R]) ask(w want) {
	var err error
	if r.posts {
		err = r.post.send(r.link, w)
	} else if w != nothing {
		err = r.server.report(&report{want: w})
	}
	if err != nil {
		r.hand.close(r.cfg.errorf("%w", err), byItself)
	}
}

// finished hands in v, the result of the item that done is about. It is dropped if
// the loop is over for this rank.
func (r *Results[R]) finished(ctx context.Context, v R, done *report) {
	if ctx.Err() != nil {
		return
	}
	i := done.indices[0]
	if !r.posts {
		r.stock.add(i, v)
		r.server.report(done)
		return
	}
	full, err := r.post.add(i, v, done.busy)
	if err != nil {
		r.failed(ctx, i, err, nil)
	} else if full {
		r.ask(nothing)
	}
}

// failed reports that item i failed. What fails because the loop is over for this
// rank is no failure.
func (r *Results[R]) failed(ctx context.Context, i int, err error, stack []byte) {
	if ctx.Err() != nil {
		return
	}
	rank := r.comm.Rank()
	f := &TaskError{
		Index: i, Key: r.cfg.key(i), Rank: rank, Host: r.comm.Host(rank), Attempts: 1,
		Err: err, Stack: stack, call: r.cfg.name(),
	}
	if r.server != nil {
		r.server.report(&report{failures: []*TaskError{f}})
		return
	}
	r.client.remember(i, err)
	r.post.addFailure(f)
	r.ask(nothing)
}
