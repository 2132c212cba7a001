package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// column is one of the table.
type column struct {
	head  string
	width int // on a terminal
	text  func(o outcome) string
}

func columns() []column {
	return []column{
		{"#", 4, func(o outcome) string { return o.budget }},
		{"work", 48, func(o outcome) string { return o.what }},
		{"dlp [min..max]", 25, func(o outcome) string { return o.unit.writeAll(o.ours) }},
		{"peer", 20, func(o outcome) string { return o.peerName }},
		{"peer's [min..max]", 25, func(o outcome) string { return o.unit.writeAll(o.peer) }},
		{"n", 2, func(o outcome) string { return strconv.Itoa(o.ours.runs) }},
		{"ratio [min..max]", 24, func(o outcome) string { return times.writeAll(o.ratio) }},
		{"budget", 9, outcome.budgetText},
		{"others", 6, func(o outcome) string { return share.write(math.Round(100*o.others) / 100) }},
		{"verdict", 0, outcome.brief},
	}
}

// brief is the verdict in a few words; why something failed is for whoever ran it.
func (o outcome) brief() string {
	switch {
	case o.failed():
		return "failed"
	case o.inDoubt():
		return o.verdict + "?"
	}
	return o.verdict
}

// budgetText is what the ratio, or the figure itself, may be at most.
func (o outcome) budgetText() string {
	switch {
	case o.limit == 0:
		return ""
	case o.peerName == "":
		return "≤ " + o.unit.write(o.limit)
	}
	return "≤ " + digits(o.limit) + " ×"
}

// head and line are rows of the table as aligned text.
func head() string {
	return row(func(c column) string { return c.head })
}

func (o outcome) line() string {
	return row(func(c column) string { return c.text(o) })
}

func row(text func(column) string) string {
	var b strings.Builder
	for _, c := range columns() {
		t := text(c)
		b.WriteString(t)
		b.WriteString(strings.Repeat(" ", 1+max(0, c.width-utf8.RuneCountInString(t))))
	}
	return strings.TrimRight(b.String(), " ")
}

// markdown is the whole table as Markdown.
func markdown(lines []outcome) string {
	var b strings.Builder
	write := func(text func(column) string) {
		for _, c := range columns() {
			fmt.Fprintf(&b, "| %s ", strings.ReplaceAll(text(c), "|", `\|`))
		}
		b.WriteString("|\n")
	}
	write(func(c column) string { return c.head })
	write(func(column) string { return "---" })
	for _, o := range lines {
		write(func(c column) string { return c.text(o) })
	}
	return b.String()
}

// tally counts the verdicts.
func tally(lines []outcome) string {
	counts, doubts := map[string]int{}, 0
	for _, o := range lines {
		if o.inDoubt() {
			doubts++
		}
		switch o.verdict {
		case held, short, comparison:
			counts[o.verdict]++
		default:
			counts["not measured"]++
		}
	}
	text := fmt.Sprintf("%d held, %d short, %d not measured, %d for comparison",
		counts[held], counts[short], counts["not measured"], counts[comparison])
	if doubts > 0 {
		text += fmt.Sprintf("; %d are in doubt (?), since others took more than 10 %% of the processors", doubts)
	}
	return text
}
