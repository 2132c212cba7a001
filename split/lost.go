package split

import (
	"fmt"
	"strings"
)

// This file is what the manager does about ranks that are lost where the job goes on
// without them.

// mostKilled is how many ranks an item may take with it. One may be chance, or
// something else on its host; with three there is little doubt.
const mostKilled = 3

// lost is the event that a rank, on a host, is gone, and why. What it reported
// before counts. What it held goes to others, and so does what a Managed loop had
// done there, unless it is kept in a journal: that was in the rank's own variables.
func (m *manager) lost(rank int, host string, why error) {
	s := &m.seats[rank]
	if s.lost {
		return
	}
	s.lost, s.ended = true, true
	m.missing++
	if !s.greeted { // its hello will not come
		s.greeted = true
		m.greeted++
	}
	if !m.over {
		m.done -= countSpans(s.did)
		m.todo.giveBack(m.again.giveBack(s.did))
		s.did = nil
		m.blame(rank, host, why)
	}
	if s.left {
		m.serve()
	} else {
		m.leave(rank)
	}
	m.settle()
}

// blame takes what a lost rank held for what it may have been lost by. From then on
// such an item goes out alone, to a rank that does nothing else meanwhile, so that
// what is lost with it next is lost by it; to rank 0 only where no other one is left. If
// it has taken too many, it has failed.
func (m *manager) blame(rank int, host string, why error) {
	s := &m.seats[rank]
	held := indicesOf(s.held)
	m.held -= len(held)
	s.held = nil
	m.calm(s)
	for _, i := range held {
		t := m.again.killed(rank, i)
		if len(t.ranks) < mostKilled {
			m.again.add(i)
			continue
		}
		m.done++
		m.fail(&TaskError{
			Index: i, Key: m.cfg.key(i), Rank: rank, Host: host, Attempts: t.attempts(), call: m.cfg.name(),
			Err: fmt.Errorf("it killed %d ranks: %s; the last: %w", len(t.ranks), list(t.ranks), why),
		})
		if m.over {
			return
		}
	}
}

// only reports whether no other rank can be waited for to take what ranks were lost by.
// Rank 0 is none: the job ends with it. One that has not come yet is, and one that has
// come and never asked is not: it may never.
func (m *manager) only(rank int) bool {
	for r := 1; r < len(m.seats); r++ {
		if s := &m.seats[r]; r != rank && !s.left && (s.asked || !s.greeted) {
			return false
		}
	}
	return true
}

// calm notes when a rank has nothing in hand any more that ranks may be lost by.
func (m *manager) calm(s *seat) {
	if s.suspect && len(s.held) == 0 {
		s.suspect = false
		m.suspects--
	}
}

func list(ranks []int) string {
	return strings.Trim(strings.Join(strings.Fields(fmt.Sprint(ranks)), ", "), "[]")
}
