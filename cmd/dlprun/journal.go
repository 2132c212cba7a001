package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dlprun/dlp/internal/journal"
)

// showJournal writes what is in the journal at path. It may belong to a job that
// runs.
func showJournal(w io.Writer, path string) error {
	var head *journal.Header
	var done []bool
	var bytes, batches int
	runs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	n := 0
	extent, err := journal.ScanFile(path, journal.Visitor{
		Header: func(h journal.Header) error {
			head, done = &h, make([]bool, max(h.Items, 0))
			return nil
		},
		Run: func(r journal.Run) error {
			n++
			fmt.Fprintf(runs, "run %d\t%s, %d ranks\n", n, r.Started.Local().Format(time.DateTime), r.Ranks)
			return nil
		},
		Batch: func(b journal.Batch) error {
			batches++
			bytes += len(b.Body)
			for _, i := range b.Indices {
				if i < len(done) {
					done[i] = true
				}
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	if head == nil {
		fmt.Fprintln(w, "it is empty: no run has got as far as its first line")
		return nil
	}
	fmt.Fprintf(runs, "loop\t%s\n", cmp.Or(head.Label, "(no label)"))
	fmt.Fprintf(runs, "results\t%s\n", cmp.Or(head.Result, "(none: it keeps what is done)"))
	if head.Keys != 0 {
		fmt.Fprintf(runs, "keys\tfingerprint %x\n", head.Keys)
	}
	fmt.Fprintf(runs, "done\t%d of %d items, %d bytes in %d records\n", len(done)-len(missing(done)), len(done), bytes, batches)
	if left := missing(done); len(left) > 0 {
		fmt.Fprintf(runs, "left\t%s\n", ranges(left))
	}
	if extent.Torn > 0 {
		fmt.Fprintf(runs, "torn\t%d bytes at the end, which the next run will cut off\n", extent.Torn)
	}
	return runs.Flush()
}

func missing(done []bool) (indices []int) {
	for i, d := range done {
		if !d {
			indices = append(indices, i)
		}
	}
	return indices
}

// ranges writes ascending numbers as 1, 4-9, 12; of many, the first.
func ranges(numbers []int) string {
	const most = 10
	var parts []string
	for len(numbers) > 0 {
		n := 1
		for n < len(numbers) && numbers[n] == numbers[0]+n {
			n++
		}
		text := fmt.Sprint(numbers[0])
		if n > 1 {
			text += fmt.Sprint("-", numbers[n-1])
		}
		if parts = append(parts, text); len(parts) > most {
			parts[most] = "..."
			break
		}
		numbers = numbers[n:]
	}
	return strings.Join(parts, ", ")
}
