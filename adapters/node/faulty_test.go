package node

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// faultyFS fails operations that write, in one of the ways in which they fail.
type faultyFS struct {
	vfs.FS
	fail func(path string) error // called for each; nil: it does not fail
	mode string
}

// Ways to fail.
const (
	notDone  = "not done"
	doneThen = "done" // and reported as failed
	halfDone = "half" // of a write; others are not done
)

// try does an operation on a path, or fails.
func (f faultyFS) try(path string, do func() error) error {
	fault := f.fail(path)
	if fault != nil && f.mode != doneThen {
		return fault
	}
	if err := do(); err != nil {
		return err
	}
	return fault
}

// file makes a file whose writes fail too.
func (f faultyFS) file(path string, open func() (vfs.File, error)) (file vfs.File, err error) {
	err = f.try(path, func() error { file, err = open(); return err })
	if err != nil {
		return nil, err
	}
	return faultyFile{file, path, f}, nil
}

func (f faultyFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.Create(name, c) })
}

func (f faultyFS) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, c, o...) })
}

func (f faultyFS) ReuseForWrite(old, name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(name, func() (vfs.File, error) { return f.FS.ReuseForWrite(old, name, c) })
}

// OpenDir is for syncing.
func (f faultyFS) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return faultyFile{file, name, f}, err
}

func (f faultyFS) Link(old, name string) error {
	return f.try(name, func() error { return f.FS.Link(old, name) })
}

func (f faultyFS) Remove(name string) error {
	return f.try(name, func() error { return f.FS.Remove(name) })
}

func (f faultyFS) RemoveAll(name string) error {
	return f.try(name, func() error { return f.FS.RemoveAll(name) })
}

func (f faultyFS) Rename(old, name string) error {
	return f.try(name, func() error { return f.FS.Rename(old, name) })
}

func (f faultyFS) Unwrap() vfs.FS { return f.FS }

type faultyFile struct {
	vfs.File
	path string
	fs   faultyFS
}

func (f faultyFile) write(p []byte, do func(p []byte) (int, error)) (n int, err error) {
	fault := f.fs.fail(f.path)
	switch {
	case fault == nil:
		return do(p)
	case f.fs.mode == doneThen:
		_, err = do(p)
	case f.fs.mode == halfDone:
		_, err = do(p[:len(p)/2])
	}
	if err == nil {
		err = fault
	}
	return 0, err
}

func (f faultyFile) Write(p []byte) (int, error) { return f.write(p, f.File.Write) }

func (f faultyFile) WriteAt(p []byte, o int64) (int, error) {
	return f.write(p, func(p []byte) (int, error) { return f.File.WriteAt(p, o) })
}

func (f faultyFile) Sync() error { return f.fs.try(f.path, f.File.Sync) }

func (f faultyFile) SyncData() error { return f.fs.try(f.path, f.File.SyncData) }

func (f faultyFile) SyncTo(n int64) (full bool, err error) {
	err = f.fs.try(f.path, func() (err error) { full, err = f.File.SyncTo(n); return err })
	return full, err
}

// Close always closes.
func (f faultyFile) Close() error {
	err := f.File.Close()
	if fault := f.fs.fail(f.path); fault != nil {
		return fault
	}
	return err
}
