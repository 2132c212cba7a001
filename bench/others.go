package main

// others are for comparison only: peers without a budget, and what the machine
// gives.
func others() []contest {
	return []contest{{
		budget: "also", title: "index at chunk 1, 2 ranks",
		sides: []side{
			embedded(2, "index", "-chunk=1"),
			pythonAlone("Pool, chunk 1", "multiprocessing", "pool.py", "1"),
			pythonMPI("mpi4py.futures", "mpi4py.futures", 3, "futures.py", "1"),
			pythonMPI("dlp_mpi", "dlp_mpi", 2, "managed.py").with("OMP_NUM_THREADS=1", "MKL_NUM_THREADS=1"),
			pythonAlone("Dask", "distributed", "tasks.py"),
			gnuParallel(),
		},
		rules: comparisons("index", 5),
	}, {
		budget: "also", title: "index at the default policy, 2 ranks",
		sides: []side{
			embedded(2, "index"),
			pythonMPI("mpi4py.futures, 64", "mpi4py.futures", 3, "futures.py", "64"),
		},
		rules: comparisons("index", 1),
	}, {
		budget: "also", title: "8 B one way, 2 ranks",
		sides: []side{
			embedded(2, "pingpong", "-most=8"),
			cMPI("C, Open MPI", 2, "pingpong", "8"),
			socket("unix"),
		},
		rules: comparisons("bytes8", 2),
	}}
}

// comparisons are rules without a limit, for each of so many peers.
func comparisons(name string, peers int) []rule {
	var rules []rule
	for peer := 1; peer <= peers; peer++ {
		rules = append(rules, rule{ours: figure{0, name}, peers: of(peer, name)})
	}
	return rules
}
