package main

import (
	"errors"
	"sync"
	"sync/atomic"
)

// pool checks the packages with goroutines that each take the next one, and know
// what they have learned themselves: a checker is not for two at once.
func pool(dirs []string, goroutines int) ([]Report, error) {
	reports, errs := make([]Report, len(dirs)), make([]error, len(dirs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			checker := newChecker()
			for i := int(next.Add(1)) - 1; i < len(dirs); i = int(next.Add(1)) - 1 {
				reports[i], errs[i] = checker.check(dirs[i])
			}
		})
	}
	wg.Wait()
	return reports, errors.Join(errs...)
}
