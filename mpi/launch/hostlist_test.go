package launch

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// expand returns the hosts of a list, separated by blanks.
func expand(list string) (string, error) {
	var hosts []string
	for host, err := range HostList(list) {
		if err != nil {
			return "", err
		}
		hosts = append(hosts, host)
	}
	return strings.Join(hosts, " "), nil
}

// As scontrol show hostnames expands them.
func TestHostList(t *testing.T) {
	for list, want := range map[string]string{
		"":                         "",
		"a":                        "a",
		"a,,b c":                   "a b c",
		"b,a,b":                    "b a b",
		"a[1-3]b[01-02],c":         "a1b01 a1b02 a2b01 a2b02 a3b01 a3b02 c",
		"a[1-2]b[1-2]c[1-2]":       "a1b1c1 a1b1c2 a2b1c1 a2b1c2 a1b2c1 a1b2c2 a2b2c1 a2b2c2",
		"a[1-2]b[1-2]c[1-2]d[1-2]": "a1b1c1d1 a1b1c1d2 a2b1c1d1 a2b1c1d2 a1b2c1d1 a1b2c1d2 a2b2c1d1 a2b2c1d2 a1b1c2d1 a1b1c2d2 a2b1c2d1 a2b1c2d2 a1b2c2d1 a1b2c2d2 a2b2c2d1 a2b2c2d2",
		"a[1-]":                    "a1",
		"a[01-3]":                  "a01 a02 a03",
		"a[001-2]":                 "a001 a002",
		"a[9-11]":                  "a9 a10 a11",
		"a[08-10]":                 "a08 a09 a10",
		"a[1-3,5]":                 "a1 a2 a3 a5",
		"a[1-2],b[3]":              "a1 a2 b3",
		"[1-2]":                    "1 2",
		"a-b[1-2]":                 "a-b1 a-b2",
		"a[1-2][3-4]":              "a13 a14 a23 a24",
		"a[1-2]x":                  "a1x a2x", // since Slurm 23
	} {
		got, err := expand(list)
		require.NoError(t, err, list)
		require.Equal(t, want, got, list)
	}
}

func TestHostListErrors(t *testing.T) {
	for _, list := range []string{"a[3-1]", "a[]", "a[,1]", "a[1,]", "a[-2]", "a[x-y]", "a[1--2]", "a[1 2]", "a[1", "a]1", "a[1-2", "a[0-65536]", "a[1-300]b[1-300]"} {
		_, err := expand(list)
		require.Error(t, err, list)
	}
}

func FuzzHostList(f *testing.F) {
	f.Add("a[1-3]b[01-02],c")
	f.Add("a[1-]")
	f.Fuzz(func(t *testing.T, list string) {
		n := 0
		for host, err := range HostList(list) {
			if err == nil && host == "" && strings.Trim(list, "[]0123456789-, \t\n") != "" {
				t.Fatalf("an empty host in %q", list)
			}
			if n++; n > 1<<20 {
				return
			}
		}
	})
}
