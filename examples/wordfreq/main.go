// Wordfreq counts the words in all text files of a folder, by default the
// sources of Go itself, and prints the most frequent ones and the files with
// the most words.
//
//	dlprun -np 4 wordfreq [-top N] [-check] [FOLDER]
//
// The loop over the files is an ordinary one but for its range: rank 0 hands
// their indices out as ranks become free. With -check the root counts once more
// alone, and compares.
package main

import (
	"context"
	"flag"
	"fmt"
	"go/build"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dlprun/dlp/gather"
	"github.com/dlprun/dlp/mpi"
	"github.com/dlprun/dlp/split"
)

func main() {
	top := flag.Int("top", 10, "how many words and files to print")
	check := flag.Bool("check", false, "count again on one rank and compare")
	flag.Parse()
	folder := filepath.Join(build.Default.GOROOT, "src")
	if flag.NArg() > 0 {
		folder = flag.Arg(0)
	}
	mpi.Main(func(ctx context.Context, world *mpi.Comm) error {
		return run(ctx, world, folder, *top, *check)
	})
}

func run(ctx context.Context, world *mpi.Comm, folder string, top int, check bool) error {
	if top < 0 {
		return fmt.Errorf("-top %d: write how many to print, 0 or more", top)
	}
	// One rank looks at the disk: so all ranks have the same list.
	files, err := mpi.OnRoot(ctx, world, func(context.Context) ([]string, error) { return list(folder) })
	if err != nil {
		return err
	}

	words := map[string]int{}                // this rank's share of all words
	lengths := gather.NewDict[string, int]() // words by file
	loop := split.Managed(ctx, world, len(files), split.Label("wordfreq"), split.Keys(func(i int) string { return files[i] }))
	for i := range loop.All() {
		n, err := count(files[i], words)
		if err != nil {
			return err
		}
		lengths.Set(files[i], n)
	}
	if err := loop.Err(); err != nil {
		return err
	}

	words, err = mpi.Reduce(ctx, world, mpi.Root, words, add)
	if err != nil {
		return err
	}
	byFile, err := lengths.Gather(ctx, world)
	if err != nil || !world.IsRoot() {
		return err
	}
	fmt.Printf("%d files, %d different words\n\n", len(files), len(words))
	show("word", words, top)
	show("file", byFile, top)
	if check {
		return compare(files, words, byFile)
	}
	return nil
}

// add merges b into a.
func add(a, b map[string]int) map[string]int {
	for word, n := range b {
		a[word] += n
	}
	return a
}

// compare counts everything again in a plain loop.
func compare(files []string, words, byFile map[string]int) error {
	serial, lengths := map[string]int{}, map[string]int{}
	for _, f := range files {
		n, err := count(f, serial)
		if err != nil {
			return err
		}
		lengths[f] = n
	}
	if !maps.Equal(words, serial) || !maps.Equal(byFile, lengths) {
		return fmt.Errorf("the ranks counted %d words in %d files, one rank alone %d in %d", len(words), len(byFile), len(serial), len(lengths))
	}
	fmt.Println("same as serial")
	return nil
}

// show prints the entries with the highest counts, equal ones by name.
func show(what string, counts map[string]int, top int) {
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		if counts[a] != counts[b] {
			return counts[b] - counts[a]
		}
		return strings.Compare(a, b)
	})
	fmt.Fprintf(os.Stdout, "%8s  %s\n", "count", what)
	for _, name := range names[:min(top, len(names))] {
		fmt.Fprintf(os.Stdout, "%8d  %s\n", counts[name], name)
	}
	fmt.Println()
}
