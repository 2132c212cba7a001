package main

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSummarize(t *testing.T) {
	for name, c := range map[string]struct {
		values []float64
		want   summary
	}{
		"none": {nil, summary{}},
		"one":  {[]float64{3}, summary{3, 3, 3, 1}},
		"even": {[]float64{4, 1, 3, 2}, summary{2.5, 1, 4, 4}},
		"odd":  {[]float64{9, 1, 2}, summary{2, 1, 9, 3}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, summarize(c.values)) })
	}
}

func TestSummarizeLeavesTheValuesInTheirOrder(t *testing.T) {
	values := []float64{3, 1, 2}
	summarize(values)
	require.Equal(t, []float64{3, 1, 2}, values)
}

func TestDivideTakesPairs(t *testing.T) {
	require.Equal(t, []float64{2, 0.5}, divide([]float64{4, 1, 7}, []float64{2, 2}))
	require.Empty(t, divide([]float64{4}, nil))
	endless := math.Inf(1)
	require.Equal(t, []float64{endless, 0, endless}, divide([]float64{endless, 2, endless}, []float64{1, endless, endless}))
}
