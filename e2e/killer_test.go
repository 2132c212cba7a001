package e2e

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// soakTime is how long TestRandomKiller takes where DLP_SOAK does not say how many
// jobs it is to start.
const soakTime = 15 * time.Second

// TestRandomKiller kills ranks of jobs at random moments, never rank 0, and compares
// what comes out of each byte by byte. `make soak` lets it start many more jobs.
func TestRandomKiller(t *testing.T) {
	seed := rand.Uint64()
	jobs, _ := strconv.Atoi(os.Getenv(soakEnv)) // 0 if it is not set
	deadline := time.Now().Add(soakTime)
	var c counts
	var running sync.WaitGroup
	next := make(chan uint64)
	for range 4 {
		running.Go(func() {
			for seed := range next {
				kill(t, seed, &c)
			}
		})
	}
	for k := 0; k < jobs || jobs == 0 && time.Now().Before(deadline); k++ {
		next <- seed + uint64(k)
	}
	close(next)
	running.Wait()
	fmt.Printf("tried: a random killer, from seed %d: %+v\n", seed, c.all)
	require.Zero(t, c.all.Wrong+c.all.Hangs+c.all.Failed, "%+v", c.all)
	require.Positive(t, c.all.Finished)
}

// counts are of all jobs of the random killer.
type counts struct {
	mu  sync.Mutex
	all struct {
		Jobs, OneKill, TwoKills, ThreeKills    int
		Shm, Unix, TCP                         int // over which messages went
		Journals                               int // that were kept, and began again from
		Finished, Blamed, Hangs, Wrong, Failed int
	}
}

// A doomed job loses 1 to 3 ranks, each when so many of its items are done, or when
// nothing has been done for a while: what ranks were lost by waits for one that does
// nothing else, and so for the last item, if nobody but rank 0 is left beside that.
type doomed struct {
	folder          string
	mode, transport string
	ranks, items    int
	journal         string
	victims, done   []int
	flags           []string
}

func newDoomed(rng *rand.Rand, folder string) *doomed {
	d := &doomed{folder: folder, items: 100 + rng.IntN(400), mode: modes[rng.IntN(len(modes))], transport: []string{"shm", "unix", "tcp"}[rng.IntN(3)]}
	kills := 1 + rng.IntN(3)
	d.ranks = kills + 1 + rng.IntN(3)
	for _, r := range rng.Perm(d.ranks - 1)[:kills] {
		d.victims, d.done = append(d.victims, r+1), append(d.done, rng.IntN(d.items))
	}
	slices.Sort(d.done)
	d.flags = []string{"-pause", fmt.Sprint(time.Duration(rng.IntN(5)) * time.Millisecond), "-workers", strconv.Itoa(1 + rng.IntN(3)),
		"-window", strconv.Itoa(1 + rng.IntN(100)), "-chunk", strconv.Itoa(rng.IntN(4))}
	if d.mode != "seq" && rng.IntN(3) == 0 {
		d.journal = filepath.Join(folder, "journal")
		d.flags = append(d.flags, "-journal", d.journal)
	}
	return d
}

// command is a job of so many ranks whose last item waits until all victims are dead.
func (d *doomed) command(ranks int) []string {
	return goingOn.command(ranks, append([]string{filepath.Join(bin, "survivor"), "-mode", d.mode, "-folder", d.folder,
		"-items", strconv.Itoa(d.items), "-last", d.dead()}, d.flags...)...)
}

func (d *doomed) env() []string { return []string{"DLP_TRANSPORT=" + d.transport} }

// kill starts one job, kills some of its ranks, and counts what comes of it.
func kill(t *testing.T, seed uint64, c *counts) {
	rng := rand.New(rand.NewPCG(seed, 0))
	folder := tempDir(t)
	defer os.RemoveAll(folder)
	d := newDoomed(rng, folder)
	job, cancel := command(t, d.env(), d.command(d.ranks)...)
	defer cancel()
	var out, errs bytes.Buffer
	job.Stdout, job.Stderr = &out, &errs
	if err := job.Start(); err != nil {
		t.Error(err)
		return
	}
	ended, killed := make(chan struct{}), make(chan error)
	go func() { killed <- d.kill(rng, ended) }()
	job.Wait() // ProcessState tells
	close(ended)
	err := <-killed

	c.mu.Lock()
	defer c.mu.Unlock()
	c.count(d)
	switch status := job.ProcessState.ExitCode(); {
	case status < 0:
		c.all.Hangs++
	case err != nil || status > 0 && !strings.Contains(errs.String(), "it killed 3 ranks"):
		c.all.Failed++
		t.Errorf("seed %d: %+v: %v, status %d\n%s", seed, d, err, status, errs.String())
	case status > 0:
		c.all.Blamed++ // by chance, one item was in hand three times
	case !right(d.mode, folder, d.items, out.String()) || !d.keeps(t):
		c.all.Wrong++
		t.Errorf("seed %d: %+v gives\n%s\n%s", seed, d, out.String(), errs.String())
	default:
		c.all.Finished++
	}
}

