// Kept collects the results of n items with a journal, and says whether they are
// right:
//
//	kept [flags] JOURNAL RAN
//
// Each item writes its number into the file RAN when it begins, in 7 bytes, and each
// rank has a shared lock on that file until it ends.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	n := flag.Int("n", 2000, "items")
	size := flag.Int("bytes", 8, "of a result")
	each := flag.Duration("each", 2*time.Millisecond, "what an item takes")
	limit := flag.Int64("limit", 1<<30, "let items block when so many stand in RAN")
	flag.Parse()
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		ran, err := os.OpenFile(flag.Arg(1), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err == nil {
			err = syscall.Flock(int(ran.Fd()), syscall.LOCK_SH)
		}
		if err != nil {
			return err
		}
		defer ran.Close()
		all, err := split.Collect(ctx, world, *n, func(ctx context.Context, i int) ([]byte, error) {
			if _, err := fmt.Fprintf(ran, "%06d\n", i); err != nil {
				return nil, err
			}
			info, err := ran.Stat()
			if err != nil {
				return nil, err
			}
			if info.Size() > 7**limit {
				<-ctx.Done()
			}
			select {
			case <-time.After(*each):
				return result(i, *size), nil
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}, split.Journal(flag.Arg(0)), split.Chunk(1))
		if err != nil || !world.IsRoot() {
			return err
		}
		for i, v := range all {
			if !bytes.Equal(v, result(i, *size)) {
				return fmt.Errorf("item %d is %x", i, v)
			}
		}
		if len(all) != *n {
			return errors.New("results are missing")
		}
		fmt.Printf("kept: %d results are right\n", *n)
		return nil
	})
}

func result(i, size int) []byte {
	return bytes.Repeat(binary.LittleEndian.AppendUint64(nil, uint64(i)*0x9e3779b97f4a7c15), size/8)
}
