package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock keeps other processes from opening f as a journal, until it is closed or
// this process ends. It locks a byte far behind the end, so that the file can be
// read meanwhile.
func lock(f *os.File) error {
	at := &windows.Overlapped{OffsetHigh: 1 << 30}
	err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return errInUse
	}
	return err
}

// syncFolder does nothing: folders can't be synced here.
func syncFolder(string) error { return nil }
