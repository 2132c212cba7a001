package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dlprun/dlp/internal/journal"
)

// showJournal writes what is in the journal at path. It may belong to a job that
// runs.
func showJournal(w io.Writer, path string) error {
	var c contents
	extent, err := journal.ScanFile(path, journal.Visitor{
		Header: func(h journal.Header) error { c.head = &h; return nil },
		Run:    func(r journal.Run) error { c.runs = append(c.runs, r); return nil },
		Batch: func(b journal.Batch) error {
			c.batches++
			c.bytes += len(b.Body)
			c.done = append(c.done, b.Indices...)
			return nil
		},
	})
	if err != nil {
		return err
	}
	slices.Sort(c.done)
	c.done = slices.Compact(c.done)
	return c.show(w, extent.Torn)
}

// contents is what is in a journal.
type contents struct {
	head           *journal.Header
	runs           []journal.Run
	done           []int // ascending
	batches, bytes int
}

func (c *contents) show(w io.Writer, torn int64) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if c.head == nil {
		fmt.Fprintln(t, "it is empty: no run has got as far as its first line")
	} else {
		c.showJob(t)
	}
	if torn > 0 {
		fmt.Fprintf(t, "torn\t%d bytes at the end, which the next run will cut off\n", torn)
	}
	return t.Flush()
}

func (c *contents) showJob(w io.Writer) {
	for n, r := range c.runs {
		fmt.Fprintf(w, "run %d\t%s, %s\n", n+1, r.Started.Local().Format(time.DateTime), count(r.Ranks, "rank"))
	}
	fmt.Fprintf(w, "loop\t%s\n", cmp.Or(c.head.Label, "(no label)"))
	fmt.Fprintf(w, "results\t%s\n", cmp.Or(c.head.Result, "(none: it keeps what is done)"))
	if c.head.Keys != 0 {
		fmt.Fprintf(w, "keys\tfingerprint %x\n", c.head.Keys)
	}
	fmt.Fprintf(w, "done\t%d of %s, %s in %s\n", len(c.done), count(c.head.Items, "item"), count(c.bytes, "byte"), count(c.batches, "record"))
	if left := gaps(c.done, c.head.Items); left != "" {
		fmt.Fprintf(w, "left\t%s\n", left)
	}
}

// count writes n things, such as 1 byte or 2 bytes.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// gaps writes which of the numbers up to n are not in done, which ascends, as 1,
// 4-9, 12; of many gaps, the first.
func gaps(done []int, n int) string {
	const most = 10
	var parts []string
	next := 0
	for _, i := range append(slices.Clip(done), n) {
		switch {
		case i <= next || len(parts) > most:
		case len(parts) == most:
			parts = append(parts, "...")
		case i == next+1:
			parts = append(parts, strconv.Itoa(next))
		default:
			parts = append(parts, fmt.Sprintf("%d-%d", next, i-1))
		}
		next = i + 1
	}
	return strings.Join(parts, ", ")
}
