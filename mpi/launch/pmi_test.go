package launch

import (
	"bufio"
	"context"
	"crypto/rand"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pmiServer answers each line that a client sends with the next of replies, and
// hangs up after the last one. It returns the client's end, and what it was asked.
func pmiServer(t *testing.T, replies ...string) (*pmi, func() []string) {
	client, server := net.Pipe()
	asked := make(chan []string, 1)
	go func() {
		defer server.Close()
		var lines []string
		r := bufio.NewReader(server)
		for _, reply := range replies {
			line, err := r.ReadString('\n')
			if err != nil {
				break
			}
			lines = append(lines, strings.TrimSpace(line))
			if _, err := server.Write([]byte(reply)); err != nil {
				break
			}
		}
		asked <- lines
	}()
	t.Cleanup(func() { client.Close() })
	return &pmi{conn: client, r: bufio.NewReader(client)}, func() []string { return <-asked }
}

// Two ranks meet through the store, as Hydra words its replies and as Slurm does.
func TestStore(t *testing.T) {
	in := Invitation{At: []string{"unix:@dlp-x", "tcp:10.0.0.1:7000"}, Secret: NewSecret()}
	for name, hello := range map[string][]string{
		"Hydra": {
			"cmd=response_to_init pmi_version=1 pmi_subversion=1 rc=0\n", "cmd=my_kvsname kvsname=k\n",
			"cmd=put_result rc=0 msg=success\n", "cmd=barrier_out\n", "cmd=finalize_ack\n",
		},
		"Slurm": {
			"cmd=response_to_init rc=0 pmi_version=1 pmi_subversion=1\n", "cmd=my_kvsname rc=0 kvsname=k\n",
			"cmd=put_result rc=0\n", "cmd=barrier_out rc=0\n", "cmd=finalize_ack rc=0\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, asked := pmiServer(t, hello...)
			require.NoError(t, p.init())
			s := &store{pmi: p, size: 2}
			require.NoError(t, s.Publish(context.Background(), in))
			require.NoError(t, s.Joined())
			require.NoError(t, s.Leave(3))
			lines := asked()
			require.Equal(t, "cmd=init pmi_version=1 pmi_subversion=1", lines[0])
			require.Equal(t, "cmd=put kvsname=k key=dlp.0 value="+in.encode(), lines[2])
			require.Equal(t, []string{"cmd=barrier_in", "cmd=finalize"}, lines[3:])
		})
	}
	p, _ := pmiServer(t, "cmd=barrier_out\n", "cmd=get_result value="+in.encode()+" msg=success rc=0\n")
	got, err := (&store{pmi: p, size: 2}).Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, in, got)
}

// A rank that could not join has the launcher end the job.
func TestStoreAborts(t *testing.T) {
	client, server := net.Pipe()
	defer client.Close()
	require.NoError(t, (&store{pmi: &pmi{conn: client}, size: 2}).Leave(3))
	line, err := bufio.NewReader(server).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "cmd=abort exitcode=3 message=dlp\n", line)
}

func TestStoreErrors(t *testing.T) {
	for reply, text := range map[string]string{
		"cmd=get_result rc=-1 msg=key_not_found value=unknown\n": "refuses",
		"cmd=get_result rc=1\n":                                  "refuses",
		"cmd=get_result rc=0 value=unknown\n":                    "broken",
		"cmd=get_result rc=0 value=00\n":                         "broken",
		"cmd=something_else\n":                                   "not get_result",
		"":                                                       "no get_result",
	} {
		p, _ := pmiServer(t, "cmd=barrier_out\n", reply)
		_, err := (&store{pmi: p, size: 2}).Find(context.Background())
		require.ErrorContains(t, err, text, "%q", reply)
	}
}

// The barrier of a launcher says nothing of who is missing; the names do.
func TestStoreNamesTheMissing(t *testing.T) {
	client, server := net.Pipe()
	defer server.Close()
	go bufio.NewReader(server).ReadString('\n') // and never answers
	s := &store{pmi: &pmi{conn: client, r: bufio.NewReader(client), kvs: rand.Text()}, size: 3, oneHost: true}
	for _, rank := range []int{0, 2} {
		flag, err := s.bind(rank)
		if err != nil {
			t.Logf("no names here: %v", err)
			return
		}
		defer flag.Close()
	}
	ctx, cancel := context.WithDeadline(context.Background(), time.Now().Add(50*time.Millisecond))
	defer cancel()
	_, err := s.Find(ctx)
	require.ErrorContains(t, err, "missing ranks: of 3, these did not come at all in time: 1")
}
