package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"github.com/dlprun/dlp/mpi/launch"
)

// rank is one of the job's processes: a rank, or the launcher that starts them all.
type rank struct {
	cmd     *exec.Cmd
	pipes   []*os.File // of its output, dlprun's ends
	relayed sync.WaitGroup
	errs    *stream // its stderr, if that is relayed
}

// start starts rank k.
func (j *job) start(k int, outputs outputs) error {
	r := &rank{cmd: exec.Command(j.program.path, j.opts.args...)}
	if !j.program.folder {
		r.cmd.Args[0] = j.program.name
	}
	r.cmd.Env = j.env.of(k)
	var feedIt func()
	var err error
	debugged := k == j.opts.debug
	if k == 0 && j.debugger == nil {
		if feedIt, err = giveStdin(r.cmd); err != nil {
			return err
		}
	}
	var ends []*os.File // what the rank gets, to be closed here
	defer func() { closeFiles(ends) }()
	if ends, err = j.connect(r, k, outputs); err != nil {
		return err
	}
	if debugged || runtime.GOOS == "windows" { // where descriptors may not get through
		r.cmd.Env = append(r.cmd.Env, "DLP_SECRET="+hex.EncodeToString(j.secret[:]))
	} else {
		f, err := secretPipe(j.secret)
		if err != nil {
			return err
		}
		ends = append(ends, f)
		r.cmd.ExtraFiles = []*os.File{f}
		r.cmd.Env = append(r.cmd.Env, "DLP_SECRET_FD=3")
	}
	if debugged {
		underDebugger(r.cmd, j.debugger)
	}
	cpu := -1
	if len(j.cpus) > 0 {
		cpu = j.cpus[k%len(j.cpus)]
	}
	if err := j.group.start(r.cmd, cpu); err != nil {
		return j.program.startError(err)
	}
	if feedIt != nil {
		feedIt()
	}
	j.ranks = append(j.ranks, r)
	go func() {
		r.cmd.Wait()
		if debugged {
			takeTerminal()
		}
		j.events <- event{k, exited{howEnded(r.cmd.ProcessState)}}
	}()
	return nil
}

// connect decides where rank k's output goes. It returns the files that the
// rank gets.
func (j *job) connect(r *rank, k int, outputs outputs) ([]*os.File, error) {
	switch {
	case outputs != nil:
		out, err := outputs[k][0], outputs[k][1]
		r.cmd.Stdout, r.cmd.Stderr = out, err
		return []*os.File{out, err}, nil
	case k == j.opts.debug:
		return nil, nil
	case j.opts.np == 1 && !j.opts.tag: // nothing to mix with
		r.cmd.Stdout, r.cmd.Stderr = os.Stdout, os.Stderr
		return nil, nil
	}
	tag := ""
	if j.opts.tag {
		tag = fmt.Sprintf("[%d] ", k)
	}
	return j.relayed(r, tag)
}

// relayed lets r write to pipes that come out on dlprun's own stdout and stderr.
// It returns r's ends of them.
func (j *job) relayed(r *rank, tag string) ([]*os.File, error) {
	failed := func(err error) {
		j.events <- event{-1, trouble{1, fmt.Sprintf("the output of the ranks can't be written: %v", err), failGrace}}
	}
	out, err := r.pipe(j.console.out(tag, failed))
	if err != nil {
		return nil, err
	}
	r.errs = j.console.err(tag, failed)
	r.errs.quotable = j.goesOn
	errs, err := r.pipe(r.errs)
	if err != nil {
		out.Close()
		return nil, err
	}
	r.cmd.Stdout, r.cmd.Stderr = out, errs
	return []*os.File{out, errs}, nil
}

// pipe returns the rank's end of a pipe that is relayed to s.
func (r *rank) pipe(s *stream) (*os.File, error) {
	pr, pw, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r.pipes = append(r.pipes, pr)
	r.relayed.Go(func() { relay(pr, s) })
	return pw, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}

// secretPipe returns a pipe that holds the secret.
func secretPipe(secret launch.Secret) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.WriteString(hex.EncodeToString(secret[:])); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func howEnded(s *os.ProcessState) exit {
	if w, ok := s.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return exit{signal: w.Signal()}
	}
	return exit{code: s.ExitCode()}
}
