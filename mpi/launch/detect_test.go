//go:build unix

package launch_test

import (
	"maps"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/dlprun/dlp/mpi/launch"
)

const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// byHand is a whole set of variables.
var byHand = map[string]string{"DLP_RANK": "1", "DLP_SIZE": "3", "DLP_RENDEZVOUS": "node1:4000", "DLP_SECRET": digits}

// detect is Detect in an environment of base with changes.
func detect(base map[string]string, changes ...string) (launch.Job, error) {
	vars := maps.Clone(base)
	if vars == nil {
		vars = map[string]string{}
	}
	for _, c := range changes {
		name, value, _ := strings.Cut(c, "=")
		vars[name] = value
	}
	return launch.Detect(func(name string) string { return vars[name] })
}

func TestDetectNothing(t *testing.T) {
	for _, changes := range [][]string{nil, {"DLP_LAUNCHER=none"}, {"DLP_LAUNCHER=auto"}, {"DLP_SECRET=" + digits}} {
		job, err := detect(nil, changes...)
		require.NoError(t, err)
		require.Equal(t, "none", job.Launcher)
		require.Equal(t, 1, job.Size)
		require.Zero(t, job.Rank)
		require.Equal(t, launch.DefaultInitTimeout, job.InitTimeout)
		require.Equal(t, launch.Build(), job.Build)
	}
	job, err := detect(byHand, "DLP_LAUNCHER=none")
	require.NoError(t, err)
	require.Equal(t, 1, job.Size, "what is there does not count")
}

func TestDetectByHand(t *testing.T) {
	for rendezvous, at := range map[string]string{
		"node1:4000": "tcp:node1:4000", "tcp:node1:4000": "tcp:node1:4000", "unix:/tmp/x": "unix:/tmp/x", "[::1]:80": "tcp:[::1]:80",
	} {
		job, err := detect(byHand, "DLP_RENDEZVOUS="+rendezvous)
		require.NoError(t, err)
		require.Equal(t, "env", job.Launcher)
		require.Equal(t, 1, job.Rank)
		require.Equal(t, 3, job.Size)
		require.False(t, job.Hosted)
		i, err := job.Meeting.Find(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{at}, i.At)
		require.EqualValues(t, 0x01, i.Secret[0])
		require.EqualValues(t, 0xef, i.Secret[31])
	}
	job, err := detect(byHand, "DLP_LAUNCHER=dlprun")
	require.NoError(t, err)
	require.Equal(t, "dlprun", job.Launcher)
	require.True(t, job.Hosted)
	job, err = detect(nil, "DLP_RANK=0", "DLP_SIZE=1")
	require.NoError(t, err, "one rank meets nobody")
	require.Equal(t, 1, job.Size)
}

func TestSettings(t *testing.T) {
	job, err := detect(byHand, "DLP_INIT_TIMEOUT=5m", "DLP_TRANSPORT=tcp", "DLP_INTERFACE=eth7", "DLP_BUILD=any", "DLP_BACKEND=embedded")
	require.NoError(t, err)
	require.Equal(t, 5*time.Minute, job.InitTimeout)
	require.Equal(t, "tcp", job.Transport)
	require.Equal(t, "eth7", job.Interface)
	require.Zero(t, job.Build)
	job, err = detect(nil, "DLP_INIT_TIMEOUT=7")
	require.NoError(t, err)
	require.Equal(t, 7*time.Second, job.InitTimeout)
}

func TestDetectErrors(t *testing.T) {
	for change, want := range map[string]string{
		"DLP_RANK=":                     "DLP_RANK",
		"DLP_SIZE=":                     "DLP_SIZE",
		"DLP_RENDEZVOUS=":               "DLP_RENDEZVOUS is missing",
		"DLP_SECRET=":                   "DLP_SECRET is not set: give all ranks the same 64 hexadecimal digits",
		"DLP_SECRET=abc":                "DLP_SECRET is not 64 hexadecimal digits",
		"DLP_SECRET=x" + digits[1:]:     "DLP_SECRET is not 64 hexadecimal digits",
		"DLP_SECRET=" + digits + "00":   "DLP_SECRET is not 64 hexadecimal digits",
		"DLP_RANK=3":                    `DLP_RANK is "3": use a number from 0 to 2`,
		"DLP_RANK=-1":                   `DLP_RANK is "-1"`,
		"DLP_RANK=one":                  `DLP_RANK is "one"`,
		"DLP_SIZE=0":                    `DLP_SIZE is "0": use the number of ranks, 1 or more`,
		"DLP_SIZE=3.5":                  `DLP_SIZE is "3.5"`,
		"DLP_SIZE=99999999999999999999": "DLP_SIZE is",
		"DLP_SECRET_FD=2":               `DLP_SECRET_FD is "2": use the number of an open descriptor, 3 or more`,
		"DLP_SECRET_FD=x":               `DLP_SECRET_FD is "x"`,
		"DLP_SECRET_FD=999999":          "the secret can't be read from descriptor 999999",
		"DLP_LAUNCHER=horse":            `DLP_LAUNCHER is "horse": use auto, none`,
		"DLP_TRANSPORT=shm2":            `DLP_TRANSPORT is "shm2": use auto, shm, unix, tcp`,
		"DLP_BACKEND=openmpi":           `DLP_BACKEND is "openmpi": use auto, embedded`,
		"DLP_BUILD=1":                   `DLP_BUILD is "1": use same, any`,
		"DLP_INIT_TIMEOUT=soon":         `DLP_INIT_TIMEOUT is "soon": use seconds (300) or a duration (5m)`,
		"DLP_INIT_TIMEOUT=0":            `DLP_INIT_TIMEOUT is "0"`,
		"DLP_INIT_TIMEOUT=-3s":          `DLP_INIT_TIMEOUT is "-3s"`,
	} {
		_, err := detect(byHand, change)
		require.ErrorContains(t, err, want, change)
		require.NotContains(t, err.Error(), "\n")
	}
	for _, launcher := range []string{"env", "dlprun"} {
		_, err := detect(nil, "DLP_LAUNCHER="+launcher)
		require.ErrorContains(t, err, `DLP_LAUNCHER is "`+launcher+`"`)
	}
}

func TestSecretFromADescriptor(t *testing.T) {
	for text, ok := range map[string]bool{digits: true, digits + "\n": true, digits[:60]: false, "": false, digits + digits: false} {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		_, err = w.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		// Detect owns and closes the descriptor: give it one of its own.
		fd := dup(t, r)
		require.NoError(t, r.Close())
		job, err := detect(byHand, "DLP_SECRET=", "DLP_SECRET_FD="+strconv.Itoa(fd))
		if !ok {
			require.Error(t, err, "%q", text)
			continue
		}
		require.NoError(t, err)
		i, err := job.Meeting.Find(t.Context())
		require.NoError(t, err)
		require.EqualValues(t, 0x23, i.Secret[1])
	}
}

func TestListenIP(t *testing.T) {
	for _, test := range []struct{ iface, toHub, want string }{
		{"", "", "127.0.0.1"}, {"", "10.0.0.7", "10.0.0.7"}, {"10.1.2.3", "10.0.0.7", "10.1.2.3"}, {"::1", "", "::1"}, {"lo", "10.0.0.7", "127.0.0.1"},
	} {
		got, err := launch.ListenIP(test.iface, test.toHub)
		require.NoError(t, err)
		require.Equal(t, test.want, got, "%+v", test)
	}
	_, err := launch.ListenIP("no-such-0", "")
	require.EqualError(t, err, `DLP_INTERFACE is "no-such-0": neither an address nor a network interface of this host`)
}
