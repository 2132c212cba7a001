package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// patience is how long a program may take.
const patience = 2 * time.Minute

// A command is a program to run, with what it finds in its environment beyond our
// own.
type command struct {
	args []string
	env  []string
	dir  string
}

// output runs the command and returns what it wrote to standard output. The error
// of one that fails ends with what it wrote to standard error.
func (c command) output(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("not done within %v", patience))
	defer cancel()
	cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
	cmd.Env = append(os.Environ(), c.env...)
	cmd.Dir = c.dir
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // launchers then end their ranks
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", fmt.Errorf("%s: %w", c.args[0], context.Cause(ctx))
	case err != nil:
		return "", fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, end(stderr.String()))
	}
	return stdout.String(), nil
}

// figures runs the command and returns the figures that it printed.
func (c command) figures(ctx context.Context) (figures, error) {
	out, err := c.output(ctx)
	return parseFigures(out), err
}

// end returns the last kilobyte of a text, or a little less: launchers say more
// about a failure than there is to it.
func end(text string) string {
	text = strings.TrimSpace(text)
	if len(text) <= 1024 {
		return text
	}
	text = text[len(text)-1024:]
	return text[strings.IndexByte(text, '\n')+1:]
}

// A missingError is a program that is not there to be measured.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }

// missing reports whether err is about a program that is not there, and which.
func missing(err error) (string, bool) {
	m, ok := errors.AsType[*missingError](err)
	if !ok {
		return "", false
	}
	return m.what, true
}
