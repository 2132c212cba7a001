package mpi

import (
	"errors"
	"fmt"
	"strings"
)

// Errors that a caller may ask for with errors.Is.
var (
	// ErrAborted is in the chain of what calls return after a rank has called Abort.
	ErrAborted = errors.New("the job was aborted")
	// ErrFinalized is returned by calls on a communicator after Finalize, and is
	// the Err of a RankError about a rank that is in Finalize.
	ErrFinalized = errors.New("already finalized")
	// ErrTruncated is returned by RecvInto where the message is longer than the
	// buffer. The message is kept.
	ErrTruncated = errors.New("the message is longer than the buffer")
)

// RankError says that a peer died or left, so that Op could not be done.
type RankError struct {
	Rank int    // in the world; -1 where it is the job as a whole
	Host string // where it ran; "" if that is not known
	Op   string // what could not be done, "Barrier"
	Err  error  // why
}

func (e *RankError) Error() string {
	if e.Rank < 0 {
		return fmt.Sprintf("mpi: %s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("mpi: %s: rank %d%s is gone: %v", e.Op, e.Rank, in(e.Host), e.Err)
}

// Unwrap returns e.Err.
func (e *RankError) Unwrap() error { return e.Err }

// MismatchError says that two ranks of a communicator called different
// collective operations where both should have called the same.
type MismatchError struct {
	Seq   uint64    // the how manieth collective call on the communicator it is, from 1
	Ranks [2]int    // in the world
	Calls [2]string // what each of them called, as "Bcast(root 0, int) at main.go:12"
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("mpi: ranks disagree about collective call %d: rank %d called %s, rank %d called %s; every rank must make the same calls in the same order",
		e.Seq, e.Ranks[0], e.Calls[0], e.Ranks[1], e.Calls[1])
}

// remoteError is an error that happened on another rank, as far as its text
// goes.
type remoteError struct {
	rank int
	text string
}

func (e *remoteError) Error() string { return fmt.Sprintf("rank %d: %s", e.rank, e.text) }

func in(host string) string {
	if host == "" {
		return ""
	}
	return " (" + host + ")"
}

// trimPrefix returns an error's text without the name of this package in front.
func trimPrefix(err error) string { return strings.TrimPrefix(err.Error(), "mpi: ") }
