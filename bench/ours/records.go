package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
)

// A Record is what one item gives: a small struct.
type Record struct {
	Item  int
	Name  string
	Score float64
}

func newRecord(i int) Record { return Record{i, fmt.Sprint("item-", i), float64(i) / 2} }

const recordsPerRank = 50_000

// records measures a gather of 50,000 records of each rank.
func records(*flag.FlagSet) func(context.Context, *mpi.Comm) error {
	return func(ctx context.Context, world *mpi.Comm) error {
		local := make([]Record, recordsPerRank)
		for i := range local {
			local[i] = newRecord(world.Rank()*recordsPerRank + i)
		}
		var all []Record
		seconds, err := enough(ctx, world, 1, func(n int) (err error) {
			for range n {
				if all, err = gather.Slice(ctx, world, local); err != nil {
					return err
				}
			}
			return nil
		}, func(int) error { return checkRecords(world, all) })
		show(world, "gather", seconds)
		return err
	}
}

func checkRecords(c *mpi.Comm, all []Record) error {
	if !c.IsRoot() {
		return nil
	}
	if len(all) != c.Size()*recordsPerRank {
		return fmt.Errorf("%d records have come", len(all))
	}
	for i, r := range all {
		if r != newRecord(i) {
			return fmt.Errorf("record %d is %+v", i, r)
		}
	}
	return nil
}
