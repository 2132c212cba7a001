package main

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/dlprun/dlp/mpi/launch"
)

// job is a job that runs.
type job struct {
	opts     options
	program  program
	goesOn   bool     // without ranks that are lost
	launcher *foreign // nil: dlprun itself
	debugger []string // what to start the program of rank opts.debug with
	group    *group
	hub      *launch.Hub
	secret   launch.Secret
	env      environ
	cpus     []int // rank k is bound to cpus[k % len]; empty: not bound
	console  *console
	ranks    []*rank
	events   chan event
	saying   sync.WaitGroup
}

// event is something for the verdict's step.
type event struct {
	rank int
	what any
}

// runJob starts the job that o describes, and returns its exit status when it
// is over. An error says why there was none.
func runJob(o options) (status int, err error) {
	j := &job{opts: o, console: newConsole()}
	settings, err := j.check()
	if err != nil {
		return 0, err
	}
	outputs, err := openOutputs(o)
	if err != nil {
		return 0, err
	}
	if j.group, err = newGroup(); err != nil {
		return 0, err
	}
	defer j.group.end()
	folder, lock, err := jobFolder(shortTemp())
	if err != nil {
		return 0, err
	}
	defer func() {
		j.group.end()
		lock.Close() // it was open for reading: nothing can fail
		os.RemoveAll(folder)
	}()
	if err := j.group.keep(folder); err != nil {
		return 0, err
	}
	if j.program.folder {
		var flags []string
		if o.debug >= 0 {
			flags = []string{"-gcflags=all=-N -l"} // what debuggers can follow
		}
		if err := j.program.build(j.group, folder, flags...); err != nil {
			return 0, err
		}
	}
	// No more than seven events come from a rank, so that no sender ever waits.
	j.events = make(chan event, 8*o.np)
	if err := j.listen(folder, settings); err != nil {
		return 0, err
	}
	defer func() {
		j.group.end() // first, or the ranks would complain that the hub is gone
		j.hub.Close()
	}()
	signals := notifySignals()
	if err := j.startAll(outputs); err != nil {
		return 0, err
	}
	status = j.watch(signals)
	signal.Reset() // from here on Ctrl-C ends dlprun itself, which waits for its output only
	j.finish()
	return status, nil
}

func (j *job) startAll(outputs outputs) error {
	if j.launcher != nil {
		return j.startLauncher(j.launcher)
	}
	for k := range j.opts.np {
		if err := j.start(k, outputs); err != nil {
			return err
		}
	}
	return nil
}

// check finds all that can be wrong before anything is started.
func (j *job) check() (settings launch.Job, err error) {
	// The DLP_* variables that every rank will read: let one process complain.
	settings, err = launch.Detect(func(name string) string {
		if name == "DLP_LAUNCHER" {
			return "none"
		}
		return os.Getenv(name)
	})
	if err != nil {
		return settings, exitf(statusUsage, "%v", err)
	}
	if j.goesOn = settings.GoesOn; j.opts.onFailure != "" {
		j.goesOn = j.opts.onFailure == "continue"
	}
	if j.program, err = findProgram(j.opts.program); err != nil {
		return settings, err
	}
	if j.opts.with != "" {
		if j.program.folder {
			return settings, exitf(statusUsage, "%s is a folder, and the other hosts would not see what is built of it: build it where they do, and give the executable", j.program.name)
		}
		if j.launcher, err = findLauncher(j.opts.with); err != nil {
			return settings, err
		}
	}
	if j.opts.bind == "core" {
		if j.cpus, err = processors(); err != nil {
			return settings, exitf(statusUsage, "--bind-to core: %v", err)
		}
	}
	if j.opts.debug >= 0 {
		j.debugger, err = findDebugger()
	}
	return settings, err
}

// listen starts the hub.
func (j *job) listen(folder string, settings launch.Job) (err error) {
	addr := "unix:" + filepath.Join(folder, "hub")
	if settings.Transport == "tcp" || runtime.GOOS == "windows" {
		addr = "tcp:127.0.0.1:0"
	}
	if j.launcher != nil { // ranks come from other hosts
		ip := ""
		if settings.Interface != "" {
			if ip, err = launch.ListenIP(settings.Interface, ""); err != nil {
				return exitf(statusUsage, "%v", err)
			}
		}
		addr = "tcp:" + net.JoinHostPort(ip, "0")
	}
	patience, heartbeat := settings.InitTimeout, settings.Heartbeat
	if j.opts.debug >= 0 { // its user may think before it joins, and at a breakpoint
		patience, heartbeat = 1000*time.Hour, 1000*time.Hour
	}
	j.secret = launch.NewSecret()
	j.hub, err = launch.ListenHub(addr, launch.HubConfig{
		Size:      j.opts.np,
		Secret:    j.secret,
		TLS:       settings.TLS,
		Timeout:   patience,
		Heartbeat: heartbeat,
		GoesOn:    j.goesOn,
		Grace:     2 * settleTime, // dlprun knows better why a rank is gone
		OnEvent: func(e launch.Event) {
			if what := fromHub(e); what != nil {
				j.events <- event{e.Rank, what}
			}
		},
		OnRefused: func(err error) {
			select {
			case j.events <- event{-1, notice(err.Error())}:
			default:
			}
		},
	})
	if err != nil {
		return fmt.Errorf("the job's meeting place: %w", err)
	}
	addrs, err := j.hub.Addrs()
	if err != nil {
		return err
	}
	j.env = environ{
		np:         j.opts.np,
		processors: available(),
		bound:      len(j.cpus) > 0,
		folder:     folder,
		hub:        strings.Join(addrs, ","),
		patience:   patience,
		heartbeat:  heartbeat,
		progress:   j.opts.progress,
	}
	if j.opts.walltime > 0 {
		j.env.deadline = time.Now().Add(j.opts.walltime)
	}
	if j.env.progress == "" {
		j.env.progress = cmp.Or(os.Getenv("DLP_PROGRESS"), "auto")
	}
	if j.env.progress == "auto" && j.console.ttyStderr && !j.opts.tag && j.opts.outputDir == "" {
		j.env.progress = "bar" // the ranks can't see the terminal behind their pipe
	}
	return nil
}

// fromHub turns a hub's event into one of the verdict's.
func fromHub(e launch.Event) any {
	switch e.Kind {
	case launch.Joined:
		return joined{e.Host}
	case launch.Failed:
		return failed{e.Code, e.Reason}
	case launch.Finalized:
		return finalized{}
	case launch.Lost:
		if e.Reason == launch.Vanished { // dlprun knows better, or will
			e.Reason = ""
		}
		return lost{e.Reason}
	case launch.Missing:
		return trouble{1, e.Reason, failGrace}
	}
	return nil
}
