// Ours is our side of the benchmarks: small programs as users would write them,
// with nothing but the public API.
//
//	dlprun -np 2 ours NAME [flags]
//
// Rank 0 prints what was measured, one figure to a line: its name and its value,
// in seconds unless the name says otherwise.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dlprun/dlp/mpi"
)

// A program defines its flags, and returns what to run once they are parsed.
type program func(fs *flag.FlagSet) func(ctx context.Context, world *mpi.Comm) error

func programs() map[string]program {
	return map[string]program{
		"backend":  backend,
		"index":    index,
		"items":    items,
		"loads":    loads,
		"metg":     metg,
		"numbers":  numbers,
		"pingpong": pingpong,
		"rate":     rate,
		"records":  records,
		"results":  results,
		"start":    start,
		"wait":     wait,
	}
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(2)
	}
}

func run(args []string) error {
	all := programs()
	if len(args) == 0 || all[args[0]] == nil {
		return fmt.Errorf("name one of %s", strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	}
	fs := flag.NewFlagSet(args[0], flag.ExitOnError)
	body := all[args[0]](fs)
	if err := fs.Parse(args[1:]); err != nil {
		return err
	}
	mpi.Main(body)
	return nil
}

// show prints a figure, at the root alone.
func show(world *mpi.Comm, name string, value float64) {
	if world.IsRoot() {
		fmt.Println(name, value)
	}
}

// backend prints how the ranks speak with each other.
func backend(*flag.FlagSet) func(context.Context, *mpi.Comm) error {
	return func(_ context.Context, world *mpi.Comm) error {
		if world.IsRoot() {
			fmt.Println(world.Backend())
		}
		return nil
	}
}

// start does nothing: what it costs is the start and the end of a job.
func start(*flag.FlagSet) func(context.Context, *mpi.Comm) error {
	return func(ctx context.Context, world *mpi.Comm) error { return world.Barrier(ctx) }
}
