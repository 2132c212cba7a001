//go:build !linux

package sock

import "runtime"

// tap does nothing: memory is shared on Linux only.
func tap(uintptr) {}

// yield lets other goroutines run.
func yield() { runtime.Gosched() }
