//go:build race && linux

package sock

const raceEnabled = true
