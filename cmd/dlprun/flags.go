package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/pflag"
)

const usage = `Usage: dlprun [flags] PROGRAM [ARG...]
       dlprun info
       dlprun journal FILE

Starts PROGRAM on N ranks of this machine and ends all of them when one fails.
PROGRAM is an executable, or the folder of a Go main package, which is built
once. A name without a slash is looked for in PATH first. Flags after PROGRAM
are the program's own. dlprun info says which launcher has started it, and what
it would make of that; dlprun journal says what is in a journal of a loop.

  -n, -np, --np N      ranks (default: the processors this process may use)
      --tag-output     begin each line of output with its rank: "[2] text", on
                       stdout and stderr alike; lines never tear or mix
      --output-dir DIR write each rank's output to DIR/rank-K.out and
                       DIR/rank-K.err, and nothing to the terminal
      --timeout D      end the job after D, such as 90s or 2h
      --walltime D     the job has D: its loops begin nothing that would take
                       longer, and what is left is for the next run (status 75)
      --on-failure MODE
                       abort: a rank that is lost ends the job (default);
                       continue: loops give what it had begun to the others, unless
                       it is rank 0 (docs/faults.md)
      --bind-to MODE   core: rank k runs on one processor, the k-th that this
                       process may use; none: wherever the system likes (default)
      --progress MODE  bar, log, off, or auto (default): how loops report their
                       progress on stderr; auto is a bar on a terminal
      --debug RANK     run that rank under dlv, or else gdb, on this terminal
      --with LAUNCHER  start the ranks through mpiexec or srun (or another name or
                       path), possibly on other machines; in a Slurm allocation
                       without -np as many as that is for
      --launcher-args "..."  flags for that launcher, before PROGRAM
      --help           print this
      --version        print the version

Standard input goes to rank 0. Without --tag-output, a line that is not finished
after 0.1 s (a prompt) is shown as far as it goes; in a file or a pipe, after 5 s.
Each rank gets an equal share of the processors (GOMAXPROCS, OMP_NUM_THREADS)
unless these are set.

Ctrl-C ends the job: SIGINT to the ranks, SIGTERM to them and what they have
started, and after 5 s, or a second Ctrl-C, SIGKILL. SIGTERM and SIGUSR1 to
dlprun ask loops to finish what they have in hand, and to leave the rest to the
next run; SIGTERM ends the job after 25 s.
Exit status: 0 if every rank finished cleanly (with --on-failure=continue, every
rank that is left; a line names those that were lost), else that of the first rank
that failed (128+n for signal n), with one line that says which and why; 75 if
loops came to an end early as they were asked to: run the program again to go on;
124 after --timeout; 2 for wrong usage; 126, 127 if PROGRAM can't be run or found.
`

// options is what the command line says.
type options struct {
	np            int
	tag           bool
	outputDir     string
	timeout       time.Duration // 0: none
	walltime      time.Duration // 0: nobody knows
	onFailure     string        // "": not given
	bind          string
	progress      string // "": not given
	debug         int    // -1: no rank
	with          string // the launcher; "": dlprun itself
	launcherArgs  []string
	help, version bool
	info          bool
	journal       string // the file to show
	program       string
	args          []string
}

// parse reads the command line. Its errors are exitErrors.
func parse(args []string) (options, error) {
	o := options{debug: -1}
	fs := pflag.NewFlagSet("dlprun", pflag.ContinueOnError)
	fs.SetInterspersed(false) // what follows PROGRAM is the program's
	fs.SetOutput(io.Discard)
	fs.VarP(number{&o.np, 1, "write how many ranks to start, 1 or more"}, "np", "n", "")
	fs.BoolVar(&o.tag, "tag-output", false, "")
	fs.StringVar(&o.outputDir, "output-dir", "", "")
	fs.Var((*duration)(&o.timeout), "timeout", "")
	fs.Var((*duration)(&o.walltime), "walltime", "")
	fs.Var(choice{&o.onFailure, []string{"abort", "continue"}}, "on-failure", "")
	fs.Var(choice{&o.bind, []string{"core", "none"}}, "bind-to", "")
	fs.Var(choice{&o.progress, []string{"auto", "bar", "log", "off"}}, "progress", "")
	fs.Var(number{&o.debug, 0, "write the number of a rank"}, "debug", "")
	fs.StringVar(&o.with, "with", "", "")
	fs.Var(list{&o.launcherArgs}, "launcher-args", "")
	fs.BoolVarP(&o.help, "help", "h", false, "")
	fs.BoolVar(&o.version, "version", false, "")

	if err := fs.Parse(longNP(fs, args)); err != nil {
		return o, exitf(statusUsage, "%s", explain(fs, err))
	}
	if o.help || o.version {
		return o, nil
	}
	if fs.Arg(0) == "info" {
		o.info = true
		if fs.NArg() > 1 || fs.NFlag() > 0 {
			return o, exitf(statusUsage, "info takes no flags; to see several ranks: dlprun -np 2 dlprun info (a program of that name: ./info)")
		}
		return o, nil
	}
	if fs.Arg(0) == "journal" {
		if o.journal = fs.Arg(1); fs.NArg() != 2 || fs.NFlag() > 0 || o.journal == "" {
			return o, exitf(statusUsage, "journal takes the name of one file, and no flags: dlprun journal FILE (a program of that name: ./journal)")
		}
		return o, nil
	}
	if fs.Changed("with") {
		if err := o.checkWith(fs); err != nil {
			return o, err
		}
	}
	if o.np == 0 {
		o.np = available()
	}
	switch {
	case fs.Changed("launcher-args") && o.with == "":
		return o, exitf(statusUsage, "--launcher-args: there is no launcher; write --with mpiexec or --with srun, too")
	case fs.NArg() == 0 || fs.Arg(0) == "":
		return o, exitf(statusUsage, "no PROGRAM given; write dlprun [flags] PROGRAM [ARG...], or see dlprun --help")
	case o.debug >= o.np:
		return o, exitf(statusUsage, "--debug %d: there are ranks 0 to %d", o.debug, o.np-1)
	case fs.Changed("output-dir") && o.outputDir == "":
		return o, exitf(statusUsage, "--output-dir: write the name of a folder")
	}
	o.program, o.args = fs.Arg(0), fs.Args()[1:]
	return o, nil
}

