//go:build mpi

package gompi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/dlprun/dlp/mpi/internal/transport/gompi"
	"github.com/dlprun/dlp/mpi/internal/transport/transporttest"
)

func TestMain(m *testing.M) {
	if transporttest.IsAgent() {
		if err := agent(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// agent is the life of a rank that a test has started through mpiexec.
func agent(ctx context.Context) error {
	w, err := gompi.Start(ctx)
	if err != nil {
		return err
	}
	tr, err := w.New(ctx, os.Getenv("SPIN") == "1")
	if err != nil {
		return err
	}
	return errors.Join(transporttest.Serve(w.Rank, tr), w.Finalize(ctx))
}

func TestConformance(t *testing.T) {
	for _, spin := range []string{"0", "1"} {
		t.Run("spin "+spin, func(t *testing.T) {
			transporttest.Run(t, transporttest.Harness{New: transporttest.Remote(func(t *testing.T, n int) *exec.Cmd {
				cmd := mpiexec(t, n, os.Args[0])
				cmd.Env = append(cmd.Environ(), "SPIN="+spin)
				return cmd
			})})
		})
	}
}

// mpiexec returns the command that starts n processes of a program through the
// launcher of the MPI that this binary is linked against.
func mpiexec(t *testing.T, n int, program ...string) *exec.Cmd {
	words := []string{"mpirun.mpich", "-np", strconv.Itoa(n)}
	if strings.HasPrefix(gompi.Version(), "Open MPI") {
		words = []string{"mpirun.openmpi", "--mca", "orte_tmpdir_base", t.TempDir(), "--oversubscribe", "-np", strconv.Itoa(n)}
	}
	if _, err := exec.LookPath(words[0]); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is not installed", words[0])
		}
		t.Skipf("NOT RUN: %s is not installed (make setup installs it)", words[0])
	}
	cmd := exec.Command(words[0], append(words[1:], program...)...)
	cmd.Env = append(os.Environ(), "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1")
	return cmd
}
