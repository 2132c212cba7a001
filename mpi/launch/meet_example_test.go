package launch_test

import (
	"context"
	"fmt"
	"log"

	"github.com/dlprun/dlp/mpi/launch"
)

func ExampleHostList() {
	for host, err := range launch.HostList("node[08-10],login") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(host)
	}
	// Output:
	// node08
	// node09
	// node10
	// login
}

// Rank 0 hosts the hub where no launcher does, and joins it like the others.
func ExampleHostHub() {
	ctx := context.Background()
	env := map[string]string{
		"DLP_RANK": "0", "DLP_SIZE": "2", "DLP_RENDEZVOUS": "127.0.0.1:0",
		"DLP_SECRET": "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
	}
	job, err := launch.Detect(func(name string) string { return env[name] })
	if err != nil {
		log.Fatal(err)
	}
	hub, err := launch.HostHub(ctx, job, launch.HubConfig{})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	s, err := launch.Join(ctx, job, hub)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Close()
	fmt.Println(s.RemoteIP())
	// Output: 127.0.0.1
}

// eachAtRoot prints what f says of rank 0's session.
func eachAtRoot(f func(s *launch.Session)) {
	twoRanks(func(ctx context.Context, rank int, s *launch.Session, _ []launch.Peer) {
		if rank == 0 {
			f(s)
		}
		if err := s.Finalize(ctx); err != nil {
			log.Fatal(err)
		}
	})
}

func ExampleSession_Rank() {
	eachAtRoot(func(s *launch.Session) { fmt.Println(s.Rank()) })
	// Output: 0
}

func ExampleSession_Secret() {
	eachAtRoot(func(s *launch.Session) { fmt.Println(s.Secret() != launch.Secret{}) })
	// Output: true
}

func ExampleSession_Unix() {
	eachAtRoot(func(s *launch.Session) {
		folder, ok := s.Unix()
		fmt.Println(folder != "", ok)
	})
	// Output: true true
}

func ExampleSession_RemoteIP() {
	eachAtRoot(func(s *launch.Session) { fmt.Printf("%q\n", s.RemoteIP()) }) // a unix socket
	// Output: ""
}
