package split

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// An Option changes how a loop hands out its indices or what it reports. A bad
// one makes the loop yield nothing on all ranks; its Err tells what is wrong.
//
// n, [Keys], and whether there are Keys must be the same on every rank. Of the
// other options those of rank 0 count, except that each rank has its own
// [Workers].
type Option func(*config)

// config is what the options come to.
type config struct {
	call  string // the function called, for errors
	items int    // n, or unknown

	chunk       int      // indices a request; 0: as policy says
	policy      Chunking // how chunks are sized
	workers     int
	order       []int
	cost        func(int) float64
	keys        func(int) string
	label       string
	progress    ProgressMode
	window      int
	unbounded   bool // the window does not count
	retries     int
	timeout     time.Duration // 0: none
	grace       time.Duration // 0: as long as timeout says
	maxFailures int
	dedicated   bool
	journal     string
	result      func() string // describes the type of the results; nil: there are none
	copies      bool          // a result that stays on its rank is simply copied

	problem error // with what is no option
}

func newConfig(call string, n int, opts []Option) *config {
	cfg := &config{call: call, items: n, workers: 1, window: 16384}
	for _, opt := range opts {
		opt(cfg)
	}
	return cfg
}

// Chunk sets how many indices a rank gets at a time: k, or 0 for [Adaptive], the
// default. With 1 each index is taken by itself, from shared memory or, where there
// is none, by a request to rank 0: the best balance, and the right choice where an
// item takes milliseconds or more. Chunk and [Policy] replace one another; the later
// one counts.
func Chunk(k int) Option {
	return func(cfg *config) { cfg.chunk, cfg.policy = k, Adaptive }
}

// Policy sets how chunks are sized. [ManagedSeq], where nobody knows how much is
// left, takes Adaptive and Single only.
func Policy(p Chunking) Option {
	return func(cfg *config) { cfg.chunk, cfg.policy = 0, p }
}

// Workers sets how many goroutines of this rank run the work of a [Map],
// [MapUnordered] or [Collect]; the default is 1. Ranks may differ. Managed and
// ManagedSeq run their body in the caller's goroutine, whatever Workers says.
func Workers(k int) Option {
	return func(cfg *config) { cfg.workers = k }
}

// Order hands the indices out in the order perm, a permutation of [0, n), which
// the loop keeps a reference to. It does not change the order of [Map]'s
// results. It excludes [Cost], and ManagedSeq can't have it.
func Order(perm []int) Option {
	return func(cfg *config) { cfg.order = perm }
}

// Cost hands out first what costs most, equal costs by index: no rank then
// begins a long item when the others are nearly done. cost is called once for
// each index, at rank 0 only, in any unit. It excludes [Order], and ManagedSeq
// can't have it.
func Cost(cost func(i int) float64) Option {
	return func(cfg *config) { cfg.cost = cost }
}

// Keys names the items: a name appears in the error of the item, and all names
// are checked to agree across ranks, by a hash, when the loop starts. key is
// called for every index on every rank, and must give the same answer each time.
// ManagedSeq, which knows no n, uses the names in errors only.
func Keys(key func(i int) string) Option {
	return func(cfg *config) { cfg.keys = key }
}

// Label names the loop in its progress and its errors.
func Label(s string) Option {
	return func(cfg *config) { cfg.label = s }
}

// Window sets how many results of a [Map] or [MapUnordered] may wait at the root
// for the body of its loop; the default is 16384. Beyond it ranks get nothing new
// to work on, except that each may have one index, so that memory stays bounded.
// A Map whose loop waits for an index that was not handed out gets that one
// out of turn. [Collect] keeps all results anyway, and has no window.
func Window(k int) Option {
	return func(cfg *config) { cfg.window = k }
}

// Retries lets the ranks of a [Map], [MapUnordered] or [Collect] try an item up to
// k times more when its task has returned an error or panicked, each time on
// another rank than the time before, as long as another one is there. What fails
// every time counts as one failure, whose [TaskError] is that of the last attempt
// and says how many there were. The default is 0.
func Retries(k int) Option {
	return func(cfg *config) { cfg.retries = k }
}

// TaskTimeout ends the context of a task that has taken d, with a cause that wraps
// [ErrTaskTimeout]. A task that then returns an error has failed, as any other; one that
// returns a result has not.
//
// A task that ignores its context, and has not returned 5 s later, or a tenth of d if
// that is longer, is given up together with its rank, whose process ends with status 1,
// a line that names item and rank, and the stack of the task: nothing else ends a
// goroutine. That ends the job. Where the job goes on without lost ranks
// ([mpi.Comm.GoesOn]) and it is not rank 0, the item goes to another rank, as all items
// in hand of a lost rank do. The body of a [Managed] or [ManagedSeq] loop has no context
// that could end, so there the rank is given up at once after that time. In a job of
// RunLocal, whose ranks are goroutines, the task's is left behind.
func TaskTimeout(d time.Duration) Option {
	return func(cfg *config) { cfg.timeout = d }
}

// Dedicated lets rank 0 only manage: no items are handed out to it, and where it
// runs the loop over the results of a [Map], that has its processor to itself. On one
// rank, and when all other ranks have left the loop, rank 0 works nevertheless, so
// that nothing is left undone. It is rarely worth a rank: managing costs next to
// nothing.
func Dedicated() Option {
	return func(cfg *config) { cfg.dedicated = true }
}

// MaxFailures lets a [Map], [MapUnordered] or [Collect] go on past k failed
// items, which are all reported at the end; the next one ends the job. An item has
// failed when its [Retries] are used up, or when three ranks were lost with it in a job
// that goes on without them: then MaxFailures counts for every loop. The default is 0.
//
// All ranks get the error that reports them, and the first that returns it from its
// program ends the job. Where the root has things to do with the other results, return
// it after a Barrier of all ranks.
func MaxFailures(k int) Option {
	return func(cfg *config) { cfg.maxFailures = k }
}

