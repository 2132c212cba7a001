package codec

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

type (
	kelvin float64
	labels map[string]kelvin
	leaf   struct {
		At    time.Time
		Heat  kelvin
		Names []labels
	}
	branch struct {
		Left, Right *branch
		Leaf        leaf
	}
)

func TestDescribe(t *testing.T) {
	for want, got := range map[string]string{
		"int":                  Describe[int](),
		"[]map[string]float64": Describe[[]map[string]float64](),
		"time.Time":            Describe[time.Time](),
		"interface {}":         Describe[any](),
		"[]codec.kelvin: codec.kelvin is float64": Describe[[]kelvin](),
		"*codec.branch: codec.branch is {Left *codec.branch; Right *codec.branch; Leaf codec.leaf}, " +
			"codec.leaf is {At time.Time; Heat codec.kelvin; Names []codec.labels}, codec.kelvin is float64, " +
			"codec.labels is map[string]codec.kelvin": Describe[*branch](),
	} {
		require.Equal(t, want, got)
	}
}
