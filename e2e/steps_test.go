package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// stepsRole makes the test binary of package mpi a rank that is killed at a step of a
// collective operation.
var stepsRole = []string{"DLP_TEST_ROLE=steps"}

// A deadly is an operation in which one rank is killed.
type deadly struct {
	program       string
	name          string // of the operation
	whole         bool   // it does without lost ranks, where the job does
	transport     string
	bytes         int // that each rank brings
	ranks, victim int
	goesOn        bool               // the job does
	next          func(step int) int // to be tried
}

// TestKillAtEachStep kills a rank at each step of each collective operation: before a
// message is sent, in the middle of it, after it, or after one has come, until the
// operation is over before the rank has come to the step. Each of the others must then
// name the rank and its end, and so must dlprun. Transports and victims take turns;
// `make soak` tries all of them, in jobs of 2 to 5 ranks.
func TestKillAtEachStep(t *testing.T) {
	program := stepsProgram(t)
	for _, ranks := range sizes() {
		t.Run(fmt.Sprint(ranks, " ranks"), func(t *testing.T) { killAll(t, deadlies(t, program, ranks)) })
	}
}

// TestJobGoesOnAfterAnyStep is the same where the job goes on: operations that do
// without lost ranks give what they should, and the others an error that names the
// victim, unless they were through before. Nobody hangs, and no result is wrong. In its
// short form each operation has one body, one victim, and a few of the steps.
func TestJobGoesOnAfterAnyStep(t *testing.T) {
	program := stepsProgram(t)
	for _, ranks := range sizes() {
		t.Run(fmt.Sprint(ranks, " ranks"), func(t *testing.T) {
			var all []deadly
			for k, d := range deadlies(t, program, ranks) {
				if d.goesOn = true; !soaking() {
					d.next = func(step int) int { return 2*step + 1 + k%2 }
				}
				if last := len(all) - 1; d.victim > 0 && (soaking() || last < 0 || all[last].name != d.name) {
					all = append(all, d)
				}
			}
			killAll(t, all)
		})
	}
}

// stepsProgram builds the tests of package mpi.
func stepsProgram(t *testing.T) string {
	program := filepath.Join(bin, "mpi.test")
	build := exec.Command("go", "test", "-c", "-o", program, "../mpi")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// killAll kills the victims of all of these.
func killAll(t *testing.T, all []deadly) {
	var kills atomic.Int64
	var running sync.WaitGroup
	next := make(chan deadly)
	for range 4 {
		running.Go(func() {
			for d := range next {
				kills.Add(int64(d.killAtEach(t)))
			}
		})
	}
	for _, d := range all {
		next <- d
	}
	close(next)
	running.Wait()
	fmt.Printf("tried: %d kills of one of %d ranks, at each step of %d operations\n", kills.Load(), all[0].ranks, len(all))
	require.Greater(t, kills.Load(), int64(len(all)))
}

// deadlies are what is to be tried on so many ranks.
func deadlies(t *testing.T, program string, ranks int) (all []deadly) {
	listed := start(t, stepsRole, program)
	require.Zero(t, listed.status, "%v", listed)
	turn := 0
	for line := range strings.Lines(listed.stdout) {
		about := strings.Fields(line)
		for _, bytes := range map[string][]int{"true": {64, 1 << 20}, "false": {0}}[about[1]] {
			for _, victim := range victims(ranks, turn) {
				for _, transport := range ways(turn + victim) {
					all = append(all, deadly{program: program, name: about[0], whole: about[2] == "true", transport: transport, bytes: bytes,
						ranks: ranks, victim: victim, next: func(step int) int { return step + 1 }})
				}
			}
			turn++
		}
	}
	return all
}

// sizes are how many ranks the jobs have.
func sizes() []int {
	if soaking() {
		return []int{2, 3, 4, 5}
	}
	return []int{3}
}

// victims are all ranks, or rank 0 and another one: of 3, the two others are alike.
func victims(ranks, turn int) (all []int) {
	for victim := range ranks {
		if soaking() || victim == 0 || victim == 1+turn%2 {
			all = append(all, victim)
		}
	}
	return all
}

// ways are the transports, or the one whose turn it is.
func ways(turn int) []string {
	all := []string{"shm", "unix", "tcp"}
	if soaking() {
		return all
	}
	return all[turn%len(all):][:1]
}

// killAtEach kills the victim at one step of a job after the other, and returns how
// often it did.
func (d deadly) killAtEach(t *testing.T) (kills int) {
	l := dlprun
	if d.goesOn {
		l = goingOn
	}
	for step := 0; ; step = d.next(step) {
		c, cancel := command(t, append(stepsRole, "DLP_TRANSPORT="+d.transport), l.command(d.ranks, d.program,
			d.name, strconv.Itoa(d.bytes), strconv.Itoa(d.victim), strconv.Itoa(step))...)
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		err := c.Run()
		cancel()
		killed := stderr.Len() > 0
		if why := d.wrong(killed, err == nil, stdout.String(), stderr.String()); why != "" {
			t.Errorf("%+v, step %d: %s: %v\n%s%s", d, step, why, err, stdout.String(), stderr.String())
			return kills
		}
		if !killed {
			return kills
		}
		kills++
	}
}

// wrong says what is wrong with how a job has ended, "" if nothing is. If the victim was
// killed, dlprun names it and its end.
func (d deadly) wrong(killed, well bool, stdout, stderr string) string {
	end := fmt.Sprintf(`rank %d \(.+\): killed by signal 9 \(killed\)`, d.victim)
	says := `^$`
	switch {
	case killed && d.goesOn:
		says = fmt.Sprintf(`^dlprun: %s; the job goes on without it\ndlprun: .* without what it has lost on the way: rank %d\n$`, end, d.victim)
	case killed:
		says = `^dlprun: ` + end + `\n$`
	}
	if !regexp.MustCompile(says).MatchString(stderr) || well == (killed && !d.goesOn) {
		return "dlprun does not say what it should"
	}
	for rank := range d.ranks {
		if killed && rank == d.victim {
			continue
		}
		said := regexp.MustCompile(fmt.Sprintf(`(?m)^rank %d .*\n`, rank)).FindAllString(stdout, -1)
		if !regexp.MustCompile(d.expected(rank, killed, end)).MatchString(strings.Join(said, "")) {
			return fmt.Sprintf("rank %d does not say what it should", rank)
		}
	}
	return ""
}

// expected is what a rank says: once, or, where the job goes on, of the operation and of
// the next one like it, which then rank 0 at least can't be through with.
func (d deadly) expected(rank int, killed bool, end string) string {
	done, lost := fmt.Sprintf("rank %d is done\n", rank), fmt.Sprintf("rank %d has lost %s\n", rank, end)
	either := "(" + done + "|" + lost + ")"
	switch once := !d.goesOn || d.name == "Comm.Finalize"; {
	case once && killed && !d.goesOn:
		return "^" + lost + "$"
	case once:
		return "^" + done + "$"
	case !killed || d.whole:
		return "^" + done + done + "$"
	case rank == 0:
		return "^" + either + lost + "$"
	}
	return "^" + either + either + "$"
}
