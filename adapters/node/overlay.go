package node

import (
	"os"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// overlayFS leaves files as they are: what is made and removed is so in memory
// only. With it a log that is opened for reading after a crash can be brought up
// to what was acknowledged: Pebble replays its write-ahead log, which bounds what
// is in memory (memtables × memtableSize, and a lap of the checkpoint).
type overlayFS struct {
	vfs.FS // beneath
	made   *vfs.MemFS
	// removed are paths beneath. Pebble removes files in other goroutines.
	removed *sync.Map
}

func newOverlay(fs vfs.FS) overlayFS {
	return overlayFS{fs, vfs.NewMem(), &sync.Map{}}
}

func (o overlayFS) isRemoved(name string) bool {
	_, is := o.removed.Load(name)
	return is
}

// of returns the file system that has a file.
func (o overlayFS) of(name string) vfs.FS {
	if _, err := o.made.Stat(name); err == nil || o.isRemoved(name) {
		return o.made
	}
	return o.FS
}

func (o overlayFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.made.MkdirAll(o.PathDir(name), 0o700); err != nil {
		return nil, err
	}
	return o.made.Create(name, c)
}

func (o overlayFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	return o.of(name).Open(name, opts...)
}

func (o overlayFS) Stat(name string) (vfs.FileInfo, error) { return o.of(name).Stat(name) }

func (o overlayFS) Remove(name string) error {
	if _, err := o.Stat(name); err != nil {
		return err
	}
	o.removed.Store(name, true)
	if _, err := o.made.Stat(name); err != nil {
		return nil
	}
	return o.made.Remove(name)
}

// Rename is of what was made.
func (o overlayFS) Rename(old, name string) error { return o.made.Rename(old, name) }

// ReuseForWrite spares nothing in memory.
func (o overlayFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	if err := o.Remove(old); err != nil {
		return nil, err
	}
	return o.Create(name, c)
}

func (o overlayFS) List(dir string) ([]string, error) {
	names, err := o.FS.List(dir)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return o.isRemoved(o.PathJoin(dir, name)) })
	made, err := o.made.List(dir)
	if err != nil && !notExist(err) {
		return nil, err
	}
	names = append(names, made...)
	slices.Sort(names)
	return slices.Compact(names), nil
}

// OpenDir is for syncing, of which there is nothing to do.
func (o overlayFS) OpenDir(name string) (vfs.File, error) {
	if err := o.made.MkdirAll(name, 0o700); err != nil {
		return nil, err
	}
	return o.made.OpenDir(name)
}

// MkdirAll makes what is there already.
func (o overlayFS) MkdirAll(dir string, mode os.FileMode) error { return o.made.MkdirAll(dir, mode) }

// Pebble does not do these on its own files at a start.

func (o overlayFS) Link(old, name string) error {
	return &os.LinkError{Op: "link", Old: old, New: name, Err: vfs.ErrUnsupported}
}

func (o overlayFS) RemoveAll(name string) error {
	return &os.PathError{Op: "remove", Path: name, Err: vfs.ErrUnsupported}
}

func (o overlayFS) OpenReadWrite(name string, _ vfs.DiskWriteCategory, _ ...vfs.OpenOption) (vfs.File, error) {
	return nil, &os.PathError{Op: "open for writing", Path: name, Err: vfs.ErrUnsupported}
}

func (o overlayFS) Unwrap() vfs.FS { return o.FS }