// checkWith checks what goes with --with, and finds the number of ranks.
func (o *options) checkWith(fs *pflag.FlagSet) error {
	if o.with == "" {
		return exitf(statusUsage, "--with: write mpiexec, srun, or the name or path of another launcher")
	}
	for _, name := range []string{"tag-output", "output-dir", "bind-to", "debug"} {
		if fs.Changed(name) {
			return exitf(statusUsage, "--%s does not go with --with: the ranks are %s's; it may have a flag for that, to be given in --launcher-args", name, o.with)
		}
	}
	if o.np == 0 {
		o.np = tasks(os.Getenv)
	}
	if o.np == 0 {
		return exitf(statusUsage, "--with %s: write how many ranks to start, with -np", o.with)
	}
	return nil
}

// longNP turns -np, which pflag takes for -n with the value p, into --np, and what may
// be meant for it likewise. It looks at the flags before PROGRAM only.
func longNP(fs *pflag.FlagSet, args []string) []string {
	args = slices.Clone(args)
	for i := 0; i < len(args); i++ {
		a := args[i]
		if len(a) > 2 && strings.HasPrefix(a, "-n") && unicode.IsLetter(rune(a[2])) {
			a = "-" + a
			args[i] = a
		}
		if len(a) < 2 || a[0] != '-' || a == "--" {
			break
		}
		name := strings.TrimLeft(a, "-")
		f := fs.Lookup(name)
		if len(name) == 1 && !strings.HasPrefix(a, "--") {
			f = fs.ShorthandLookup(name)
		}
		if f != nil && f.NoOptDefVal == "" {
			i++ // its value
		}
	}
	return args
}

// explain turns an error of pflag's into one that says what to do.
func explain(fs *pflag.FlagSet, err error) string {
	if e, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return fmt.Sprintf("--%s %s: %v", e.GetFlag().Name, e.GetValue(), e.Unwrap())
	}
	if e, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Sprintf("--%s needs a value; see dlprun --help", e.GetFlag().Name)
	}
	if e, ok := errors.AsType[*pflag.NotExistError](err); ok {
		name := e.GetSpecifiedName()
		if short := e.GetSpecifiedShortnames(); short != "" {
			if len(short) == 1 {
				return fmt.Sprintf("-%s: no such flag; see dlprun --help", short)
			}
			name = short // -tag-output
		}
		if near := nearest(fs, name); near != "" {
			return fmt.Sprintf("%s: did you mean --%s?", dashed(e, name), near)
		}
		return fmt.Sprintf("%s: no such flag; see dlprun --help", dashed(e, name))
	}
	return fmt.Sprintf("%v; see dlprun --help", err)
}

// dashed writes a flag's name as the user did.
func dashed(e *pflag.NotExistError, name string) string {
	if e.GetSpecifiedShortnames() != "" {
		return "-" + name
	}
	return "--" + name
}

// nearest returns the flag that name was most likely meant to be, "" if it is
// like none of them.
func nearest(fs *pflag.FlagSet, name string) string {
	best, least := "", max(2, len(name)/3)+1
	fs.VisitAll(func(f *pflag.Flag) {
		if d := distance(name, f.Name); d < least && d < len(f.Name) {
			best, least = f.Name, d
		}
	})
	return best
}

// distance counts the letters to insert, delete or replace to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

// number is a flag that holds a whole number of at least min.
type number struct {
	n    *int
	min  int
	hint string
}

func (v number) Set(s string) error {
	n, err := strconv.Atoi(s)
	if err != nil || n < v.min {
		return errors.New(v.hint)
	}
	*v.n = n
	return nil
}

func (v number) String() string { return "" }
func (v number) Type() string   { return "N" }

// list is a flag that holds words, and may be given again for more of them.
type list struct{ words *[]string }

func (v list) Set(s string) error {
	more, err := words(s)
	*v.words = append(*v.words, more...)
	return err
}

func (v list) String() string { return "" }
func (v list) Type() string   { return "ARGS" }

// choice is a flag that holds one of some words.
type choice struct {
	word  *string
	among []string
}

func (v choice) Set(s string) error {
	if !slices.Contains(v.among, s) {
		return fmt.Errorf("write one of %s", strings.Join(v.among, ", "))
	}
	*v.word = s
	return nil
}

func (v choice) String() string { return "" }
func (v choice) Type() string   { return "MODE" }

// duration is a flag that holds a time above 0.
type duration time.Duration

func (v *duration) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New("write a time with its unit, such as 90s or 2h")
	}
	*v = duration(d)
	return nil
}

func (v *duration) String() string { return "" }
func (v *duration) Type() string   { return "D" }
