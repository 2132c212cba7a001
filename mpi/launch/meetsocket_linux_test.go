package launch

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// two are the meetings of rank 0 and rank 1 of a job under Open MPI on one host.
func two(t *testing.T, changes map[string]string) (all [2]Meeting) {
	t.Helper()
	job := map[string]string{"PMIX_NAMESPACE": t.Name() + time.Now().String()}
	for rank, digit := range []string{"0", "1"} {
		found, err := Detect(env(merged(openmpi4, job, changes, map[string]string{"OMPI_COMM_WORLD_RANK": digit})))
		require.NoError(t, err)
		all[rank] = found.Meeting
	}
	return all
}

// needRoot fails the test in CI, and skips it elsewhere, where it lacks the rights.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	require.NotEqual(t, "true", os.Getenv("CI"), "this needs root")
	t.Skip("NOT RUN: this needs root")
}

// asNobody runs f on a thread that belongs to another user.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	needRoot(t)
	done := make(chan syscall.Errno)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with this goroutine
		const keep, nobody = ^uintptr(0), 65534
		_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, nobody, keep) // of this thread alone
		if errno == 0 {
			f()
		}
		done <- errno
	}()
	require.Zero(t, <-done)
}

func TestSocketMeeting(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ranks := two(t, nil)
	require.Regexp(t, `^the socket @dlp-job-[0-9a-f]{24}$`, ranks[0].String())
	require.Equal(t, ranks[0].String(), ranks[1].String())
	require.NotEqual(t, ranks[0].String(), two(t, nil)[0].String(), "of another job")
	in := Invitation{At: []string{"unix:@dlp-x", "tcp:10.0.0.1:7000"}, Secret: NewSecret()}
	found := make(chan Invitation)
	go func() { // before there is anything to find
		i, err := ranks[1].Find(ctx)
		if err != nil {
			t.Error(err)
		}
		found <- i
	}()
	require.NoError(t, ranks[0].Publish(ctx, in))
	require.Equal(t, in, <-found)
	require.ErrorContains(t, ranks[1].Publish(ctx, in), "address already in use; name a folder to meet in with DLP_FOLDER")
	for _, r := range ranks {
		require.NoError(t, r.Joined())
		require.NoError(t, r.Leave(0))
	}
	soon, cancel := context.WithTimeoutCause(ctx, 10*time.Millisecond, errors.New("enough"))
	defer cancel()
	_, err := ranks[1].Find(soon)
	require.EqualError(t, err, "rank 0 is not at "+ranks[1].String()+"; if ranks run in containers with networks of their own, start them with dlprun --with: enough")
}

// Neither does rank 0 invite another user's process, nor does a rank believe one.
func TestSocketMeetingAndOtherUsers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ranks := two(t, nil)
	name := ranks[0].(*socket).name
	require.NoError(t, ranks[0].Publish(ctx, Invitation{At: []string{"tcp:10.0.0.1:7000"}}))
	asNobody(t, func() {
		conn, err := net.Dial("unix", name)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		if b, err := io.ReadAll(conn); err != nil || len(b) > 0 {
			t.Errorf("another user is told %q, %v", b, err)
		}
	})
	require.NoError(t, ranks[0].Joined())
	var theirs net.Listener
	asNobody(t, func() {
		var err error
		if theirs, err = net.Listen("unix", name); err != nil {
			t.Error(err)
		}
	})
	defer theirs.Close()
	_, err := ranks[1].Find(ctx)
	require.EqualError(t, err, "the socket "+name+": another user has taken that name: it belongs to user 65534, this job to user 0; name a folder to meet in with DLP_FOLDER")
}

// Who names a folder meets in it.
func TestFolderMeeting(t *testing.T) {
	for _, r := range two(t, map[string]string{"DLP_FOLDER": t.TempDir()}) {
		require.IsType(t, &file{}, r)
	}
}
