// Typecheck type-checks every Go package below a folder, by default all of Go's
// own sources, and prints the largest ones.
//
//	dlprun -np 4 typecheck [-top N] [-check] [FOLDER]
//
// Packages differ by a factor of a thousand, so a fixed division would leave
// ranks idle: here each takes the next package when it is done with one.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"go/build"
	"path/filepath"
	"slices"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	top := flag.Int("top", 10, "how many packages to print")
	check := flag.Bool("check", false, "do it again on one rank and compare")
	flag.Parse()
	folder := filepath.Join(build.Default.GOROOT, "src")
	if flag.NArg() > 0 {
		folder = flag.Arg(0)
	}
	build.Default.CgoEnabled = false // its files can't be checked as they stand
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		return run(ctx, world, folder, *top, *check)
	})
}

func run(ctx context.Context, world *mpi.Comm, folder string, top int, check bool) error {
	dirs, err := mpi.OnRoot(ctx, world, func(context.Context) ([]string, error) { return packages(folder) })
	if err != nil {
		return err
	}
	checker := newChecker()
	reports, err := split.Collect(ctx, world, len(dirs), func(_ context.Context, i int) (Report, error) {
		return checker.check(dirs[i])
	}, split.Label("typecheck"), split.Keys(func(i int) string { return dirs[i] }))
	if err != nil || !world.IsRoot() {
		return err
	}
	summarize(reports, top)
	if !check {
		return nil
	}
	alone := newChecker()
	for i, dir := range dirs {
		serial, err := alone.check(dir)
		if err != nil {
			return err
		}
		if serial != reports[i] {
			return fmt.Errorf("%s: %+v, on one rank alone %+v", dir, reports[i], serial)
		}
	}
	fmt.Println("same as serial")
	return nil
}

func summarize(reports []Report, top int) {
	var lines, errs int
	for _, r := range reports {
		lines += r.Lines
		errs += r.Errors
	}
	fmt.Printf("%d packages, %d lines, %d type errors\n\n%8s %8s  package\n", len(reports), lines, errs, "lines", "objects")
	largest := slices.SortedStableFunc(slices.Values(reports), func(a, b Report) int { return cmp.Compare(b.Lines, a.Lines) })
	for _, r := range largest[:min(top, len(largest))] {
		fmt.Printf("%8d %8d  %s\n", r.Lines, r.Objects, r.Dir)
	}
	fmt.Println()
}
