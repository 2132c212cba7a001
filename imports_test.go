// Package dlp_test holds what is true of the module as a whole.
package dlp_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/dlprun/dlp/"

// allowed says which packages of this module each package may import. Imports
// point one way: what is not listed is not allowed.
var allowed = map[string][]string{
	"internal/codec":                       {},
	"internal/journal":                     {},
	"internal/proxytest":                   {},
	"mpi/internal/library":                 {},
	"mpi/internal/wire":                    {},
	"mpi/internal/auth":                    {},
	"mpi/internal/transport":               {"mpi/internal/wire"},
	"mpi/internal/transport/mem":           {"mpi/internal/transport", "mpi/internal/wire"},
	"mpi/internal/transport/ring":          {"mpi/internal/wire"},
	"mpi/internal/transport/sock":          {"mpi/internal/auth", "mpi/internal/shm", "mpi/internal/transport", "mpi/internal/transport/ring", "mpi/internal/wire"},
	"mpi/internal/transport/gompi":         {"mpi/internal/shm", "mpi/internal/transport", "mpi/internal/wire"},
	"mpi/internal/transport/transporttest": {"mpi/internal/transport", "mpi/internal/wire"},
	"mpi/internal/shm":                     {},
	"mpi/launch":                           {"mpi/internal/auth", "mpi/internal/library", "mpi/internal/wire"},
	"mpi": {"internal/codec", "mpi/launch", "mpi/internal/shm", "mpi/internal/transport", "mpi/internal/transport/gompi",
		"mpi/internal/transport/mem", "mpi/internal/transport/sock", "mpi/internal/wire"},
	"mpi/mpitest":        {"mpi", "mpi/launch"},
	"split":              {"internal/codec", "internal/journal", "mpi"},
	"gather":             {"internal/codec", "mpi"},
	"cmd/dlprun":         {"internal/journal", "mpi", "mpi/launch"},
	"e2e":                {},
	"examples/wordfreq":  {"gather", "mpi", "split"},
	"examples/typecheck": {"mpi", "split"},
	"examples/pi":        {"mpi", "split"},
	"bench":              {},
	"bench/ours":         {"gather", "mpi", "split"},
	"bench/peers/gompi":  {}, // tag mpi
}

// dependencies are the modules that packages which ship may use.
var dependencies = []string{
	"github.com/spf13/pflag", "github.com/schollz/progressbar/v3", "golang.org/x/sys", "golang.org/x/term",
	"github.com/sbromberger/gompi",
}

// testing packages may use these too.
var testDependencies = []string{"github.com/stretchr/testify", "go.uber.org/goleak"}

func TestImportsPointOneWay(t *testing.T) {
	seen := map[string]bool{}
	for _, tags := range []string{"", "mpi"} {
		for _, p := range list(t, tags) {
			name := strings.TrimPrefix(p.ImportPath, module)
			if p.ImportPath+"/" == module || strings.Contains(name, "testdata/") {
				continue
			}
			seen[name] = true
			checkImports(t, name, p.Imports)
		}
	}
	require.Len(t, seen, len(allowed), "packages that exist, of those in the table")
}

type listed struct {
	ImportPath string
	Imports    []string
}

// list returns the packages of this module that exist with these build tags.
func list(t *testing.T, tags string) (packages []listed) {
	out, err := exec.Command("go", "list", "-tags", tags, "-json=ImportPath,Imports", "./...").Output()
	require.NoError(t, err)
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		require.NoError(t, err)
		packages = append(packages, p)
	}
}

func checkImports(t *testing.T, name string, imports []string) {
	may, listed := allowed[name]
	if !listed {
		t.Errorf("%s is not in the table of allowed imports", name)
	}
	others := dependencies
	if strings.HasSuffix(name, "test") {
		others = append(slices.Clone(others), testDependencies...)
	}
	for _, path := range imports {
		own, ours := strings.CutPrefix(path, module)
		switch {
		case ours && !slices.Contains(may, own):
			t.Errorf("%s imports %s", name, own)
		case !ours && strings.Contains(strings.Split(path, "/")[0], "."):
			if !slices.ContainsFunc(others, func(m string) bool { return path == m || strings.HasPrefix(path, m+"/") }) {
				t.Errorf("%s imports %s, which is no dependency of this module", name, path)
			}
		}
	}
}
