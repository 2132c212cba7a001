package main

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// foreign is a launcher that starts the ranks in dlprun's stead: mpiexec or srun.
type foreign struct {
	name string // as the user wrote it
	path string
	kind launcherKind
}

// launcherKind tells apart how launchers pass the environment on.
type launcherKind int

const (
	forwarding launcherKind = iota // unknown ones: everything, we hope
	hydra                          // everything, by itself
	openMPI                        // what -x names
	slurm                          // everything, unless SLURM_EXPORT_ENV says otherwise
)

// withoutLost lets launchers go on when a rank has ended badly. Hydra does so after
// an exit status only, not after a signal.
var withoutLost = map[launcherKind][]string{
	hydra:   {"-disable-auto-cleanup"},
	openMPI: {"--enable-recovery"},
	slurm:   {"--no-kill", "--kill-on-bad-exit=0", "--wait=0"},
}

// findLauncher finds the launcher of that name and asks it which one it is.
func findLauncher(name string) (*foreign, error) {
	path, err := exec.LookPath(name)
	if err != nil && name == "mpiexec" {
		path, err = exec.LookPath("mpirun")
	}
	if err != nil {
		return nil, exitf(statusNotFound, "--with %s: %v; install it, load its module, or write its path", name, errors.Unwrap(err))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	said, _ := exec.CommandContext(ctx, path, "--version").CombinedOutput() // one that fails here is of another kind
	return &foreign{name: name, path: path, kind: kindOf(string(said))}, nil
}

// kindOf tells the kind of a launcher from what it says of its version.
func kindOf(version string) launcherKind {
	first, _, _ := strings.Cut(strings.TrimSpace(version), "\n")
	switch {
	case strings.Contains(first, "Open MPI"), strings.Contains(first, "OpenRTE"), strings.Contains(first, "PRRTE"):
		return openMPI
	case strings.HasPrefix(first, "HYDRA"):
		return hydra
	case strings.HasPrefix(first, "slurm"):
		return slurm
	}
	return forwarding
}

// command returns the launcher's arguments. extra is the user's, which may override
// ours; env is the environment of the launcher. If goesOn, the launcher is not to end
// all ranks because of one.
func (f *foreign) command(np int, goesOn bool, extra, env []string, program string, args []string) []string {
	words := []string{"-n", strconv.Itoa(np)}
	if goesOn {
		words = append(words, withoutLost[f.kind]...)
	}
	switch f.kind {
	case openMPI:
		for _, v := range env {
			if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "DLP_") {
				words = append(words, "-x", name) // the value goes another way than a command line
			}
		}
	case slurm:
		words = append(words, "--input=0")
	}
	words = append(words, extra...)
	return append(append(words, program), args...)
}

// tasks returns how many tasks a Slurm allocation is for, 0 outside of one.
func tasks(getenv func(string) string) int {
	number := func(name string) int {
		n, _ := strconv.Atoi(getenv(name)) // 0 if it isn't set
		return n
	}
	return cmp.Or(number("SLURM_NTASKS"), number("SLURM_JOB_NUM_NODES")*max(1, number("SLURM_NTASKS_PER_NODE")))
}

// ofLauncher returns the environment of a launcher that starts the ranks: what they
// share, and no rank. It also carries the secret, since no descriptor gets to
// other hosts.
func (e environ) ofLauncher(kind launcherKind, secret string) []string {
	own := append(e.shared(), "DLP_SECRET="+secret)
	var env []string
	for _, v := range os.Environ() {
		name, value, _ := strings.Cut(v, "=")
		switch {
		case name == "DLP_RANK", name == "DLP_SIZE", name == "DLP_SECRET", name == "DLP_SECRET_FD":
		case name == "DLP_INTERFACE" && net.ParseIP(value) != nil: // an address of this host
		case name == "SLURM_EXPORT_ENV" && kind == slurm:
			env = append(env, name+"="+export(value, own))
		default:
			env = append(env, v)
		}
	}
	return append(env, own...)
}

// export adds the names of vars to a value of SLURM_EXPORT_ENV, which says what
// srun passes on: ALL, NONE, or a list.
func export(value string, vars []string) string {
	var names []string
	if value != "NONE" && value != "NIL" {
		names = append(names, value)
	}
	for _, v := range vars {
		name, _, _ := strings.Cut(v, "=")
		names = append(names, name)
	}
	return strings.Join(names, ",")
}

// startLauncher starts the launcher, as the one process of the job.
func (j *job) startLauncher(f *foreign) error {
	env := j.env.ofLauncher(f.kind, hex.EncodeToString(j.secret[:]))
	path, err := filepath.Abs(j.program.path) // the ranks need not start in this folder
	if err != nil {
		return err
	}
	r := &rank{cmd: exec.Command(f.path, f.command(j.opts.np, j.goesOn, j.opts.launcherArgs, env, path, j.opts.args)...)}
	r.cmd.Args[0] = f.name
	r.cmd.Env = env
	feedIt, err := giveStdin(r.cmd)
	if err != nil {
		return err
	}
	ends, err := j.relayed(r, "")
	if err != nil {
		return err
	}
	defer closeFiles(ends)
	if err := j.group.start(r.cmd, -1); err != nil {
		return exitf(statusNotExecutable, "--with %s: %v", f.name, cause(err))
	}
	if feedIt != nil {
		feedIt()
	}
	j.ranks = []*rank{r}
	go func() {
		r.cmd.Wait()
		j.events <- event{-1, launcherEnded{howEnded(r.cmd.ProcessState)}}
	}()
	return nil
}

// words splits text at blanks as a shell does: quotes keep blanks, and a backslash
// keeps the next character.
func words(text string) (all []string, err error) {
	var word strings.Builder
	quote, escaped, inside := rune(0), false, false
	for _, c := range text {
		switch {
		case escaped:
			word.WriteRune(c)
			escaped = false
		case c == '\\' && quote != '\'':
			escaped, inside = true, true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, inside = c, true
		case quote == 0 && strings.ContainsRune(" \t\n", c):
			if inside {
				all = append(all, word.String())
				word.Reset()
			}
			inside = false
		default:
			word.WriteRune(c)
			inside = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if inside {
		all = append(all, word.String())
	}
	return all, nil
}