// Journal keeps what the loop has finished in a file at path, so that when the job
// was killed the next run goes on where it stopped, on any number of ranks. Only
// rank 0 touches the file.
//
// Of a [Map], [MapUnordered] or [Collect] it keeps the results: those of earlier
// runs are delivered as if they had come first. Of a [Managed] loop it keeps which
// indices are done, as ranks report them with their requests; earlier runs' are
// skipped. Items that failed are not kept, and run again; so does the one at which a
// rank left its Managed loop, be it by break, return or a panic.
//
// A journal is bound to n, [Keys], [Label] and the type of the results; that of
// another job is refused. Each loop needs one of its own. A loop that was complete
// gives its results again; remove the file to do the work again.
//
// What has reached rank 0 survives the end of every process at once, and a power
// failure after a second. A result gets there within 2 ms, from other hosts within 4.
// [ManagedSeq], whose n nobody knows, can't have one. An empty path is no journal.
// `dlprun journal FILE` shows what is in it.
func Journal(path string) Option {
	return func(cfg *config) { cfg.journal = path }
}

// Progress sets what the root writes to its standard error while the loop runs.
func Progress(mode ProgressMode) Option {
	return func(cfg *config) { cfg.progress = mode }
}

// name is what errors begin with.
func (cfg *config) name() string {
	if cfg.label == "" {
		return "split: " + cfg.call
	}
	return fmt.Sprintf("split: %s %q", cfg.call, cfg.label)
}

func (cfg *config) errorf(format string, args ...any) error {
	return fmt.Errorf(cfg.name()+": "+format, args...)
}

func (cfg *config) key(i int) string {
	if cfg.keys == nil {
		return ""
	}
	return cfg.keys(i)
}

// check returns an error that says what is wrong with the options.
func (cfg *config) check() error {
	sized := cfg.items != unknown
	switch {
	case cfg.problem != nil:
		return cfg.errorf("%w", cfg.problem)
	case sized && cfg.items < 0:
		return cfg.errorf("n is %d; pass the number of items, 0 or more", cfg.items)
	case cfg.chunk < 0:
		return cfg.errorf("Chunk is %d; pass 1 or more, or 0 for the adaptive one", cfg.chunk)
	case cfg.policy < 0 || int(cfg.policy) >= len(policies):
		return cfg.errorf("Policy is %v; pass Adaptive, Single, Static, Guided, Trapezoid or Factoring", cfg.policy)
	case !sized && cfg.policy > Single:
		return cfg.errorf("Policy %v needs the number of items; pass Adaptive or Single, or use Managed", cfg.policy)
	case cfg.workers < 1:
		return cfg.errorf("Workers is %d; pass 1 or more", cfg.workers)
	case cfg.window < 1:
		return cfg.errorf("Window is %d; pass 1 or more", cfg.window)
	case cfg.retries < 0:
		return cfg.errorf("Retries is %d; pass 0 or more", cfg.retries)
	case cfg.timeout < 0:
		return cfg.errorf("TaskTimeout is %v; pass a time above 0, or 0 for none", cfg.timeout)
	case cfg.maxFailures < 0:
		return cfg.errorf("MaxFailures is %d; pass 0 or more", cfg.maxFailures)
	case cfg.order != nil && cfg.cost != nil:
		return cfg.errorf("both Order and Cost are given; pass one of them")
	case !sized && cfg.journal != "":
		return cfg.errorf("Journal needs the number of items; use Managed")
	case !sized && (cfg.order != nil || cfg.cost != nil):
		return cfg.errorf("Order and Cost need the number of items; use Managed")
	}
	if err := cfg.checkOrder(); err != nil {
		return err
	}
	return cfg.checkProgress()
}

func (cfg *config) checkOrder() error {
	if cfg.order == nil {
		return nil
	}
	if len(cfg.order) != cfg.items {
		return cfg.errorf("Order has %d indices for %d items; pass a permutation of 0 to n-1", len(cfg.order), cfg.items)
	}
	at := make([]int, cfg.items) // position+1 of each index
	for p, i := range cfg.order {
		switch {
		case i < 0 || i >= cfg.items:
			return cfg.errorf("Order has %d at position %d; pass a permutation of 0 to %d", i, p, cfg.items-1)
		case at[i] > 0:
			return cfg.errorf("Order has index %d twice, at positions %d and %d; pass a permutation", i, at[i]-1, p)
		}
		at[i] = p + 1
	}
	return nil
}

// turns returns the order in which indices go out; nil is 0, 1, 2 and so on.
func (cfg *config) turns() []int {
	if cfg.cost == nil {
		return cfg.order
	}
	costs, order := make([]float64, cfg.items), make([]int, cfg.items)
	for i := range order {
		costs[i], order[i] = cfg.cost(i), i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(costs[j], costs[i]) })
	return order
}

// keyHash returns a hash of the key of item i, the same in every process.
func (cfg *config) keyHash(i int) uint64 {
	// FNV-1a, finished with mix so that each bit counts.
	h := uint64(14695981039346656037)
	for _, b := range []byte(cfg.keys(i)) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return mix(h)
}

// fingerprint returns one hash for all keys and their order; 0 without Keys or
// without n.
func (cfg *config) fingerprint() uint64 {
	if cfg.keys == nil || cfg.items == unknown {
		return 0
	}
	h := uint64(1)
	for i := range cfg.items {
		h = mix(h ^ cfg.keyHash(i))
	}
	return max(h, 1)
}
