package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// publish writes the table, and a plot for each budget, to a folder.
func publish(folder, system string, lines []outcome) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	var page strings.Builder
	fmt.Fprintf(&page, "# Beside the peers\n\nWritten by `go run ./bench -write`, on %s.\n"+
		"Medians of n rounds, the least and the most in brackets. A ratio is ours by the\n"+
		"peer's of the same round; of those, too, the median counts.\n\n", system)
	page.WriteString(markdown(lines))
	fmt.Fprintf(&page, "\n%s.\n", tally(lines))
	for _, budget := range budgets(lines) {
		name := "budget-" + budget + ".svg"
		if err := publishPlot(filepath.Join(folder, name), budget, lines); err != nil {
			return err
		}
		if _, err := os.Stat(filepath.Join(folder, name)); err == nil {
			fmt.Fprintf(&page, "\n## %s\n\n![%s](%s)\n", heading(budget), heading(budget), name)
		}
	}
	return os.WriteFile(filepath.Join(folder, "table.md"), []byte(page.String()), 0o644)
}

// publishPlot writes the plot of a budget, and removes an old one if there is
// nothing to be drawn.
func publishPlot(path, budget string, lines []outcome) error {
	var own []outcome
	for _, o := range lines {
		if o.budget == budget && (o.limit > 0 || budget == "also") {
			own = append(own, o)
		}
	}
	drawn := svg(heading(budget), own)
	if drawn == "" {
		return os.RemoveAll(path)
	}
	return os.WriteFile(path, []byte(drawn), 0o644)
}

func heading(budget string) string {
	switch budget {
	case "also":
		return "Peers without a budget"
	case "mpi":
		return "The build with the tag mpi"
	}
	return "Budget " + budget
}

// budgets are those of the lines, in their order.
func budgets(lines []outcome) []string {
	var names []string
	for _, o := range lines {
		if len(names) == 0 || names[len(names)-1] != o.budget {
			names = append(names, o.budget)
		}
	}
	return names
}
