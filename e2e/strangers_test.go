package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// byHand is a job of n ranks that find each other by variables alone, at a TCP
// port of this machine.
func byHand(t *testing.T, n int) (at string, env func(rank int, changes ...string) []string) {
	at = fmt.Sprintf("127.0.0.1:%d", ports(t, 1)[0])
	return at, func(rank int, changes ...string) []string {
		return append([]string{fmt.Sprint("DLP_RANK=", rank), fmt.Sprint("DLP_SIZE=", n), "DLP_RENDEZVOUS=" + at,
			"DLP_SECRET=" + strings.Repeat("1f", 32), "DLP_TRANSPORT=tcp"}, changes...)
	}
}

// 10,000 connections that send garbage, send nothing, or send half a greeting
// change nothing in a job whose root they go to. Root's descriptors suffice for
// a few of them only.
func TestStrangersAtTheRoot(t *testing.T) {
	const ranks = 3
	at, env := byHand(t, ranks)
	words := [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: dlp\r\nUser-Agent: scanner\r\nAccept: */*\r\nX-Padding: 0123456789012345678901234567890123456789\r\n\r\n"),
		nil,                            // idle
		[]byte("DLP?\x01\x00\x01\x00"), // half-open: the beginning of a greeting
		[]byte(strings.Repeat("\x00", 96)),
		[]byte("DLP?\x01\x00" + strings.Repeat("\xff", 500)),
	}
	var knocking sync.WaitGroup
	enough := make(chan struct{}) // 10,000 have knocked
	over := make(chan struct{})   // the job is
	count := make(chan struct{})
	for k := range 8 {
		knocking.Go(func() {
			var open []net.Conn
			defer func() {
				for _, c := range open {
					c.Close()
				}
			}()
			for i := k; ; i++ {
				select {
				case <-over:
					return
				case <-enough:
					<-over // those that are open stay so
					return
				default:
				}
				conn, err := net.Dial("tcp", at)
				if err != nil {
					continue // nobody listens yet, or the backlog is full
				}
				conn.Write(words[i%len(words)]) // it may have been dropped already
				if open = append(open, conn); len(open) > 200 {
					open[0].Close()
					open = open[1:]
				}
				select {
				case count <- struct{}{}:
				case <-over:
				}
			}
		})
	}
	go func() {
		for range 10_000 {
			select {
			case <-count:
			case <-over:
				return
			}
		}
		close(enough)
	}()
	results := make([]result, ranks)
	var job sync.WaitGroup
	for r := range ranks {
		job.Go(func() {
			limit := "ulimit -n 400; exec \"$@\""
			results[r] = start(t, env(r), "bash", "-c", limit, "bash", filepath.Join(bin, "selftest"), "until", filepath.Join(bin, "enough"))
		})
	}
	go func() {
		<-enough
		if err := os.WriteFile(filepath.Join(bin, "enough"), nil, 0o600); err != nil {
			t.Error(err)
		}
	}()
	job.Wait()
	close(over)
	knocking.Wait()
	for r := range ranks {
		require.Zero(t, results[r].status, "rank %d: %v", r, results[r])
	}
	require.Equal(t, fmt.Sprintf("meeting\nselftest: %d ranks agree\n", ranks), results[0].stdout)
	require.Less(t, strings.Count(results[0].stderr, "\n"), 300, "they are mentioned at a limited rate: %v", results[0])
}

// Who can't belong to the job is told so in one line, and the job goes on.
func TestRefusedProcesses(t *testing.T) {
	at, env := byHand(t, 2)
	var first sync.WaitGroup
	var root result
	first.Go(func() { root = start(t, env(0), filepath.Join(bin, "selftest")) })
	until(t, "the root listens", listening(at))
	selftest := filepath.Join(bin, "selftest")
	for _, stranger := range []struct {
		name, change, want string
	}{
		{"a wrong secret", "DLP_SECRET=" + strings.Repeat("2e", 32), "the other end does not hold this job's secret (another job, or DLP_SECRET differs)"},
		{"another size", "DLP_SIZE=3", "rank 1 believes the job has 3 ranks; it has 2"},
		{"a doubled rank", "DLP_RANK=0", "address already in use; choose another address"},
	} {
		t.Run(stranger.name, func(t *testing.T) {
			r := start(t, env(1, stranger.change), selftest)
			require.Equal(t, 1, r.status, "%v", r)
			require.Equal(t, 1, strings.Count(r.stderr, "\n"), "%v", r)
			require.Contains(t, r.stderr, stranger.want)
		})
	}
	r := start(t, env(1), selftest)
	require.Zero(t, r.status, "%v", r)
	first.Wait()
	require.Zero(t, root.status, "%v", root)
}

// listening returns a function that reports whether somebody listens there.
func listening(at string) func() bool {
	return func() bool {
		conn, err := net.Dial("tcp", at)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
}
