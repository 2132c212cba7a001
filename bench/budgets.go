package main

import (
	"fmt"
	"strings"
	"time"
)

// contests are all budgets, in the order of their numbers. Limits are ratios of
// ours to the peer's, or times in seconds where a rule has no peer.
func contests() []contest {
	var all []contest
	for _, part := range [][]contest{
		indices(), overTCP(), grainsAndLoads(), gathers(), journals(), ends(), mpiBuild(), manyHosts(), others(),
	} {
		all = append(all, part...)
	}
	return all
}

// of is a list of one figure, of one side.
func of(side int, name string) []figure { return []figure{{side, name}} }

// indices are budgets 1 and 2.
func indices() []contest {
	var all []contest
	for _, np := range []int{2, 3, 5} {
		all = append(all, contest{
			budget: "1", title: fmt.Sprintf("index at chunk 1, %d ranks", np),
			sides: []side{
				embedded(np, "index", "-chunk=1"),
				cMPI("C, Fetch_and_op", np, "fetchop"),
				cMPI("C, Send/Recv farm", np, "farm"),
			},
			rules: []rule{
				{ours: figure{0, "index"}, peers: of(1, "index"), limit: 1},
				{ours: figure{0, "index"}, peers: of(2, "index"), limit: 0.4},
				{what: "not at rank 0", ours: figure{0, "elsewhere"}, peers: of(1, "elsewhere")},
				{what: "not at rank 0", ours: figure{0, "elsewhere"}, peers: of(2, "elsewhere")},
			},
		})
	}
	return append(all, contest{
		budget: "2", title: "index at the default policy, 2 ranks",
		sides: []side{embedded(2, "index"), pythonAlone("Pool, chunk 64", "multiprocessing", "pool.py", "64")},
		rules: []rule{
			{ours: figure{0, "index"}, limit: 50e-9},
			{ours: figure{0, "index"}, peers: of(1, "index"), limit: 0.25},
		},
	})
}

// overTCP is budget 3. 5 million indices a second are 0.2 µs for one.
func overTCP() []contest {
	const tcp = "DLP_TRANSPORT=tcp"
	return []contest{
		{
			budget: "3", title: "index at chunk 1 over TCP, 2 ranks",
			sides: []side{embedded(2, "index", "-chunk=1").with(tcp), socket("tcp")},
			rules: []rule{{ours: figure{0, "index"}, peers: of(1, "bytes8"), limit: 1}},
		},
		{
			budget: "3", title: "index at the default policy over TCP",
			sides: []side{embedded(2, "index").with(tcp)},
			rules: []rule{{ours: figure{0, "index"}, limit: 200e-9}},
		},
	}
}

// grainsAndLoads are budgets 4 to 7.
func grainsAndLoads() []contest {
	cores := []contest{
		{
			budget: "4", title: "METG(50 %), 2 ranks",
			sides: []side{embedded(2, "metg", "-chunk=1"), embedded(2, "metg"), cMPI("C, Send/Recv farm", 2, "metg")},
			rules: []rule{
				{what: "chunk 1", ours: figure{0, "metg"}, peers: of(2, "metg"), limit: 1},
				{what: "default policy", ours: figure{1, "metg"}, peers: of(2, "metg"), limit: 1},
			},
		},
		{
			budget: "5", title: "type-check Go's sources, 2 ranks", long: true,
			sides: []side{typechecked(2), goroutines(2)},
			rules: []rule{
				{ours: figure{0, "elapsed"}, peers: of(1, "elapsed"), limit: 1.05},
				{ours: figure{0, "elapsed"}, peers: of(0, "ideal"), name: "total/2 or longest", limit: 1.05},
			},
		},
		{
			budget: "6", title: "50 items of 10 ms, 2 ranks",
			sides: []side{
				embedded(2, "items", "-n=50").computing(10 * time.Millisecond),
				embedded(1, "items", "-n=50").computing(10 * time.Millisecond).named("dlp, 1 rank"),
			},
			rules: []rule{{ours: figure{0, "makespan"}, peers: of(1, "makespan"), limit: 1 / 1.9}},
		},
	}
	for _, np := range []int{2, 4, 8} {
		cores = append(cores, contest{
			budget: "7", title: fmt.Sprintf("%d ranks", np),
			sides: []side{embedded(np, "loads")}, rules: loadRules(),
		})
	}
	return cores
}

// loadRules are those of budget 7, for each load. Its figures are makespans by the
// bound.
func loadRules() []rule {
	var rules []rule
	for _, load := range strings.Fields("constant uniform exponential Pareto rising falling bimodal") {
		var fixed []figure
		for _, policy := range strings.Fields("Single Static Guided Trapezoid Factoring") {
			fixed = append(fixed, figure{0, load + "." + policy})
		}
		ours := figure{0, load + ".Adaptive"}
		rules = append(rules,
			rule{what: load + " load by bound", ours: ours, limit: 1.05, unit: times},
			rule{what: load + " load", ours: ours, peers: fixed, limit: 1.02, unit: times})
	}
	return append(rules, rule{what: "Pareto load and Cost, by bound", ours: figure{0, "Pareto.Cost"}, limit: 1.05, unit: times})
}

// gathers are budgets 8 and 9.
func gathers() []contest {
	return []contest{
		{
			budget: "8", title: "gather 50,000 records a rank, 2 ranks",
			sides: []side{embedded(2, "records"), pythonMPI("mpi4py, tuples", "mpi4py", 2, "records.py")},
			rules: []rule{{ours: figure{0, "gather"}, peers: of(1, "gather"), limit: 0.4}},
		},
		{
			budget: "9", title: "gather 5 M float64 a rank, 2 ranks",
			sides: []side{embedded(2, "numbers"), cMPI("C, MPI_Gather", 2, "numbers")},
			rules: []rule{
				{ours: figure{0, "gather"}, peers: of(1, "gather"), limit: 1.5},
				{what: "peak/payload", ours: figure{0, "peak"}, limit: 1.2, unit: times},
			},
		},
	}
}

