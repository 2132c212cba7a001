package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         nil,
		"  ":                       nil,
		"a  b\tc":                  {"a", "b", "c"},
		`--host "h1:2, h2" x`:      {"--host", "h1:2, h2", "x"},
		`'a b'c "" '' d\ e`:        {"a bc", "", "", "d e"},
		`"it's" 'say "x"' "\"" \\`: {"it's", `say "x"`, `"`, `\`},
	} {
		got, err := words(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{`'a`, `a "b`, `a\`} {
		_, err := words(text)
		require.EqualError(t, err, "a quote is not closed", text)
	}
}

func TestKindOf(t *testing.T) {
	for version, want := range map[string]launcherKind{
		"mpiexec (OpenRTE) 4.1.4\n\nReport bugs to http://www.open-mpi.org/community/help/": openMPI,
		"mpirun (Open MPI) 5.0.3\n":                                         openMPI,
		"prterun (PRRTE) 3.0.5":                                             openMPI,
		"HYDRA build details:\n    Version: 4.0.2":                          hydra,
		"Intel(R) MPI Library for Linux* OS, Version 2021.9 Build 20230306": forwarding,
		"slurm-wlm 22.05.8":                                                 slurm,
		"slurm 23.11.4":                                                     slurm,
		"":                                                                  forwarding,
	} {
		require.Equal(t, want, kindOf(version), version)
	}
}

func TestLauncherCommand(t *testing.T) {
	env := []string{"PATH=/bin", "DLP_A=1", "DLP_B=x y"}
	for kind, want := range map[launcherKind][2]string{
		forwarding: {"", ""},
		hydra:      {"", "-disable-auto-cleanup "},
		openMPI:    {"-x DLP_A -x DLP_B ", "--enable-recovery "},
		slurm:      {"--input=0 ", "--no-kill --kill-on-bad-exit=0 --wait=0 "},
	} {
		f := foreign{kind: kind}
		for _, goesOn := range []bool{false, true} {
			flags := want[0]
			if goesOn {
				flags = want[1] + flags
			}
			words := f.command(3, goesOn, []string{"--host", "h1"}, env, "prog", []string{"x"})
			require.Equal(t, "-n 3 "+flags+"--host h1 prog x", strings.Join(words, " "))
		}
	}
}

func TestTasks(t *testing.T) {
	for vars, want := range map[string]int{
		"":                      0,
		"SLURM_NTASKS=6":        6,
		"SLURM_JOB_NUM_NODES=3": 3,
		"SLURM_JOB_NUM_NODES=3 SLURM_NTASKS_PER_NODE=2":                6,
		"SLURM_JOB_NUM_NODES=3 SLURM_NTASKS_PER_NODE=2 SLURM_NTASKS=5": 5,
	} {
		set := map[string]string{}
		for _, v := range strings.Fields(vars) {
			name, value, _ := strings.Cut(v, "=")
			set[name] = value
		}
		require.Equal(t, want, tasks(func(name string) string { return set[name] }), vars)
	}
}

func TestExport(t *testing.T) {
	vars := []string{"DLP_A=1", "DLP_B=2"}
	for value, want := range map[string]string{"NONE": "DLP_A,DLP_B", "NIL": "DLP_A,DLP_B", "ALL": "ALL,DLP_A,DLP_B", "X,Y=1": "X,Y=1,DLP_A,DLP_B"} {
		require.Equal(t, want, export(value, vars))
	}
}

// A launcher of the test's own shows what dlprun gives it.
func TestWith(t *testing.T) {
	dir := t.TempDir()
	launcher := filepath.Join(dir, "mylaunch")
	const script = `#!/bin/sh
test "$1" = --version && exit 0
printf "%s\n" "$*"
echo "$DLP_LAUNCHER rank=$DLP_RANK interface=$DLP_INTERFACE ${#DLP_SECRET}"
echo "$DLP_RENDEZVOUS"
exit 5
`
	require.NoError(t, os.WriteFile(launcher, []byte(script), 0o755))
	program, err := exec.LookPath("true")
	require.NoError(t, err)
	l := dlprun(t, "--with", launcher, "--launcher-args", "--on 'node 1'", "-np", "3", "true", "a b")
	l.Env = append(l.Env, "DLP_INTERFACE=127.0.0.1", "DLP_RANK=7")
	require.Equal(t, 5, l.run(), l.stderr.String())
	lines := strings.Split(l.stdout.String(), "\n")
	require.Equal(t, "-n 3 --on node 1 "+program+" a b", lines[0])
	require.Equal(t, "dlprun rank= interface= 64", lines[1])
	require.Regexp(t, `^tcp:127.0.0.1:\d+$`, lines[2])
	require.Equal(t, "dlprun: "+launcher+" exited with status 5 before any rank had joined\n", l.stderr.String())
}

func TestWithRefuses(t *testing.T) {
	for _, name := range []string{"SLURM_NTASKS", "SLURM_JOB_NUM_NODES"} {
		t.Setenv(name, "")
	}
	for line, want := range map[string]string{
		"--with mpiexec prog":                      "--with mpiexec: write how many ranks to start, with -np",
		"--with mpiexec -np 2 --tag-output prog":   "--tag-output does not go with --with: the ranks are mpiexec's; it may have a flag for that, to be given in --launcher-args",
		"--with mpiexec -np 2 --output-dir x prog": "--output-dir does not go with --with: the ranks are mpiexec's; it may have a flag for that, to be given in --launcher-args",
		"--with mpiexec -np 2 --bind-to core prog": "--bind-to does not go with --with: the ranks are mpiexec's; it may have a flag for that, to be given in --launcher-args",
		"--with srun -np 2 --debug 1 prog":         "--debug does not go with --with: the ranks are srun's; it may have a flag for that, to be given in --launcher-args",
		"--with= -np 2 prog":                       "--with: write mpiexec, srun, or the name or path of another launcher",
		"--launcher-args x prog":                   "--launcher-args: there is no launcher; write --with mpiexec or --with srun, too",
		"--with srun --launcher-args 'x prog":      "--launcher-args 'x: a quote is not closed",
		"-np 2 info":                               "info takes no flags; to see several ranks: dlprun -np 2 dlprun info (a program of that name: ./info)",
		"info x":                                   "info takes no flags; to see several ranks: dlprun -np 2 dlprun info (a program of that name: ./info)",
	} {
		_, err := parse(strings.Fields(line))
		require.EqualError(t, err, want, line)
		require.Equal(t, statusUsage, err.(*exitError).status, line)
	}
	for args, want := range map[string]string{
		"--with no-such-launcher -np 1 true":            "--with no-such-launcher: executable file not found in $PATH; install it, load its module, or write its path",
		"--with mpiexec -np 1 testdata/rank":            "testdata/rank is a folder, and the other hosts would not see what is built of it: build it where they do, and give the executable",
		"--with sh -np 1 --launcher-args x no-such-one": "no-such-one is not in PATH, and no folder here has that name",
	} {
		l := dlprun(t, strings.Fields(args)...)
		require.NotZero(t, l.run(), args)
		require.Equal(t, "dlprun: "+want+"\n", l.stderr.String())
	}
}
