package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A unit says how figures are written.
type unit int

const (
	seconds unit = iota
	bytes
	times // something else
	share // of one
)

// write returns a value with its unit.
func (u unit) write(v float64) string {
	scaled, name := u.scale(v)
	return digits(scaled) + name
}

// writeAll returns a summary, all of it in the unit of its median.
func (u unit) writeAll(s summary) string {
	if s.runs == 0 {
		return ""
	}
	scaled, name := u.scale(s.median)
	factor := 1.0
	if s.median != 0 && !math.IsInf(s.median, 1) {
		factor = scaled / s.median
	}
	return fmt.Sprintf("%s%s [%s..%s]", digits(scaled), name, digits(s.min*factor), digits(s.max*factor))
}

func (u unit) scale(v float64) (float64, string) {
	switch {
	case u == share:
		return 100 * v, " %"
	case u == bytes && v >= 1<<20:
		return v / (1 << 20), " MiB"
	case u == bytes && v >= 1<<10:
		return v / (1 << 10), " KiB"
	case u == bytes:
		return v, " B"
	case u == times:
		return v, ""
	case v >= 1:
		return v, " s"
	case v >= 1e-3:
		return v * 1e3, " ms"
	case v >= 1e-6:
		return v * 1e6, " µs"
	}
	return v * 1e9, " ns"
}

// digits writes three significant digits, and never an exponent.
func digits(v float64) string {
	if math.IsInf(v, 1) {
		return "∞"
	}
	decimals := 2
	if a := math.Abs(v); a > 0 {
		decimals = max(0, 2-int(math.Floor(math.Log10(a))))
	}
	text := strconv.FormatFloat(v, 'f', min(decimals, 6), 64)
	if strings.Contains(text, ".") {
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	return text
}
