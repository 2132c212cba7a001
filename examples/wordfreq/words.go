package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"unicode"
	"unicode/utf8"
)

// list returns the regular files below folder in lexical order.
func list(folder string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("the folder can't be listed: %w", err)
	}
	return files, nil
}

// count adds the words of a file to words and returns how many there are. A
// word is a run of letters, in lower case; a file that is not text has none.
func count(file string, words map[string]int) (int, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	if !utf8.Valid(text) || bytes.IndexByte(text, 0) >= 0 {
		return 0, nil
	}
	n := 0
	for word := range bytes.FieldsFuncSeq(text, func(r rune) bool { return !unicode.IsLetter(r) }) {
		words[string(bytes.ToLower(word))]++
		n++
	}
	return n, nil
}
