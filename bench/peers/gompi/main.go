//go:build mpi

// Gompi is a peer: a farm of two-sided messages, and messages back and forth, on
// github.com/sbromberger/gompi alone.
//
//	mpirun -np 3 gompi farm
//	mpirun -np 2 gompi pingpong
package main

import (
	"fmt"
	"os"
	"runtime"
	"time"

	mpi "github.com/sbromberger/gompi"
)

func main() {
	runtime.LockOSThread() // MPI is started without threads
	mpi.Start(false)
	j := job{world: mpi.NewCommunicator(nil)}
	j.rank, j.size = j.world.Rank(), j.world.Size()
	if len(os.Args) > 1 && os.Args[1] == "pingpong" {
		j.pingpong()
	} else {
		j.show("index", j.enough(10_000, j.farm, j.checkTally))
	}
	mpi.Stop()
}

type job struct {
	world      *mpi.Communicator
	rank, size int
	tally      []int64 // how many indices were done here, and their sum
}

func (j *job) show(name string, value float64) {
	if j.rank == 0 {
		fmt.Println(name, value)
	}
}

// need ends the job unless what was measured is what should have been done.
func (j *job) need(holds bool, what string) {
	if !holds {
		fmt.Fprintf(os.Stderr, "rank %d: wrong: %s\n", j.rank, what)
		j.world.Abort(1)
	}
}

// enough runs work with a growing n until the slowest rank takes 0.2 s, and returns
// the seconds for one.
func (j *job) enough(n int64, work, check func(n int64)) float64 {
	for {
		j.world.Barrier()
		start := time.Now()
		work(n)
		took, slowest := []float64{time.Since(start).Seconds()}, []float64{0}
		if err := j.world.AllreduceFloat64s(slowest, took, mpi.OpMax, 0); err != nil {
			panic(err)
		}
		check(n)
		if slowest[0] >= 0.2 {
			return slowest[0] / float64(n)
		}
		n = int64(float64(n)*min(0.25/max(slowest[0], 1e-9), 10)) + 1
	}
}

// farm hands out n indices one by one: rank 0 to the others, which ask for them.
func (j *job) farm(n int64) {
	j.tally = make([]int64, 2)
	if j.rank == 0 {
		j.manage(n)
		return
	}
	buf := []int64{-1}
	for {
		j.world.SendInt64s(buf, 0, 0)
		j.world.RecvPreallocInt64s(buf, 0, 0)
		if buf[0] < 0 {
			return
		}
		j.tally[0]++
		j.tally[1] += buf[0]
	}
}

func (j *job) manage(n int64) {
	next, buf := int64(0), []int64{0}
	for working := j.size - 1; working > 0; {
		from := j.world.RecvPreallocInt64s(buf, mpi.AnySource, 0)
		buf[0] = next
		if next++; next > n {
			buf[0] = -1
			working--
		}
		j.world.SendInt64s(buf, from.GetSource(), 0)
	}
}

func (j *job) checkTally(n int64) {
	all := make([]int64, 2)
	if err := j.world.AllreduceInt64s(all, j.tally, mpi.OpSum, 0); err != nil {
		panic(err)
	}
	j.need(all[0] == n && all[1] == n*(n-1)/2, "an index was lost or done twice")
}

// pingpong measures how long messages of some sizes take one way.
func (j *job) pingpong() {
	for _, size := range []int{8, 4 << 10, 64 << 10, 1 << 20} {
		ball := make([]byte, size)
		for i := 1; i < size && j.rank == 0; i++ {
			ball[i] = byte(i * 7)
		}
		play := func(n int64) {
			for range n {
				if j.rank == 0 {
					ball[0]++
					j.world.SendBytes(ball, 1, 0)
				}
				j.world.RecvPreallocBytes(ball, 1-j.rank, 0)
				if j.rank == 1 {
					j.world.SendBytes(ball, 0, 0)
				}
			}
		}
		check := func(n int64) {
			j.need(ball[0] == byte(n), "the ball was not always passed on")
			for i := 1; i < size; i++ {
				j.need(ball[i] == byte(i*7), "a byte came that was not sent")
			}
			ball[0] = 0
		}
		j.show(fmt.Sprint("bytes", size), j.enough(10, play, check)/2)
	}
}
