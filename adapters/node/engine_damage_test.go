package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"kicau/adapters/command"
)

const checkpointPath = "data/checkpoint"

// logOf makes a log with appends of one event and returns its files.
func logOf(t *testing.T, appends int) *vfs.MemFS {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	for i := range appends {
		mustAppend(t, s, "a", int64(i)-1, someEvents(1))
	}
	closeStore(t, s)
	return fs
}

// settledLogOf is a log of which nothing is kept in the checkpoint any more, so
// that a start looks at none of its events.
func settledLogOf(t *testing.T, appends int) *vfs.MemFS {
	fs := logOf(t, appends)
	closeStore(t, openMem(t, fs))
	return fs
}

func copyFiles(t *testing.T, from, to vfs.FS, path string) {
	t.Helper()
	if err := to.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if ok, err := vfs.Clone(from, to, path, path); err != nil || !ok {
		t.Fatal(ok, err)
	}
}

// cloneFiles is a second copy of everything.
func cloneFiles(t *testing.T, fs vfs.FS) *vfs.MemFS {
	t.Helper()
	to := vfs.NewMem()
	copyFiles(t, fs, to, "data")
	return to
}

// TestDamagedRefused: a log that is not what was promised does not open, and
// the error says what happened and what to do.
func TestDamagedRefused(t *testing.T) {
	old := logOf(t, 3)
	for name, c := range map[string]struct {
		damage func(t *testing.T, fs *vfs.MemFS)
		want   string
	}{
		"an older copy of the log": {func(t *testing.T, fs *vfs.MemFS) {
			s := openMem(t, fs)
			mustAppend(t, s, "a", 2, someEvents(2))
			closeStore(t, s)
			closeStore(t, openMem(t, fs)) // from here on nothing is kept beside the log
			copyFiles(t, old, fs, "data/log")
		}, "ends at position 3 but 5 events were acknowledged: the last 2 are lost"},
		"another history": {func(t *testing.T, fs *vfs.MemFS) {
			other := cloneFiles(t, fs)
			for _, f := range []*vfs.MemFS{fs, other} {
				s := openMem(t, f)
				mustAppend(t, s, "a", 2, someEvents(1))
				closeStore(t, s)
			}
			copyFiles(t, other, fs, "data/log")
		}, "the first 4 events of data are not those that were acknowledged"},
		"a root that was changed": {func(t *testing.T, fs *vfs.MemFS) {
			rewriteCheckpoint(t, fs, func(c *checkpoint) { c.root[7] ^= 1 })
		}, "are not those that were acknowledged"},
		"the checkpoint of another log": {func(t *testing.T, fs *vfs.MemFS) {
			copyFiles(t, logOf(t, 3), fs, checkpointPath)
		}, "but its checkpoint is of log"},
		"no checkpoint": {func(t *testing.T, fs *vfs.MemFS) {
			if err := fs.Remove(checkpointPath); err != nil {
				t.Fatal(err)
			}
		}, "its checkpoint data/checkpoint is missing"},
		"an unreadable checkpoint": {func(t *testing.T, fs *vfs.MemFS) {
			overwrite(t, fs, checkpointPath, 0, make([]byte, lapPlaces*lapBytes))
		}, "holds no readable checkpoint"},
		"no log": {func(t *testing.T, fs *vfs.MemFS) {
			if err := fs.RemoveAll("data/log"); err != nil {
				t.Fatal(err)
			}
		}, "is empty but its checkpoint promises"},
		"an event that nobody wrote, after the checkpoint": {func(t *testing.T, fs *vfs.MemFS) {
			withPebble(t, fs, func(db *pebble.DB) error {
				value, closer, err := db.Get(appendEventKey(nil, 3))
				if err != nil {
					return err
				}
				defer closer.Close()
				return errors.Join(db.Set(appendEventKey(nil, 4), value, nil), db.Set(appendRootKey(nil, 4), make([]byte, rootLen), nil))
			})
		}, "the batch that ends at position 4 is not what was written"},
		"a hole after the checkpoint": {func(t *testing.T, fs *vfs.MemFS) {
			withPebble(t, fs, func(db *pebble.DB) error {
				value, closer, err := db.Get(appendEventKey(nil, 3))
				if err != nil {
					return err
				}
				defer closer.Close()
				return errors.Join(db.Set(appendEventKey(nil, 5), value, nil), db.Set(appendRootKey(nil, 5), make([]byte, rootLen), nil))
			})
		}, "the event at position 4 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := cloneFiles(t, old)
			c.damage(t, fs)
			s, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs})
			if err == nil {
				closeStore(t, s)
				t.Fatal("it was opened")
			}
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "verified copy") {
				t.Fatalf("the error is %q; it should say %q and what to do", err, c.want)
			}
			// The refusal lets go of everything.
			copyFiles(t, old, fs, "data")
			closeStore(t, openMem(t, fs))
		})
	}
}

