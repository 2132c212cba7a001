package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// A workshop has the programs that take part. It builds each when it is first
// asked for, into a folder that is gone afterwards.
type workshop struct {
	root   string // of the module
	folder string
	made   map[string]made
}

// made is what came of making something: its path, or whatever it told.
type made struct {
	what string
	err  error
}

func newWorkshop(ctx context.Context) (*workshop, error) {
	mod, err := command{args: []string{"go", "env", "GOMOD"}}.output(ctx)
	if err != nil {
		return nil, err
	}
	root := filepath.Dir(strings.TrimSpace(mod))
	if _, err := os.Stat(filepath.Join(root, "bench", "peers")); err != nil {
		return nil, errors.New("run it in the module that it belongs to: go run ./bench")
	}
	folder, err := os.MkdirTemp("", "dlp-bench-")
	return &workshop{root: root, folder: folder, made: map[string]made{}}, err
}

func (w *workshop) close() error { return os.RemoveAll(w.folder) }

// once makes what name stands for when it is first asked for.
func (w *workshop) once(name string, make func() (string, error)) (string, error) {
	m, ok := w.made[name]
	if !ok {
		m.what, m.err = make()
		w.made[name] = m
	}
	return m.what, m.err
}

// peer is the source of a peer.
func (w *workshop) peer(file string) string { return filepath.Join(w.root, "bench", "peers", file) }

// goProgram builds a Go program of the module.
func (w *workshop) goProgram(ctx context.Context, pkg string) (string, error) {
	path := filepath.Join(w.folder, filepath.Base(pkg))
	return w.build(ctx, path, command{args: []string{"go", "build", "-o", path, pkg}, env: []string{"CGO_ENABLED=0"}, dir: w.root})
}

// goTest builds the tests of a package, which hold its benchmarks.
func (w *workshop) goTest(ctx context.Context, pkg string) (string, error) {
	path := filepath.Join(w.folder, filepath.Base(pkg)+".test")
	return w.build(ctx, path, command{args: []string{"go", "test", "-c", "-o", path, pkg}, dir: w.root})
}

// c compiles a peer.
func (w *workshop) c(ctx context.Context, compiler, name string) (string, error) {
	path := filepath.Join(w.folder, "c-"+name)
	return w.build(ctx, path, command{args: []string{compiler, "-O2", "-o", path, w.peer(name + ".c"), "-lm"}})
}

func (w *workshop) build(ctx context.Context, path string, c command) (string, error) {
	return w.once(path, func() (string, error) {
		_, err := c.output(ctx)
		return path, err
	})
}

// installed returns the first of some programs that is in PATH. What names what is
// missing if none is.
func installed(what string, programs ...string) (string, error) {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", &missingError{what}
}

// python finds a Python that has a module: the first in PATH need not have what
// the system's packages install.
func (w *workshop) python(ctx context.Context, module string) (string, error) {
	return w.once("python "+module, func() (string, error) {
		for _, python := range []string{"/usr/bin/python3", "python3"} {
			probe := command{args: []string{python, "-c", "import importlib.util as u, sys; sys.exit(not u.find_spec('" + module + "'))"}}
			if _, err := probe.output(ctx); err == nil {
				return python, nil
			}
		}
		return "", &missingError{module}
	})
}

// rate returns how many steps of our computing items a processor does in a second.
func (w *workshop) rate(ctx context.Context) (float64, error) {
	text, err := w.once("rate", func() (string, error) {
		program, err := w.goProgram(ctx, ourPrograms)
		if err != nil {
			return "", err
		}
		f, err := command{args: []string{program, "rate"}}.figures(ctx)
		return strconv.FormatFloat(f["rate"], 'g', -1, 64), err
	})
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(text, 64)
}
