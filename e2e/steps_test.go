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
	transport     string
	bytes         int // that each rank brings
	ranks, victim int
}

// TestKillAtEachStep kills a rank at each step of each collective operation: before a
// message is sent, in the middle of it, after it, or after one has come, until the
// operation is over before the rank has come to the step. Each of the others must then
// name the rank and its end, and so must dlprun. Transports and victims take turns;
// `make soak` tries all of them, in jobs of 2 to 5 ranks.
func TestKillAtEachStep(t *testing.T) {
	program := filepath.Join(bin, "mpi.test")
	build := exec.Command("go", "test", "-c", "-o", program, "../mpi")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, ranks := range sizes() {
		t.Run(fmt.Sprint(ranks, " ranks"), func(t *testing.T) { killAll(t, deadlies(t, program, ranks)) })
	}
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
		name, sized, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, bytes := range map[string][]int{"true": {64, 1 << 20}, "false": {0}}[sized] {
			for _, victim := range victims(ranks, turn) {
				for _, transport := range ways(turn + victim) {
					all = append(all, deadly{program, name, transport, bytes, ranks, victim})
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
	for step := 0; ; step++ {
		c, cancel := command(t, append(stepsRole, "DLP_TRANSPORT="+d.transport), dlprun.command(d.ranks, d.program,
			d.name, strconv.Itoa(d.bytes), strconv.Itoa(d.victim), strconv.Itoa(step))...)
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		err := c.Run()
		cancel()
		if why := d.wrong(c.ProcessState.ExitCode(), stdout.String(), stderr.String()); why != "" {
			t.Errorf("%+v, step %d: %s: %v\n%s%s", d, step, why, err, stdout.String(), stderr.String())
			return kills
		}
		if err == nil {
			return kills
		}
		kills++
	}
}

// wrong says what is wrong with how a job has ended: every rank says that it is done,
// or all but the victim name that one, its host and its end.
func (d deadly) wrong(status int, stdout, stderr string) string {
	end := fmt.Sprintf(`rank %d \(.+\): killed by signal 9 \(killed\)`, d.victim)
	if status != 0 && !regexp.MustCompile(`^dlprun: `+end+`\n$`).MatchString(stderr) {
		return "dlprun does not name the victim, or says more"
	}
	for rank := range d.ranks {
		line := fmt.Sprintf("rank %d is done", rank)
		switch {
		case status == 0:
		case rank == d.victim:
			continue
		default:
			line = fmt.Sprintf("rank %d has lost %s", rank, end)
		}
		if !regexp.MustCompile(`(?m)^` + line + `$`).MatchString(stdout) {
			return fmt.Sprintf("rank %d does not say what it should", rank)
		}
	}
	return ""
}
