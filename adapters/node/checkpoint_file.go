package node

import (
	"errors"
	"fmt"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// Sizes of the checkpoint's file, in bytes.
const (
	// lapBytes is also how much of Pebble's write-ahead log is not synced, at most.
	lapBytes = 1 << 20
	// redoPerLap bounds a batch that is promised with its redo: a lap has room for
	// that many. Larger ones are better written once.
	redoPerLap         = 4
	maxCheckpointBytes = 64 << 20
)

// checkpointFile is the open file. Not for concurrent use.
type checkpointFile struct {
	file   vfs.File
	lap    int    // bytes of one
	number uint64 // of the newest record
	id     uuid.UUID
	second bool // it is in the second lap
	at     int  // where its next record begins
	buf    []byte
}

// createCheckpointFile makes the file with c in it, whole or not at all, in the
// place of one that may be there. The log must be synced up to c.
func createCheckpointFile(fs vfs.FS, path string, lap int, c checkpoint) (f *checkpointFile, err error) {
	next := path + ".new"
	file, err := fs.Create(next, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, err
	}
	f = &checkpointFile{file: file, lap: lap, second: true}
	defer func() {
		if err != nil {
			f, err = nil, errors.Join(err, file.Close())
		}
	}()
	// The blocks are written, not only allocated: syncing them later changes
	// no metadata of the file and so costs one write.
	if _, err := file.Write(make([]byte, lap*lapPlaces)); err != nil {
		return f, err
	}
	if err := f.promise(c); err != nil {
		return f, err
	}
	if err := fs.Rename(next, path); err != nil {
		return f, err
	}
	return f, syncDir(fs, fs.PathDir(path))
}

// readCheckpointFile returns an error that is os.ErrNotExist when there is no
// file.
func readCheckpointFile(fs vfs.FS, path string) (promised, error) {
	if _, err := fs.Stat(path); err != nil {
		return promised{}, err
	}
	f, err := fs.Open(path, vfs.SequentialReadsOption)
	if err != nil {
		return promised{}, err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxCheckpointBytes))
	if err = errors.Join(err, f.Close()); err != nil {
		return promised{}, fmt.Errorf("read %s: %w", path, err)
	}
	p, ok := readPromised(b)
	if !ok {
		return promised{}, fmt.Errorf("%w: %s holds no readable checkpoint", ErrDamaged, path)
	}
	return p, nil
}

// promise begins a new lap with what Pebble has synced.
func (f *checkpointFile) promise(c checkpoint) error {
	f.id, f.second, f.at = uuid.New(), !f.second, 0
	return f.write(redo{end: c})
}

// small tells whether a batch of so many bytes is worth a redo.
func (f *checkpointFile) small(batch int) bool { return batch <= f.lap/redoPerLap-recordLeast }

// room tells whether the lap has room for one of so many bytes.
func (f *checkpointFile) room(batch int) bool { return f.at+recordBytes(batch) <= f.lap }

// write writes a record to both places of the lap and syncs them.
func (f *checkpointFile) write(r redo) error {
	f.number++
	f.buf = appendRecord(f.buf[:0], lapRecord{f.number, f.id, r})
	at := f.at
	if f.second {
		at += f.lap
	}
	for _, place := range []int{at, at + 2*f.lap} {
		if _, err := f.file.WriteAt(f.buf, int64(place)); err != nil {
			return err
		}
	}
	f.at += len(f.buf)
	return f.file.SyncData()
}

func (f *checkpointFile) close() error {
	if f == nil {
		return nil // the log was opened for reading
	}
	return f.file.Close()
}
