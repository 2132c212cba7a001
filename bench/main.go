// Bench measures dlp beside its peers, and holds the ratios against budgets.
//
//	go run ./bench [-only 1,4] [-runs 7] [-write]
//
// Both sides of a line run in turn, in the same minutes, on the same processors;
// the table has medians, and the least and the most of all rounds. A peer that is
// not installed costs its lines, which say so.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	o := options{}
	flag.StringVar(&o.only, "only", "", "run these `budgets` alone, such as 1,4,mpi")
	flag.IntVar(&o.runs, "runs", 7, "rounds of each contest; without -only, of the long ones at most 3; twice as many of those whose sides are near each other")
	flag.BoolVar(&o.write, "write", false, "write the table and the plots to docs/performance/")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		stop()
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	only  string
	runs  int
	write bool
}

func run(ctx context.Context, o options) (err error) {
	chosen, err := choose(contests(), o.only)
	switch {
	case err != nil:
		return err
	case o.runs < 1 || flag.NArg() > 0:
		return errors.New("write go run ./bench [-only 1,4] [-runs 7] [-write], with at least one run")
	case o.write && o.only != "":
		return errors.New("-write writes the whole table; leave -only out")
	}
	w, err := newWorkshop(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	here, start := system(ctx, w), time.Now()
	fmt.Printf("%s%s\n\n", here, load())
	lines, err := compete(ctx, w, chosen, o)
	if err != nil {
		return err
	}
	fmt.Printf("\n%s; it took %v\n", tally(lines), time.Since(start).Round(time.Second))
	if o.write {
		if err := publish(filepath.Join(w.root, "docs", "performance"), here, lines); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(lines, outcome.failed) {
		return errors.New("some could not be measured")
	}
	return nil
}

// rounds is how often to measure a contest.
func (o options) rounds(c contest) int {
	switch {
	case c.long && o.only == "":
		return min(o.runs, 3)
	case c.near:
		return 2*o.runs + 1 // odd, as seven is
	}
	return o.runs
}

// compete runs contests and prints the table as it grows.
func compete(ctx context.Context, w *workshop, chosen []contest, o options) ([]outcome, error) {
	fmt.Println(head())
	var lines []outcome
	told := ""
	for _, c := range chosen {
		watch := setWatch()
		all := c.run(ctx, w, o.rounds(c))
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
		for _, o := range c.outcomes(all, watch.others()) {
			fmt.Println(o.line())
			if o.failed() && o.verdict != told {
				told = o.verdict
				fmt.Println("    " + told)
			}
			lines = append(lines, o)
		}
	}
	return lines, nil
}

// choose returns the contests of some budgets, separated by commas; "" is all.
func choose(all []contest, budgets string) ([]contest, error) {
	if budgets == "" {
		return all, nil
	}
	var names []string
	for _, c := range all {
		if !slices.Contains(names, c.budget) {
			names = append(names, c.budget)
		}
	}
	wanted := strings.Split(budgets, ",")
	for _, b := range wanted {
		if !slices.Contains(names, b) {
			return nil, fmt.Errorf("-only: there is no budget %q; there are %s", b, strings.Join(names, ", "))
		}
	}
	return slices.DeleteFunc(all, func(c contest) bool { return !slices.Contains(wanted, c.budget) }), nil
}
