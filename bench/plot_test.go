package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// widths returns those of the bars of a class, in their order.
func widths(t *testing.T, drawn, class string) (all []float64) {
	for dec := xml.NewDecoder(strings.NewReader(drawn)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err, "well-formed")
		element, ok := token.(xml.StartElement)
		if !ok || element.Name.Local != "rect" {
			continue
		}
		attributes := map[string]string{}
		for _, a := range element.Attr {
			attributes[a.Name.Local] = a.Value
		}
		if attributes["class"] == class {
			width, err := strconv.ParseFloat(attributes["width"], 64)
			require.NoError(t, err)
			all = append(all, width)
		}
	}
}

func TestBarsAreAsLongAsTheFigures(t *testing.T) {
	o := lines()[0]
	o.what, o.peerName = "<index> & more", "C & C"
	drawn := svg("budget <1>", []outcome{o, lines()[1]})
	ours, peers := widths(t, drawn, "ours"), widths(t, drawn, "peer")
	require.Len(t, ours, 2)
	require.Len(t, peers, 1, "the second has no peer")
	require.Greater(t, ours[0], peers[0])
	require.Less(t, ours[1], peers[0], "below its budget; the peer is at its")
	require.Contains(t, drawn, ">budget<")
	require.Contains(t, drawn, "prefers-color-scheme: dark")
}

func TestWhatWasNotMeasuredIsNotDrawn(t *testing.T) {
	require.Empty(t, svg("none", lines()[2:]))
}

func TestWhatHasNoEndIsDrawnToTheEdge(t *testing.T) {
	o := lines()[0]
	o.ours.median, o.ours.max = math.Inf(1), math.Inf(1)
	drawn := svg("endless", []outcome{o})
	require.Equal(t, []float64{plotRight - plotLeft}, widths(t, drawn, "ours"))
	require.Contains(t, drawn, "dlp: ∞")
}

func TestComparisonsAreDrawnByThePeer(t *testing.T) {
	o := lines()[0]
	o.limit = 0
	require.Contains(t, svg("also", []outcome{o}), ">the peer<")
}

func TestPublish(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "performance")
	require.NoError(t, os.MkdirAll(folder, 0o755))
	stale := filepath.Join(folder, "budget-also.svg")
	require.NoError(t, os.WriteFile(stale, nil, 0o644))
	require.NoError(t, publish(folder, "2 processors", lines()))

	page, err := os.ReadFile(filepath.Join(folder, "table.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "on 2 processors.")
	require.Contains(t, string(page), "![Budget 1](budget-1.svg)")
	require.NotContains(t, string(page), "budget-also.svg", "nothing of it was measured")
	require.FileExists(t, filepath.Join(folder, "budget-9.svg"))
	require.NoFileExists(t, stale)
}
