package gather

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/dlprun/dlp/mpi"
)

// A gather is a conversation of every rank with the root, on a communicator of
// its own. A rank sends its batches one after another, but never has more than
// window of them waiting: for each batch that others follow, it gets a credit
// back once the root has used it up. That bounds the root's memory, and lets it
// decode what has come while the ranks encode the rest.
const (
	more   mpi.Tag = iota // to the root: a batch, others follow
	last                  // to the root: the last batch
	fault                 // to the root instead of the last batch: the text of an error
	credit                // to a rank: a batch of yours is used up
	bye                   // to a rank: your part is over; the text of an error, if there is one
)

// window is how many batches of a rank may wait at the root: one is being
// decoded while the next is on its way.
const window = 2

// A call is one gather: its communicator, and what was called, in words. The
// first message of a rank says that too, and how many items it has. It must not
// be taken for what it is not, such as ints for floats, where ranks have called
// different things.
type call struct {
	*mpi.Comm
	op string
}

// open begins a gather, called skip frames above open's caller. Free ends it.
func open(c *mpi.Comm, op string, skip int) (*call, error) {
	p, err := c.Private("gather."+op, skip+1)
	if err != nil {
		return nil, err
	}
	p.Together() // what a lost rank had gathered is lost: there is no result
	return &call{p, op}, nil
}

// A sender is a rank's end of the conversation.
type sender struct {
	c       *call
	items   int    // how many there are
	greeted bool   // the root has been told what was called, and how many items there are
	owed    int    // credits that are to come
	over    bool   // bye has come
	verdict string // with this text
	failed  error  // what went wrong here; the root was told
}

// send sends a batch. It blocks while the window is full, unless the root has
// said bye meanwhile: then it wants no more than the last one.
func (s *sender) send(ctx context.Context, tag mpi.Tag, batch []byte) error {
	for s.owed == window && !s.over {
		if err := s.hear(ctx); err != nil {
			return err
		}
	}
	if tag == more {
		s.owed++
	}
	if !s.greeted {
		s.greeted = true
		head := append(binary.AppendUvarint(nil, uint64(len(s.c.op))), s.c.op...)
		batch = slices.Concat(binary.AppendUvarint(head, uint64(s.items)), batch)
	}
	return s.c.Send(ctx, mpi.Root, tag, batch)
}

// fail tells the root, instead of sending the last batch, that there is none.
func (s *sender) fail(ctx context.Context, err error) error {
	s.failed = err
	return s.send(ctx, fault, []byte(err.Error()))
}

// hear takes in what the root says.
func (s *sender) hear(ctx context.Context) error {
	text, st, err := s.c.Recv(ctx, mpi.Root, mpi.AnyTag)
	if err != nil {
		return err
	}
	if st.Tag == bye {
		s.over, s.verdict = true, string(text)
	} else {
		s.owed--
	}
	return nil
}

// settle ends a conversation without a bye, which comes only if the root gives
// up: the credits are taken in, so that no message is left over.
func (s *sender) settle(ctx context.Context) error {
	for s.owed > 0 && !s.over {
		if err := s.hear(ctx); err != nil {
			return err
		}
	}
	return s.outcome()
}

// part ends a conversation that ends with a bye.
func (s *sender) part(ctx context.Context) error {
	for !s.over {
		if err := s.hear(ctx); err != nil {
			return err
		}
	}
	return s.outcome()
}

func (s *sender) outcome() error {
	if s.failed == nil && s.verdict != "" {
		return errors.New(s.verdict)
	}
	return s.failed
}

// A receiver is the root's end of the conversation with one rank.
type receiver struct {
	c       *call
	rank    int
	greeted bool   // the rank has called the same
	items   int    // how many it has, by its own account
	owes    bool   // a credit, for the batch that next returned before
	done    bool   // the last batch or a fault has come
	buf     []byte // the memory of the batch that next returned before
	ahead   bool   // next is to return what hear has taken in:
	first   []byte // the first batch,
	told    error  // or the fault instead
}

// A rankFault is the text of an error that another rank met.
type rankFault struct {
	rank int
	text string
}

func (e *rankFault) Error() string { return fmt.Sprintf("rank %d: %s", e.rank, e.text) }

// next returns the next batch, [io.EOF] after the last one, or a *rankFault.
// The batch before it counts as used up, and its memory is used again. Any other
// error ends the conversation.
func (r *receiver) next(ctx context.Context) ([]byte, error) {
	if r.ahead {
		r.ahead = false
		return r.first, r.told
	}
	if r.done {
		return nil, io.EOF
	}
	if err := r.repay(ctx); err != nil {
		return nil, err
	}
	batch, st, err := r.receive(ctx)
	if err != nil {
		return nil, err
	}
	r.note(st.Tag)
	if !r.greeted {
		if batch, err = r.greet(batch); err != nil {
			return nil, err
		}
	}
	if st.Tag == fault {
		return nil, &rankFault{r.rank, string(batch)}
	}
	return batch, nil
}

