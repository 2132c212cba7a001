package mpi

import (
	"context"
	"strconv"
)

// Root is the rank that results are gathered to.
const Root = 0

// Wildcards for Recv.
const (
	AnySource     = -1
	AnyTag    Tag = -1
)

// Tag tells the messages between two ranks apart. Tags of messages are 0 or
// more.
type Tag int32

// Status says what a received message is.
type Status struct {
	Source int // its sender's rank in the communicator
	Tag    Tag
	Len    int // bytes
}

// Comm is a communicator: a group of ranks, numbered from 0, whose messages no
// other communicator can see. Main and Init give the first one, the world;
// Split and Dup derive others. Any number of goroutines may use one, but
// collective operations on one communicator must be called one after another,
// in the same order on every rank.
type Comm struct {
	engine *engine
	job    *job
	id     uint64
	rank   int
	group  []int // world ranks, by rank
	born   *call // the call that made it; nil: the world
	hidden bool  // made by Private

	together bool // see Together

	// The rest is guarded by engine.mu.
	bulk  bulk
	inbox *inbox // nil: not looked up yet
}

// Rank returns this process's number in the communicator, from 0 to Size-1.
func (c *Comm) Rank() int { return c.rank }

// Size returns how many ranks the communicator has.
func (c *Comm) Size() int { return len(c.group) }

// IsRoot reports whether this rank is Root.
func (c *Comm) IsRoot() bool { return c.rank == Root }

// LocalRank returns this rank's number among the ranks of the communicator that
// run on its host, from 0 to LocalSize-1.
func (c *Comm) LocalRank() int {
	n := 0
	for r := range c.rank {
		if c.Local(r) {
			n++
		}
	}
	return n
}

// LocalSize returns how many ranks of the communicator run on this rank's host.
func (c *Comm) LocalSize() int {
	n := 0
	for r := range c.group {
		if c.Local(r) {
			n++
		}
	}
	return n
}

// Local reports whether a rank of the communicator runs on this rank's host.
func (c *Comm) Local(rank int) bool {
	return rank >= 0 && rank < len(c.group) && c.job.hostID(c.group[rank]) == c.job.hostID(c.engine.rank)
}

// Hosts returns the ranks of the communicator by the host that they run on: each
// host's in ascending order, the hosts in the order of their first ranks.
func (c *Comm) Hosts() (hosts [][]int) {
	at := map[string]int{}
	for r, w := range c.group {
		id := c.job.hostID(w)
		k, known := at[id]
		if !known {
			k = len(hosts)
			at[id] = k
			hosts = append(hosts, nil)
		}
		hosts[k] = append(hosts[k], r)
	}
	return hosts
}

// Host returns the name of the host that a rank of the communicator runs on. A
// rank that does not exist has none, "".
func (c *Comm) Host(rank int) string {
	if rank < 0 || rank >= len(c.group) {
		return ""
	}
	return c.engine.host(c.group[rank])
}

// Backend says how the ranks speak with each other: "single", there is only
// one; "inproc", goroutines of one process; "embedded", shared memory and
// sockets; "mpi", real MPI.
func (c *Comm) Backend() string { return c.job.backend }

// Dup returns a communicator with the same ranks whose messages are its own. It
// is collective, sends nothing, and does not block.
func (c *Comm) Dup(ctx context.Context) (*Comm, error) {
	k, err := c.begin("Dup", "", 1)
	if err != nil {
		return nil, err
	}
	return c.derive(k, "", c.group), nil
}

// Split divides the ranks into groups of equal color and returns the
// communicator of this rank's group, ordered by key, among equal keys by rank.
// A color below 0 belongs to no group and gets nil. It is collective and blocks
// until every rank has called it.
func (c *Comm) Split(ctx context.Context, color, key int) (*Comm, error) {
	k, err := c.begin("Split", "", 1)
	if err != nil {
		return nil, err
	}
	all, err := allgather(ctx, k, splitRequest{Color: color, Key: key})
	if err != nil || color < 0 {
		return nil, err
	}
	return c.derive(k, "color "+strconv.Itoa(color), groupOf(c.group, all, color)), nil
}

// Private returns a communicator with the same ranks for a library built on
// this package: user code can't match its messages. It counts as one collective
// call, named op in a MismatchError, made at the place skip frames above
// Private's caller. It sends nothing and does not block. Free ends it.
func (c *Comm) Private(op string, skip int) (*Comm, error) {
	k, err := c.begin(op, "", skip+1)
	if err != nil {
		return nil, err
	}
	p := c.derive(k, "private", c.group)
	p.hide()
	return p, nil
}

// PrivateOnHost returns a communicator of those ranks of a private one that run on
// this rank's host, in their order, for the same library. It is no collective call:
// it sends nothing and does not block. Free ends it. The caller makes one at most.
func (c *Comm) PrivateOnHost() *Comm {
	var group []int
	for r, w := range c.group {
		if c.Local(r) {
			group = append(group, w)
		}
	}
	p := c.derive(c.born, "on host of "+strconv.Itoa(group[0]), group)
	p.hide()
	return p
}

// hide makes a communicator one of a library.
func (c *Comm) hide() {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	c.hidden = true
	c.engine.private++
}

// Free forgets the communicator and what has arrived for it. The caller sees to
// it that no rank sends on it any more. Only communicators made by Private and
// PrivateOnHost need it; it does not block.
func (c *Comm) Free() {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.hidden {
		return
	}
	c.hidden = false
	delete(e.inboxes, c.id)
	c.inbox = nil
	e.private--
	e.sayLeft()
}

// arrivals returns the inbox. The caller holds engine.mu.
func (c *Comm) arrivals() *inbox {
	if c.inbox == nil {
		c.inbox = c.engine.inbox(c.id)
	}
	return c.inbox
}

// derive makes a communicator out of a collective call. Its id depends on the
// parent, the number of the call and what alone, so that all ranks agree on it
// without a word: 64 bits, which two communicators of one job share about never.
func (c *Comm) derive(k *call, what string, group []int) *Comm {
	d := &Comm{engine: c.engine, job: c.job, id: mix(c.id, k.seq, what), group: group, born: k}
	for r, w := range group {
		if w == c.engine.rank {
			d.rank = r
		}
	}
	return d
}

// world turns a rank of the communicator into one of the world.
func (c *Comm) world(rank int) int { return c.group[rank] }

// local turns a world rank into one of the communicator, -1 if it has none.
func (c *Comm) local(world int) int {
	if world < len(c.group) && c.group[world] == world {
		return world
	}
	for r, w := range c.group {
		if w == world {
			return r
		}
	}
	return -1
}
