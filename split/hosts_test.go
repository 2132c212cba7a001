package split

import (
	"container/heap"
	"runtime"
	"testing"
	"time"
)

// The manager of a loop on many hosts: what a request costs its processor, and
// what it keeps of each host. Time is virtual, so that one machine will do.

func BenchmarkManagerAt1000(b *testing.B)  { benchmarkHosts(b, 1000) }
func BenchmarkManagerAt10000(b *testing.B) { benchmarkHosts(b, 10_000) }

func benchmarkHosts(b *testing.B, hosts int) {
	c := recordCourse(hosts, 100*hosts)
	kept := c.memory(hosts)
	for b.Loop() {
		m := newHosts(hosts, c.items)
		c.replay(m, 0, len(c.reports))
		if m.err != nil || !m.complete {
			b.Fatal("the loop did not end well: ", m.err)
		}
	}
	requests := float64(b.N) * float64(len(c.reports))
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/requests, "ns/request")
	b.ReportMetric(kept/float64(hosts), "B/host")
}

// replay has m hear the reports from one to another.
func (c *course) replay(m *manager, from, to int) {
	for i := from; i < to; i++ {
		m.report(c.hosts[i], &c.reports[i])
		m.decided()
	}
}

// memory returns how many bytes a manager has, halfway or at the end.
func (c *course) memory(hosts int) float64 {
	before, half := heapInUse(), len(c.reports)/2
	m := newHosts(hosts, c.items)
	c.replay(m, 0, half)
	halfway := heapInUse() - before
	c.replay(m, half, len(c.reports))
	end := heapInUse() - before
	runtime.KeepAlive(m)
	return max(halfway, end)
}

func newHosts(hosts, items int) *manager {
	m := newManager(newConfig("Managed", items, nil), hosts)
	for h := range hosts {
		m.hello(h, hello{items: items})
	}
	return m
}

func heapInUse() float64 {
	var stats runtime.MemStats
	runtime.GC()
	runtime.GC() // what the first one found to be unused may still have held memory
	runtime.ReadMemStats(&stats)
	return float64(stats.HeapAlloc)
}

// A course is what a manager hears during a loop: the reports, and from which
// host each came.
type course struct {
	items   int
	hosts   []int
	reports []report
}

// recordCourse leads a manager through a loop of hosts whose items take a millisecond on
// average, some more and some less, and notes what it hears. A message takes 20 µs.
func recordCourse(hosts, items int) course {
	const latency = 20 * time.Microsecond
	c := course{items: items}
	m := newHosts(hosts, items)
	queue := &arrivals{}
	for h := range hosts {
		queue.add(arrival{at: time.Duration(h), host: h, report: report{want: wantNow}})
	}
	for !m.over || queue.Len() > 0 {
		a := heap.Pop(queue).(arrival)
		c.hosts, c.reports = append(c.hosts, a.host), append(c.reports, a.report)
		m.report(a.host, &a.report)
		for _, d := range m.decided() {
			at := a.at + 2*latency
			switch r := (report{want: wantNow, wait: 2 * latency}); d.what {
			case kindGrant:
				r.done = countSpans(d.grant.spans)
				r.busy = time.Duration(r.done) * itemTime(d.grant.spans[0].lo)
				queue.add(arrival{at: at + r.busy, host: d.rank, report: r})
			case kindEnd:
				queue.add(arrival{at: at, host: d.rank, report: report{leave: true}})
			}
		}
	}
	return c
}

// itemTime is how long the items from i on take: 0.5 to 1.5 ms.
func itemTime(i int) time.Duration {
	return 500*time.Microsecond + time.Duration(mix(uint64(i))%1_000_000)
}

// An arrival is a report that reaches the manager at some time.
type arrival struct {
	at     time.Duration
	host   int
	report report
}

// arrivals is a heap, the earliest first.
type arrivals []arrival

func (q arrivals) Len() int           { return len(q) }
func (q arrivals) Less(i, j int) bool { return q[i].at < q[j].at }
func (q arrivals) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *arrivals) Push(x any)        { *q = append(*q, x.(arrival)) }
func (q *arrivals) add(a arrival)     { heap.Push(q, a) }
func (q *arrivals) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
