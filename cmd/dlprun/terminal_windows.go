package main

import "os/exec"

// inForeground reports whether dlprun may read its console; it always may.
func inForeground() bool { return true }

func ignoreTTIN() {}

func findDebugger() ([]string, error) {
	return nil, exitf(statusUsage, "--debug: not on Windows; start the debugger by hand")
}

func underDebugger(cmd *exec.Cmd, debugger []string) {}

func takeTerminal() {}
