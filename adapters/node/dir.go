package node

import (
	"errors"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// makeDir makes a directory and those above it, each certain to be found in the
// one above after a power failure.
func makeDir(fs vfs.FS, dir string) error {
	_, err := fs.Stat(dir)
	if !notExist(err) {
		return err
	}
	parent := fs.PathDir(dir)
	if parent != dir {
		if err := makeDir(fs, parent); err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func notExist(err error) bool { return errors.Is(err, os.ErrNotExist) }
