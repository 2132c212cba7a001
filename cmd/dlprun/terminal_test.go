//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A terminal is a pseudo terminal that a dlprun under test runs on.
type terminal struct {
	*os.File
	mu   sync.Mutex
	text strings.Builder
}

// onTerminal starts l on a terminal of its own, as if typed into a shell.
func onTerminal(t *testing.T, l *launched) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	defer slave.Close()
	l.Stdin, l.Stdout, l.Stderr = slave, slave, slave
	l.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	require.NoError(t, l.Start())
	term := &terminal{File: master}
	var reading sync.WaitGroup
	reading.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			term.mu.Lock()
			term.text.Write(buf[:n])
			term.mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	t.Cleanup(func() {
		reading.Wait() // all who had the terminal have ended
		master.Close()
	})
	return term
}

func (term *terminal) String() string {
	term.mu.Lock()
	defer term.mu.Unlock()
	return term.text.String()
}

func (term *terminal) waitFor(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool { return strings.Contains(term.String(), text) }, watchdog, tick, "%q", text)
}

func (term *terminal) typeIn(t *testing.T, text string) {
	t.Helper()
	_, err := term.WriteString(text)
	require.NoError(t, err)
}

func TestTerminalInputGoesToRank0(t *testing.T) {
	for _, np := range []string{"1", "3"} {
		l := dlprun(t, "-np", np, "sh", "-c", `printf "name? "; read x; echo "got <$x>"`)
		term := onTerminal(t, l)
		term.waitFor(t, "name? ")
		term.typeIn(t, "Ada\n")
		require.Zero(t, l.wait(), term)
		term.waitFor(t, "got <Ada>")
		require.Equal(t, 1, strings.Count(term.String(), "got <Ada>"))
	}
}

func TestTerminalInputEnds(t *testing.T) {
	l := dlprun(t, "-np", "2", "sh", "-c", `echo ready; cat; echo done`)
	term := onTerminal(t, l)
	term.waitFor(t, "ready")
	term.typeIn(t, "\x04")
	require.Zero(t, l.wait(), term)
	require.Equal(t, 2, strings.Count(term.String(), "done"))
}

func TestCtrlCIsTyped(t *testing.T) {
	l := dlprun(t, "-np", "2", "sh", "-c", "echo ready; exec sleep 1000")
	term := onTerminal(t, l)
	term.waitFor(t, "ready")
	term.typeIn(t, "\x03")
	require.Equal(t, 130, l.wait())
}

func TestBarOnTerminal(t *testing.T) {
	for flag, want := range map[string]string{"--progress=auto": "<bar>", "--tag-output": "<auto>"} {
		l := dlprun(t, "-np", "2", flag, "sh", "-c", `echo "<$DLP_PROGRESS>"`)
		term := onTerminal(t, l)
		require.Zero(t, l.wait())
		term.waitFor(t, want)
	}
}

// The debugger has the terminal for itself, and dlprun gets it back.
func TestDebug(t *testing.T) {
	for name, script := range map[string]string{
		"dlv": `echo "dlv $*"; read x; echo "read <$x>"; shift; program=$1; shift 2; exec "$program" "$@"`,
		"gdb": `echo "gdb $*"; read x; echo "read <$x>"; shift 2; exec "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\n"+script+"\n"), 0o755))
			l := dlprun(t, "-np", "3", "--debug", "1", rankProgram, "none", "2")
			l.Env = append(l.Env, "PATH="+bin)
			term := onTerminal(t, l)
			term.waitFor(t, " none 2")
			term.typeIn(t, "continue\n")
			if name == "dlv" {
				require.Contains(t, term.String(), "dlv exec "+rankProgram+" -- none 2")
			} else {
				require.Contains(t, term.String(), "gdb -quiet --args "+rankProgram+" none 2")
			}
			require.Zero(t, l.wait(), term)
			term.waitFor(t, "read <continue>")
		})
	}
}

func TestDebugWithoutDebugger(t *testing.T) {
	l := dlprun(t, "-np", "2", "--debug", "1", rankProgram, "none")
	l.Env = append(l.Env, "PATH=/nowhere")
	term := onTerminal(t, l)
	require.Equal(t, 127, l.wait())
	term.waitFor(t, "dlprun: --debug: neither dlv nor gdb is in PATH (go install github.com/go-delve/delve/cmd/dlv@latest)\r\n")
}