func rewriteCheckpoint(t *testing.T, fs vfs.FS, change func(*checkpoint)) {
	t.Helper()
	p, err := readCheckpointFile(fs, checkpointPath)
	if err != nil {
		t.Fatal(err)
	}
	change(&p.end)
	putCheckpoint(t, fs, checkpointPath, p.end)
}

// putCheckpoint makes a checkpoint's file, or another in its place.
func putCheckpoint(t *testing.T, fs vfs.FS, path string, c checkpoint) {
	t.Helper()
	f, err := createCheckpointFile(fs, path, lapBytes, c)
	if err = errors.Join(err, f.close()); err != nil {
		t.Fatal(err)
	}
}

func overwrite(t *testing.T, fs vfs.FS, path string, offset int64, b []byte) {
	t.Helper()
	f, err := fs.OpenReadWrite(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt(b, offset)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

func withPebble(t *testing.T, fs vfs.FS, f func(*pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open("data/log", (&store{Options: Options{Logger: quiet, fs: fs}}).pebbleOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestBeforeTheCheckpoint: a crash between the batch and its checkpoint leaves
// a longer log, which is kept and promised at the next start.
func TestBeforeTheCheckpoint(t *testing.T) {
	fs := logOf(t, 3)
	old := cloneFiles(t, fs)
	s := openMem(t, fs)
	mustAppend(t, s, "a", 2, someEvents(2))
	closeStore(t, s)
	copyFiles(t, old, fs, checkpointPath)
	s = openMem(t, fs)
	if s.head() != 5 {
		t.Fatalf("the head is %d", s.head())
	}
	closeStore(t, s)
	copyFiles(t, old, fs, "data/log")
	if _, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs}); !errors.Is(err, ErrDamaged) {
		t.Fatalf("what became visible was not promised: %v", err)
	}
}

// TestEmptyLog: a log whose making was interrupted is made again, and stays
// what it was.
func TestEmptyLog(t *testing.T) {
	fs := logOf(t, 0)
	s := openMem(t, fs)
	id := s.id
	closeStore(t, s)
	if err := fs.Remove(checkpointPath); err != nil {
		t.Fatal(err)
	}
	s = openMem(t, fs)
	defer closeStore(t, s)
	if s.id != id {
		t.Fatalf("the log's id was %s and is %s", id, s.id)
	}
}

func TestUnknownFormat(t *testing.T) {
	fs := logOf(t, 1)
	withPebble(t, fs, func(db *pebble.DB) error {
		return db.Set(logKey, append([]byte{formatOfStore + 1}, make([]byte, 16)...), nil)
	})
	if _, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs}); err == nil || !strings.Contains(err.Error(), "format that this program does not know") {
		t.Fatal(err)
	}
}

// TestPebbleFormat: older formats of the write-ahead log take damage for a torn
// write. Pebble's default is an older one.
func TestPebbleFormat(t *testing.T) {
	s := openMem(t, vfs.NewMem())
	defer closeStore(t, s)
	if got := s.db.FormatMajorVersion(); got < pebble.FormatWALSyncChunks || got != pebble.FormatNewest {
		t.Fatalf("Pebble's format is %s, want %s", got, pebble.FormatNewest)
	}
}

func TestOneProcess(t *testing.T) {
	dir := t.TempDir()
	s, err := openStore(Options{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	if _, err := openStore(Options{Dir: dir, Logger: quiet}); err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "another process") {
		t.Fatal(err)
	}
}

// TestVerify finds what opening does not look at.
func TestVerify(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(db *pebble.DB) error
		want   string
	}{
		"a changed event": {func(db *pebble.DB) error {
			value, closer, err := db.Get(appendEventKey(nil, 2))
			if err != nil {
				return err
			}
			changed := bytes.Replace(value, []byte(`{"n":1}`), []byte(`{"n":2}`), 1)
			return errors.Join(closer.Close(), db.Set(appendEventKey(nil, 2), changed, nil))
		}, "the batch that ends at position 2 is not what was written"},
		"a lost event": {func(db *pebble.DB) error {
			return db.Delete(appendEventKey(nil, 2), nil)
		}, "the event at position 2 is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			fs := settledLogOf(t, 4)
			withPebble(t, fs, c.damage)
			s := openMem(t, fs)
			defer closeStore(t, s)
			if err := s.verify(t.Context()); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.want) {
				t.Fatal(err)
			}
		})
	}
	t.Run("a lost event is missed by readers", func(t *testing.T) {
		fs := settledLogOf(t, 4)
		withPebble(t, fs, func(db *pebble.DB) error { return db.Delete(appendEventKey(nil, 2), nil) })
		s := openMem(t, fs)
		defer closeStore(t, s)
		for _, backwards := range []bool{false, true} {
			from := uint64(0)
			if backwards {
				from = ^uint64(0)
			}
			if _, err := take(s.readAll(t.Context(), backwards, from)); !errors.Is(err, ErrDamaged) {
				t.Errorf("readAll, backwards %v: %v", backwards, err)
			}
			if _, err := take(s.readStream(t.Context(), "a", backwards, from)); !errors.Is(err, ErrDamaged) {
				t.Errorf("readStream, backwards %v: %v", backwards, err)
			}
		}
	})
}

