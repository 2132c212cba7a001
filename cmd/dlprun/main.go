// Dlprun starts a program on N ranks of this machine, or of others through mpiexec
// or srun, joins their output, and ends all of them when one fails.
//
// Usage:
//
//	dlprun [flags] PROGRAM [ARG...]
//	dlprun info
//	dlprun journal FILE
//
// PROGRAM is an executable, or the folder of a Go main package, which is built
// once. dlprun --help lists the flags.
//
// One process of dlprun hosts the hub where the ranks meet (package launch),
// relays what they print, and feeds what happens to them into a small state
// machine (verdict.go) that decides what to do about it. A second one, the
// guard, only waits for the first to end, and then kills whatever is left.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
)

func main() {
	if isGuard() {
		guard()
		return
	}
	os.Exit(run(os.Args[1:]))
}

// run is main without os.Exit: it returns the exit status.
func run(args []string) int {
	opts, err := parse(args)
	if err == nil {
		switch {
		case opts.help:
			fmt.Print(usage)
			return 0
		case opts.version:
			fmt.Println("dlprun", version())
			return 0
		case opts.info:
			return info()
		case opts.journal != "":
			if err := showJournal(os.Stdout, opts.journal); err != nil {
				fmt.Fprintln(os.Stderr, "dlprun:", err)
				return 1
			}
			return 0
		}
		var status int
		if status, err = runJob(opts); err == nil {
			return status
		}
	}
	fmt.Fprintln(os.Stderr, "dlprun:", err)
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.status
	}
	return 1
}

// exitError is an error that dlprun ends with, and its exit status.
type exitError struct {
	status int
	text   string
}

func (e *exitError) Error() string { return e.text }

// The exit statuses that dlprun gives by itself are those of shells and of
// timeout(1).
const (
	statusUsage         = 2
	statusTimeout       = 124
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

func exitf(status int, format string, args ...any) error {
	return &exitError{status, fmt.Sprintf(format, args...)}
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
