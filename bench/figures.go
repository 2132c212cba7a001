package main

import (
	"strconv"
	"strings"
)

// figures are what a program measured, by name.
type figures map[string]float64

// parseFigures reads what a program printed: lines that begin with the name of a
// figure and its value. Other lines it leaves out.
func parseFigures(output string) figures {
	f := figures{}
	for line := range strings.Lines(output) {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		if value, err := strconv.ParseFloat(words[1], 64); err == nil {
			f[words[0]] = value
		}
	}
	return f
}

// parseBenchmarks reads what Go's benchmarks print. A figure's name is that of the
// benchmark and its unit, "Name ns/op"; nanoseconds become seconds.
func parseBenchmarks(output string) figures {
	f := figures{}
	for line := range strings.Lines(output) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(words[0], "Benchmark")
		if at := strings.LastIndexByte(name, '-'); at > 0 { // the number of processors
			name = name[:at]
		}
		for i := 2; i+1 < len(words); i += 2 {
			value, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				break
			}
			if strings.HasPrefix(words[i+1], "ns/") {
				value /= 1e9
			}
			f[name+" "+words[i+1]] = value
		}
	}
	return f
}
