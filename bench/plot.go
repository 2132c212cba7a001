package main

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
)

// A plot draws lines of the table as pairs of bars on a logarithmic scale: ours and
// the peer's, each by what the budget allows, so that lines of any unit share one
// axis and 1 is the budget. Whoever reads it in the dark gets other colours.
type plot struct {
	lines     []outcome
	low, high int // powers of ten at the ends of the axis
	b         strings.Builder
}

const (
	plotWidth  = 820
	plotLeft   = 16
	plotRight  = 560 // what was measured stands right of the bars
	plotTop    = 34
	lineHeight = 58
	barHeight  = 13
)

const plotStyle = `<style>
text { font: 13px sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
.ours { fill: #0969da } .peer { fill: #9198a1 }
.axis { stroke: #d1d9e0 } .spread { stroke: #1f2328; stroke-width: 1.5 } .budget { stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc } .small { fill: #9198a1 }
.ours { fill: #4493f8 } .peer { fill: #656c76 }
.axis { stroke: #3d444d } .spread { stroke: #f0f6fc } .budget { stroke: #ff7b72 }
}
</style>
`

// svg returns the plot of the lines that were measured and have something to be
// measured by, "" if there are none.
func svg(title string, lines []outcome) string {
	p := &plot{}
	for _, o := range lines {
		if o.ours.runs > 0 && o.allowed() > 0 && !math.IsInf(o.allowed(), 1) {
			p.lines = append(p.lines, o)
		}
	}
	if len(p.lines) == 0 {
		return ""
	}
	p.findEnds()
	height := plotTop + lineHeight*len(p.lines) + 24
	p.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img">`+"\n", plotWidth, height)
	p.printf("<title>%s</title>\n%s", html.EscapeString(title), plotStyle)
	p.axis(height)
	for i, o := range p.lines {
		p.line(plotTop+lineHeight*i, o)
	}
	p.printf("</svg>\n")
	return p.b.String()
}

// allowed is what the figure may be at most: what 1 stands for. Without a budget
// it is what the peer reaches.
func (o outcome) allowed() float64 {
	switch {
	case o.peerName == "":
		return o.limit
	case o.limit == 0:
		return o.peer.median
	}
	return o.limit * o.peer.median
}

func (p *plot) printf(format string, args ...any) { fmt.Fprintf(&p.b, format, args...) }

// findEnds makes room for all bars, and for a power of ten on both sides of 1.
func (p *plot) findEnds() {
	values := []float64{0.1, 10}
	for _, o := range p.lines {
		for _, s := range []summary{o.ours, o.peer} {
			for _, v := range []float64{s.min, s.median, s.max} {
				if scaled := v / o.allowed(); scaled > 0 && !math.IsInf(scaled, 1) {
					values = append(values, scaled)
				}
			}
		}
	}
	p.low = int(math.Floor(math.Log10(slices.Min(values))))
	p.high = int(math.Ceil(math.Log10(slices.Max(values))))
}

// x returns where a value is on the axis.
func (p *plot) x(value float64) float64 {
	at := (math.Log10(value) - float64(p.low)) / float64(p.high-p.low)
	return plotLeft + (plotRight-plotLeft)*min(max(at, 0), 1)
}

func (p *plot) axis(height int) {
	for power := p.low; power <= p.high; power++ {
		x, class, label := p.x(math.Pow10(power)), "axis", fmt.Sprintf("%g ×", math.Pow10(power))
		if power == 0 {
			class, label = "budget", "budget"
			if p.lines[0].limit == 0 {
				label = "the peer"
			}
		}
		p.printf(`<line class="%s" x1="%.1f" y1="22" x2="%.1f" y2="%d"/>`+"\n", class, x, x, height-10)
		p.printf(`<text class="small" x="%.1f" y="15" text-anchor="middle">%s</text>`+"\n", max(x, 24), label)
	}
}

// line draws what was measured for one line of the table.
func (p *plot) line(y int, o outcome) {
	p.printf(`<text x="%d" y="%d">%s</text>`+"\n", plotLeft, y+14, html.EscapeString(o.what))
	p.bar("ours", y+20, o.ours, o, "dlp")
	if o.peer.runs > 0 {
		p.bar("peer", y+20+barHeight+2, o.peer, o, o.peerName)
	}
}

func (p *plot) bar(class string, y int, s summary, o outcome, name string) {
	end, middle := p.x(s.median/o.allowed()), y+barHeight/2
	p.printf(`<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`+"\n", class, plotLeft, y, end-plotLeft, barHeight)
	p.printf(`<line class="spread" x1="%.1f" y1="%d" x2="%.1f" y2="%d"/>`+"\n",
		p.x(s.min/o.allowed()), middle, p.x(s.max/o.allowed()), middle)
	p.printf(`<text class="small" x="%d" y="%d">%s: %s</text>`+"\n", plotRight+12, y+barHeight-2,
		html.EscapeString(name), html.EscapeString(o.unit.write(s.median)))
}
