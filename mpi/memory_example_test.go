package mpi_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/dlprun/dlp/mpi"
)

// All ranks count in the same word.
func ExampleComm_ShareMemory() {
	err := mpi.RunLocal(context.Background(), 4, func(ctx context.Context, c *mpi.Comm) error {
		block, err := mpi.OnRoot(ctx, c, func(context.Context) (string, error) {
			m, err := c.ShareMemory(8)
			if err != nil {
				return "", err
			}
			return m.Name, nil
		})
		if err != nil {
			return err
		}
		mem, err := c.OpenMemory(block)
		if err != nil {
			return err
		}
		count := (*atomic.Int64)(unsafe.Pointer(&mem[0]))
		count.Add(int64(c.Rank()))
		if err := c.Barrier(ctx); err != nil {
			return err
		}
		if c.IsRoot() {
			fmt.Println(count.Load())
		}
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 6
}

// A block's name leads to it on any rank of the host, the one that shares it
// included, until it is freed.
func ExampleComm_OpenMemory() {
	err := mpi.RunLocal(context.Background(), 1, func(ctx context.Context, c *mpi.Comm) error {
		m, err := c.ShareMemory(3)
		if err != nil {
			return err
		}
		copy(m.Bytes, "abc")
		again, err := c.OpenMemory(m.Name)
		fmt.Printf("%s %v\n", again, err)
		m.Free()
		_, err = c.OpenMemory(m.Name)
		fmt.Println(err)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output:
	// abc <nil>
	// mpi: OpenMemory: no shared memory between the processes of this host: "1" is no block's name
}

// A library frees a block when no rank uses it any more.
func ExampleSharedMemory_Free() {
	err := mpi.RunLocal(context.Background(), 1, func(ctx context.Context, c *mpi.Comm) error {
		m, err := c.ShareMemory(1 << 10)
		if err != nil {
			return err
		}
		defer m.Free()
		fmt.Println(len(m.Bytes), "bytes")
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
	// Output: 1024 bytes
}
