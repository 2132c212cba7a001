package launch_test

import (
	"fmt"
	"log"

	"github.com/dlprun/dlp/mpi/launch"
)

func ExampleHub_Addrs() {
	hub, err := launch.ListenHub("tcp::0", launch.HubConfig{Size: 1, Secret: launch.NewSecret()})
	if err != nil {
		log.Fatal(err)
	}
	defer hub.Close()
	addrs, err := hub.Addrs() // of a hub that listens everywhere
	fmt.Println(len(addrs) > 0, err)
	// Output: true <nil>
}
