package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open opens the journal at path, or makes one, for a run of the job that h
// describes. It calls visit for all batches that earlier runs have left there, in
// order. torn is how many bytes of an unfinished append it has cut off the end.
//
// Errors: the journal is another job's, which the error tells apart; the file is no
// journal, or damaged before its end; it is open already; it can't be written; those
// of visit. What was whole in it stays as it is, and a new one is left empty.
func Open(path string, h Header, run Run, visit func(Batch) error) (j *Journal, torn int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, 0, fmt.Errorf("the journal: %w", err)
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(info)
	}
	if err == nil {
		err = lock(f)
	}
	if err == nil {
		j, torn, err = open(&file{File: f, isNew: info.Size() == 0}, h, run, visit)
	}
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("the journal %s: %w", path, err)
	}
	return j, torn, nil
}

// A file is one whose folder may have to be told of it too.
type file struct {
	*os.File
	isNew bool // the disk does not have its name yet
}

// Sync has the disk keep what is in the file, and its name.
func (f *file) Sync() error {
	if err := f.File.Sync(); err != nil || !f.isNew {
		return err
	}
	err := syncFolder(filepath.Dir(f.Name()))
	f.isNew = err != nil
	return err
}

var errInUse = errors.New("it is open already, in another job or another loop; let that one end, or name another file")

// regular returns an error for what is no file that can be appended to.
func regular(info os.FileInfo) error {
	if !info.Mode().IsRegular() {
		return errors.New("it is not a regular file; name another one")
	}
	return nil
}

// ScanFile is [Scan] for the file at path, which another process may be appending
// to.
func ScanFile(path string, v Visitor) (Extent, error) {
	info, err := os.Stat(path) // before it is opened: a pipe would wait for a writer
	if err != nil {
		return Extent{}, fmt.Errorf("the journal: %w", err)
	}
	extent, err := scanFile(path, info, v)
	if err != nil {
		err = fmt.Errorf("the journal %s: %w", path, err)
	}
	return extent, err
}

func scanFile(path string, info os.FileInfo, v Visitor) (Extent, error) {
	if err := regular(info); err != nil {
		return Extent{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Extent{}, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return Extent{}, err
	}
	return Scan(f, info.Size(), v)
}
