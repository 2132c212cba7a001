package mpi_test

import (
	"context"
	"fmt"
	"time"

	"github.com/dlprun/dlp/mpi"
)

// A loop of the program's own that heeds requests.
func ExampleComm_OnStop() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		stop := make(chan struct{})
		defer c.OnStop(func() { close(stop) })()
		for i := 0; ; i++ {
			select {
			case <-stop:
				if c.IsRoot() {
					fmt.Println("asked to stop")
				}
				return nil // or an error that wraps mpi.ErrStopped, for status 75
			case <-time.After(time.Millisecond): // the work
			}
			if i == 3 {
				c.Stop() // Main does it at SIGUSR1
			}
		}
	})
	// Output: asked to stop
}

func ExampleComm_Stop() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		stopped := make(chan struct{})
		forget := c.OnStop(func() { close(stopped) })
		defer forget()
		c.Stop()
		<-stopped
		if c.IsRoot() {
			fmt.Println("heard")
		}
		return nil
	})
	// Output: heard
}

func ExampleComm_Deadline() {
	onThree(func(ctx context.Context, c *mpi.Comm) error {
		if c.IsRoot() {
			fmt.Println("bounded:", !c.Deadline().IsZero())
		}
		return nil
	})
	// Output: bounded: false
}