// journals say what it costs to keep one: beside tasks that do nothing, which is the
// worst case, and beside short ones.
func journals() []contest {
	kept := func(np int, doing string, task time.Duration) contest {
		return contest{
			budget: "journal", title: fmt.Sprintf("100,000 results of 100 bytes%s, ranks: %d", doing, np), near: true,
			sides: []side{
				embedded(np, "results", "-journal").computing(task),
				embedded(np, "results").computing(task).named("dlp, no journal"),
			},
			rules: []rule{{ours: figure{0, "loop"}, peers: of(1, "loop"), limit: 1.1}},
		}
	}
	return []contest{kept(1, "", 0), kept(2, "", 0), kept(2, " in 1 µs", time.Microsecond)}
}

// ends are budgets 10 to 12: starting, waiting, crowding.
func ends() []contest {
	return []contest{
		{
			budget: "10", title: "start, init, barrier, end: 2 ranks",
			sides: []side{embedded(2, "start").fromOutside(), cMPI("C, Open MPI", 2, "start").fromOutside()},
			rules: []rule{
				{ours: figure{0, "wall"}, limit: 30e-3},
				{ours: figure{0, "wall"}, peers: of(1, "wall")},
			},
		},
		{
			budget: "10", title: "the same: 64 ranks",
			sides: []side{embedded(64, "start").fromOutside(), cMPI("C, Open MPI", 64, "start").fromOutside()},
			rules: []rule{{ours: figure{0, "wall"}, peers: of(1, "wall"), limit: 0.15}},
		},
		{
			budget: "11", title: "7 ranks wait 10 s for one", atOnce: true,
			sides: []side{embedded(8, "wait"), embedded(8, "wait", "-loop")},
			rules: []rule{
				{what: "in a barrier", ours: figure{0, "share"}, limit: 0.01, unit: share},
				{what: "for the last item", ours: figure{1, "share"}, limit: 0.01, unit: share},
			},
		},
		{
			budget: "12", title: "400 items of 1 ms on 8 ranks",
			sides: []side{
				embedded(8, "items", "-n=400").computing(time.Millisecond),
				embedded(2, "items", "-n=400").computing(time.Millisecond).named("dlp, 2 ranks"),
			},
			rules: []rule{{ours: figure{0, "makespan"}, peers: of(1, "makespan"), limit: 1.05}},
		},
	}
}

// manyHosts is budget 14: the manager of 10,000 hosts in virtual time.
func manyHosts() []contest {
	return []contest{{
		budget: "14", title: "manager of 10,000 hosts",
		sides: []side{goBenchmark("./split", "ManagerAt")},
		rules: []rule{
			{what: "a request", ours: figure{0, "ManagerAt10000 ns/request"}, limit: 2e-6},
			{what: "memory a host", ours: figure{0, "ManagerAt10000 B/host"}, limit: 1024, unit: bytes},
			{what: "memory a host", ours: figure{0, "ManagerAt10000 B/host"}, name: "dlp, 1,000 hosts",
				peers: of(0, "ManagerAt1000 B/host"), limit: 1.1, unit: bytes},
		},
	}}
}

// mpiBuild are budget 13 and what else is asked of the build with the tag mpi.
func mpiBuild() []contest {
	all := []contest{{
		budget: "13", title: "MPI build, one way",
		sides: []side{overMPI(2, "pingpong"), cMPI("C, Open MPI", 2, "pingpong"), gompi(2, "pingpong")},
		rules: []rule{
			{what: "8 B", ours: figure{0, "bytes8"}, peers: of(1, "bytes8"), limit: 1.3},
			{what: "4 KiB", ours: figure{0, "bytes4096"}, peers: of(1, "bytes4096"), limit: 1.05},
			{what: "64 KiB", ours: figure{0, "bytes65536"}, peers: of(1, "bytes65536"), limit: 1.05},
			{what: "1 MiB", ours: figure{0, "bytes1048576"}, peers: of(1, "bytes1048576"), limit: 1.05},
			{what: "8 B", ours: figure{0, "bytes8"}, peers: of(2, "bytes8")},
		},
	}, {
		budget: "mpi", title: "gather 5 M float64 a rank, 2 ranks",
		sides: []side{overMPI(2, "numbers"), cMPI("C, MPI_Gather", 2, "numbers")},
		rules: []rule{{ours: figure{0, "gather"}, peers: of(1, "gather"), limit: 1.5}},
	}}
	for _, np := range []int{2, 3, 5} {
		all = append(all, contest{
			budget: "mpi", title: fmt.Sprintf("index at chunk 1, %d ranks", np),
			sides: []side{overMPI(np, "index", "-chunk=1"), gompi(np, "farm")},
			rules: []rule{{ours: figure{0, "index"}, peers: of(1, "index"), limit: 1.3}},
		})
	}
	return append(all, contest{
		budget: "mpi", title: "50 items of 10 ms, 2 ranks",
		sides: []side{
			overMPI(2, "items", "-n=50").computing(10 * time.Millisecond),
			overMPI(1, "items", "-n=50").computing(10 * time.Millisecond).named("dlp, MPI, 1 rank"),
		},
		rules: []rule{{ours: figure{0, "makespan"}, peers: of(1, "makespan"), limit: 0.55}},
	}, contest{
		budget: "mpi", title: "7 ranks wait 5 s for one",
		sides: []side{overMPI(8, "wait", "-for=5s")},
		rules: []rule{{ours: figure{0, "share"}, limit: 0.05, unit: share}},
	})
}
