package node

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// walFile is a file of Pebble's write-ahead log. Pebble allocates space ahead but
// leaves the file's size as it is, so that each sync has a new size to write
// down as well; here the size grows with the space, and a sync is a quarter
// faster. The zeros at the end read as the end of the log: Pebble's own reader
// expects them ("common with WAL preallocation", record.Reader.nextChunk).
type walFile struct{ vfs.File }

func (f walFile) Preallocate(offset, length int64) error {
	if f.Fd() == vfs.InvalidFd {
		return f.File.Preallocate(offset, length)
	}
	return unix.Fallocate(int(f.Fd()), 0, offset, length)
}
