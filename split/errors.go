package split

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dlprun/dlp/mpi"
)

// ErrIncomplete is what an error wraps when a loop ended with items not done
// because it was left: by every rank of a Managed, or by the root of a Map. With
// mpi.ErrStopped beside it, the job was asked to come to an end, or its time was over.
var ErrIncomplete = errors.New("items are left")

// ErrDisagree is what an error wraps when ranks called a loop with different
// numbers of items or different keys. Its text names the ranks and the first
// index at which they differ.
var ErrDisagree = errors.New("ranks disagree")

// errStopped is wrapped by the error of a loop that has stopped early: it is both of
// these, on every rank.
var errStopped error = stopped{}

type stopped struct{}

func (stopped) Error() string   { return "incomplete" }
func (stopped) Unwrap() []error { return []error{ErrIncomplete, mpi.ErrStopped} }

// A TaskError says that the work on an item failed, with [Retries] for the last time.
// All ranks get it. At the
// rank where the item failed, Unwrap returns the very error; on others, Err has
// its text only.
type TaskError struct {
	Index    int    // of the item
	Key      string // its name, with Keys
	Rank     int    // where it failed, in the communicator of the loop
	Host     string // of that rank
	Attempts int    // how often it was tried
	Err      error  // what the work returned, or the panic
	Stack    []byte // where it panicked; nil if it returned an error

	call string // begins the text
}

// Error returns one line; a stack is only in Stack.
func (e *TaskError) Error() string {
	name := fmt.Sprintf("item %d", e.Index)
	if e.Key != "" {
		name += fmt.Sprintf(" (%s)", e.Key)
	}
	where := fmt.Sprintf("on rank %d (%s)", e.Rank, e.Host)
	if e.Attempts > 1 {
		where += fmt.Sprintf(" at attempt %d", e.Attempts)
	}
	text := strings.Join(strings.Fields(strings.ReplaceAll(e.Err.Error(), "\n", " ; ")), " ")
	return fmt.Sprintf("%s: %s failed %s: %s", cmp.Or(e.call, "split"), name, where, text)
}

// Unwrap returns e.Err.
func (e *TaskError) Unwrap() error { return e.Err }

// StackTrace returns e.Stack, which mpi.Main shows at the root.
func (e *TaskError) StackTrace() []byte { return e.Stack }

// joinFailures makes one error of failed tasks, in index order.
func joinFailures(failures []*TaskError) error {
	slices.SortFunc(failures, func(a, b *TaskError) int { return cmp.Compare(a.Index, b.Index) })
	switch len(failures) {
	case 0:
		return nil
	case 1:
		return failures[0]
	}
	errs := make([]error, len(failures))
	for i, f := range failures {
		errs[i] = f
	}
	return errors.Join(errs...)
}

// A remoteError is an error of another rank: its text, and what it was.
type remoteError struct {
	text string
	kind error // what errors.Is and errors.As find; may be nil
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

// A verdict is how a loop ended, in the form in which it travels.
type verdict struct {
	kind     uint64 // 0: well
	text     string
	lost     mpi.RankError // with kindLost
	failures []*TaskError  // with kindTasks
}

const (
	kindTasks = iota + 1
	kindLost
	kindOther // the first of sentinels, which is no sentinel at all
)

// sentinels are the errors that errors.Is finds on every rank.
var sentinels = []error{nil, ErrIncomplete, ErrDisagree, context.Canceled, context.DeadlineExceeded, mpi.ErrAborted, mpi.ErrFinalized, errStopped}

// newVerdict returns the verdict of a loop that ended with err, with failures if
// it was they that ended it.
func newVerdict(err error, failures []*TaskError) verdict {
	if err == nil {
		return verdict{}
	}
	if len(failures) > 0 {
		return verdict{kind: kindTasks, failures: failures}
	}
	v := verdict{kind: kindOther, text: err.Error()}
	if lost, ok := errors.AsType[*mpi.RankError](err); ok {
		v.kind, v.lost = kindLost, *lost
		return v
	}
	for i, s := range sentinels {
		if s != nil && errors.Is(err, s) {
			v.kind = kindOther + uint64(i)
		}
	}
	return v
}

// err returns what v was made of, as another rank may know it.
func (v verdict) err() error {
	switch {
	case v.kind == 0:
		return nil
	case v.kind == kindTasks:
		return joinFailures(v.failures)
	case v.kind == kindLost:
		lost := v.lost
		return &remoteError{v.text, &lost}
	case v.kind-kindOther < uint64(len(sentinels)):
		return &remoteError{v.text, sentinels[v.kind-kindOther]}
	}
	return &remoteError{text: v.text}
}
