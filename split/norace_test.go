//go:build !race

package split_test

const raced = false
