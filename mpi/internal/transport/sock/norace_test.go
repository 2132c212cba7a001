//go:build !race && linux

package sock

const raceEnabled = false
