package mpi_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/mpi/launch"
)

func ExampleInitJob() {
	ctx := context.Background()
	job, err := launch.Detect(os.Getenv)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("launcher:", job.Launcher)
	world, err := mpi.InitJob(ctx, job)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("ranks:", world.Size())
	if err := world.Finalize(ctx); err != nil {
		log.Fatal(err)
	}
	// Output:
	// launcher: none
	// ranks: 1
}
