package main

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

// A verdict decides what becomes of a job. What happens goes into step as
// events, what to do comes out as actions; it has no clock, starts nothing and
// prints nothing, so that every order of events can be tested.
//
// A job runs until all ranks have finished, or until the first of them fails.
// Then it goes through these phases:
//
//	settling  a rank looks failed, but its own word for it may be on the way
//	leaving   the others were told, and may leave by themselves
//	ending    those left were sent a signal
//	killed    those left were sent SIGKILL
//
// so that it is over within 5 s of the failure.
//
// With --on-failure=continue a rank that is lost without a word, other than rank 0,
// is spared once all have joined: the others are told, and the job goes on.
//
// Where a launcher (--with) starts the ranks, it is known of their processes only
// that they have ended when it has.
type verdict struct {
	launcher string // "": dlprun itself
	launched exit   // how it ended
	guessed  bool   // status is one for want of a better; the launcher may know it
	goesOn   bool   // --on-failure=continue

	ranks  []rankView
	joined int // how many have
	exited int // how many have
	phase  phase
	asked  bool // the ranks were asked to come to an end
	first  int  // the rank that failed first, as far as is known; -1: none
	status int  // the job's
}

type phase int

const (
	running phase = iota
	settling
	leaving
	ending
	killed
	over
)

const (
	settleTime = 500 * time.Millisecond
	leaveTime  = 2 * time.Second
	failGrace  = 1500 * time.Millisecond // from SIGTERM to SIGKILL, after a failure
	userGrace  = 5 * time.Second         // the same, when the user ends the job
	askGrace   = 25 * time.Second        // that ranks have to come to an end when asked; they take 20 s for their loops
	reapTime   = 5 * time.Second         // from SIGKILL until dlprun no longer waits
)

// rankView is what is known of one rank.
type rankView struct {
	host                                    string
	joined, finalized, failed, lost, exited bool
	spared                                  bool   // the job goes on without it
	code                                    int    // if failed: the exit status that it announced
	reason                                  string // if failed: why; if lost: why, if that is known
	how                                     exit   // if exited: how
}

// exit is how a process ended.
type exit struct {
	code   int
	signal syscall.Signal // 0: it exited by itself
}

func (e exit) status() int {
	if e.signal != 0 {
		return statusSignal + int(e.signal)
	}
	return e.code
}

func (e exit) String() string {
	if e.signal != 0 {
		return fmt.Sprintf("was killed by signal %d (%v)", int(e.signal), e.signal)
	}
	return fmt.Sprintf("exited with status %d", e.code)
}

// The events.
type (
	joined struct{ host string }
	failed struct { // the rank says so itself
		code   int
		reason string
	}
	finalized struct{}
	lost      struct{ reason string } // its session with the hub ended without a word
	exited    struct{ exit }
	// launcherEnded is the end of the launcher and with it of all ranks.
	launcherEnded struct{ exit }
	alarm         struct{}                        // the time of the last arm is over
	stop          struct{ signal syscall.Signal } // the user ends the job
	trouble       struct {
		status int
		text   string
		grace  time.Duration
	} // the job can't go on
	notice string // something that the user should know
)

// The actions.
type (
	say struct { // print a line; rank's output goes first, if it is one
		rank int
		line string
	}
	tell struct { // tell the other ranks what happened to rank
		rank  int
		cause string
		quote bool // and what it wrote last
	}
	ask     struct{ signal syscall.Signal } // to the ranks, and not to what they have started
	send    struct{ signal syscall.Signal } // to all processes of the job
	killAll struct{}
	end     struct{ rank int }            // kill the process of one rank
	arm     struct{ after time.Duration } // replaces the arm before it; 0: none
	finish  struct{ status int }
)

// newVerdict returns the verdict on a job of n ranks, on this machine, host, or
// wherever launcher starts them.
func newVerdict(n int, host, launcher string, goesOn bool) *verdict {
	v := &verdict{launcher: launcher, goesOn: goesOn, ranks: make([]rankView, n), first: -1}
	for r := range v.ranks {
		if v.ranks[r].host = host; launcher != "" {
			v.ranks[r].host = "host unknown"
		}
	}
	return v
}

