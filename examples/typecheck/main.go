// Typecheck type-checks every Go package below a folder, by default all of Go's
// own sources, and prints the largest ones.
//
//	dlprun -np 4 typecheck [-top N] [-check] [-times] [FOLDER]
//
// Packages differ by a factor of a thousand, so a fixed division would leave
// ranks idle: here each takes the next package when it is done with one. With
// -times it says how well that went. With -goroutines N it does the same by a pool
// of goroutines, in one process, for comparison.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"go/build"
	"path/filepath"
	"slices"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	var o options
	flag.IntVar(&o.top, "top", 10, "how many packages to print")
	flag.BoolVar(&o.check, "check", false, "do it again on one rank and compare")
	flag.BoolVar(&o.times, "times", false, "print how long it took")
	flag.IntVar(&o.goroutines, "goroutines", 0, "check with so many goroutines instead of ranks")
	flag.Parse()
	o.folder = filepath.Join(build.Default.GOROOT, "src")
	if flag.NArg() > 0 {
		o.folder = flag.Arg(0)
	}
	build.Default.CgoEnabled = false // its files can't be checked as they stand
	mpi.Main(o.run)
}

type options struct {
	top          int
	check, times bool
	goroutines   int
	folder       string
}

func (o options) run(ctx context.Context, world *mpi.Comm) error {
	if o.goroutines > 0 && world.Size() > 1 {
		return errors.New("-goroutines is for one process; run it without a launcher")
	}
	dirs, err := mpi.OnRoot(ctx, world, func(context.Context) ([]string, error) { return packages(o.folder) })
	if err != nil {
		return err
	}
	start, workers := time.Now(), world.Size()
	var reports []Report
	if o.goroutines > 0 {
		workers = o.goroutines
		reports, err = pool(dirs, workers)
	} else {
		checker := newChecker()
		reports, err = split.Collect(ctx, world, len(dirs), func(_ context.Context, i int) (Report, error) {
			return checker.check(dirs[i])
		}, split.Label("typecheck"), split.Keys(func(i int) string { return dirs[i] }))
	}
	if err != nil || !world.IsRoot() {
		return err
	}
	elapsed := time.Since(start)
	summarize(reports, o.top)
	if o.times {
		timing(reports, elapsed, workers)
	}
	if !o.check {
		return nil
	}
	return compare(reports, dirs)
}

// compare does it again, one package after another.
func compare(reports []Report, dirs []string) error {
	alone := newChecker()
	for i, dir := range dirs {
		serial, err := alone.check(dir)
		if err != nil {
			return err
		}
		serial.Took = reports[i].Took // which differs
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

// timing prints how long it took, and how long it would have taken if nobody had
// waited: all packages' time by the number of workers, or the longest.
func timing(reports []Report, elapsed time.Duration, workers int) {
	var total, longest time.Duration
	for _, r := range reports {
		total += r.Took
		longest = max(longest, r.Took)
	}
	ideal := max(total/time.Duration(workers), longest)
	fmt.Printf("elapsed %.3f s\nideal   %.3f s on %d workers\n", elapsed.Seconds(), ideal.Seconds(), workers)
}
