package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// A side is one of those that are measured beside each other.
type side struct {
	name    string                                                  // in the table
	make    func(ctx context.Context, w *workshop) (command, error) // builds what it needs
	measure func(ctx context.Context, c command) (figures, error)   // nil: by the figures that it prints
}

// What is measured when our MPI build is not there.
const notBuilt = "our MPI build"

const (
	ourPrograms = "./bench/ours"
	gompiPeer   = "./bench/peers/gompi"
	typecheck   = "./examples/typecheck"
)

// embedded is our side on np ranks under dlprun.
func embedded(np int, args ...string) side {
	return side{name: "dlp", make: func(ctx context.Context, w *workshop) (command, error) {
		return w.underDlprun(ctx, ourPrograms, np, args...)
	}}
}

// underDlprun is a Go program of the module on np ranks.
func (w *workshop) underDlprun(ctx context.Context, pkg string, np int, args ...string) (command, error) {
	dlprun, err := w.goProgram(ctx, "./cmd/dlprun")
	if err != nil {
		return command{}, err
	}
	program, err := w.goProgram(ctx, pkg)
	return command{
		args: append([]string{dlprun, "-np", strconv.Itoa(np), program}, args...),
		env:  []string{"DLP_PROGRESS=off"},
	}, err
}

// overMPI is our side, built with the tag mpi, on np ranks under Open MPI.
func overMPI(np int, args ...string) side {
	return side{name: "dlp, MPI build", make: func(ctx context.Context, w *workshop) (command, error) {
		return w.oursUnderOpenMPI(ctx, np, args...)
	}}
}

// cMPI is a C peer on np ranks under Open MPI.
func cMPI(name string, np int, program string, args ...string) side {
	return side{name: name, make: func(ctx context.Context, w *workshop) (command, error) {
		mpicc, err := w.mpicc(ctx)
		if err != nil {
			return command{}, err
		}
		path, err := w.c(ctx, mpicc, program)
		if err != nil {
			return command{}, err
		}
		return w.underOpenMPI(ctx, np, append([]string{path}, args...)...)
	}}
}

// gompi is the Go peer that has nothing but gompi.
func gompi(np int, args ...string) side {
	return side{name: "Go, gompi", make: func(ctx context.Context, w *workshop) (command, error) {
		path, err := w.goProgramMPI(ctx, gompiPeer)
		if err != nil {
			return command{}, err
		}
		return w.underOpenMPI(ctx, np, append([]string{path}, args...)...)
	}}
}

// pythonMPI is a Python peer that needs a module, on np ranks under Open MPI.
func pythonMPI(name, module string, np int, args ...string) side {
	return side{name: name, make: func(ctx context.Context, w *workshop) (command, error) {
		python, err := w.python(ctx, module)
		if err != nil {
			return command{}, err
		}
		run := []string{python}
		if module == "mpi4py.futures" { // it starts as this module, which runs the script
			run = append(run, "-m", module)
		}
		run = append(run, w.peer(args[0]))
		return w.underOpenMPI(ctx, np, append(run, args[1:]...)...)
	}}
}

// pythonAlone is a Python peer that starts its own processes.
func pythonAlone(name, module string, args ...string) side {
	return side{name: name, make: func(ctx context.Context, w *workshop) (command, error) {
		python, err := w.python(ctx, module)
		return command{args: append([]string{python, w.peer(args[0])}, args[1:]...)}, err
	}}
}

// socket is the C peer on sockets of a kind, tcp or unix.
func socket(kind string) side {
	return side{name: "C, " + kind + " one way", make: func(ctx context.Context, w *workshop) (command, error) {
		cc, err := installed("a C compiler", "cc", "gcc")
		if err != nil {
			return command{}, err
		}
		path, err := w.c(ctx, cc, "socket")
		return command{args: []string{path, kind}}, err
	}}
}

// gnuParallel starts a process for each item.
func gnuParallel() side {
	return side{name: "GNU parallel", make: func(_ context.Context, w *workshop) (command, error) {
		_, err := installed("GNU parallel", "parallel")
		return command{args: []string{"sh", w.peer("parallel.sh")}}, err
	}}
}

// goBenchmark is a benchmark of a package of the module.
func goBenchmark(pkg, pattern string) side {
	return side{name: "dlp", make: func(ctx context.Context, w *workshop) (command, error) {
		test, err := w.goTest(ctx, pkg)
		return command{args: []string{test, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", "0.2s"}}, err
	}, measure: func(ctx context.Context, c command) (figures, error) {
		out, err := c.output(ctx)
		return parseBenchmarks(out), err
	}}
}

// with is s with more in its environment.
func (s side) with(env ...string) side {
	make := s.make
	s.make = func(ctx context.Context, w *workshop) (command, error) {
		c, err := make(ctx, w)
		c.env = append(c.env, env...)
		return c, err
	}
	return s
}

// named is s with another name in the table.
func (s side) named(name string) side {
	s.name = name
	return s
}

// fromOutside is s, measured by how long all of it takes.
func (s side) fromOutside() side {
	s.measure = func(ctx context.Context, c command) (figures, error) {
		start := time.Now()
		_, err := c.output(ctx)
		return figures{"wall": time.Since(start).Seconds()}, err
	}
	return s
}

// computing adds how many steps of computing each item of a side takes, to be as
// long as that on this machine.
func (s side) computing(item time.Duration) side {
	make := s.make
	s.make = func(ctx context.Context, w *workshop) (command, error) {
		c, err := make(ctx, w)
		if err != nil {
			return c, err
		}
		rate, err := w.rate(ctx)
		c.args = append(c.args, fmt.Sprintf("-steps=%.0f", rate*item.Seconds()))
		return c, err
	}
	return s
}

// typechecked is the example on np ranks: a real load whose items differ.
func typechecked(np int) side {
	return side{name: "dlp", make: func(ctx context.Context, w *workshop) (command, error) {
		c, err := w.underDlprun(ctx, typecheck, np)
		c.args = append(c.args, "-times")
		return c, err
	}}
}

// goroutines is the same work by a pool of goroutines, in one process.
func goroutines(n int) side {
	return side{name: "goroutine pool", make: func(ctx context.Context, w *workshop) (command, error) {
		path, err := w.goProgram(ctx, typecheck)
		return command{args: []string{path, "-times", "-goroutines", strconv.Itoa(n)}}, err
	}}
}