// step takes an event, rank's own or (rank < 0) the job's, and returns what to
// do about it.
func (v *verdict) step(rank int, event any) []any {
	var r *rankView
	if rank >= 0 {
		r = &v.ranks[rank]
	}
	switch e := event.(type) {
	case joined:
		r.joined, r.host = true, e.host
		v.joined++
	case failed:
		if v.asked && e.code == mpi.StatusStopped {
			return v.incomplete(rank, e)
		}
		r.failed, r.code, r.reason = true, e.code, e.reason
		r.spared = false // its word for it was only late
	case finalized:
		r.finalized = true
	case lost:
		r.lost, r.reason = true, e.reason
	case exited:
		r.exited, r.how = true, e.exit
		v.exited++
	case launcherEnded:
		v.launcherEnded(e.exit)
		rank = 0 // as good as any
	case alarm:
		return v.alarm()
	case stop:
		return v.stop(e.signal)
	case trouble:
		return v.trouble(e)
	case notice:
		return []any{say{-1, string(e)}}
	}
	switch v.phase {
	case running, settling:
		return v.judge(rank)
	case leaving, ending, killed:
		if v.exited == len(v.ranks) {
			return v.finish()
		}
	}
	return nil
}

func (v *verdict) launcherEnded(e exit) {
	v.launched = e
	for r := range v.ranks {
		v.ranks[r].exited = true
	}
	v.exited = len(v.ranks)
	if v.guessed && v.phase == leaving && e.status() != 0 {
		v.status = e.status()
	}
}

// judge looks whether the job still goes well, now that something is new of
// rank.
func (v *verdict) judge(rank int) []any {
	var acts []any
	if v.first >= 0 && !v.bad(v.first) { // it looked failed, but Finalized was only late
		v.first, v.phase = -1, running
		acts = append(acts, arm{})
	}
	if v.first < 0 || v.launcher != "" && !v.ranks[v.first].told() {
		v.first = v.suspect(rank)
	}
	switch {
	case v.first >= 0 && v.settled(v.first):
		return append(acts, v.condemn()...)
	case v.first >= 0 && v.phase == running:
		v.phase = settling
		return append(acts, arm{settleTime})
	case v.first < 0 && v.exited == len(v.ranks) && (v.launched.status() == 0 || v.wellWithout()):
		return append(acts, v.finish()...)
	case v.first < 0 && v.exited == 0 && v.launcher != "" && v.phase == running && v.wellWithout():
		v.phase = leaving // the launcher may wait for a rank that is stopped, or out of reach
		return append(acts, arm{leaveTime})
	case v.first < 0 && v.exited == len(v.ranks) && v.phase == running:
		v.phase = settling // the word of a rank for it may be on the way
		return append(acts, arm{settleTime})
	}
	return acts
}

// suspect returns a rank that looks failed, -1 if none does: rank itself before
// others, which may look so only now that rank has joined.
func (v *verdict) suspect(rank int) int {
	if v.bad(rank) {
		return rank
	}
	for r := range v.ranks {
		if v.ranks[r].told() {
			return r
		}
	}
	for r := range v.ranks {
		if v.bad(r) {
			return r
		}
	}
	return -1
}

// told reports whether the hub has told that r failed, and that counts.
func (r *rankView) told() bool { return (r.failed || r.lost) && !r.spared }

// bad reports whether rank looks failed. A rank that ends well without having
// joined does so only if others joined: else it is a plain program.
func (v *verdict) bad(rank int) bool {
	r := &v.ranks[rank]
	switch {
	case r.told():
		return true
	case !r.exited || r.spared:
		return false
	case r.how.status() != 0:
		return true
	}
	return !r.finalized && v.joined > 0
}

