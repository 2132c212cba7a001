package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// build makes a selftest with flags of its own.
func build(t *testing.T, flags ...string) string {
	t.Helper()
	program := filepath.Join(tempDir(t), "selftest")
	words := append(append([]string{"build", "-o", program}, flags...), "./testdata/selftest")
	c := exec.Command("go", words...)
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return program
}

// edited returns the flag that builds with one change in a source file.
func edited(t *testing.T, file, old, new string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	require.NoError(t, err)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), old), "%s says %s once", file, old)
	dir := tempDir(t)
	changed, overlay := filepath.Join(dir, "changed.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(changed, []byte(strings.Replace(string(text), old, new, 1)), 0o600))
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(overlay, list, 0o600))
	return "-overlay=" + overlay
}

// protocol is auth.Protocol, and ahead the one that comes after it.
const (
	protocol = 4
	ahead    = protocol + 1
)

// nextProtocol is a selftest of a dlp whose protocol is one further.
func nextProtocol(t *testing.T) string {
	return build(t, edited(t, "../mpi/internal/auth/auth.go", fmt.Sprintf("const Protocol = %d\n", protocol), fmt.Sprintf("const Protocol = %d\n", ahead)))
}

// otherBuild is a selftest of the same sources that says another word.
func otherBuild(t *testing.T) string {
	return build(t, edited(t, "testdata/selftest/main.go", `fmt.Println("meeting")`, `fmt.Println("gathering")`))
}

// pair runs rank 0 and rank 1 of a job by hand, which differ in their programs.
func pair(t *testing.T, root, other string, changes ...string) (results [2]result) {
	t.Helper()
	_, env := byHand(t, 2)
	var job sync.WaitGroup
	for r, program := range []string{root, other} {
		job.Go(func() { results[r] = start(t, env(r, append([]string{"DLP_INIT_TIMEOUT=1h"}, changes...)...), program) })
	}
	job.Wait()
	return results
}

// Two programs of one job that were built of two versions of dlp: both ends name
// both, in one line, at once, though they would wait for an hour.
func TestOtherProtocol(t *testing.T) {
	old, next := filepath.Join(bin, "selftest"), nextProtocol(t)
	for _, c := range []struct {
		name, root, other string
		its, ours         int
	}{
		{"an older root", old, next, ahead, protocol},
		{"a newer root", next, old, protocol, ahead},
	} {
		for _, inTLS := range []string{"DLP_TLS=0", "DLP_TLS=1"} {
			t.Run(c.name+" "+inTLS, func(t *testing.T) {
				r := pair(t, c.root, c.other, inTLS)
				require.Equal(t, 1, r[0].status, "%v", r[0])
				require.Regexp(t, fmt.Sprintf(`^dlp: rank 1 \(127\.0\.0\.1:\d+\): it speaks protocol %d, this program %d: build all ranks with one version of dlp\n$`, c.its, c.ours), r[0].stderr)
				require.Equal(t, 1, r[1].status, "%v", r[1])
				require.Regexp(t, fmt.Sprintf(`^dlp: rank 1 could not join its job \(DLP_RENDEZVOUS, tcp:127\.0\.0\.1:\d+\): this program speaks protocol %d, the other end %d: build all ranks with one version of dlp\n$`, c.its, c.ours), r[1].stderr)
			})
		}
	}
}

// The same where a launcher starts the ranks: no rank waits for its time to be over.
func TestOtherProtocolUnderEveryLauncher(t *testing.T) {
	t.Parallel()
	next := nextProtocol(t)
	script := filepath.Join(tempDir(t), "mixed")
	const mixed = `#!/bin/sh
case "$DLP_RANK$PMI_RANK$PMI_ID$OMPI_COMM_WORLD_RANK$SLURM_PROCID" in *1) exec %s;; *) exec %s;; esac
`
	require.NoError(t, os.WriteFile(script, fmt.Appendf(nil, mixed, next, filepath.Join(bin, "selftest")), 0o755))
	for _, l := range launchers(t) {
		l.env = append(l.env, "DLP_INIT_TIMEOUT=1h")
		t.Run(l.name, func(t *testing.T) {
			r := start(t, l.env, l.command(3, script)...)
			require.NotZero(t, r.status, "%v", r)
			require.Regexp(t, fmt.Sprintf(`protocol %d, (this program|the other end) %d: build all ranks with one version of dlp`, ahead, protocol), r.stderr)
		})
	}
}

