package launch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// file is a meeting through a small file in a folder that all ranks see: the
// temporary folder of the host, if they all run on it and it is not Linux, which
// has sockets without a file; else a shared one. Its
// name is the job's own; it is written aside and renamed, so that nobody reads
// half of it; and it is gone when all have joined. Its content is believed only
// as far as the handshake confirms it.
type file struct {
	path   string
	wrote  bool
	shared bool
}

func newFile(getenv func(string) string, p *place) (Meeting, error) {
	folder := getenv("DLP_FOLDER")
	shared := folder != "" || !p.oneHost
	switch {
	case folder != "":
	case p.oneHost:
		folder = filepath.Join(os.TempDir(), fmt.Sprintf("dlp-%d", os.Getuid()))
	default:
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, fmt.Errorf("the ranks of several hosts meet in a shared folder: name one with DLP_FOLDER (%w)", err)
		}
		folder = filepath.Join(home, ".dlp")
	}
	sum := sha256.Sum256([]byte(p.id))
	return &file{path: filepath.Join(folder, "job-"+hex.EncodeToString(sum[:12])), shared: shared}, nil
}

// ownFolder makes the folder if need be, and refuses one that others can
// write to.
func ownFolder(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("the ranks can't meet: %w; name another folder with DLP_FOLDER", err)
	}
	info, err := os.Lstat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() || info.Mode().Perm()&0o022 != 0 || !owned(info) {
		return fmt.Errorf("the ranks can't meet in %s: it must be a folder of yours that nobody else can write to; name another with DLP_FOLDER", folder)
	}
	return nil
}

func (f *file) String() string   { return "the file " + f.path }
func (f *file) Listen() []string { return nil }

func (f *file) Publish(_ context.Context, i Invitation) error {
	if err := ownFolder(filepath.Dir(f.path)); err != nil {
		return err
	}
	aside, err := os.CreateTemp(filepath.Dir(f.path), "new-") // mode 0600
	if err != nil {
		return err
	}
	_, err = aside.WriteString(i.encode())
	err = errors.Join(err, aside.Sync(), aside.Close())
	if err == nil {
		err = os.Rename(aside.Name(), f.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(aside.Name()))
	}
	f.wrote = true
	return nil
}

func (f *file) Find(ctx context.Context) (Invitation, error) {
	if err := ownFolder(filepath.Dir(f.path)); err != nil {
		return Invitation{}, err
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		b, err := os.ReadFile(f.path)
		if err == nil {
			return decodeInvitation(strings.TrimSpace(string(b)))
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Invitation{}, err
		}
		select {
		case <-ctx.Done():
			hint := ""
			if f.shared {
				hint = "; do all hosts share that folder? If not, name one that they do with DLP_FOLDER, or start with dlprun --with"
			}
			return Invitation{}, fmt.Errorf("rank 0 has not written %s%s: %w", f.path, hint, context.Cause(ctx))
		case <-time.After(pause):
		}
	}
}

// Joined removes the file: all have read it.
func (f *file) Joined() error {
	if !f.wrote {
		return nil
	}
	f.wrote = false
	return os.Remove(f.path)
}

func (f *file) Leave(int) error { return f.Joined() }
