package launch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// munge seals texts so that processes of the same user, on all hosts whose daemons
// share a key, can open them and nobody else can. It runs the programs munge and
// unmunge: their library needs cgo.
type munge struct{ munge, unmunge string }

func findMunge() (m munge, err error) {
	if m.munge, err = exec.LookPath("munge"); err == nil {
		m.unmunge, err = exec.LookPath("unmunge")
	}
	return m, err
}

// mungeTime bounds one run of a program.
const mungeTime = 5 * time.Second

func (m munge) seal(ctx context.Context, text string) (string, error) {
	return run(ctx, text, m.munge, "--restrict-uid="+strconv.Itoa(os.Geteuid()))
}

// replayed is unmunge's status for a seal that this host has opened before. It
// opens it all the same.
const replayed = 17

// open returns the text of a seal that this user has made.
func (m munge) open(ctx context.Context, seal string) (string, error) {
	out, err := run(ctx, seal, m.unmunge, "--keys=UID")
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == replayed) {
		return "", err
	}
	// UID:    name (1000)
	//
	// text
	who, text, _ := strings.Cut(out, "\n\n")
	fields := strings.Fields(who)
	if len(fields) < 2 || fields[0] != "UID:" {
		return "", fmt.Errorf("unmunge says %q, which is not understood", who)
	}
	if uid := strings.Trim(fields[len(fields)-1], "()"); uid != strconv.Itoa(os.Geteuid()) {
		return "", fmt.Errorf("an invitation that user %s has made, not user %d", uid, os.Geteuid())
	}
	return text, nil
}

// run runs a program and returns its output, also where it fails; its error is the
// program's own line.
func run(ctx context.Context, in, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, mungeTime)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	var out, said strings.Builder
	c.Stdin, c.Stdout, c.Stderr, c.WaitDelay = strings.NewReader(in), &out, &said, time.Second
	err := c.Run()
	if err != nil {
		err = fmt.Errorf("%s (%w)", cmp.Or(oneLine(said.String()), filepath.Base(program)), err)
	}
	return out.String(), err
}