// The same where dlprun itself is of another version than the program.
func TestOtherProtocolThanDlprun(t *testing.T) {
	r := start(t, nil, dlprun.command(1, nextProtocol(t))...)
	require.Equal(t, 1, r.status, "%v", r)
	require.Contains(t, r.stderr, fmt.Sprintf("this program speaks protocol %d, the other end %d: build all ranks with one version of dlp\n", ahead, protocol))
	require.Regexp(t, fmt.Sprintf(`(?m)^dlprun: rank 0 \(.*\): it speaks protocol %d, this program %d: build all ranks with one version of dlp$`, ahead, protocol), r.stderr)
}

// A process of another version that comes as a rank which is there already is
// refused, and the job goes on.
func TestStrayOfAnotherProtocol(t *testing.T) {
	next := nextProtocol(t)
	_, env := byHand(t, 2)
	enough := filepath.Join(tempDir(t), "enough")
	var peer result
	var job sync.WaitGroup
	job.Go(func() { peer = start(t, env(1), filepath.Join(bin, "selftest"), "until", enough) })
	root := startAnd(t, env(0), "meeting", func(*os.Process) {
		r := start(t, env(1), next)
		require.Equal(t, 1, r.status, "%v", r)
		require.NoError(t, os.WriteFile(enough, nil, 0o600))
	}, filepath.Join(bin, "selftest"), "until", enough)
	job.Wait()
	require.Zero(t, root.status, "%v", root)
	require.Zero(t, peer.status, "%v", peer)
	require.Regexp(t, fmt.Sprintf(`^dlp: rank 0: a connection from 127\.0\.0\.1:\d+ was dropped: it speaks protocol %d, this program %d: build all ranks with one version of dlp\n$`, ahead, protocol), root.stderr)
}

// A root that only says it is of another protocol, and proves nothing, may be
// anybody; where nobody else can be meant, that is the end as well.
func TestOtherProtocolWithoutProof(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			answer := append([]byte("DLP?\x63\x00"), make([]byte, 66)...) // protocol 99
			conn.Write(answer)
			defer conn.Close()
		}
	}()
	_, env := byHand(t, 2)
	r := start(t, env(1, "DLP_RENDEZVOUS="+ln.Addr().String(), "DLP_INIT_TIMEOUT=1h"), filepath.Join(bin, "selftest"))
	require.Equal(t, 1, r.status, "%v", r)
	require.Equal(t, 1, strings.Count(r.stderr, "\n"), "%v", r)
	require.Contains(t, r.stderr, fmt.Sprintf("this program speaks protocol %d, the other end 99: build all ranks with one version of dlp", protocol))
}

// Two builds of one version: the same, and DLP_BUILD=any lets them work together.
func TestOtherBuild(t *testing.T) {
	selftest, other := filepath.Join(bin, "selftest"), otherBuild(t)
	for _, programs := range [][2]string{{selftest, other}, {other, selftest}} {
		r := pair(t, programs[0], programs[1])
		for k, begin := range []string{`dlp: rank 1 \(127\.0\.0\.1:\d+\): `, `dlp: rank 1 could not join its job \(DLP_RENDEZVOUS, tcp:127\.0\.0\.1:\d+\): `} {
			require.Equal(t, 1, r[k].status, "%v", r[k])
			require.Regexp(t, `^`+begin+`another build of the program \([0-9a-f]{8}\) than that of the ranks before it \([0-9a-f]{8}\): start one binary everywhere, or set DLP_BUILD=any\n$`, r[k].stderr)
		}
		r = pair(t, programs[0], programs[1], "DLP_BUILD=any")
		for k, want := range []string{"selftest: 2 ranks agree\n", ""} {
			require.Zero(t, r[k].status, "%v", r[k])
			require.Equal(t, want, r[k].stdout)
			require.Empty(t, r[k].stderr)
		}
	}
}
