//go:build unix

package main

import (
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// inForeground reports whether dlprun may read the terminal that its stdin is.
func inForeground() bool {
	group, err := unix.IoctlGetInt(int(os.Stdin.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// ignoreTTIN makes reading the terminal from the background an error, where it
// would stop dlprun.
func ignoreTTIN() { signal.Ignore(syscall.SIGTTIN) }

// findDebugger returns the command line that a program's own is appended to, to
// run it under the debugger that is there.
func findDebugger() ([]string, error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return nil, exitf(statusUsage, "--debug: a debugger needs a terminal, and standard input is none")
	}
	if dlv, err := exec.LookPath("dlv"); err == nil {
		return []string{dlv, "exec"}, nil
	}
	if gdb, err := exec.LookPath("gdb"); err == nil {
		return []string{gdb, "-quiet", "--args"}, nil
	}
	return nil, exitf(statusNotFound, "--debug: neither dlv nor gdb is in PATH (go install github.com/go-delve/delve/cmd/dlv@latest)")
}

// underDebugger makes of cmd the same under a debugger, which gets the terminal: a
// process group of its own, in the foreground.
func underDebugger(cmd *exec.Cmd, debugger []string) {
	args := append([]string{}, debugger...)
	args = append(args, cmd.Path)
	if debugger[1] == "exec" {
		args = append(args, "--")
	}
	cmd.Args = append(args, cmd.Args[1:]...)
	cmd.Path = debugger[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: int(os.Stdin.Fd())}
}

// takeTerminal brings dlprun back into the foreground, after a debugger.
func takeTerminal() {
	signal.Ignore(syscall.SIGTTOU) // or this would stop dlprun
	defer signal.Reset(syscall.SIGTTOU)
	unix.IoctlSetPointerInt(int(os.Stdin.Fd()), unix.TIOCSPGRP, unix.Getpgrp())
}
