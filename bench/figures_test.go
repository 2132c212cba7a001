package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseFigures(t *testing.T) {
	out := "index 2.5e-07\n\nsome words that are none\nelapsed 12.5 s\nalone\nideal   10 s on 2 workers\n"
	require.Equal(t, figures{"index": 2.5e-7, "elapsed": 12.5, "ideal": 10}, parseFigures(out))
	require.Empty(t, parseFigures(""))
}

func TestParseBenchmarks(t *testing.T) {
	out := `goos: linux
BenchmarkManagerAt1000-2    	     188	   1326125 ns/op	       180.4 B/host	        75 ns/request
BenchmarkOther/sub-case-16  	       4	  200 ns/op
BenchmarkBroken
PASS
`
	require.Equal(t, figures{
		"ManagerAt1000 ns/op":      1326125e-9,
		"ManagerAt1000 B/host":     180.4,
		"ManagerAt1000 ns/request": 75e-9,
		"Other/sub-case ns/op":     200e-9,
	}, parseBenchmarks(out))
}
