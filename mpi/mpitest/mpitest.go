// Package mpitest runs the body of a test on the ranks of real jobs.
package mpitest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

// Transports are the ways between ranks that Run tries: goroutines of this
// process; processes as a job on one host has them, which share memory where the
// system allows it; and processes that use nothing but unix sockets, or TCP.
var Transports = []string{"inproc", "auto", "unix", "tcp"}

// Bound is how long one job may take before Run ends it and fails the test.
const Bound = 2 * time.Minute

// childEnv tells a process that Run started which subtest's body to run.
const childEnv = "DLP_MPITEST"

// Run runs body on n ranks, once over each of Transports, each as a subtest of
// t with the name of the transport. The test fails if body returns an error on
// any rank, and if a job does not end within Bound; the errors name their ranks.
//
// For ranks that are processes, Run starts the test binary again, once for each
// rank, and lets it run this test only: what the test does before Run is done
// in each of them, and body must not use t.
//
// In a process that World has made a rank, Run runs body on the ranks of that job,
// once.
func Run(t *testing.T, n int, body func(ctx context.Context, c *mpi.Comm) error) {
	t.Helper()
	if world != nil {
		t.Run(world.Backend(), func(t *testing.T) { onWorld(t, n, body) })
		return
	}
	for _, transport := range Transports {
		t.Run(transport, func(t *testing.T) {
			if os.Getenv(childEnv) == t.Name() {
				runChild(body)
			}
			ctx, cancel := context.WithTimeout(t.Context(), Bound)
			defer cancel()
			var err error
			if transport == "inproc" {
				err = mpi.RunLocal(ctx, n, body)
			} else {
				err = start(ctx, t.Name(), n, transport)
			}
			if err != nil {
				t.Errorf("%d ranks over %s: %v", n, transport, err)
			}
		})
	}
}

// runChild is the whole life of a rank that is a process.
func runChild(body func(ctx context.Context, c *mpi.Comm) error) {
	if err := os.Unsetenv(childEnv); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	mpi.Main(body)
	os.Exit(0)
}

// start runs n processes as the ranks of a job and waits for them.
func start(ctx context.Context, name string, n int, transport string) error {
	dir, err := os.MkdirTemp("", "dlp-") // unix sockets need short paths, t.TempDir's may be long
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	addr := "unix:" + dir + "/hub"
	if transport == "tcp" {
		addr = "tcp:127.0.0.1:0"
	}
	var mu sync.Mutex
	var cause error // the first failure; the others are mostly its consequences
	finalized := make([]bool, n)
	fail := func(rank int, reason string) {
		mu.Lock()
		defer mu.Unlock()
		if cause == nil {
			cause = fmt.Errorf("rank %d: %s", rank, reason)
		}
	}
	secret := launch.NewSecret()
	hub, err := launch.ListenHub(addr, launch.HubConfig{Size: n, Secret: secret, OnEvent: func(e launch.Event) {
		switch e.Kind {
		case launch.Finalized:
			mu.Lock()
			finalized[e.Rank] = true
			mu.Unlock()
		case launch.Failed:
			fail(e.Rank, e.Reason)
		case launch.Lost:
			fail(e.Rank, launch.Vanished)
		}
	}})
	if err != nil {
		return err
	}
	var ranks sync.WaitGroup
	outputs := make([]bytes.Buffer, n)
	for r := range n {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run="+exactly(name), "-test.count=1")
		out := &outputs[r]
		cmd.Stdout, cmd.Stderr = out, out
		cmd.WaitDelay = 5 * time.Second // what a rank has started may hold its output
		cmd.Env = append(os.Environ(), childEnv+"="+name, "DLP_LAUNCHER=dlprun", "DLP_RANK="+strconv.Itoa(r), "DLP_SIZE="+strconv.Itoa(n),
			"DLP_RENDEZVOUS="+hub.Addr(), "DLP_SECRET="+hex.EncodeToString(secret[:]), "DLP_TRANSPORT="+transport)
		ranks.Go(func() {
			if err := cmd.Run(); err != nil {
				fail(r, err.Error())
			}
		})
	}
	ranks.Wait()
	if r := slices.Index(finalized, false); r >= 0 {
		fail(r, "it ended without having run the test")
	}
	err = errors.Join(cause, hub.Close())
	for r := range outputs {
		if text := outputs[r].String(); err != nil && text != "" {
			err = fmt.Errorf("%w\nrank %d printed:\n%s", err, r, text)
		}
	}
	return err
}

// exactly is a -test.run pattern for one test.
func exactly(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = "^" + regexp.QuoteMeta(p) + "$"
	}
	return strings.Join(parts, "/")
}
