package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"
)

// checkpoint says what was promised: the log with this id has at least size
// events, and this root over them. It lives in a file of its own because
// Pebble cannot tell every loss at the end of its write-ahead log from a torn
// write (readAheadForCorruption starts at the next 32 KiB block): a few flipped
// bits there would silently drop events that were acknowledged.
//
// Without the file, such a loss goes unnoticed. Who can change it and the log
// can hide one; the signed checkpoints of adapters/proof are against that.
type checkpoint struct {
	log  uuid.UUID
	size uint64
	root root
}

// The file has two slots, each in a block of its own, written in turns: a torn
// write can spoil only the slot that was not yet promised.
//
//	8 bytes   "kicauckp"
//	1 byte    format, 1
//	8 bytes   number of the write
//	16 bytes  log id
//	8 bytes   size
//	32 bytes  root
//	4 bytes   CRC-32C of all that
const (
	slotMagic   = "kicauckp"
	slotFormat  = 1
	slotLen     = 8 + 1 + 8 + 16 + 8 + rootLen + 4
	slotSpacing = 4096
	slotCount   = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func appendSlot(b []byte, number uint64, c checkpoint) []byte {
	b = append(append(b, slotMagic...), slotFormat)
	b = binary.BigEndian.AppendUint64(b, number)
	b = append(b, c.log[:]...)
	b = binary.BigEndian.AppendUint64(b, c.size)
	b = append(b, c.root[:]...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func readSlot(b []byte) (number uint64, c checkpoint, ok bool) {
	if len(b) < slotLen || string(b[:8]) != slotMagic || b[8] != slotFormat ||
		crc32.Checksum(b[:slotLen-4], castagnoli) != binary.BigEndian.Uint32(b[slotLen-4:]) {
		return 0, checkpoint{}, false
	}
	number = binary.BigEndian.Uint64(b[9:])
	copy(c.log[:], b[17:])
	c.size = binary.BigEndian.Uint64(b[33:])
	copy(c.root[:], b[41:])
	return number, c, true
}

// checkpointFile is the open file. Not for concurrent use.
type checkpointFile struct {
	file   vfs.File
	number uint64 // of the newest write
	buf    []byte
}

// createCheckpointFile makes the file with c in it, whole or not at all.
func createCheckpointFile(fs vfs.FS, path string, c checkpoint) error {
	next := path + ".new"
	f, err := fs.Create(next, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// The blocks are written, not only allocated: syncing them later changes
	// no metadata of the file and so costs one write.
	content := make([]byte, slotSpacing*slotCount)
	appendSlot(content[:0], 0, c)
	if _, err = f.Write(content); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fs.Rename(next, path); err != nil {
		return err
	}
	return syncDir(fs, fs.PathDir(path))
}

// openCheckpointFile opens the file and reads the newest valid slot. It returns
// an error that is os.ErrNotExist when there is no file.
func openCheckpointFile(fs vfs.FS, path string) (*checkpointFile, checkpoint, error) {
	if _, err := fs.Stat(path); err != nil {
		return nil, checkpoint{}, err
	}
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return nil, checkpoint{}, err
	}
	cf := &checkpointFile{file: f, buf: make([]byte, 0, slotLen)}
	var newest checkpoint
	if cf.number, newest, err = readSlots(f, path); err != nil {
		return nil, checkpoint{}, errors.Join(err, f.Close())
	}
	return cf, newest, nil
}

// readCheckpointFile reads the newest valid slot and leaves the file alone.
func readCheckpointFile(fs vfs.FS, path string) (checkpoint, error) {
	f, err := fs.Open(path)
	if err != nil {
		return checkpoint{}, err
	}
	_, newest, err := readSlots(f, path)
	return newest, errors.Join(err, f.Close())
}

func readSlots(f vfs.File, path string) (number uint64, newest checkpoint, err error) {
	found := false
	for i := range int64(slotCount) {
		var b [slotLen]byte
		if _, err := f.ReadAt(b[:], i*slotSpacing); err != nil && !errors.Is(err, io.EOF) {
			return 0, checkpoint{}, fmt.Errorf("read %s: %w", path, err)
		}
		if n, c, ok := readSlot(b[:]); ok && (!found || n > number) {
			number, newest, found = n, c, true
		}
	}
	if !found {
		return 0, checkpoint{}, fmt.Errorf("%w: %s holds no readable checkpoint", ErrDamaged, path)
	}
	return number, newest, nil
}

// write replaces the older slot and syncs it.
func (f *checkpointFile) write(c checkpoint) error {
	f.number++
	f.buf = appendSlot(f.buf[:0], f.number, c)
	if _, err := f.file.WriteAt(f.buf, int64(f.number%slotCount)*slotSpacing); err != nil {
		return err
	}
	return f.file.SyncData()
}

func (f *checkpointFile) close() error {
	if f == nil {
		return nil // the log was opened for reading
	}
	return f.file.Close()
}
