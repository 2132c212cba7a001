package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// mpirun finds Open MPI's launcher.
func (w *workshop) mpirun(ctx context.Context) (string, error) {
	return w.once("mpirun", func() (string, error) {
		for _, name := range []string{"mpirun.openmpi", "mpirun"} {
			version, err := command{args: []string{name, "--version"}}.output(ctx)
			if err == nil && (strings.Contains(version, "Open MPI") || strings.Contains(version, "OpenRTE")) {
				return name, nil
			}
		}
		return "", &missingError{"Open MPI"}
	})
}

// mpicc finds the C compiler that belongs to the launcher.
func (w *workshop) mpicc(ctx context.Context) (string, error) {
	mpirun, err := w.mpirun(ctx)
	if err != nil {
		return "", err
	}
	return installed("the headers of Open MPI", "mpicc"+strings.TrimPrefix(mpirun, "mpirun"))
}

// underOpenMPI is a command on np ranks under Open MPI. Ranks are bound to no
// processor, as dlprun's are, and may be more than there are processors.
func (w *workshop) underOpenMPI(ctx context.Context, np int, args ...string) (command, error) {
	mpirun, err := w.mpirun(ctx)
	if err != nil {
		return command{}, err
	}
	tmp, err := os.MkdirTemp(w.folder, "ompi-") // of its own, so that jobs don't meet
	if err != nil {
		return command{}, err
	}
	launch := []string{mpirun, "--oversubscribe", "--bind-to", "none", "--mca", "orte_tmpdir_base", tmp, "-np", strconv.Itoa(np)}
	return command{
		args: append(launch, args...),
		env:  []string{"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"},
	}, nil
}

// oursUnderOpenMPI is one of our programs, built with the tag mpi.
func (w *workshop) oursUnderOpenMPI(ctx context.Context, np int, args ...string) (command, error) {
	if _, err := w.once("speaks MPI", func() (string, error) { return "", w.speaksMPI(ctx) }); err != nil {
		return command{}, err
	}
	return w.mpiBuild(ctx, np, args...)
}

// goProgramMPI builds a Go program of the module with the tag mpi.
func (w *workshop) goProgramMPI(ctx context.Context, pkg string) (string, error) {
	mpicc, err := w.mpicc(ctx)
	if err != nil {
		return "", err
	}
	path := filepath.Join(w.folder, filepath.Base(pkg)+"-mpi")
	c := command{args: []string{"go", "build", "-tags", "mpi", "-o", path, pkg}, env: []string{"CGO_ENABLED=1"}, dir: w.root}
	for name, flag := range map[string]string{"CGO_CFLAGS": "--showme:compile", "CGO_LDFLAGS": "--showme:link"} {
		flags, err := command{args: []string{mpicc, flag}}.output(ctx)
		if err != nil {
			return "", err
		}
		c.env = append(c.env, name+"="+strings.TrimSpace(flags))
	}
	return w.build(ctx, path, c)
}

func (w *workshop) mpiBuild(ctx context.Context, np int, args ...string) (command, error) {
	program, err := w.goProgramMPI(ctx, ourPrograms)
	if err != nil {
		return command{}, err
	}
	c, err := w.underOpenMPI(ctx, np, append([]string{program}, args...)...)
	c.env = append(c.env, "DLP_PROGRESS=off", "DLP_BACKEND=mpi")
	return c, err
}

// speaksMPI fails if what the tag mpi gives are ranks that don't speak MPI.
func (w *workshop) speaksMPI(ctx context.Context) error {
	c, err := w.mpiBuild(ctx, 2, "backend")
	if err != nil {
		return err
	}
	backend, err := c.output(ctx)
	if err != nil || strings.TrimSpace(backend) != "mpi" {
		return &missingError{notBuilt}
	}
	return nil
}
