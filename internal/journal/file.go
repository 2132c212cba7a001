package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open opens the journal at path, or makes one, for a run of the job that h
// describes. It calls replay for all batches that earlier runs have left there, in
// order; replay owns them. torn is how many bytes of an unfinished append it has
// cut off the end.
//
// Errors: the journal is another job's, which the error tells apart; the file is no
// journal, or damaged before its end; another process has it open; it can't be
// written; those of replay. The file is then as it was.
func Open(path string, h Header, run Run, replay func(Batch) error) (j *Journal, torn int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, fmt.Errorf("the journal: %w", err)
	}
	err = lock(f)
	if err == nil {
		j, torn, err = open(f, h, run, replay)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("the journal %s: %w", path, err)
	}
	return j, torn, nil
}

var errInUse = errors.New("another process has it open; let that one end, or name another file")

// ScanFile is [Scan] for the file at path, which another process may be appending
// to.
func ScanFile(path string, v Visitor) (Extent, error) {
	f, err := os.Open(path)
	if err != nil {
		return Extent{}, fmt.Errorf("the journal: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	var extent Extent
	if err == nil {
		extent, err = Scan(f, info.Size(), v)
	}
	if err != nil {
		err = fmt.Errorf("the journal %s: %w", path, err)
	}
	return extent, err
}
