# What people and CI type. `make` alone lists the targets.

GO   ?= go
BIN  := bin
# How often the concurrent tests run in `make test`.
COUNT ?= 50
# How often the quick of those under real launchers do.
E2E_COUNT ?= 20
# How many tests of real launchers wait beside each other.
WAITING := 8
# Packages whose tests are about concurrency, those first that take longest.
CONCURRENT := ./split ./mpi ./mpi/internal/... ./mpi/launch ./gather

# All packages but the real launchers', which take minutes.
QUICK = $$($(GO) list ./... | grep -v /e2e$$)
# Tests that repeat leaves out: matrices and models, which have many rounds of
# their own, and what moves hundreds of megabytes.
HEAVY := huge|both_send|cancelled_Send|full_inbox|unblocks_Send
ONCE  := BatchesShareNoMemory|WereNotDue|ErrAlone|StreamBig|BoundedNumber|RanksThatLeave|TaskErrorsName|BadEnvironment|TestCrowd|Collectives|AllocatesNothing|HostThatLeaves|LeaderAsks|SlowHost|MapOfLedRanks|LeavesAfterTheLast|JobGoesOnWithout|TestDrop$$|RecvInto|MissingRanks|TestLarge|OverEveryTransport|TestTransports|ManagerModel|TestSlice$$|TestStream$$|TestStreamLeft|TestDict$$|TestIndexed$$|Huge|Stubborn|DeathOfARank|SelfSend|OrderOfMessages|ManyGoroutines|InitTwice|ThatFinalizes|WithMembers|FlippedBit|Sealed|StoreAborts|NamesThatLead|ConformanceOfProcesses|NoKnockIsLost|TestKilled|WhoSharesMemory|InsistOnMemory|BlackHole|BrokenNetwork|SlowNetwork|IdleNetwork|SlowReader|Conformance/shm_spinning|Conformance/(unix|tcp|shm)/to_oneself|Conformance/to_oneself|Conformance/(unix|tcp|shm)/($(HEAVY))|Conformance/($(HEAVY))

# Tests that compare hundreds of megabytes, which the race detector makes five times as
# slow and which have nothing for it that their smaller kin have not.
BULK := LargeReductions|LargeBcast|LargeLengths|TestTransports

# The compiler of the MPI to build against, and how it is asked: Open MPI's way,
# then MPICH's, whose answer begins with the compiler's name.
MPICC ?= $(shell command -v mpicc.openmpi || command -v mpicc)
MPI_CFLAGS = -g -O2 $(shell $(MPICC) --showme:compile 2>/dev/null || $(MPICC) -compile-info 2>/dev/null | cut -d' ' -f2-)
MPI_LDFLAGS = $(shell $(MPICC) --showme:link 2>/dev/null || $(MPICC) -link-info 2>/dev/null | cut -d' ' -f2-)
MPI_GO = CGO_ENABLED=1 CGO_CFLAGS="$(MPI_CFLAGS)" CGO_LDFLAGS="$(MPI_LDFLAGS)" $(GO)

# Binaries with the race detector sleep for a second when they end, to hear of races
# that other threads just have: each rank that is a process would. In the minutes that
# tests take, there is time to hear of them.
export GORACE := atexit_sleep_ms=0 $(GORACE)

# The race detector needs a C compiler.
RACE = $$(command -v gcc >/dev/null && echo -race || echo "NOT RUN under the race detector: there is no gcc" >&2)

# Tests with a line for each, for what they have tried, and for what could not run: their
# flags, their variables, and the time in which they hang if they have not ended (60m).
define named
	@log=$$(mktemp); $(2) $(GO) test -count=1 -timeout $(or $(3),60m) -v $(1) >$$log 2>&1; status=$$?; \
	if [ $$status = 0 ]; then grep -E '^(--- |ok|PASS|tried)' $$log; else cat $$log; fi; \
	grep -B1 'NOT RUN' $$log; rm -f $$log; exit $$status
endef

.PHONY: help build build-mpi mpi-flags test within around test-mpi real-mpi setup unit race repeat e2e soak contract examples lint vuln cross fuzz bench setup-bench microbench demo clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## dlprun and the examples, into bin/
	CGO_ENABLED=0 $(GO) build -o $(BIN)/ ./cmd/... ./examples/...

build-mpi: mpi-flags ## the same, linked against the MPI of MPICC, into bin/mpi/
	$(MPI_GO) build -tags mpi -o $(BIN)/mpi/ ./cmd/... ./examples/...

mpi-flags: # what cgo must be told to build with -tags mpi
	@test -n "$(MPICC)" && command -v $(MPICC) >/dev/null || { echo "there is no mpicc: install an MPI with its headers (Debian: libopenmpi-dev), load its module, or name its compiler: make build-mpi MPICC=/path/to/mpicc" >&2; exit 1; }
	@echo 'export CGO_ENABLED=1 CGO_CFLAGS="$(MPI_CFLAGS)" CGO_LDFLAGS="$(MPI_LDFLAGS)"'

demo: build ## count the words of Go's sources on 4 ranks and check the answer
	$(BIN)/dlprun -np 4 $(BIN)/wordfreq -check

test: setup lint build ## everything that must hold; what computes runs beside what mostly waits
	@$(MAKE) --no-print-directory -j2 within around

within: # the packages; what the race detector can't bear runs without it
	$(MAKE) --no-print-directory race
	DLP_TEST_HOSTS=3 $(GO) test $(RACE) -short -skip '$(ONCE)' ./split
	$(GO) test -run 'Huge|Nothing|UsedAgain|TestCollectives|$(BULK)' ./mpi ./mpi/internal/wire ./split ./gather
	$(GO) test -run ConformanceOfProcesses ./mpi/internal/transport/sock
	$(MAKE) --no-print-directory repeat

