package split

import (
	"sync"
	"time"

	"github.com/dlprun/dlp/internal/codec"
)

const (
	postBytes = 128 << 10            // results go out when they are so many bytes,
	postItems = 4096                 // or so many,
	postDelay = 2 * time.Millisecond // or the first of them so old
)

// A post holds the results of a rank until they are worth a message. Its messages
// are one stream, so that the type is described once.
type post[R any] struct {
	hand     *hand
	mu       sync.Mutex // held while sending: the batches of a stream keep their order
	batch    *codec.Writer[R]
	indices  []int // of the results in batch
	values   []R   // and they themselves, where there is a stock
	failures []*TaskError
	busy     time.Duration // spent on the results
	wait     time.Duration // for the last request
	report   report        // the last one
	again    bool          // what a report was made of can be used again
	stock    *stock[R]     // where values go: at the root, if it need not decode the batch
	spare    <-chan []byte // memory of batches that the journal has got, with a stock
	later    func()        // sends, postDelay after the first result
	timer    *time.Timer   // for later; nil until there is a result
	waiting  bool          // timer runs
	closed   bool
}

// add appends the result of item i, and reports whether it is time to send. An
// error means that the result can't travel.
func (p *post[R]) add(i int, v R, busy time.Duration) (full bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy += busy
	if p.closed { // the last report may have given i back
		return false, nil
	}
	if err := p.batch.Append(v); err != nil {
		return false, err
	}
	p.hand.finished(i)
	p.indices = append(p.indices, i)
	if p.stock != nil {
		p.values = append(p.values, v)
	}
	switch {
	case p.batch.Len() >= postBytes || len(p.indices) >= postItems:
		return true, nil
	case p.timer == nil:
		p.timer = time.AfterFunc(postDelay, p.later)
		p.waiting = true
	case !p.waiting:
		p.timer.Reset(postDelay)
		p.waiting = true
	}
	return false, nil
}

func (p *post[R]) addFailure(f *TaskError) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.hand.finished(f.Index)
	p.failures = append(p.failures, f)
}

// waited notes how long the answer to a request took.
func (p *post[R]) waited(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wait = d
}

// send sends what there is, and asks for more if w says so.
func (p *post[R]) send(to link, w want) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || w == nothing && len(p.indices) == 0 && len(p.failures) == 0 {
		p.waiting = false
		return nil
	}
	p.putLocked()
	r := &p.report
	*r = p.takeLocked()
	r.want = w
	err := to.report(r)
	p.refillLocked(r)
	return err
}

// refillLocked makes room for the next results, where it can in what r, which was sent,
// does not need any more.
func (p *post[R]) refillLocked(r *report) {
	switch {
	case p.again:
		p.indices = r.indices[:0]
		if r.results != nil && cap(r.results) <= mostKept {
			p.batch.Reuse(r.results)
		}
	case p.stock != nil: // which has the indices now
		p.indices = make([]int, 0, len(r.indices))
		select {
		case b := <-p.spare:
			p.batch.Reuse(b)
		default:
		}
	}
}

// putLocked gives the values to the loop, before the manager counts them.
func (p *post[R]) putLocked() {
	if n := len(p.values); n > 0 {
		p.stock.put(batch[R]{indices: p.indices, values: p.values})
		p.values = make([]R, 0, n)
	}
}

// close returns the last report. Nothing is sent after it.
func (p *post[R]) close() report {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	r := p.takeLocked()
	r.back = p.hand.giveBack()
	return r
}

func (p *post[R]) takeLocked() report {
	if p.waiting {
		p.timer.Stop()
		p.waiting = false
	}
	r := report{indices: p.indices, failures: p.failures, busy: p.busy, wait: p.wait}
	if len(p.indices) > 0 {
		r.results = p.batch.Take()
	}
	p.indices, p.failures, p.busy, p.wait = nil, nil, 0, 0
	return r
}
