package main

import (
	"io/fs"
	"os"
)

// waitForLock does nothing: on Windows left-over folders stay.
func waitForLock(*os.File) error { return nil }

// tryLock reports false: somebody may have the lock.
func tryLock(*os.File) bool { return false }

// isOwn reports false.
func isOwn(fs.FileInfo) bool { return false }
