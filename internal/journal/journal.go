package journal

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// File is what a journal is kept in.
type File interface {
	io.ReaderAt
	io.Writer
	io.Seeker
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// Journal is one that is open for appending. Any number of goroutines may use it.
type Journal struct {
	f    File
	left int64         // by earlier runs, in bytes
	disk chan struct{} // full while the disk is told to keep all; filled before mu is taken

	mu     sync.Mutex
	end    int64       // of the last whole record
	buf    []byte      // room for what is appended
	pieces [][]byte    // of it
	failed error       // why nothing more is written
	dirty  bool        // the disk has not been told to keep all
	timer  *time.Timer // tells it
	closed bool
}

// syncDelay is how long what was appended may be in danger of a power failure.
const syncDelay = time.Second

// open reads what is in f, which the Journal owns from now on, and makes ready for
// a run. torn is how many bytes were cut off its end, which the disk knows when open
// returns; what is new in f it is told later, as of all that is appended.
func open(f File, h Header, run Run, visit func(Batch) error) (j *Journal, torn int64, err error) {
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, 0, err
	}
	extent, err := Scan(f, size, Visitor{
		Header: func(old Header) error { return h.sameJob(old) },
		Batch:  visit,
	})
	if err != nil {
		return nil, 0, err
	}
	if extent.Torn > 0 {
		if err := errors.Join(f.Truncate(extent.Whole), f.Sync()); err != nil {
			return nil, 0, err
		}
	}
	if _, err := f.Seek(extent.Whole, io.SeekStart); err != nil {
		return nil, 0, err
	}
	j = &Journal{f: f, left: extent.Whole, end: extent.Whole, disk: make(chan struct{}, 1)}
	var b []byte
	if extent.Whole == 0 {
		b = appendJSON([]byte(magic), kindHeader, h)
	}
	if err = j.write(appendJSON(b, kindRun, run)); err != nil {
		return nil, 0, err
	}
	return j, extent.Torn, nil
}

// sameJob says what tells h from the header of a journal.
func (h Header) sameJob(old Header) error {
	differs := func(what string, theirs, ours any) error {
		return fmt.Errorf("it is another job's: its %s %v, this job's %v; name another file, or remove it to start afresh", what, theirs, ours)
	}
	switch {
	case old.Items != h.Items:
		return differs("number of items is", old.Items, h.Items)
	case old.Label != h.Label:
		return differs("label is", fmt.Sprintf("%q", old.Label), fmt.Sprintf("%q", h.Label))
	case old.Result != h.Result:
		return differs("results are of type", cmp.Or(old.Result, "none"), cmp.Or(h.Result, "none"))
	case old.Keys != h.Keys:
		return differs("keys have the fingerprint", fmt.Sprintf("%x", old.Keys), fmt.Sprintf("%x", h.Keys))
	}
	return nil
}

var errClosed = errors.New("the journal is closed")

// largeBody is how many bytes are written from where they are: it takes a call to the
// system for them alone, which costs less than to copy them.
const largeBody = 16 << 10

// Append adds batches, small ones by one call to the system. When it returns they
// survive the end of this process. After an error nothing of them is in the journal,
// nor will anything more be; what was there before stays whole.
func (j *Journal) Append(batches ...Batch) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case j.closed:
		return errClosed
	case j.failed != nil:
		return j.failed
	}
	j.buf = j.buf[:0]
	cut := 0 // where the next piece begins
	for i := range batches {
		j.buf = appendBatch(j.buf, &batches[i])
		body := batches[i].Body
		if len(body) < largeBody {
			j.buf = append(j.buf, body...)
			continue
		}
		j.pieces = append(j.pieces, j.buf[cut:], body)
		cut = len(j.buf)
	}
	if cut < len(j.buf) {
		j.pieces = append(j.pieces, j.buf[cut:])
	}
	err := j.write(j.pieces...)
	clear(j.pieces)
	j.pieces = j.pieces[:0]
	return err
}

// write appends all pieces, or nothing. The disk is told in a while.
func (j *Journal) write(pieces ...[]byte) error {
	size := 0
	for _, b := range pieces {
		if _, err := j.f.Write(b); err != nil {
			j.failed = err
			if undo := j.f.Truncate(j.end); undo != nil {
				j.failed = errors.Join(err, undo)
			}
			return j.failed
		}
		size += len(b)
	}
	j.end += int64(size)
	if !j.dirty {
		j.dirty = true
		if j.timer == nil {
			j.timer = time.AfterFunc(syncDelay, j.sync)
		} else {
			j.timer.Reset(syncDelay)
		}
	}
	return nil
}

// sync runs some time after an Append. Others go on meanwhile: a slow disk delays
// nobody. Its error is the next Append's.
func (j *Journal) sync() {
	j.disk <- struct{}{}
	defer func() { <-j.disk }()
	j.mu.Lock()
	due := j.dirty && !j.closed
	j.dirty = false
	j.mu.Unlock()
	if !due {
		return
	}
	err := j.f.Sync()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.failed = errors.Join(j.failed, err)
}

// Close has the disk keep all that was appended, and closes the file. It returns
// the first error that the journal has met. A second call returns the same.
func (j *Journal) Close() error { return j.close(true) }

// Leave is Close for a job that is done: it does not wait for the disk, which the
// system will tell in its own time.
func (j *Journal) Leave() error { return j.close(false) }

func (j *Journal) close(wait bool) error {
	j.disk <- struct{}{}
	defer func() { <-j.disk }()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return j.failed
	}
	j.closed = true
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.dirty && wait {
		j.failed = errors.Join(j.failed, j.f.Sync())
	}
	j.failed = errors.Join(j.failed, j.f.Close())
	return j.failed
}

// Earlier reads what earlier runs have left in a journal. It is not safe for
// concurrent use, but goes along with Append.
type Earlier struct{ s *scanner }

// Earlier returns a reader of what was there before this run, at its beginning.
func (j *Journal) Earlier() *Earlier { return &Earlier{newScanner(j.f, j.left)} }

// Next returns the next batch, which is the caller's, and io.EOF after the last one.
func (e *Earlier) Next() (batch Batch, err error) {
	got := false
	for err == nil && !got {
		err = e.s.next(Visitor{Batch: func(b Batch) error {
			batch, got = b, true
			return nil
		}})
	}
	return batch, err
}
