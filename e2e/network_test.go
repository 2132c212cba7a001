package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/internal/proxytest"
)

// stormJobs is how many jobs TestRandomNetwork starts where DLP_SOAK does not say.
const stormJobs = 16

// TestRandomNetwork lets random faults happen at random moments to what one rank of a
// job says and hears, and looks at what comes of it. `make soak` lets it start more jobs.
func TestRandomNetwork(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	jobs, err := strconv.Atoi(os.Getenv("DLP_SOAK"))
	if err != nil { // it is not set
		jobs = stormJobs
	}
	s := &storms{}
	t.Cleanup(func() {
		fmt.Printf("tried: random network from seed %d: %+v\n", seed, s.all)
	})
	for k := range jobs {
		t.Run(fmt.Sprint(seed+uint64(k)), func(t *testing.T) {
			t.Parallel()
			s.job(t, rand.New(rand.NewPCG(seed+uint64(k), 0)))
		})
	}
}

// storms counts what was tried, and what came of it.
type storms struct {
	mu  sync.Mutex
	all struct {
		Jobs, Slow, Stop, Corrupt, HalfClose, Reset, NotHit int // faults
		Finished, GoneOn, Ended, Hangs, Wrong               int // jobs
	}
}

// A storm is what happens to one job.
type storm struct {
	slow          proxytest.Way
	fault         proxytest.Fault
	session, data bool
	after         time.Duration // since all have joined, where the job goes on, else since the start
}

func newStorm(rng *rand.Rand) storm {
	s := storm{fault: proxytest.Fault(rng.IntN(5)), after: time.Duration(rng.IntN(300)) * time.Millisecond}
	if s.fault == proxytest.None || rng.IntN(3) == 0 {
		s.slow.Delay = time.Duration(rng.IntN(20)) * time.Millisecond
		s.slow.Jitter = time.Duration(rng.IntN(20)) * time.Millisecond
		s.slow.Rate = (1 + rng.IntN(10)) << 20
	}
	which := 1 + rng.IntN(3)
	s.session, s.data = which&1 != 0, which&2 != 0
	return s
}

func (s *storms) job(t *testing.T, rng *rand.Rand) {
	w, goesOn := newStorm(rng), rng.IntN(2) == 0
	i := newIsland(t, func(bool) (there, back proxytest.Way) { return w.slow, w.slow })
	over := make(chan struct{})
	folder := tempDir(t)
	var hit sync.WaitGroup
	hit.Go(func() { i.hit(w, folder, goesOn, over) })
	const items = 200
	mode := modes[rng.IntN(len(modes))]
	var env []string
	program := []string{"selftest"}
	if goesOn {
		env = []string{"DLP_ON_FAILURE=continue"}
		program = []string{"survivor", "-mode", mode, "-folder", folder, "-items", strconv.Itoa(items), "-pause", "4ms"}
	}
	results := i.run(env, "", nil, program...)
	close(over)
	hit.Wait()
	out := results[0].stdout
	ok := out == "selftest: 3 ranks agree\n"
	if goesOn {
		ok = right(mode, folder, items, out)
	}
	what := fmt.Sprintf("%+v on %v: %v", w, program, results)
	s.count(t, w, i.struck(), goesOn, ok, results, what)
}

// hit lets the fault happen when its time has come.
func (i *island) hit(w storm, folder string, goesOn bool, over <-chan struct{}) {
	if w.fault == proxytest.None {
		return
	}
	for goesOn && !exists(filepath.Join(folder, fmt.Sprint("pid-", far))) {
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond):
		}
	}
	select {
	case <-over:
	case <-time.After(w.after):
		i.breakAll(w.fault, w.session, w.data)
	}
}

// count judges one job.
func (s *storms) count(t *testing.T, w storm, struck int, goesOn, ok bool, results [islanders]result, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.all
	c.Jobs++
	if w.slow != (proxytest.Way{}) {
		c.Slow++
	}
	if struck > 0 {
		*[]*int{nil, &c.Stop, &c.Corrupt, &c.HalfClose, &c.Reset}[w.fault]++
	} else if w.fault != proxytest.None {
		c.NotHit++ // the job was faster
	}
	root, said := results[0], ""
	for _, r := range results {
		said += r.stderr
		if r.status < 0 {
			c.Hangs++
			require.Fail(t, "it hangs", what)
		}
	}
	switch {
	case root.status == 0 && !ok:
		c.Wrong++
		require.Fail(t, "a wrong result", what)
	case root.status == 0 && results[far].status == 0:
		c.Finished++
	case root.status == 0:
		c.GoneOn++
		require.Positive(t, struck, what)
	default:
		c.Ended++
		require.Positive(t, struck, what)
		require.False(t, goesOn, what)
		require.True(t, strings.Contains(said, "dlp: "), what)
	}
}