// count counts what happens to a job. The caller holds c.mu.
func (c *counts) count(d *doomed) {
	c.all.Jobs++
	*[]*int{&c.all.OneKill, &c.all.TwoKills, &c.all.ThreeKills}[len(d.victims)-1]++
	*map[string]*int{"shm": &c.all.Shm, "unix": &c.all.Unix, "tcp": &c.all.TCP}[d.transport]++
	if d.journal != "" {
		c.all.Journals++
	}
}

// keeps reports whether a job that goes on with the journal gives the same, and does
// nothing again.
func (d *doomed) keeps(t *testing.T) bool {
	if d.journal == "" {
		return true
	}
	did := d.did()
	job, cancel := command(t, d.env(), d.command(2)...)
	defer cancel()
	out, err := job.Output()
	return err == nil && right(d.mode, d.folder, d.items, string(out)) && d.did() == did
}

// did is how many items were done so far, some of them twice.
func (d *doomed) did() int {
	info, err := os.Stat(filepath.Join(d.folder, "done"))
	if err != nil {
		return 0 // none yet
	}
	return int(info.Size())
}

// kill kills all victims, each in its time, and then lets the last item go.
func (d *doomed) kill(rng *rand.Rand, ended <-chan struct{}) error {
	for r := range d.ranks { // all have joined when one has written its file; and killing must not catch them earlier
		if err := waitIn(ended, func() bool { return exists(d.pidFile(r)) }); err != nil {
			return err
		}
	}
	for i, v := range d.victims {
		stands := d.standstill()
		if err := waitIn(ended, func() bool { return d.did() >= d.done[i] || stands() }); err != nil {
			return err
		}
		time.Sleep(time.Duration(rng.IntN(3000)) * time.Microsecond)
		if err := d.killRank(v); err != nil {
			return err
		}
	}
	return os.WriteFile(d.dead(), nil, 0o600)
}

// standstill returns a function that reports whether nothing has been done for a while.
func (d *doomed) standstill() func() bool {
	did, since := d.did(), time.Now()
	return func() bool {
		if now := d.did(); now != did {
			did, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	}
}

// waitIn waits for ok, as long as the job lasts.
func waitIn(ended <-chan struct{}, ok func() bool) error {
	for !ok() {
		select {
		case <-ended:
			return errors.New("the job has ended before all its victims were killed")
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

// killRank kills a rank. It is known by the file with its pid, which no other process
// can have yet: its parent, dlprun, waits for it, and has not ended.
func (d *doomed) killRank(rank int) error {
	text, err := os.ReadFile(d.pidFile(rank))
	if err != nil {
		return err
	}
	pid, err := strconv.Atoi(string(text))
	if err != nil {
		return err
	}
	if !ours(pid) {
		return fmt.Errorf("rank %d has ended by itself", rank)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

func (d *doomed) pidFile(rank int) string { return filepath.Join(d.folder, fmt.Sprint("pid-", rank)) }
func (d *doomed) dead() string            { return filepath.Join(d.folder, "dead") }

// ours reports whether a process runs our program.
func ours(pid int) bool {
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	return err == nil && exe == filepath.Join(bin, "survivor")
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// right compares what a job of survivor gave with what it should.
func right(mode, folder string, items int, out string) bool {
	if mode == "managed" || mode == "seq" {
		for i := range items {
			text, err := os.ReadFile(filepath.Join(folder, fmt.Sprint("item-", i)))
			if err != nil || string(text) != survivorValue(i) {
				return false
			}
		}
		return out == ""
	}
	lines := strings.SplitAfter(out, "\n")
	seen := make([]bool, items)
	for k, line := range lines[:len(lines)-1] {
		number, _, _ := strings.Cut(line, " ")
		i, err := strconv.Atoi(number)
		if err != nil || i < 0 || i >= items || seen[i] || mode != "unordered" && i != k || line != fmt.Sprintf("%d %s\n", i, survivorValue(i)) {
			return false
		}
		seen[i] = true
	}
	return len(lines) == items+1 && lines[items] == ""
}

// survivorValue is what item i of survivor gives.
func survivorValue(i int) string {
	sum := sha256.Sum256([]byte(strconv.Itoa(i)))
	return fmt.Sprintf("%x", sum)[:1+i%64] + fmt.Sprintf("%0*d", i%97, i)
}
