package main

import (
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]options{
		"-n 3 prog":                           {np: 3, debug: -1, program: "prog"},
		"-n3 prog":                            {np: 3, debug: -1, program: "prog"},
		"-np 3 prog":                          {np: 3, debug: -1, program: "prog"},
		"-np=3 prog":                          {np: 3, debug: -1, program: "prog"},
		"--np 3 prog":                         {np: 3, debug: -1, program: "prog"},
		"--np=3 prog -np 4 --tag-output":      {np: 3, debug: -1, program: "prog", args: []string{"-np", "4", "--tag-output"}},
		"-np 3 -- prog -- -np":                {np: 3, debug: -1, program: "prog", args: []string{"--", "-np"}},
		"--output-dir -np -np 2 prog":         {np: 2, debug: -1, outputDir: "-np", program: "prog"},
		"--tag-output -np 2 prog":             {np: 2, debug: -1, tag: true, program: "prog"},
		"-n 1 --timeout 90s prog":             {np: 1, debug: -1, timeout: 90 * time.Second, program: "prog"},
		"-n 2 --bind-to core --debug 1 prog":  {np: 2, debug: 1, bind: "core", program: "prog"},
		"-n 2 --progress log --np 5 prog a b": {np: 5, debug: -1, progress: "log", program: "prog", args: []string{"a", "b"}},
	} {
		got, err := parse(strings.Fields(line))
		require.NoError(t, err, line)
		if want.args == nil {
			want.args = []string{}
		}
		require.Equal(t, want, got, line)
	}
}

func TestParseDefaultsToTheProcessors(t *testing.T) {
	o, err := parse([]string{"prog"})
	require.NoError(t, err)
	require.Equal(t, available(), o.np)
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"":                          "no PROGRAM given; write dlprun [flags] PROGRAM [ARG...], or see dlprun --help",
		"-n 2":                      "no PROGRAM given; write dlprun [flags] PROGRAM [ARG...], or see dlprun --help",
		"-np":                       "--np needs a value; see dlprun --help",
		"-np 0 prog":                "--np 0: write how many ranks to start, 1 or more",
		"-nq 2 prog":                "--nq: did you mean --np?",
		"-n x prog":                 "--np x: write how many ranks to start, 1 or more",
		"-np=-1 prog":               "--np -1: write how many ranks to start, 1 or more",
		"-n 99999999999999999999 p": "--np 99999999999999999999: write how many ranks to start, 1 or more",
		"--tag-ouput prog":          "--tag-ouput: did you mean --tag-output?",
		"-tag-output prog":          "-tag-output: did you mean --tag-output?",
		"--timout 3s prog":          "--timout: did you mean --timeout?",
		"--nonsense prog":           "--nonsense: no such flag; see dlprun --help",
		"-q prog":                   "-q: no such flag; see dlprun --help",
		"--timeout 30 prog":         "--timeout 30: write a time with its unit, such as 90s or 2h",
		"--timeout -1s prog":        "--timeout -1s: write a time with its unit, such as 90s or 2h",
		"--bind-to socket prog":     "--bind-to socket: write one of core, none",
		"--progress loud prog":      "--progress loud: write one of auto, bar, log, off",
		"-n 2 --debug 2 prog":       "--debug 2: there are ranks 0 to 1",
		"--debug -1 prog":           "--debug -1: write the number of a rank",
		"--output-dir= prog":        "--output-dir: write the name of a folder",
	} {
		_, err := parse(strings.Fields(line))
		require.EqualError(t, err, want, line)
		require.Equal(t, statusUsage, err.(*exitError).status, line)
	}
}

// The help is written by hand, so that -np can stand in it.
func TestUsageNamesEveryFlag(t *testing.T) {
	_, err := parse([]string{"--help"})
	require.NoError(t, err)
	for _, name := range []string{"-np,", "--np", "--tag-output", "--output-dir", "--timeout", "--bind-to", "--progress", "--debug", "--with", "--launcher-args", "--help", "--version"} {
		require.Contains(t, usage, " "+name+" ", name)
	}
	for line := range strings.Lines(usage) {
		require.LessOrEqual(t, len(line), 84, line)
	}
}

func TestNearest(t *testing.T) {
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	fs.Bool("np", false, "")
	fs.Bool("tag-output", false, "")
	for name, want := range map[string]string{"tagoutput": "tag-output", "tag_output": "tag-output", "n": "np", "x": "", "zz": "", "verbose": ""} {
		require.Equal(t, want, nearest(fs, name), name)
	}
}
