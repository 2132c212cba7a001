// Rank is a program for dlprun's tests: its ranks meet again and again, and in
// the middle of that one of them, or all, does what it is told.
//
// Usage: rank DEED [RANK]
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/dlprun/dlp/mpi"
)

func main() {
	deed, who := os.Args[1], -1
	if len(os.Args) > 2 {
		who, _ = strconv.Atoi(os.Args[2])
	}
	rank, _ := strconv.Atoi(os.Getenv("DLP_RANK")) // which joining unsets
	if deed == "nojoin" && rank == who {
		return
	}
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		mine := who < 0 || who == rank
		for step := range 6 {
			if step == 3 && mine {
				if err := do(deed); err != nil {
					return err
				}
			}
			if err := world.Barrier(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if deed == "late3" && rank == who {
		os.Exit(3)
	}
}

func do(deed string) error {
	switch deed {
	case "kill":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "exit0":
		os.Exit(0)
	case "exit3":
		os.Exit(3)
	case "panic":
		panic("out of ideas")
	case "crash": // where nobody can recover
		go func() { panic("out of ideas") }()
		select {}
	case "error":
		return errors.New("out of ideas")
	case "stubborn": // can't be asked to leave, and has children of which one left its process group
		signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
		escaped := exec.Command("setsid", "sleep", "1000")
		unmarked := exec.Command("sleep", "1000")
		unmarked.Env = []string{}
		if err := errors.Join(escaped.Start(), unmarked.Start()); err != nil {
			return err
		}
		fmt.Printf("pids %d %d %d\n", os.Getpid(), escaped.Process.Pid, unmarked.Process.Pid)
		select {}
	}
	return nil
}
