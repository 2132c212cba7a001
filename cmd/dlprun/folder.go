package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// A job's folder holds the job's socket and program. The guard removes it even if
// dlprun is killed. Where both are killed at once nobody can: so dlprun holds a lock on
// a file in it, which ends with dlprun, and the next one removes folders whose lock is
// free.
const (
	folderPrefix = "dlprun-"
	lockName     = "lock"
)

// shortTemp is the folder for temporary files, or another one where that has a long
// name: that of a socket in it must be short.
func shortTemp() string {
	if parent := os.TempDir(); len(parent) <= 60 || runtime.GOOS == "windows" {
		return parent
	}
	return "/tmp"
}

// jobFolder makes a folder for a job, and removes those that others have left. The
// lock on it holds until it is closed.
func jobFolder(parent string) (folder string, lock *os.File, err error) {
	removeLeftOvers(parent, os.RemoveAll)
	for {
		folder, err = os.MkdirTemp(parent, folderPrefix)
		if err != nil {
			return "", nil, err
		}
		lock, err = lockFolder(folder)
		switch {
		case err == nil:
			return folder, lock, nil
		case !errors.Is(err, fs.ErrNotExist): // else another dlprun has seen it before it was locked
			return "", nil, errors.Join(err, os.RemoveAll(folder))
		}
	}
}

// lockFolder locks a new folder. The error is fs.ErrNotExist if it is gone.
func lockFolder(folder string) (*os.File, error) {
	name := filepath.Join(folder, lockName)
	lock, err := os.OpenFile(name, os.O_CREATE|os.O_RDONLY, 0o600)
	if err != nil {
		return nil, err
	}
	err = waitForLock(lock)
	if err == nil {
		_, err = os.Stat(name)
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return lock, nil
}

// removeLeftOvers removes the folders in parent of this user's jobs that are over.
// What can't be read or removed is left to whom it belongs.
func removeLeftOvers(parent string, remove func(folder string) error) {
	all, _ := os.ReadDir(parent)
	for _, f := range all {
		if strings.HasPrefix(f.Name(), folderPrefix) && f.IsDir() {
			removeIfOver(filepath.Join(parent, f.Name()), remove)
		}
	}
}

// removeIfOver removes a folder of ours if nobody holds its lock any more. It holds the
// lock meanwhile: the folder may be one that is being made, by a dlprun that waits for
// the lock and then finds that it is gone.
func removeIfOver(folder string, remove func(folder string) error) {
	name := filepath.Join(folder, lockName)
	if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || !isOwn(info) {
		return
	}
	lock, err := os.Open(name)
	if err != nil {
		return
	}
	defer lock.Close()
	if tryLock(lock) {
		_ = remove(folder) // the next one tries again
	}
}
