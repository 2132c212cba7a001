package split

import (
	"fmt"
	"math"
	"time"
)

// Chunking is a way to choose how many indices a rank gets at a time.
type Chunking int

const (
	// Adaptive measures the items and the cost of a request, and makes chunks as
	// small as that allows. It is the default.
	Adaptive Chunking = iota
	// Single gives one index at a time: the best balance, the most requests.
	Single
	// Static gives each rank one chunk of n/ranks: the fewest requests, no
	// balance.
	Static
	// Guided gives a rank its share of what is left, ⌈left/ranks⌉
	// (Polychronopoulos and Kuck, "Guided self-scheduling", IEEE Transactions on
	// Computers 1987). It does badly where the first items cost most.
	Guided
	// Trapezoid shrinks the chunks in equal steps from n/(2·ranks) down to 1
	// (Tzen and Ni, "Trapezoid self-scheduling", IEEE TPDS 1993).
	Trapezoid
	// Factoring hands out half of what is left in equal chunks, one for each
	// rank, then half of the rest, and so on (Hummel, Schonberg and Flynn,
	// "Factoring", CACM 1992; the variant FAC2). It bears uneven items better
	// than Guided.
	Factoring
)

// String returns the name of the constant.
func (p Chunking) String() string {
	if p < 0 || int(p) >= len(policies) {
		return fmt.Sprintf("Chunking(%d)", int(p))
	}
	return policies[p].name
}

// An outlook is what may be known when a chunk is sized.
type outlook struct {
	items int           // of the whole loop; unknown if nobody knows yet
	ranks int           // that share the items
	left  int           // items not handed out yet, 1 or more
	turn  int           // chunks handed out before this one
	done  int           // items finished
	mean  time.Duration // that an item takes; 0 if none is finished
	own   time.Duration // the same at the rank that asks; 0 if too little is known
	did   int           // items that this rank has finished
	cost  time.Duration // of a request to the manager
}

// unknown stands for the number of items of a ManagedSeq until a rank has seen
// the last one.
const unknown = math.MinInt32

var policies = [...]struct {
	name string
	size func(outlook) int // the caller keeps it within 1 and left
}{
	Adaptive:  {"Adaptive", adaptive},
	Single:    {"Single", func(outlook) int { return 1 }},
	Static:    {"Static", func(o outlook) int { return ceilDiv(o.items, o.ranks) }},
	Guided:    {"Guided", func(o outlook) int { return ceilDiv(o.left, o.ranks) }},
	Trapezoid: {"Trapezoid", trapezoid},
	Factoring: {"Factoring", factoring},
}

const (
	// An item that takes this many times a request's cost goes out alone: the
	// request is lost in it.
	longItem = 100
	// A chunk takes this many times a request's cost at least, which leaves 5 %
	// to requests.
	leastWork = 19
	// A chunk takes this time at most, so that progress is seen and a chunk of
	// items that turn out longer than the earlier ones can't do much harm.
	mostWork = 100 * time.Millisecond
)

// adaptive is factoring's half of what is left, between the bounds that the
// measured times set. It never hands out more than has been measured, so that it
// doubles its way up from single items, and triples what a rank has done whose speed is
// not known, which may be a slow one.
func adaptive(o outlook) int {
	if o.mean == 0 || o.mean >= longItem*o.cost {
		return 1
	}
	chunk := min(ceilDiv(o.left, 2*o.ranks), int(mostWork/o.mean))
	chunk = max(chunk, int(leastWork*o.cost/o.mean))
	chunk = min(chunk, ceilDiv(o.left, o.ranks))
	if o.own == 0 {
		chunk = min(chunk, 2*o.did+1)
	}
	return min(weighed(chunk, o), o.done)
}

// Ranks whose speeds differ by less than a tenth get the same. One that differs more
// gets less or more in proportion, up to a limit: a measurement may be of few items.
const (
	alike      = 0.1
	mostWeight = 8
)

// weighed fits a chunk to the speed of the rank that asks for it (Banicescu,
// Velusamy and Devaprasad, "On the scalability of dynamic scheduling scientific
// applications with adaptive weighted factoring", Cluster Computing 2003).
func weighed(chunk int, o outlook) int {
	if o.own == 0 {
		return chunk
	}
	weight := min(max(float64(o.mean)/float64(o.own), 1./mostWeight), mostWeight)
	if math.Abs(weight-1) < alike {
		return chunk
	}
	return max(int(weight*float64(chunk)), 1)
}

// adaptiveDraw is Adaptive where a rank takes indices from a board, which costs so
// little that a chunk need not be long: no longer than it takes for that to be
// lost in the work.
func adaptiveDraw(o outlook) int {
	if o.mean == 0 {
		return 1
	}
	return min(int(longItem*o.cost/o.mean), ceilDiv(o.left, 2*o.ranks), o.done)
}

func trapezoid(o outlook) int {
	first := ceilDiv(o.items, 2*o.ranks)
	chunks := ceilDiv(2*o.items, first+1)
	if chunks < 2 {
		return first
	}
	return first - (first-1)/(chunks-1)*o.turn
}

func factoring(o outlook) int {
	left, chunk := o.items, 1
	for batch := 0; batch <= o.turn/o.ranks && left > 0; batch++ {
		chunk = ceilDiv(left, 2*o.ranks)
		left -= chunk * o.ranks
	}
	return chunk
}

// ahead is how many indices a rank should still have when it asks for more, so
// that the answer is there before they are done: what two requests cost. It is 0,
// ask when all are done, where items are long, and near the end, where indices
// that wait at a busy rank would be missed elsewhere.
func ahead(o outlook, chunk int) int {
	if o.ranks == 1 || o.mean == 0 || o.mean >= longItem*o.cost || o.left/o.ranks <= chunk {
		return 0
	}
	return min(chunk, int(2*o.cost/o.mean)+1)
}

func ceilDiv(a, b int) int {
	q := a / b
	if a%b != 0 {
		q++
	}
	return q
}
