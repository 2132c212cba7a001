//go:build !linux

package main

// Other systems don't tell, or not in a way that can be reset.
func resetPeak() (float64, bool) { return 0, false }
func peak() (float64, bool)      { return 0, false }
