package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// Report is what is found out about one package.
type Report struct {
	Dir                   string
	Files, Lines, Objects int
	Errors                int
	Took                  time.Duration
}

// packages returns the folders below root that hold a Go package for this
// system, in lexical order.
func packages(root string) ([]string, error) {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if name := d.Name(); path != root && (name == "testdata" || strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_")) {
			return fs.SkipDir
		}
		if p, err := build.ImportDir(path, 0); err == nil && len(p.GoFiles) > 0 {
			dirs = append(dirs, path)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the folder can't be listed: %w", err)
	}
	return dirs, nil
}

// A checker keeps what it has learned about imported packages.
type checker struct {
	files    *token.FileSet
	importer types.Importer
}

func newChecker() *checker {
	c := &checker{files: token.NewFileSet()}
	c.importer = importer.ForCompiler(c.files, "source", nil)
	return c
}

// check type-checks the package in dir. Type errors are counted, not returned.
func (c *checker) check(dir string) (Report, error) {
	r, start := Report{Dir: dir}, time.Now()
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		return r, err
	}
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(c.files, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return r, err
		}
		files = append(files, f)
		r.Lines += c.files.File(f.FileStart).LineCount()
	}
	r.Files = len(files)
	info := types.Info{Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: c.importer, Error: func(error) { r.Errors++ }}
	var typeError types.Error
	if _, err := config.Check(dir, c.files, files, &info); err != nil && !errors.As(err, &typeError) && r.Errors == 0 {
		return r, err
	}
	r.Objects, r.Took = len(info.Defs), time.Since(start)
	return r, nil
}
