package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

// watch does what the verdict says, until the job is over.
func (j *job) watch(signals <-chan os.Signal) (status int) {
	v := newVerdict(j.opts.np, launch.Host(), j.opts.with, j.goesOn)
	timer := time.NewTimer(0)
	<-timer.C
	timeout, walltime := after(j.opts.timeout), after(j.opts.walltime)
	dead := j.group.dead
	for {
		e := event{rank: -1}
		select {
		case e = <-j.events:
		case <-timer.C:
			e.what = alarm{}
		case <-timeout:
			e.what = trouble{statusTimeout, fmt.Sprintf("the job was ended: --timeout %v is over", j.opts.timeout), userGrace}
		case <-walltime: // ranks come to an end before
			e.what = trouble{mpi.StatusStopped, fmt.Sprintf("the job was ended: --walltime %v is over", j.opts.walltime), userGrace}
		case <-dead:
			dead = nil
			e.what = trouble{1, "the job was ended: dlprun's guard process was killed", failGrace}
		case s := <-signals:
			if j.group.pass(s) {
				continue
			}
			e.what = stop{s.(syscall.Signal)}
		}
		for _, act := range v.step(e.rank, e.what) {
			switch a := act.(type) {
			case say:
				j.say(a.rank, a.line)
			case tell:
				j.tell(a)
			case ask:
				j.group.ask(a.signal)
			case send:
				j.group.signal(a.signal)
			case end:
				j.ranks[a.rank].cmd.Process.Kill() // an error: it has ended
			case killAll:
				j.group.kill()
			case arm:
				timer.Stop()
				if a.after > 0 {
					timer.Reset(a.after)
				}
			case finish:
				return a.status
			}
		}
	}
}

// after is time.After, but that 0 is never.
func after(d time.Duration) <-chan time.Time {
	if d == 0 {
		return nil
	}
	return time.After(d)
}

// tell tells the other ranks. Of one without which the job goes on it quotes what it
// wrote last, which may say more.
func (j *job) tell(a tell) {
	if !a.quote || j.launcher != nil || j.ranks[a.rank].errs == nil {
		j.hub.Down(a.rank, a.cause)
		return
	}
	r := j.ranks[a.rank]
	j.saying.Go(func() {
		within(settleTime, r.relayed.Wait)
		if last := r.errs.lastLine(); last != "" {
			a.cause += "; its last output: " + last
		}
		j.hub.Down(a.rank, a.cause)
	})
}

// say prints a line to stderr, when what rank wrote before it has been. It does
// not block: a stopped terminal must not keep dlprun from ending the job.
func (j *job) say(rank int, line string) {
	j.saying.Go(func() {
		if rank >= 0 {
			within(settleTime, j.ranks[min(rank, len(j.ranks)-1)].relayed.Wait) // a launcher writes for all
		}
		fmt.Fprintf(j.console.err("", func(error) {}), "dlprun: %s\n", line)
	})
}

// finish ends what is left of the job, and waits until all output is written.
func (j *job) finish() {
	j.group.end()
	for _, r := range j.ranks {
		for _, p := range r.pipes {
			p.SetReadDeadline(time.Now().Add(quietTime))
		}
	}
	for _, r := range j.ranks {
		r.relayed.Wait()
	}
	j.saying.Wait()
}

// within waits for wait, but no longer than d.
func within(d time.Duration, wait func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait()
	}()
	select {
	case <-done:
	case <-time.After(d):
	}
}
