package launch_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/dlprun/dlp/mpi/launch"
)

// twoRanks is a job of two, whose ranks are goroutines here. Each of them is
// told of its job as a process would be, and has registered when body runs.
func twoRanks(body func(ctx context.Context, rank int, s *launch.Session, table []launch.Peer)) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "dlp")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	secret := launch.NewSecret()
	hub, err := launch.ListenHub("unix:"+filepath.Join(dir, "hub"), launch.HubConfig{Size: 2, Secret: secret})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	var ranks sync.WaitGroup
	for rank := range 2 {
		ranks.Go(func() {
			env := map[string]string{
				"DLP_LAUNCHER": "dlprun", "DLP_RANK": strconv.Itoa(rank), "DLP_SIZE": "2",
				"DLP_RENDEZVOUS": hub.Addr(), "DLP_SECRET": hex.EncodeToString(secret[:]),
			}
			job, err := launch.Detect(func(name string) string { return env[name] })
			if err != nil {
				log.Fatal(err)
			}
			s, err := launch.Join(ctx, job, nil)
			if err != nil {
				log.Fatal(err)
			}
			defer s.Close()
			lost := func(d launch.Down) { log.Printf("rank %d is lost: %s", d.Rank, d.Cause) }
			table, err := s.Register(ctx, launch.Peer{TCP: []string{"127.0.0.1:" + strconv.Itoa(4000+rank)}}, lost)
			if err != nil {
				log.Fatal(err)
			}
			body(ctx, rank, s, table)
		})
	}
	ranks.Wait()
}

func ExampleDetect() {
	job, err := launch.Detect(func(string) string { return "" }) // os.Getenv in a program
	fmt.Println(job.Rank, job.Size, job.Launcher, err)

	env := map[string]string{"DLP_RANK": "4", "DLP_SIZE": "4"}
	_, err = launch.Detect(func(name string) string { return env[name] })
	fmt.Println(err)
	// Output:
	// 0 1 none <nil>
	// DLP_RANK is "4": use a number from 0 to 3
}

func ExampleListenHub() {
	hub, err := launch.ListenHub("tcp:127.0.0.1:0", launch.HubConfig{
		Size:   1,
		Secret: launch.NewSecret(),
		OnEvent: func(e launch.Event) {
			if e.Kind == launch.Failed || e.Kind == launch.Lost {
				log.Printf("rank %d: %s", e.Rank, e.Reason)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.Close())
	// Output: <nil>
}

func ExampleHub_Addr() {
	hub, err := launch.ListenHub("tcp:127.0.0.1:0", launch.HubConfig{Size: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	fmt.Println(hub.Addr() != "tcp:127.0.0.1:0", "it has a port now") // for DLP_RENDEZVOUS
	// Output: true it has a port now
}

func ExampleHub_Down() {
	hub, err := launch.ListenHub("tcp:127.0.0.1:0", launch.HubConfig{Size: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	hub.Down(1, "killed by signal 9 (killed)") // every rank that has joined, or will, is told
	// Output:
}

func ExampleHub_Close() {
	hub, err := launch.ListenHub("tcp:127.0.0.1:0", launch.HubConfig{Size: 2})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(hub.Close(), hub.Close())
	// Output: <nil> <nil>
}

func ExampleNewSecret() {
	secret := launch.NewSecret()
	fmt.Println(len(hex.EncodeToString(secret[:])), "digits for DLP_SECRET")
	// Output: 64 digits for DLP_SECRET
}

func ExampleHost() {
	name, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(launch.Host() == name)
	// Output: true
}

func ExampleSelf() {
	p := launch.Self(3)
	fmt.Println(p.Rank, p.Host == launch.Host(), p.Pid == os.Getpid())
	// Output: 3 true true
}

func ExampleListenIP() {
	fmt.Println(launch.ListenIP("", "10.0.0.7"))
	fmt.Println(launch.ListenIP("192.168.1.5", "10.0.0.7"))
	// Output:
	// 10.0.0.7 <nil>
	// 192.168.1.5 <nil>
}

func ExampleBuild() {
	fmt.Println(launch.Build() != [16]byte{})
	// Output: true
}

func ExampleJoin() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		if rank == 0 {
			fmt.Println("all ranks are done")
		}
	})
	// Output: all ranks are done
}

func ExampleSession_Register() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, table []launch.Peer) {
		if rank == 1 {
			fmt.Println("rank 0 listens at", table[0].TCP[0])
		}
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
	})
	// Output: rank 0 listens at 127.0.0.1:4000
}

func ExampleSession_Finalize() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		if rank == 0 {
			fmt.Println(s.Ended())
		}
	})
	// Output: true
}

func ExampleSession_Ended() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		before := s.Ended()
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		if rank == 1 {
			fmt.Println(before, s.Ended())
		}
	})
	// Output: false true
}

func ExampleSession_GoesOn() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if rank == 1 {
			fmt.Println(s.GoesOn()) // the hub was not told to
		}
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
	})
	// Output: false
}

func ExampleSession_Fail() {
	twoRanks(func(_ context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if rank == 1 { // rank 0 is told, by what it gave Register
			fmt.Println("the hub knows:", s.Fail(3, "the disk is full", false))
		}
	})
	// Output: the hub knows: true
}

func ExampleSession_Resign() {
	twoRanks(func(_ context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if rank == 1 { // rank 0 is told, by what it gave Register
			fmt.Println("the hub knows:", s.Resign(1, "a task is stuck"))
		}
	})
	// Output: the hub knows: true
}

func ExampleSession_Gone() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		<-s.Gone()
		if rank == 0 {
			fmt.Println("over")
		}
	})
	// Output: over
}

func ExampleSession_Silence() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		<-s.Gone()
		if rank == 0 {
			fmt.Printf("%q\n", s.Silence()) // it is over because the job is
		}
	})
	// Output: ""
}

func ExampleSession_Close() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
		if err := s.Close(); err != nil {
			log.Fatal(err)
		}
	})
	// Output:
}

func ExampleSession_LocalIP() {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if rank == 0 {
			fmt.Printf("%q\n", s.LocalIP()) // the hub is reached by a unix socket
		}
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
	})
	// Output: ""
}

func ExampleDownError() {
	err := error(&launch.DownError{Down: launch.Down{Rank: 2, Host: "node3", Cause: "exit status 1"}})
	var down *launch.DownError
	fmt.Println(errors.As(err, &down), down.Rank)
	// Output: true 2
}

func ExampleDownError_Error() {
	fmt.Println(&launch.DownError{Down: launch.Down{Rank: 2, Host: "node3", Cause: "exit status 1"}})
	// Output: rank 2 (node3) was lost before all ranks had joined: exit status 1
}
