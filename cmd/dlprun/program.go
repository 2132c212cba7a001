package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
)

// program is what the ranks run.
type program struct {
	name   string // as the user wrote it
	path   string // of the executable, or of the folder
	folder bool   // path is the folder of a Go main package, yet to be built
}

// findProgram finds the executable or folder that name means. Its errors are
// exitErrors with the statuses that a shell gives.
func findProgram(name string) (program, error) {
	p := program{name: name, path: name}
	if !strings.ContainsAny(name, "/"+string(filepath.Separator)) && name != "." && name != ".." {
		found, err := exec.LookPath(name)
		if err == nil {
			p.path = found
			return p, nil
		}
		if info, err := os.Stat(name); err != nil || !info.IsDir() {
			if err == nil && isSource(name) {
				return p, exitf(statusNotExecutable, sourceHint, name, ".")
			}
			if err == nil {
				return p, exitf(statusNotFound, "%s is not in PATH; if you mean the file here, write ./%s", name, name)
			}
			return p, exitf(statusNotFound, "%s is not in PATH, and no folder here has that name", name)
		}
	}
	info, err := os.Stat(p.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, exitf(statusNotFound, "%s does not exist", name)
	case err != nil:
		return p, exitf(statusNotExecutable, "%s can't be run: %v", name, cause(err))
	case info.IsDir():
		p.folder = true
		return p, p.checkFolder()
	}
	if _, err := exec.LookPath(p.path); err != nil && isSource(name) {
		return p, exitf(statusNotExecutable, sourceHint, name, strings.TrimSuffix(name, filepath.Base(name)))
	} else if err != nil {
		return p, exitf(statusNotExecutable, "%s is not executable; if it is a program, try chmod +x %s", name, name)
	}
	return p, nil
}

const sourceHint = "%s is the source of a program; give its folder: dlprun %s"

func isSource(name string) bool { return strings.HasSuffix(name, ".go") }

// checkFolder looks whether there is anything to build.
func (p program) checkFolder() error {
	entries, err := os.ReadDir(p.path)
	if err != nil {
		return exitf(statusNotExecutable, "folder %s can't be read: %v", p.name, cause(err))
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") {
			return nil
		}
	}
	return exitf(statusNotExecutable, "%s is a folder without Go files; give an executable, or the folder of a Go main package", p.name)
}

// build builds the package in p's folder into folder, as a process of group g.
// What the go command says goes to stderr.
func (p *program) build(g *group, folder string, flags ...string) error {
	goCmd, err := exec.LookPath("go")
	if err != nil {
		return exitf(statusNotExecutable, "%s is a folder, and to build it the go command must be in PATH", p.name)
	}
	source, err := filepath.Abs(p.path)
	if err != nil {
		return err
	}
	var out strings.Builder
	list := exec.Command(goCmd, "list", "-f", "{{.Name}}", ".")
	list.Dir, list.Stdout, list.Stderr = source, &out, os.Stderr
	list.Env = append(os.Environ(), "GOTMPDIR="+folder) // so that nothing of it stays if it is killed
	if err := runIn(g, list); err != nil {
		return exitf(1, "%s could not be built", p.name)
	}
	if pkg := strings.TrimSpace(out.String()); pkg != "main" {
		return exitf(statusNotExecutable, "%s holds package %s; to be run it must be package main", p.name, pkg)
	}
	p.path = filepath.Join(folder, filepath.Base(source))
	if runtime.GOOS == "windows" {
		p.path += ".exe"
	}
	build := exec.Command(goCmd, append(append([]string{"build", "-o", p.path}, flags...), ".")...)
	build.Dir, build.Stdout, build.Stderr = source, os.Stderr, os.Stderr
	build.Env = list.Env
	if err := runIn(g, build); err != nil {
		return exitf(1, "%s could not be built", p.name)
	}
	return nil
}

func runIn(g *group, cmd *exec.Cmd) error {
	if err := g.start(cmd, -1); err != nil {
		return err
	}
	return cmd.Wait()
}

// startError says why the system refuses to start p.
func (p program) startError(err error) error {
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		return exitf(statusNotExecutable, "%s is no program that this system can run; a script needs a first line such as #!/bin/sh", p.name)
	case errors.Is(err, fs.ErrNotExist): // it did exist when findProgram looked
		return exitf(statusNotExecutable, "%s can't be run: the interpreter or loader that it names does not exist", p.name)
	case errors.Is(err, fs.ErrPermission):
		return exitf(statusNotExecutable, "%s can't be run: %v", p.name, cause(err))
	}
	return exitf(1, "%s could not be started: %v", p.name, cause(err))
}

// cause strips an error of the path that the message around it names already.
func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}
