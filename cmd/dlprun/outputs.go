package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// outputs is what --output-dir makes: rank by rank the files for stdout and stderr.
type outputs [][2]*os.File

func openOutputs(o options) (outputs, error) {
	if o.outputDir == "" {
		return nil, nil
	}
	if err := os.MkdirAll(o.outputDir, 0o777); err != nil {
		return nil, exitf(1, "--output-dir %s: %v", o.outputDir, cause(err))
	}
	files := make(outputs, o.np)
	for k := range files {
		for i, kind := range []string{"out", "err"} {
			f, err := os.Create(filepath.Join(o.outputDir, fmt.Sprintf("rank-%d.%s", k, kind)))
			if err != nil {
				return nil, exitf(1, "--output-dir: %v", err)
			}
			files[k][i] = f
		}
	}
	return files, nil
}
