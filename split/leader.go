package split

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// A leader is the lowest rank of a host that is not rank 0's, beside its own part in
// the loop. The ranks of its host, itself included, send it what others send rank 0. It
// passes that on unread, many messages in one, and hands out what rank 0 has for them;
// batches it puts on the shelf, which they share.
type leader struct {
	comm  *mpi.Comm // of the loop
	here  *mpi.Comm // of the host
	ranks []int     // of here, in comm
	shelf *shelf    // nil: they share no memory
	free  func()    // of its memory
	loan  *loan

	mu      sync.Mutex
	mail    []byte // entries on their way to rank 0
	timer   *time.Timer
	waiting bool         // timer runs
	users   atomic.Int32 // of all this: collect, hand out, and the leader's own client

	posting sync.Mutex // held while mail is sent, so that it keeps its order
	sent    []byte     // the entries that were sent last,
	message []byte     // and the message with them
}

const (
	// Messages that nobody waits for are kept for so long, so that they travel with
	// others,
	mailDelay = 2 * time.Millisecond
	// or until they are so many bytes.
	mailBytes = 256 << 10

	clientTag mpi.Tag = 1 // of what a leader sends to a rank
)

// isLed reports whether this rank has a leader. It speaks with rank 0 itself if it is
// on the same host, or alone on its own, or where the job goes on without lost ranks, of
// which the leader may be one.
func isLed(comm *mpi.Comm) bool {
	return !comm.GoesOn() && !comm.Local(mpi.Root) && comm.LocalSize() > 1
}

// ledRanks returns, at rank 0, the leader of each rank, 0 if it has none, and the ranks
// of each leader. It is what isLed says on all of them.
func ledRanks(comm *mpi.Comm) (leaderOf []int, ranksOf map[int][]int) {
	leaderOf, ranksOf = make([]int, comm.Size()), map[int][]int{}
	if comm.GoesOn() {
		return leaderOf, ranksOf
	}
	for _, ranks := range comm.Hosts()[1:] {
		if len(ranks) == 1 {
			continue
		}
		ranksOf[ranks[0]] = ranks
		for _, r := range ranks {
			leaderOf[r] = ranks[0]
		}
	}
	return leaderOf, ranksOf
}

// lead makes this rank the leader of those on its host.
func lead(ctx context.Context, comm, here *mpi.Comm) *leader {
	l := &leader{comm: comm, here: here, loan: borrowProcessor()}
	for r := range comm.Size() {
		if comm.Local(r) {
			l.ranks = append(l.ranks, r)
		}
	}
	l.users.Store(3)
	name := ""
	if memory, err := comm.ShareMemory(shelfSize(len(l.ranks))); err == nil { // else rank 0 gives each rank its own
		l.shelf, l.free, name = shelfOf(memory.Bytes), memory.Free, memory.Name
	}
	ctx = context.WithoutCancel(ctx) // the others may go on
	// Under the lock, since on a busy machine it may fire at once.
	l.mu.Lock()
	l.timer = time.AfterFunc(mailDelay, func() { l.post(ctx) })
	l.timer.Stop()
	l.mu.Unlock()
	l.add(comm.Rank(), append([]byte{byte(kindLeads)}, name...))
	go l.collect(ctx)
	go l.handOut(ctx)
	return l
}

// done says that a user is done with the leader.
func (l *leader) done() {
	if l.users.Add(-1) > 0 {
		return
	}
	l.timer.Stop()
	if l.free != nil {
		l.free()
	}
	l.here.Free()
	l.comm.Free()
}

// collect takes in what ranks send to rank 0, until each has sent its last report.
func (l *leader) collect(ctx context.Context) {
	defer l.done()
	in := mailbox{comm: l.here, tag: tag}
	for present := len(l.ranks); present > 0; {
		body, status, _, err := in.recv(ctx, mpi.AnySource)
		if err != nil {
			return // the job fails; each rank hears of it
		}
		waits, leaves := urgent(body)
		if leaves {
			present--
		}
		if full := l.add(l.ranks[status.Source], body); full || waits {
			l.post(ctx)
		}
	}
}

// add puts a message of a rank into the mail, and reports whether it should go out.
func (l *leader) add(rank int, body []byte) (full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mail = appendEntry(l.mail, entry{rank, body})
	if !l.waiting {
		l.timer.Reset(mailDelay)
		l.waiting = true
	}
	return len(l.mail) >= mailBytes
}

// post sends the mail. What comes while it does so goes with the next.
func (l *leader) post(ctx context.Context) {
	l.posting.Lock()
	defer l.posting.Unlock()
	l.mu.Lock()
	l.mail, l.sent, l.waiting = l.sent[:0], l.mail, false
	l.timer.Stop()
	l.mu.Unlock()
	if len(l.sent) == 0 {
		return
	}
	noted := 0
	if l.shelf != nil {
		noted = l.shelf.noted()
	}
	// An error means that rank 0 or the job is gone; handOut hears of it too.
	l.message = appendMail(l.message[:0], noted, l.sent)
	_ = l.comm.Send(ctx, mpi.Root, tag, l.message)
	if cap(l.message) > mostKept {
		l.sent, l.message = nil, nil
	}
}

// over says that the loop is over for the leader's own client, and so for all.
func (l *leader) over() {
	l.loan.giveBack()
	l.done()
}

// handOut does what rank 0 says, until it has said its last to each rank. Then the
// processor goes back, be it that a rank never leaves.
func (l *leader) handOut(ctx context.Context) {
	defer l.done()
	defer l.loan.giveBack()
	in, room := mailbox{comm: l.comm, tag: tag}, make([]int, 0, len(l.ranks))
	for present := len(l.ranks); present > 0; {
		body, _, _, err := in.recv(ctx, mpi.Root)
		if err != nil {
			return // the job fails; each rank hears of it
		}
		var bad error
		err = eachLetter(body, room, func(ranks []int, body []byte) {
			if len(ranks) > 0 {
				present -= l.forward(ctx, ranks, body)
			} else if bad == nil {
				bad = l.obey(ctx, body)
			}
		})
		if err != nil || bad != nil {
			present -= l.forward(ctx, l.ranks, nil) // each takes an empty message for what it is
		}
	}
}

// forward passes a message on to ranks, and returns how many it is the last one for.
func (l *leader) forward(ctx context.Context, ranks []int, body []byte) (ended int) {
	last := len(body) == 0 || kind(body[0]) == kindEnd
	for place, r := range l.ranks {
		if !slices.Contains(ranks, r) {
			continue
		}
		_ = l.here.Send(ctx, place, clientTag, body) // an error: the job fails
		if last {
			ended++
		}
	}
	return ended
}

// obey does what rank 0 tells the leader itself: it puts a batch on the shelf, or takes
// back what is there.
func (l *leader) obey(ctx context.Context, body []byte) error {
	if len(body) == 0 || l.shelf == nil {
		return errMalformed
	}
	var back []span
	switch kind(body[0]) {
	case kindBatch:
		b, err := decodeBatch(body[1:])
		if err != nil {
			return err
		}
		back = l.shelf.place(b)
	case kindClear:
		back = l.shelf.clear()
	default:
		return errMalformed
	}
	if len(back) > 0 {
		l.add(l.comm.Rank(), appendSpans([]byte{byte(kindReturned)}, back))
		l.post(ctx)
	}
	return nil
}
