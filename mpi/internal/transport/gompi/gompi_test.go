//go:build mpi

package gompi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/dlprun/dlp/mpi/internal/transport"
	"github.com/dlprun/dlp/mpi/internal/transport/gompi"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
)

// roleEnv makes this binary a rank that a test has started through mpiexec.
const roleEnv = "GOMPI_TEST_ROLE"

var roles = map[string]func(ctx context.Context, w *gompi.World) error{
	"agent": agent, "errors": errorsOf, "exchange": exchange, "waver": waver,
}

func TestMain(m *testing.M) {
	role := roles[os.Getenv(roleEnv)]
	if role == nil {
		goleak.VerifyTestMain(m)
	}
	ctx := context.Background()
	w, err := gompi.Start(ctx)
	if err == nil {
		err = role(ctx, w)
	}
	if err == nil {
		err = w.Finalize(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// agent has the calls made that the conformance suite asks for.
func agent(ctx context.Context, w *gompi.World) error {
	tr, err := w.New(ctx, os.Getenv("SPIN") == "1")
	if err != nil {
		return err
	}
	if os.Getenv("HIDE") == "1" {
		tr.Hide()
	}
	return transporttest.Serve(w.Rank, tr)
}

func TestConformance(t *testing.T) {
	for _, env := range []string{"SPIN=0", "SPIN=1", "HIDE=1"} {
		t.Run(env, func(t *testing.T) {
			transporttest.Run(t, transporttest.Harness{New: transporttest.Remote(func(t *testing.T, n int) *exec.Cmd {
				return mpiexec(t, n, "agent", env)
			})})
		})
	}
}

// errorsOf prints what MPI says of a rank that does not exist.
func errorsOf(ctx context.Context, w *gompi.World) error {
	tr, err := w.New(ctx, false)
	if err != nil {
		return err
	}
	err = tr.SendTo(99)
	var gone *transport.PeerError
	var said *gompi.Error
	fmt.Println(errors.As(err, &gone) && gone.Rank == 99, errors.As(err, &said) && said.Code != 0, err)
	return tr.Close()
}

// An error of MPI names the rank and the call, and has MPI's own text.
func TestErrorsAreMPIsOwn(t *testing.T) {
	out, err := mpiexec(t, 1, "errors").CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Regexp(t, `^true true rank 99: MPI_Isend: .*[Ii]nvalid rank`, string(out))
}

// exchange compares what all ranks give to each other with what they should.
func exchange(ctx context.Context, w *gompi.World) error {
	for _, size := range []int{0, 1, 1000} {
		own := func(rank int) []byte { return bytes.Repeat([]byte{byte('a' + rank)}, rank*size) } // those of rank 0 are none
		all, err := w.Exchange(ctx, own(w.Rank))
		if err != nil {
			return err
		}
		if len(all) != w.Size {
			return fmt.Errorf("%d ranks have given something, of %d", len(all), w.Size)
		}
		for r, b := range all {
			if !bytes.Equal(b, own(r)) {
				return fmt.Errorf("rank %d has given %q", r, b)
			}
		}
	}
	_, err := gompi.Start(ctx)
	fmt.Println(err)
	return nil
}

func TestExchange(t *testing.T) {
	for n := 1; n <= 4; n++ {
		out, err := mpiexec(t, n, "exchange").CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Equal(t, strings.Repeat("MPI has been started in this process before\n", n), string(out))
	}
}

func TestThreadLevel(t *testing.T) {
	for level, want := range []string{"MPI_THREAD_SINGLE", "MPI_THREAD_FUNNELED", "", ""} {
		err := gompi.CheckLevel(level)
		if want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "grants no more than "+want+", and Go needs MPI_THREAD_SERIALIZED")
	}
}

// mpiexec returns the command that starts n ranks in a role through the launcher
// of the MPI that this binary is linked against.
func mpiexec(t *testing.T, n int, role string, env ...string) *exec.Cmd {
	words := []string{"mpirun.mpich"}
	if strings.HasPrefix(gompi.Version(), "Open MPI") {
		words = []string{"mpirun.openmpi", "--mca", "orte_tmpdir_base", t.TempDir(), "--oversubscribe"}
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", words[0])
		}
		t.Skipf("NOT RUN: %s is not installed (make setup installs it)", words[0])
	}
	words = append(words, "-np", strconv.Itoa(n), os.Args[0])
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute) // t's context ends before the ranks do
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", roleEnv+"="+role)
	cmd.Env = append(cmd.Env, env...)
	return cmd
}
