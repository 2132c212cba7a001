package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

// tellTale are the variables that say something of who started a process, or that
// change what dlp makes of it.
var tellTale = []string{
	"DLP_LAUNCHER", "DLP_RANK", "DLP_SIZE", "DLP_RENDEZVOUS", "DLP_SECRET", "DLP_SECRET_FD", "DLP_FOLDER",
	"DLP_BACKEND", "DLP_TRANSPORT", "DLP_INTERFACE", "DLP_INIT_TIMEOUT", "DLP_HEARTBEAT", "DLP_BUILD", "DLP_PROGRESS",
	"PMI_FD", "PMI_PORT", "PMI_ID", "PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS",
	"PMIX_RANK", "PMIX_NAMESPACE",
	"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE",
	"SLURM_CLUSTER_NAME", "SLURM_JOB_ID", "SLURM_HET_JOB_ID", "SLURM_HET_SIZE", "SLURM_STEP_ID", "SLURM_RESTART_COUNT",
	"SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_STEP_NUM_NODES", "SLURM_STEP_NODELIST",
	"GOMAXPROCS", "OMP_NUM_THREADS",
}

// info says what this process sees of its launcher and what follows from it; with
// several ranks, it joins the job as a rank, and each says hello. It returns the
// exit status.
func info() int {
	set := variables(os.Getenv) // joining removes some
	job, err := launch.Detect(os.Getenv)
	if err != nil || job.Rank == 0 {
		report(os.Stdout, set, job, err)
	}
	if err != nil {
		return 1
	}
	job.Warning = "" // it has been shown
	if err := hello(context.Background(), job); err != nil {
		fmt.Fprintf(os.Stderr, "dlprun info: %v\n", err)
		return 1
	}
	return 0
}

// variables returns name and value of what is set, but no secret.
func variables(getenv func(string) string) (set [][2]string) {
	for _, name := range tellTale {
		value := getenv(name)
		switch {
		case value == "":
			continue
		case name == "DLP_SECRET":
			value = fmt.Sprintf("(%d characters, not shown)", len(value))
		}
		set = append(set, [2]string{name, value})
	}
	return set
}

// report writes what is set and what follows.
func report(out io.Writer, set [][2]string, job launch.Job, err error) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, value string) { fmt.Fprintf(w, "  %s\t%s\n", name, value) }
	fmt.Fprintf(w, "dlprun %s, %s, %s/%s, process %d on %s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, os.Getpid(), launch.Host())
	fmt.Fprintln(w, "What is set:")
	for _, v := range set {
		line(v[0], v[1])
	}
	if len(set) == 0 {
		line("nothing", "that a launcher would set")
	}
	fmt.Fprintln(w, "What follows:")
	if err != nil {
		line("problem", err.Error())
		w.Flush()
		return
	}
	if job.Launcher == "none" {
		line("launcher", job.Why)
	} else {
		line("launcher", fmt.Sprintf("%s, because of %s", job.Launcher, job.Why))
	}
	if job.Size > 0 {
		line("rank", fmt.Sprintf("%d of %d", job.Rank, job.Size))
	}
	line("meeting", meeting(job))
	line("transport", transport(job))
	line("backend", backend(job))
	if job.Warning != "" {
		line("warning", job.Warning)
	}
	w.Flush()
}

func backend(job launch.Job) string {
	linked := "the only one in this build"
	if job.Library != "" {
		linked = "this build is linked against " + job.Library
	}
	return fmt.Sprintf("%s (%s)", job.Backend, linked)
}

func meeting(job launch.Job) string {
	switch {
	case job.Backend == "mpi":
		return "MPI brings the ranks together"
	case job.Meeting == nil:
		return "none: one rank meets nobody"
	case job.Hosted:
		return fmt.Sprintf("%v, hosted by dlprun", job.Meeting)
	}
	return fmt.Sprintf("%v, hosted by rank 0", job.Meeting)
}

func transport(job launch.Job) string {
	switch {
	case job.Backend == "mpi":
		return "MPI's"
	case job.Meeting == nil:
		return "none"
	case job.Transport == "tcp":
		return "TCP everywhere (DLP_TRANSPORT)"
	case job.Transport == "unix":
		return "unix sockets only (DLP_TRANSPORT)"
	}
	near := "shared memory, or unix sockets where it is refused,"
	switch {
	case job.Transport == "shm":
		near = "shared memory (DLP_TRANSPORT)"
	case runtime.GOOS != "linux":
		near = "unix sockets"
	}
	if job.OneHost {
		return near + " between all ranks, which run on this host"
	}
	text := near + " between ranks of one host, TCP between hosts"
	if job.Interface != "" {
		text += ", by " + job.Interface + " (DLP_INTERFACE)"
	}
	return text
}

// hello joins the job, and prints at the root what each rank says of itself.
func hello(ctx context.Context, job launch.Job) error {
	world, err := mpi.InitJob(ctx, job)
	if err != nil {
		return err
	}
	memory := "memory shared"
	if m, err := world.ShareMemory(1); err == nil {
		m.Free()
	} else {
		memory = fmt.Sprintf("no memory shared (%v)", err)
	}
	mine := fmt.Sprintf("rank %d of %d on %s, process %d, local rank %d of %d, %s, backend %s",
		world.Rank(), world.Size(), launch.Host(), os.Getpid(), world.LocalRank(), world.LocalSize(), memory, world.Backend())
	all, err := mpi.Gather(ctx, world, mpi.Root, mine)
	if err == nil && world.IsRoot() && world.Size() > 1 {
		_, err = fmt.Printf("Hello from all ranks:\n  %s\n", strings.Join(all, "\n  "))
	}
	if err != nil {
		world.Abort(1, err.Error())
	}
	return world.Finalize(ctx)
}
