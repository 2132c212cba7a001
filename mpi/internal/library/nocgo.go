//go:build mpi && !cgo

package library

// The compiler shows this name to whoever builds with -tags mpi but without cgo.
var _ = tags_mpi_needs_CGO_ENABLED_1_and_a_C_compiler
