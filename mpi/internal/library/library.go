//go:build !mpi

// Package library says which MPI a program is linked against: with -tags mpi the
// one whose mpi.h it was compiled with, else none.
package library

// Name is "Open MPI", "MPICH" (its derivatives too: they have launchers of one
// kind), or "" for none.
const Name = ""
