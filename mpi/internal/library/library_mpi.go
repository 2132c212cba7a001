//go:build mpi

// Package library says which MPI a program is linked against: with -tags mpi the
// one whose mpi.h it was compiled with, else none.
package library

/*
#if !__has_include(<mpi.h>)
#error "mpi.h is not found: build with 'make build-mpi', which asks mpicc where it is (docs/mpi.md)"
#else
#include <mpi.h>
#ifdef OPEN_MPI
#define DLP_LIBRARY "Open MPI"
#else
#define DLP_LIBRARY "MPICH"
#endif
#endif
*/
import "C"

// Name is "Open MPI", "MPICH" (its derivatives too: they have launchers of one
// kind), or "" for none.
const Name = C.DLP_LIBRARY
