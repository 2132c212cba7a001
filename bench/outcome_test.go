package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// duel is a contest of two sides that measure x.
func duel(limit float64) contest {
	return contest{
		budget: "1", title: "work",
		sides: []side{{name: "dlp"}, {name: "peer"}},
		rules: []rule{{ours: figure{0, "x"}, peers: of(1, "x"), limit: limit}},
	}
}

func values(name string, v ...float64) measured {
	return measured{values: map[string][]float64{name: v}}
}

func TestVerdicts(t *testing.T) {
	gone := measured{err: fmt.Errorf("wrapped: %w", &missingError{"mpi4py"})}
	for name, c := range map[string]struct {
		limit      float64
		ours, peer measured
		want       string
	}{
		"held":                {0.5, values("x", 1, 2, 30), values("x", 4, 4, 4), "held"},
		"held, just":          {1, values("x", 4), values("x", 4), "held"},
		"short":               {0.4, values("x", 1, 2, 3), values("x", 4, 4, 4), "short"},
		"compared":            {0, values("x", 1), values("x", 4), "-"},
		"no peer":             {1, values("x", 1), gone, "peer not installed: mpi4py"},
		"not built":           {1, measured{err: &missingError{notBuilt}}, measured{}, "not built with -tags mpi"},
		"ours fails":          {1, measured{err: errors.New("boom")}, values("x", 1), "failed: boom"},
		"the peer fails":      {1, values("x", 1, 1), measured{err: errors.New("boom")}, "failed: boom"},
		"nothing is measured": {1, values("y", 1), values("x", 1), "failed: not measured here"},
	} {
		t.Run(name, func(t *testing.T) {
			lines := duel(c.limit).outcomes([]measured{c.ours, c.peer}, 0)
			require.Len(t, lines, 1)
			require.Equal(t, c.want, lines[0].verdict)
			require.Equal(t, strings.HasPrefix(c.want, "failed"), lines[0].failed())
		})
	}
}

func TestMedianOfRatiosCounts(t *testing.T) {
	// The medians alone would say 1; pair by pair it is 2.
	lines := duel(1.5).outcomes([]measured{values("x", 2, 4, 8), values("x", 1, 4, 4)}, 0)
	require.Equal(t, summary{2, 1, 2, 3}, lines[0].ratio)
	require.Equal(t, short, lines[0].verdict)
}

func TestWithoutAPeerTheFigureIsLimited(t *testing.T) {
	c := duel(0)
	c.rules = []rule{{ours: figure{1, "x"}, limit: 3}, {what: "more", ours: figure{1, "x"}, limit: 1}}
	lines := c.outcomes([]measured{{}, values("x", 2)}, 0.25)
	require.Equal(t, held, lines[0].verdict)
	require.Equal(t, short, lines[1].verdict)
	require.Equal(t, "work, more", lines[1].what)
	require.InDelta(t, 0.25, lines[1].others, 0)
}

func TestTheBestPeerCounts(t *testing.T) {
	c := duel(1)
	c.rules[0].peers = []figure{{0, "load.Static"}, {0, "load.Guided"}, {0, "load.Single"}}
	m := values("x", 2, 2)
	m.values["load.Static"], m.values["load.Guided"], m.values["load.Single"] = []float64{5, 5}, []float64{1, 3}, []float64{4, 1}
	lines := c.outcomes([]measured{m, {}}, 0)
	require.Equal(t, "Guided", lines[0].peerName)
	require.Equal(t, 2.0, lines[0].peer.median)

	c.rules[0].name = "best"
	require.Equal(t, "best", c.outcomes([]measured{m, {}}, 0)[0].peerName)
}
