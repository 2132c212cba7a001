package main

import (
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestUnits(t *testing.T) {
	for want, got := range map[string]string{
		"12.3 ns":            seconds.write(12.345e-9),
		"999 µs":             seconds.write(999.4e-6),
		"1 s":                seconds.write(1),
		"300 s":              seconds.write(300),
		"1 KiB":              bytes.write(1024),
		"512 B":              bytes.write(512),
		"1 %":                share.write(0.01),
		"0 %":                share.write(0),
		"1.05":               times.write(1.05),
		"0.000123":           times.write(0.00012345),
		"":                   seconds.writeAll(summary{}),
		"∞ s [0.5..∞]":       seconds.writeAll(summary{math.Inf(1), 0.5, math.Inf(1), 7}),
		"1.5 ms [0.9..2000]": seconds.writeAll(summary{1.5e-3, 0.9e-3, 2, 7}),
	} {
		require.Equal(t, want, got)
	}
}

func lines() []outcome {
	return []outcome{
		{budget: "1", what: "index", ours: summary{2e-7, 1e-7, 3e-7, 7}, peer: summary{1e-7, 1e-7, 1e-7, 7}, peerName: "C", ratio: summary{2, 1, 3, 7}, limit: 1, verdict: short},
		{budget: "9", what: "peak", unit: times, ours: summary{1, 1, 1, 7}, limit: 1.2, verdict: held, others: 0.31},
		{budget: "also", what: "a|b", peerName: "P", verdict: "failed: with all that the machine says"},
	}
}

func TestTextStandsInColumns(t *testing.T) {
	head, first, second := head(), lines()[0].line(), lines()[1].line()
	at := func(text, part string) int { return utf8.RuneCountInString(text[:strings.Index(text, part)]) }
	require.Equal(t, at(head, "verdict"), at(first, "short"))
	require.Equal(t, at(head, "verdict"), at(second, "held?"))
	require.Equal(t, at(head, "budget"), at(first, "≤ 1 ×"))
	require.Equal(t, at(head, "budget"), at(second, "≤ 1.2"))
	require.Contains(t, first, "200 ns [100..300]")
	require.Contains(t, second, " 31 %   held?")
}

func TestMarkdown(t *testing.T) {
	rows := strings.Split(strings.TrimSpace(markdown(lines())), "\n")
	require.Len(t, rows, 5)
	require.Equal(t, "| 1 | index | 200 ns [100..300] | C | 100 ns [100..100] | 7 | 2 [1..3] | ≤ 1 × | 0 % | short |", rows[2])
	require.Contains(t, rows[4], `a\|b`)
	require.Contains(t, rows[4], "| failed |", "why is not for everybody")
}

func TestTally(t *testing.T) {
	require.Equal(t, "1 held, 1 short, 1 not measured, 0 for comparison; "+
		"1 are in doubt (?), since others took more than 10 % of the processors", tally(lines()))
	require.Equal(t, "0 held, 1 short, 0 not measured, 0 for comparison", tally(lines()[:1]))
}
