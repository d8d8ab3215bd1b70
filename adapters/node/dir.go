package node

import (
	"errors"
	"io"
	"os"
	"strings"

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

// orderedFS keeps the order in which entries of a directory change where Pebble
// relies on it. Pebble makes a new manifest, then a marker file that names it,
// then removes the old marker, and only then syncs the directory
// (atomicfs.Marker.Move). Journaling file systems keep that order; POSIX does
// not promise it, and a marker without its manifest is a log that does not open.
type orderedFS struct{ vfs.FS }

func (o orderedFS) syncBeforeMarker(name string) error {
	if !strings.HasPrefix(o.PathBase(name), "marker.") {
		return nil
	}
	return syncDir(o.FS, o.PathDir(name))
}

func (o orderedFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.syncBeforeMarker(name); err != nil {
		return nil, err
	}
	f, err := o.FS.Create(name, category)
	if err == nil && strings.HasSuffix(name, ".log") {
		f = walFile{f}
	}
	return f, err
}

func (o orderedFS) Remove(name string) error {
	if err := o.syncBeforeMarker(name); err != nil {
		return err
	}
	return o.FS.Remove(name)
}

func (o orderedFS) Unwrap() vfs.FS { return o.FS }

// unlockedFS locks nothing: a log that is opened for reading is left as it is,
// and may be where nobody can write.
type unlockedFS struct{ vfs.FS }

func (unlockedFS) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (u unlockedFS) Unwrap() vfs.FS { return u.FS }
