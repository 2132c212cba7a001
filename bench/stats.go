package main

import (
	"math"
	"slices"
)

// A summary is what is told of several values of one thing.
type summary struct {
	median, min, max float64
	runs             int
}

// summarize returns the summary of values; that of none has 0 runs.
func summarize(values []float64) summary {
	if len(values) == 0 {
		return summary{}
	}
	v := slices.Sorted(slices.Values(values))
	middle := len(v) / 2
	s := summary{median: v[middle], min: v[0], max: v[len(v)-1], runs: len(v)}
	if len(v)%2 == 0 {
		s.median = (v[middle-1] + v[middle]) / 2
	}
	return s
}

// divide returns a/b, pair by pair. Whoever is infinite is infinitely worse.
func divide(a, b []float64) []float64 {
	ratios := make([]float64, min(len(a), len(b)))
	for i := range ratios {
		ratios[i] = a[i] / b[i]
		if math.IsInf(a[i], 1) {
			ratios[i] = a[i]
		}
	}
	return ratios
}