func filesOf(t *testing.T, fs vfs.FS, dir string) []string {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var files []string
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			files = append(files, filesOf(t, fs, path)...)
		} else {
			files = append(files, path)
		}
	}
	return files
}

func sizeOf(t *testing.T, fs vfs.FS, path string) int64 {
	t.Helper()
	info, err := fs.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// flip turns over one bit.
func flip(t *testing.T, fs vfs.FS, path string, offset int64, bit uint) {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	_, err = f.ReadAt(b[:], offset)
	if err = errors.Join(err, f.Close()); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	b[0] ^= 1 << bit
	overwrite(t, fs, path, offset, b[:])
}

// TestFullDisk: appends are refused while there is less than the reserve, reads
// and retries go on, and it heals by itself.
func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	free := func(n uint64) { fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: n, TotalBytes: 1 << 40}) }
	free(DefaultReserve)
	s := openMem(t, fs)
	defer closeStore(t, s)
	first := someEvents(1)
	mustAppend(t, s, "a", expectNoStream, first)

	free(DefaultReserve - 1)
	// The free space is not looked at before every batch, but soon enough.
	written := 0
	for ; written <= spaceCheckBytes; written += 1 << 19 {
		e := someEvents(1)
		e[0].Data = make([]byte, 1<<19)
		if _, err := s.append(t.Context(), "b", expectAny, e); errors.Is(err, command.ErrReadOnly) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if written > spaceCheckBytes {
		t.Fatalf("%d bytes were written to a full disk", written)
	}
	if _, err := s.append(t.Context(), "a", 0, someEvents(1)); !errors.Is(err, command.ErrReadOnly) {
		t.Errorf("append: %v", err)
	}
	if _, err := s.delete(t.Context(), "a", expectAny, false); !errors.Is(err, command.ErrReadOnly) {
		t.Errorf("delete: %v", err)
	}
	if at := mustAppend(t, s, "a", expectNoStream, first); at != (appended{Revision: 0, Position: 1}) {
		t.Errorf("a retry: %+v", at)
	}
	if got, err := take(s.readStream(t.Context(), "a", false, 0)); err != nil || len(got) != 1 {
		t.Errorf("read: %d events, %v", len(got), err)
	}

	free(DefaultReserve)
	if at := mustAppend(t, s, "a", 0, someEvents(1)); at.Revision != 1 {
		t.Errorf("after there was space: %+v", at)
	}
}

// TestDamageFound: when a block cannot be read back, its readers are told, and
// no more events are taken.
func TestDamageFound(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	events := someEvents(12) // more than are kept in the checkpoint, too
	for i := range events {
		events[i].Data = bytes.Repeat([]byte{byte(i)}, blockSize)
	}
	mustAppend(t, s, "a", expectNoStream, events)
	if err := s.db.Flush(); err != nil {
		t.Fatal(err)
	}
	tables, err := s.db.SSTables()
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	for _, table := range tables[0] {
		if table.Smallest.UserKey[0] == eventKind {
			flip(t, fs, fmt.Sprintf("data/log/%06d.sst", uint64(table.FileNum)), 100, 4)
		}
	}
	s = openMem(t, fs)
	defer closeStore(t, s)
	if _, err := take(s.readAll(t.Context(), false, 0)); !errors.Is(err, ErrDamaged) {
		t.Errorf("read: %v", err)
	}
	_, err = s.append(t.Context(), "b", expectNoStream, someEvents(1))
	if !errors.Is(err, command.ErrReadOnly) || !errors.Is(err, ErrDamaged) {
		t.Errorf("append: %v", err)
	}
}
