package main

import (
	"fmt"
	"strings"
)

// An outcome is how a rule came out: a line of the table.
type outcome struct {
	budget, what string
	unit         unit
	ours         summary
	peer         summary
	peerName     string  // "": there is none
	ratio        summary // of ours to the peer's, pair by pair
	limit        float64 // 0: for comparison only
	others       float64 // share of the processors that others used meanwhile
	verdict      string
}

const (
	held       = "held"
	short      = "short"
	comparison = "-"
)

// outcomes holds what was measured against the contest's rules.
func (c contest) outcomes(all []measured, others float64) []outcome {
	var lines []outcome
	for _, r := range c.rules {
		o := outcome{budget: c.budget, what: c.title, unit: r.unit, limit: r.limit, others: others}
		if r.what != "" {
			o.what += ", " + r.what
		}
		values := all[r.ours.side].values[r.ours.name]
		o.ours = summarize(values)
		err := all[r.ours.side].err
		if len(r.peers) > 0 {
			peer := best(all, r.peers)
			o.peerName = c.peerName(peer, r)
			o.peer = summarize(all[peer.side].values[peer.name])
			o.ratio = summarize(divide(values, all[peer.side].values[peer.name]))
			if err == nil {
				err = all[peer.side].err
			}
		}
		o.verdict = o.judge(err)
		lines = append(lines, o)
	}
	return lines
}

// best returns the figure with the smallest median, or the first if there are none.
func best(all []measured, choice []figure) figure {
	first := choice[0]
	for _, f := range choice[1:] {
		a, b := summarize(all[f.side].values[f.name]), summarize(all[first.side].values[first.name])
		if a.runs > 0 && a.median < b.median {
			first = f
		}
	}
	return first
}

// peerName is what the rule says, a side's name, or, if there is a choice, the last
// part of the figure's.
func (c contest) peerName(peer figure, r rule) string {
	switch {
	case r.name != "":
		return r.name
	case len(r.peers) == 1:
		return c.sides[peer.side].name
	}
	return peer.name[strings.LastIndexByte(peer.name, '.')+1:]
}

// judge returns the verdict on what was measured; err is why it was not.
func (o outcome) judge(err error) string {
	compared := o.ratio
	if o.peerName == "" {
		compared = o.ours
	}
	what, isMissing := missing(err)
	switch {
	case isMissing && what == notBuilt:
		return "not built with -tags mpi"
	case isMissing:
		return "peer not installed: " + what
	case err != nil:
		return fmt.Sprintf("failed: %v", err)
	case compared.runs == 0:
		return "failed: not measured here"
	case o.limit == 0:
		return comparison
	case compared.median <= o.limit:
		return held
	}
	return short
}

// inDoubt reports whether others disturbed the measurement.
func (o outcome) inDoubt() bool {
	return o.others > 0.1 && (o.verdict == held || o.verdict == short)
}

func (o outcome) failed() bool { return strings.HasPrefix(o.verdict, "failed") }