// settled reports whether all is known that will be known of how rank failed:
// it gave its reason, or both its session and its process have ended.
func (v *verdict) settled(rank int) bool {
	r := &v.ranks[rank]
	if v.launcher != "" { // of a process on another host nothing is known
		return r.failed || r.exited && r.lost
	}
	return r.failed || r.exited && (r.lost || r.finalized || !r.joined)
}

// spares reports whether the job can go on without rank: it ended without a word
// while others hear of that, or was killed on its way out.
func (v *verdict) spares(rank int) bool {
	r := &v.ranks[rank]
	return v.goesOn && rank > 0 && v.joined == len(v.ranks) && !r.failed && (!r.finalized || r.how.signal != 0)
}

// spare lets the job go on without v.first. What may be left of its process ends.
func (v *verdict) spare() []any {
	rank := v.first
	r := &v.ranks[rank]
	r.spared = true
	cause := v.cause(r)
	acts := []any{
		say{rank, fmt.Sprintf("rank %d (%s): %s; the job goes on without it", rank, r.host, cause)},
		tell{rank, cause, r.exited && r.reason == ""},
		arm{},
	}
	if !r.exited && v.launcher == "" {
		acts = append(acts, end{rank})
	}
	v.first, v.phase = -1, running
	return append(acts, v.judge(rank)...)
}

// spared lists the ranks without which the job went on.
func (v *verdict) spared() (ranks []string) {
	for r := range v.ranks {
		if v.ranks[r].spared {
			ranks = append(ranks, strconv.Itoa(r))
		}
	}
	return ranks
}

// wellWithout reports whether ranks were lost, and all the others have finalized: then
// what a launcher thinks of that does not count.
func (v *verdict) wellWithout() bool {
	for r := range v.ranks {
		if r := &v.ranks[r]; !r.finalized && !r.spared {
			return false
		}
	}
	return len(v.spared()) > 0
}

// condemn ends the job because of v.first, if it can't go on without.
func (v *verdict) condemn() []any {
	if v.spares(v.first) {
		return v.spare()
	}
	r := &v.ranks[v.first]
	v.status = 1
	switch {
	case r.exited && r.how.status() != 0:
		v.status = r.how.status()
	case r.failed && r.code&0xff != 0:
		v.status = r.code & 0xff // as the system would cut it
	}
	cause := v.cause(r)
	if absent := v.absent(); v.launcher != "" && (!r.failed || absent != "") {
		v.guessed = true
		v.status = cmp.Or(v.launched.status(), v.status)
		cause += absent
	}
	acts := []any{
		say{v.first, fmt.Sprintf("rank %d (%s): %s", v.first, r.host, cause)},
		tell{v.first, cause, false},
	}
	switch {
	case v.exited == len(v.ranks):
		return append(acts, v.finish()...)
	case v.joined == 0: // nobody can be told
		return append(acts, v.signal(syscall.SIGTERM, failGrace)...)
	}
	v.phase = leaving
	return append(acts, arm{leaveTime})
}

// condemnLauncher ends the job because the launcher failed, for a reason that no
// rank knows.
func (v *verdict) condemnLauncher() []any {
	v.status = v.launched.status()
	line := fmt.Sprintf("%s %v", v.launcher, v.launched)
	switch v.joined {
	case 0:
		line += " before any rank had joined"
	case len(v.ranks):
		line += " after all ranks had finalized"
	}
	return append([]any{say{-1, line}}, v.finish()...)
}

func (v *verdict) cause(r *rankView) string {
	switch {
	case r.reason != "":
		return r.reason
	case r.failed:
		return fmt.Sprintf("failed with status %d", r.code)
	case v.launcher != "" && r.joined:
		return launch.Vanished
	case v.launcher != "":
		return fmt.Sprintf("ended without joining the job (%s %v)", v.launcher, v.launched)
	case !r.exited:
		return "lost its connection with dlprun"
	case r.how.signal != 0:
		return fmt.Sprintf("killed by signal %d (%v)", int(r.how.signal), r.how.signal)
	case r.finalized:
		return fmt.Sprintf("exited with status %d after Finalize", r.how.code)
	case r.joined:
		return fmt.Sprintf("exited with status %d before Finalize", r.how.code)
	case r.how.code == 0:
		return "exited with status 0 without joining the job (it calls neither mpi.Main nor mpi.Init)"
	}
	return fmt.Sprintf("exited with status %d", r.how.code)
}

