package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
)

// system says what the figures depend on: nothing that names this machine.
func system(ctx context.Context, w *workshop) string {
	parts := []string{fmt.Sprintf("%d processors", runtime.NumCPU()), kernel(ctx), runtime.Version()}
	if mpirun, err := w.mpirun(ctx); err == nil {
		if version, err := (command{args: []string{mpirun, "--version"}}).output(ctx); err == nil {
			first, _, _ := strings.Cut(version, "\n")
			parts = append(parts, "Open MPI "+first[strings.LastIndexByte(first, ' ')+1:])
		}
	}
	return strings.Join(parts, ", ")
}

// kernel is the name of the system with its version, as far as it is a number, and
// the kind of processor.
func kernel(ctx context.Context) string {
	name, err := command{args: []string{"uname", "-sr"}}.output(ctx)
	if err != nil {
		return runtime.GOOS + "/" + runtime.GOARCH
	}
	name, _, _ = strings.Cut(strings.TrimSpace(name), "-")
	return name + " on " + runtime.GOARCH
}

// load says how busy the machine has been, "" where it does not tell.
func load() string {
	averages, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	words := strings.Fields(string(averages))
	return "; load average " + words[0]
}
