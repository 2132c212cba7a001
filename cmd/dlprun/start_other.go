//go:build !linux

package main

import (
	"errors"
	"os/exec"
)

// startPinned starts cmd; cpu is always negative here.
func startPinned(cmd *exec.Cmd, cpu int) error { return cmd.Start() }

// processors returns the processors that ranks can be bound to.
func processors() ([]int, error) {
	return nil, errors.New("this system can't bind processes to processors; leave --bind-to out")
}
