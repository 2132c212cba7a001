package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
	jobs, _ := strconv.Atoi(os.Getenv("DLP_SOAK")) // 0 if it is not set
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
	fmt.Printf("random killer from seed %d: %+v\n", seed, c.all)
	require.Zero(t, c.all.Wrong+c.all.Hangs+c.all.Failed, "%+v", c.all)
	require.Positive(t, c.all.Kills)
}

// counts are of all jobs of the random killer.
type counts struct {
	mu  sync.Mutex
	all struct{ Jobs, Kills, Hangs, Wrong, Finished, Blamed, Failed int }
}

// kill starts one job and kills some of its ranks.
func kill(t *testing.T, seed uint64, c *counts) {
	rng := rand.New(rand.NewPCG(seed, 0))
	folder := tempDir(t)
	defer os.RemoveAll(folder)
	ranks, items := 3+rng.IntN(4), 100+rng.IntN(400)
	mode := []string{"map", "unordered", "collect", "managed", "seq"}[rng.IntN(5)]
	words := []string{filepath.Join(bin, "dlprun"), "-np", strconv.Itoa(ranks), "--on-failure=continue", filepath.Join(bin, "survivor"),
		"-mode", mode, "-folder", folder, "-items", strconv.Itoa(items), "-pause", fmt.Sprint(time.Duration(rng.IntN(5)) * time.Millisecond),
		"-workers", strconv.Itoa(1 + rng.IntN(3)), "-window", strconv.Itoa(1 + rng.IntN(100)), "-chunk", strconv.Itoa(rng.IntN(4))}
	if mode != "seq" && rng.IntN(4) == 0 {
		words = append(words, "-journal", filepath.Join(folder, "journal"))
	}
	victims := rng.Perm(ranks - 1)[:min(1+rng.IntN(3), ranks-2)]
	job, cancel := command(t, nil, words...)
	defer cancel()
	var out, errs bytes.Buffer
	job.Stdout, job.Stderr = &out, &errs
	if err := job.Start(); err != nil {
		t.Error(err)
		return
	}
	ended, killed := make(chan struct{}), make(chan int)
	go func() { killed <- killRanks(rng, folder, ranks, victims, ended) }()
	err := job.Wait()
	close(ended)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Jobs++
	c.all.Kills += <-killed
	switch status := job.ProcessState.ExitCode(); {
	case status < 0:
		c.all.Hangs++
	case status > 0 && strings.Contains(errs.String(), "it killed 3 ranks"):
		c.all.Blamed++ // by chance, one item was in hand three times
	case status > 0 || err != nil:
		c.all.Failed++
		t.Errorf("seed %d: %v: %v\n%s", seed, words, err, errs.String())
	case !right(mode, folder, items, out.String()):
		c.all.Wrong++
		t.Errorf("seed %d: %v gives\n%s\n%s", seed, words, out.String(), errs.String())
	default:
		c.all.Finished++
	}
}

// killRanks kills ranks at random moments after they have joined, as long as the job
// lasts, and returns how many it did. A rank is known by the file with its pid, which
// it has just written, so that no other process can have that pid yet: its parent,
// dlprun, waits for it, and has not ended.
func killRanks(rng *rand.Rand, folder string, ranks int, victims []int, ended <-chan struct{}) (kills int) {
	for r := range ranks { // all have joined when one has written its file; and killing must not catch them earlier
		for !exists(filepath.Join(folder, fmt.Sprint("pid-", r))) {
			select {
			case <-ended:
				return 0
			case <-time.After(time.Millisecond):
			}
		}
	}
	for _, v := range victims {
		select {
		case <-ended:
			return kills
		case <-time.After(time.Duration(rng.IntN(60)) * time.Millisecond):
		}
		text, err := os.ReadFile(filepath.Join(folder, fmt.Sprint("pid-", v+1)))
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(string(text)); err == nil && ours(pid) && syscall.Kill(pid, syscall.SIGKILL) == nil {
			kills++
		}
	}
	return kills
}

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
