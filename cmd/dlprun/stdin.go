package main

import (
	"io"
	"os"
	"os/exec"
	"time"

	"golang.org/x/term"
)

// giveStdin makes dlprun's standard input that of cmd, which is rank 0. A file
// or pipe is passed on as it is. A terminal can't be: only the process group in
// its foreground may read it, which is dlprun's, so that Ctrl-C comes to dlprun.
// Then the returned function, not nil, must be called when cmd has started.
func giveStdin(cmd *exec.Cmd) (feedIt func(), err error) {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		cmd.Stdin = os.Stdin
		return nil, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdin = r
	return func() {
		r.Close()
		ignoreTTIN()
		go feed(w)
	}, nil
}

// feed copies the terminal to w for as long as dlprun lives. While dlprun is in
// the background, reading fails, and it waits for its return.
func feed(w io.WriteCloser) {
	defer w.Close()
	buf := make([]byte, 32<<10)
	for {
		if !inForeground() {
			time.Sleep(300 * time.Millisecond)
			continue
		}
		n, err := os.Stdin.Read(buf)
		if _, werr := w.Write(buf[:n]); werr != nil {
			return // rank 0 reads no more
		}
		if err != nil && inForeground() {
			return
		}
	}
}