// receive receives into the memory of the batch before, if it is large enough: all
// but the last have about the same size.
func (r *receiver) receive(ctx context.Context) ([]byte, mpi.Status, error) {
	if cap(r.buf) > 0 {
		st, err := r.c.RecvInto(ctx, r.rank, mpi.AnyTag, r.buf[:cap(r.buf)])
		if !errors.Is(err, mpi.ErrTruncated) {
			return r.buf[:st.Len], st, err
		}
	}
	batch, st, err := r.c.Recv(ctx, r.rank, mpi.AnyTag)
	r.buf = batch
	return batch, st, err
}

// hear takes in the first message, which next will return, for what it says of the rest.
func (r *receiver) hear(ctx context.Context) error {
	r.first, r.told = r.next(ctx)
	if fault := (*rankFault)(nil); r.told != nil && !errors.As(r.told, &fault) {
		return r.told
	}
	r.ahead = true
	return nil
}

// greet takes what the rank has called, and its number of items, off its first
// message.
func (r *receiver) greet(first []byte) (rest []byte, err error) {
	n, k := binary.Uvarint(first)
	if k <= 0 || n > uint64(len(first)-k) {
		return nil, fmt.Errorf("rank %d: %w", r.rank, io.ErrUnexpectedEOF)
	}
	op, rest := string(first[k:][:n]), first[k:][n:]
	if op != r.c.op {
		return nil, fmt.Errorf("rank %d called %s instead; every rank must make the same calls in the same order", r.rank, op)
	}
	items, k := binary.Uvarint(rest)
	if k <= 0 || items > math.MaxInt {
		return nil, fmt.Errorf("rank %d: %w", r.rank, io.ErrUnexpectedEOF)
	}
	r.greeted, r.items = true, int(items)
	return rest[k:], nil
}

// into is next into a buffer that the batch has to fill.
func (r *receiver) into(ctx context.Context, buf []byte) error {
	if err := r.repay(ctx); err != nil {
		return err
	}
	st, err := r.c.RecvInto(ctx, r.rank, mpi.AnyTag, buf)
	if err != nil {
		return err
	}
	r.note(st.Tag)
	if st.Len != len(buf) {
		return fmt.Errorf("rank %d sent %d bytes where %d were due", r.rank, st.Len, len(buf))
	}
	return nil
}

func (r *receiver) note(tag mpi.Tag) {
	r.owes, r.done = tag == more, tag != more
}

func (r *receiver) repay(ctx context.Context) error {
	if !r.owes {
		return nil
	}
	r.owes = false
	return r.c.Send(ctx, r.rank, credit, nil)
}

// each calls f for every batch. If f fails the other batches are received all
// the same, since the rank is sending them; f's error, or that of the rank, is
// the problem. If the conversation breaks that is lost.
func (r *receiver) each(ctx context.Context, f func(batch []byte) error) (problem, lost error) {
	for {
		batch, err := r.next(ctx)
		var told *rankFault
		switch {
		case err == io.EOF:
			return problem, nil
		case errors.As(err, &told):
			problem = err
		case err != nil:
			return nil, err
		case problem == nil:
			if err := f(batch); err != nil {
				problem = fmt.Errorf("from rank %d: %w", r.rank, err)
			}
		}
	}
}

// drop receives what is still to come from a rank to which bye was said, and
// which waits for no more credits.
func (r *receiver) drop(ctx context.Context) error {
	for !r.done {
		_, st, err := r.c.Recv(ctx, r.rank, mpi.AnyTag)
		if err != nil {
			return err
		}
		r.note(st.Tag)
	}
	return nil
}

// farewell says bye to the ranks from the given one on, with the text of err.
// It returns the first error that it meets, but goes on: the others wait.
func farewell(ctx context.Context, c *call, from int, err error) (lost error) {
	var text []byte
	if err != nil {
		text = []byte(err.Error())
	}
	for rank := from; rank < c.Size(); rank++ {
		if rank == mpi.Root {
			continue
		}
		if err := c.Send(ctx, rank, bye, text); err != nil && lost == nil {
			lost = err
		}
	}
	return lost
}

// eachRank calls f for all ranks at once, and returns the first error, which
// ends the others. The root's turn is in the caller's goroutine: methods of the
// user's types run in it, and if one panics that is where it belongs.
func eachRank(ctx context.Context, c *call, f func(ctx context.Context, rank int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var ranks sync.WaitGroup
	defer func() {
		cancel(nil)
		ranks.Wait()
	}()
	turn := func(rank int) {
		if err := f(ctx, rank); err != nil {
			cancel(err)
		}
	}
	for rank := range c.Size() {
		if rank != mpi.Root {
			ranks.Go(func() { turn(rank) })
		}
	}
	turn(mpi.Root)
	ranks.Wait()
	return context.Cause(ctx)
}