around: # the programs
	$(MAKE) --no-print-directory contract
	$(MAKE) --no-print-directory examples
	$(MAKE) --no-print-directory test-mpi
	$(MAKE) --no-print-directory e2e

setup: ## install gcc, Open MPI, MPICH and Slurm where they are missing, if that is allowed
	@missing=; for c in gcc mpicc.openmpi mpicc.mpich mpirun.openmpi mpirun.mpich srun slurmctld munged ip; do \
		PATH=$$PATH:/usr/sbin:/sbin command -v $$c >/dev/null || missing="$$missing $$c"; done; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing what is missing:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev openmpi-bin libopenmpi-dev mpich libmpich-dev slurm-wlm munge iproute2 >/dev/null; \
	else echo "missing:$$missing; the tests will say what that costs"; fi

unit: ## all tests once, fuzz seeds and Examples included
	$(GO) test $(QUICK)

race: ## all tests but those of bulk once under the race detector
	$(GO) test $(RACE) -parallel $(WAITING) -timeout 60m -skip '$(BULK)' $(QUICK)

repeat: ## the concurrent tests COUNT times, under the race detector
	$(GO) test $(RACE) -short -count=$(COUNT) -timeout 60m -skip '$(ONCE)' $(CONCURRENT)

e2e: ## the programs under real launchers; names what it could not run
	$(call named,-parallel $(WAITING) -skip '^TestMPI' ./e2e,DLP_E2E_COUNT=$(E2E_COUNT))

soak: ## kill ranks of SOAK jobs at random moments, break networks, kill at each step of all collectives: 20 to 70 min
	$(call named,-run '^Test(RandomKiller|BusyRanks)$$' ./e2e,DLP_SOAK=$(or $(SOAK),500))
	$(call named,-parallel $(WAITING) -run '^TestRandomNetwork$$' ./e2e,DLP_SOAK=$(or $(SOAK),100))
	$(call named,-run '^TestKillAtEachStep$$' ./e2e,DLP_SOAK=1,5h)
	$(call named,-run '^TestJobGoesOnAfterAnyStep$$' ./e2e,DLP_SOAK=1,5h)

test-mpi: ## the same over real MPI, the quick of it E2E_COUNT times
	@if test -n "$(MPICC)"; then $(MAKE) --no-print-directory real-mpi; \
	else echo "NOT RUN over real MPI: there is no mpicc (make setup installs it)"; test "$$CI" != true; fi

real-mpi: mpi-flags
	$(MPI_GO) vet -tags mpi ./...
	$(MPI_GO) tool staticcheck -tags mpi ./...
	$(MPI_GO) test -tags mpi -count=1 ./mpi/internal/transport/gompi
	$(call named,-parallel $(WAITING) -run '^TestMPI' ./e2e,DLP_E2E_COUNT=$(E2E_COUNT))

contract: ## a module of its own that uses every name of the public API
	cd contract && $(GO) vet ./... && $(GO) run .

examples: build ## each example at 1, 2 and 3 ranks, checking its own answer
	for n in 1 2 3; do \
		$(BIN)/dlprun -np $$n --progress off $(BIN)/wordfreq -check docs && \
		$(BIN)/dlprun -np $$n --progress off $(BIN)/typecheck -check $$($(GO) env GOROOT)/src/text && \
		$(BIN)/dlprun -np $$n --progress off $(BIN)/pi -check -items 20 -darts 1000 || exit 1; \
	done

lint: ## gofmt, go vet, staticcheck, govulncheck
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@$(MAKE) --no-print-directory vuln

# Another copy of the vulnerability database: https://... or file:///...
VULNDB ?=

vuln: ## govulncheck, where its database can be reached
	@out=$$($(GO) tool govulncheck $(if $(VULNDB),-db $(VULNDB)) ./... 2>&1); status=$$?; \
	case $$out in \
	*"fetching vulnerabilities"*) echo "govulncheck: NOT RUN, its database can't be reached from here";; \
	*) test $$status -eq 0 || { echo "$$out"; exit $$status; };; \
	esac

cross: ## everything compiles for the other systems
	GOOS=darwin GOARCH=arm64 $(GO) build ./...
	GOOS=windows GOARCH=amd64 $(GO) build ./...
	GOOS=linux GOARCH=arm64 $(GO) build ./...

fuzz: ## each fuzz target for FUZZTIME
	@for p in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$p | grep '^Fuzz'); do \
			echo "$$p $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(or $(FUZZTIME),20s) $$p || exit 1; \
		done; \
	done

# ONLY=1,4 measures these budgets alone; WRITE=1 writes docs/performance/.
bench: ## dlp beside its peers, budget by budget
	$(GO) run ./bench $(if $(ONLY),-only $(ONLY)) $(if $(WRITE),-write)

setup-bench: ## install the peers, if that is allowed
	@missing=; for c in gcc mpicc.openmpi mpirun.openmpi parallel; do command -v $$c >/dev/null || missing="$$missing $$c"; done; \
	/usr/bin/python3 -c 'import mpi4py' 2>/dev/null || missing="$$missing mpi4py"; \
	test -z "$$missing" && exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing what is missing:$$missing"; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq gcc libc6-dev openmpi-bin libopenmpi-dev python3-mpi4py parallel >/dev/null; \
	else echo "missing:$$missing; the table will say what that costs"; fi

microbench: ## the Go benchmarks, with allocations
	DLP_PROGRESS=off $(GO) test -run '^$$' -bench . -benchmem $(QUICK)

clean: ## what the other targets have made
	rm -rf $(BIN)