// absent names the ranks, other than v.first, that have not joined. A launcher
// that ends all ranks because of one of them does not tell which.
func (v *verdict) absent() string {
	var ranks []string
	for r := range v.ranks {
		if !v.ranks[r].joined && r != v.first {
			ranks = append(ranks, strconv.Itoa(r))
		}
	}
	if len(ranks) == 0 {
		return ""
	}
	return "; by then these had not joined: rank " + strings.Join(ranks[:min(len(ranks), 8)], ", ")
}

// alarm moves the job on when its time in a phase is over.
func (v *verdict) alarm() []any {
	switch v.phase {
	case settling:
		if v.first < 0 {
			return v.condemnLauncher()
		}
		return v.condemn()
	case leaving:
		return v.signal(syscall.SIGTERM, failGrace)
	case ending:
		return v.kill()
	case killed: // the kernel can't end them, so waiting does not help
		return v.finish()
	}
	return nil
}

// stop obeys the user: politely, and if told again, at once. Ranks that have joined
// are asked first where it is SIGTERM, so that their loops can finish what they have
// in hand.
func (v *verdict) stop(sig syscall.Signal) []any {
	if v.phase >= ending {
		return v.kill()
	}
	var acts []any
	if v.phase < leaving {
		v.status = statusSignal + int(sig)
		acts = []any{say{-1, fmt.Sprintf("the job was ended by signal %d (%v)", int(sig), sig)}}
	}
	if sig == syscall.SIGTERM && v.reachable() && v.phase < leaving {
		v.asked, v.phase = true, leaving
		return append(acts, ask{sig}, arm{askGrace})
	}
	if sig == syscall.SIGINT {
		sig = syscall.SIGTERM // which programs in scripts do not ignore
	}
	return append(acts, v.hardly(sig, userGrace)...)
}

// reachable reports whether ranks have joined whose processes dlprun has started.
func (v *verdict) reachable() bool { return v.joined > 0 && v.launcher == "" }

// hardly ends the job. To a rank, SIGINT says that this is no request.
func (v *verdict) hardly(sig syscall.Signal, grace time.Duration) (acts []any) {
	if v.reachable() {
		acts = []any{ask{syscall.SIGINT}}
	}
	return append(acts, v.signal(sig, grace)...)
}

// incomplete is what a rank says whose loop has come to an end as it was asked to.
// All ranks say so.
func (v *verdict) incomplete(rank int, f failed) []any {
	if v.status == f.code {
		return nil
	}
	v.status = f.code
	return []any{say{rank, fmt.Sprintf("rank %d (%s): %s", rank, v.ranks[rank].host, f.reason)}}
}

// trouble ends the job for a reason that is no rank's.
func (v *verdict) trouble(e trouble) []any {
	if v.phase >= leaving {
		return nil
	}
	v.status = e.status
	return append([]any{say{-1, e.text}}, v.hardly(syscall.SIGTERM, e.grace)...)
}

func (v *verdict) signal(sig syscall.Signal, grace time.Duration) []any {
	v.phase = ending
	return []any{send{sig}, arm{grace}}
}

func (v *verdict) kill() []any {
	v.phase = killed
	return []any{killAll{}, arm{reapTime}}
}

func (v *verdict) finish() []any {
	v.phase = over
	if lost := v.spared(); len(lost) > 0 && v.status == 0 {
		line := "the job has ended well, but without what it has lost on the way: rank " + strings.Join(lost, ", ")
		return []any{say{-1, line}, finish{0}}
	}
	return []any{finish{v.status}}
}
