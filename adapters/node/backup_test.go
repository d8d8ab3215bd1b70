package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"kicau/adapters/command"
)

func openNode(t testing.TB, o Options) *Node {
	t.Helper()
	o.Logger = quiet
	n, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// TestBackupUnderLoad: while many write, each backup holds what was acknowledged
// before it, verifies, and is left as it is by those who look at it.
func TestBackupUnderLoad(t *testing.T) {
	const writers, appends, backups = 16, 60, 3
	home := t.TempDir()
	n := openNode(t, Options{Dir: filepath.Join(home, "events")})
	var told journal
	var all sync.WaitGroup
	defer all.Wait()
	for w := range writers {
		all.Go(func() {
			expect := expectNoStream
			for range appends {
				e := someEvents(3)
				e[1].Data = make([]byte, 1000)
				stream := fmt.Sprint("s-", w)
				at, err := n.engine.append(t.Context(), stream, expect, e)
				if err != nil {
					t.Error(err)
					return
				}
				told.add(promise{stream, e, at})
				expect = at.Revision
			}
		})
	}
	for i := range backups {
		if err := n.engine.waitBeyond(t.Context(), uint64(600*(i+1))); err != nil {
			t.Fatal(err)
		}
		acked := told.sofar()
		dir := filepath.Join(home, fmt.Sprint("copy", i))
		m, err := n.BackUpTo(t.Context(), dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		before := contents(t, dir)
		if m.Log != n.ID() || m.Events < acked[len(acked)-1].at.Position {
			t.Errorf("the manifest is of log %s with %d events", m.Log, m.Events)
		}
		v, err := VerifyBackup(t.Context(), Options{Dir: dir, Logger: quiet}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v.Log != n.ID() || v.Events < m.Events {
			t.Errorf("verified %+v of %+v", v, m)
		}
		holds(t, dir, acked)
		if !slices.Equal(before, contents(t, dir)) {
			t.Error("reading the backup changed it")
		}
	}
	all.Wait()
	if left, err := filepath.Glob(filepath.Join(home, "events", backupLeading+"*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if err := n.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// holds checks that a backup has what was promised and takes nothing.
func holds(t *testing.T, dir string, promises []promise) {
	t.Helper()
	copied, err := OpenBackup(Options{Dir: dir, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range promises {
		got, err := take(copied.engine.readStream(t.Context(), p.stream, false, uint64(p.at.Revision)-2))
		if err != nil || len(got) < 3 || got[2].ID != p.events[2].ID || got[2].Position != p.at.Position {
			t.Fatalf("%s: the backup lacks revision %d: %v", p.stream, p.at.Revision, err)
		}
	}
	var again bytes.Buffer
	if err := copied.Backup(t.Context(), &again); err != nil {
		t.Errorf("a backup of a backup: %v", err)
	}
	if _, err := copied.engine.append(t.Context(), "new", expectAny, someEvents(1)); !errors.Is(err, command.ErrReadOnly) {
		t.Errorf("appending to a backup: %v", err)
	}
	if err := copied.Close(); err != nil {
		t.Fatal(err)
	}
}

func contents(t *testing.T, dir string) (files []string) {
	t.Helper()
	for _, f := range filesOf(t, vfs.Default, dir) {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f+"\n"+string(b))
	}
	return files
}

// TestBackupStopsTheWAL: nothing is written to the write-ahead log while it is
// copied. Without that this test finds a write within milliseconds, and now and
// then a copy does not open ("pebble/record: zeroed chunk").
func TestBackupStopsTheWAL(t *testing.T) {
	watch := &watchedFS{FS: vfs.Default}
	n := openNode(t, Options{Dir: t.TempDir(), fs: watch})
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	defer all.Wait()
	defer stop()
	for w := range 4 {
		all.Go(func() {
			for ctx.Err() == nil {
				if _, err := n.engine.append(ctx, fmt.Sprint(w), expectAny, someEvents(1)); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 3 {
		if err := n.engine.waitBeyond(ctx, uint64(50*i)); err != nil {
			t.Fatal(err)
		}
		if err := n.Backup(t.Context(), io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	if watch.copies.Load() == 0 {
		t.Error("no write-ahead log was copied: the test sees nothing")
	}
	if during := watch.during.Load(); during > 0 {
		t.Errorf("%d writes to a write-ahead log while one was copied", during)
	}
}

// watchedFS counts writes to write-ahead logs while one is being read.
type watchedFS struct {
	vfs.FS
	reading, copies, during atomic.Int64
}

func (f *watchedFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.Open(name, o...)
	if err != nil || !strings.HasSuffix(name, ".log") || strings.Contains(name, backupLeading) {
		return file, err
	}
	f.reading.Add(1)
	f.copies.Add(1)
	time.Sleep(20 * time.Millisecond) // a slow disk: writers have time to show up
	return watchedRead{file, f}, nil
}

func (f *watchedFS) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	if err != nil || !strings.HasSuffix(name, ".log") || strings.Contains(name, backupLeading) {
		return file, err
	}
	return watchedWrite{file, f}, nil
}

type watchedRead struct {
	vfs.File
	fs *watchedFS
}

func (f watchedRead) Close() error {
	f.fs.reading.Add(-1)
	return f.File.Close()
}

type watchedWrite struct {
	vfs.File
	fs *watchedFS
}

func (f watchedWrite) Write(p []byte) (int, error) {
	if f.fs.reading.Load() > 0 {
		f.fs.during.Add(1)
	}
	return f.File.Write(p)
}

// TestBackupInterrupted: one that is stopped removes what it made; what a killed
// one left goes at the next start.
func TestBackupInterrupted(t *testing.T) {
	fs := vfs.NewMem()
	s := openMem(t, fs)
	mustAppend(t, s, "a", expectNoStream, someEvents(3))
	ctx, stop := context.WithCancel(t.Context())
	err := s.backup(ctx, writerFunc(func(p []byte) (int, error) { stop(); return len(p), nil }))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
	broken := errors.New("the pipe is broken")
	err = s.backup(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken }))
	if !errors.Is(err, broken) {
		t.Errorf("broken: %v", err)
	}
	leftovers := func() (left []string) {
		for _, f := range filesOf(t, fs, "data") {
			if strings.Contains(f, backupLeading) {
				left = append(left, f)
			}
		}
		return left
	}
	if left := leftovers(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := s.snapshot("data/"+backupLeading+"killed", checkpoint{log: s.id, size: 3}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if len(leftovers()) == 0 {
		t.Fatal("there is nothing to remove: the test tests nothing")
	}
	closeStore(t, openMem(t, fs))
	if left := leftovers(); len(left) > 0 {
		t.Errorf("the next start left %v", left)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// backedUp makes a log with some events and a backup of it, in memory.
func backedUp(t *testing.T, fs vfs.FS) (stream []byte) {
	t.Helper()
	s := openMem(t, fs)
	defer closeStore(t, s)
	for i := range 20 {
		mustAppend(t, s, fmt.Sprint(i%3), expectAny, someEvents(2))
	}
	var out bytes.Buffer
	if err := s.backup(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if _, err := receiveBackup(t.Context(), fs, bytes.NewReader(out.Bytes()), "copy", nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBackupCutOff: a stream that ends too early makes no backup.
func TestBackupCutOff(t *testing.T) {
	fs := vfs.NewMem()
	stream := backedUp(t, fs)
	end := bytes.LastIndexByte(stream, '}') + 1 // of the manifest; what follows is padding
	for cut := 0; cut < end; cut += 997 {
		_, err := receiveBackup(t.Context(), fs, bytes.NewReader(stream[:cut]), "cut", nil)
		if !errors.Is(err, ErrBadBackup) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("cut after %d of %d bytes: %v", cut, end, err)
		}
		if _, err := OpenBackup(Options{Dir: "cut", Logger: quiet, fs: fs}); !errors.Is(err, ErrBadBackup) {
			t.Fatalf("cut after %d of %d bytes, it opens: %v", cut, end, err)
		}
	}
}

// TestBackupDamaged: one flipped bit in any file is found, and nothing is
// restored from it.
func TestBackupDamaged(t *testing.T) {
	fs := vfs.NewMem()
	backedUp(t, fs)
	damages := 0
	check := func(what string, damage func()) {
		damages++
		kept := cloneDir(t, fs, "copy")
		damage()
		if _, err := VerifyBackup(t.Context(), Options{Dir: "copy", Logger: quiet, fs: fs}, nil); err == nil {
			t.Errorf("%s: it verifies", what)
		}
		if v, err := Restore(t.Context(), "copy", Options{Dir: "restored", Logger: quiet, fs: fs}, nil); err == nil {
			t.Errorf("%s: it was restored as %+v", what, v)
		}
		for _, dir := range []string{"restored", "restored.part"} {
			if _, err := fs.Stat(dir); !notExist(err) {
				t.Fatalf("%s: there is a %s: %v", what, dir, err)
			}
		}
		copyFiles(t, kept, fs, "copy")
	}
	for _, path := range filesOf(t, fs, "copy") {
		size := sizeOf(t, fs, path)
		for _, offset := range []int64{0, size / 2, size - 1} {
			if offset < 0 || offset >= size || path == "copy/"+manifestName && offset > 0 {
				continue
			}
			check(fmt.Sprint("a flip in ", path, " at ", offset), func() { flip(t, fs, path, offset, uint(offset%8)) })
		}
		check(path+" is missing", func() {
			if err := fs.Remove(path); err != nil {
				t.Fatal(err)
			}
		})
	}
	check("a file too many", func() {
		putCheckpoint(t, fs, "copy/log/MANIFEST-000999", checkpoint{})
	})
	other := vfs.NewMem()
	backedUp(t, other)
	for _, path := range filesOf(t, fs, "copy") {
		if strings.HasSuffix(path, "checkpoint") || strings.HasSuffix(path, manifestName) {
			check(path+" of another log", func() { copyFiles(t, other, fs, path) })
		}
	}
	if damages < 20 {
		t.Errorf("only %d damages: the backup has too few files", damages)
	}
	if v, err := Restore(t.Context(), "copy", Options{Dir: "restored", Logger: quiet, fs: fs}, nil); err != nil || v.Events != 40 {
		t.Errorf("undamaged: %+v, %v", v, err)
	}
}

func cloneDir(t *testing.T, fs vfs.FS, dir string) vfs.FS {
	t.Helper()
	to := vfs.NewMem()
	copyFiles(t, fs, to, dir)
	return to
}

// TestRestoreRefuses what would replace something.
func TestRestoreRefuses(t *testing.T) {
	fs := vfs.NewMem()
	backedUp(t, fs)
	_, err := Restore(t.Context(), "copy", Options{Dir: "data", Logger: quiet, fs: fs}, nil)
	if err == nil || !strings.Contains(err.Error(), "does not replace an event store") {
		t.Errorf("onto the log itself: %v", err)
	}
	if err := fs.MkdirAll("empty", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), "copy", Options{Dir: "empty", Logger: quiet, fs: fs}, nil); err != nil {
		t.Errorf("into an empty directory: %v", err)
	}
	if _, err := Restore(t.Context(), "nowhere", Options{Dir: "other", Logger: quiet, fs: fs}, nil); !errors.Is(err, ErrBadBackup) {
		t.Errorf("from nowhere: %v", err)
	}
	s, err := openStore(Options{Dir: "empty", Logger: quiet, fs: fs})
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, s, "0", expectAny, someEvents(1))
	closeStore(t, s)
}

// crashesOf takes the power away before each operation of do that writes, with
// various parts of what was not synced on the disk.
func crashesOf(mem *vfs.MemFS, do func(fs vfs.FS)) (after []*vfs.MemFS) {
	var mu sync.Mutex
	fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			mu.Lock()
			defer mu.Unlock()
			n := uint64(len(after))
			after = append(after, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: int(n%3) * 50, RNG: rand.New(rand.NewPCG(n, 7))}))
		}
		return nil
	}))
	do(fs)
	return append(after, mem.CrashClone(vfs.CrashCloneCfg{}))
}

// TestRestoreCrash: after a crash there is either no event store or the whole
// one, and restoring again helps.
func TestRestoreCrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	backedUp(t, mem)
	restore := func(fs vfs.FS) (Verified, error) {
		return Restore(t.Context(), "copy", Options{Dir: "restored", Logger: quiet, fs: fs}, nil)
	}
	want, err := VerifyBackup(t.Context(), Options{Dir: "copy", Logger: quiet, fs: mem}, nil)
	if err != nil {
		t.Fatal(err)
	}
	crashes := crashesOf(mem, func(fs vfs.FS) {
		if v, err := restore(fs); err != nil || v != want {
			t.Fatalf("%+v, %v; want %+v", v, err, want)
		}
	})
	whole := 0
	for i, after := range crashes {
		if _, err := after.Stat("restored"); notExist(err) {
			if v, err := restore(after); err != nil || v != want {
				t.Fatalf("crash %d of %d: restored again: %+v, %v", i, len(crashes), v, err)
			}
			continue
		}
		whole++
		s, err := openStore(Options{Dir: "restored", Logger: quiet, fs: after})
		if err != nil {
			t.Fatalf("crash %d of %d: %v", i, len(crashes), err)
		}
		if v, err := s.verifyAll(t.Context(), nil); err != nil || v != want {
			t.Fatalf("crash %d of %d: %+v, %v", i, len(crashes), v, err)
		}
		closeStore(t, s)
	}
	if whole == 0 || whole == len(crashes) {
		t.Errorf("%d of %d crashes came after the restore: the test sees one side only", whole, len(crashes))
	}
}

// TestSaveBackupCrash: after a crash there is either no backup of that name or a
// whole one, the log is as it was, and saving again helps.
func TestSaveBackupCrash(t *testing.T) {
	mem := vfs.NewCrashableMem()
	s := openMem(t, mem)
	mustAppend(t, s, "a", expectNoStream, someEvents(30))
	closeStore(t, s)
	o := func(fs vfs.FS) Options { return Options{Dir: "saved", Logger: quiet, fs: fs} }
	crashes := crashesOf(mem, func(fs vfs.FS) {
		s := openMem(t, fs)
		defer closeStore(t, s)
		if _, v, err := SaveBackup(t.Context(), &Node{engine: s, store: s}, o(fs), nil); err != nil || v.Events != 30 {
			t.Fatalf("%+v, %v", v, err)
		}
	})
	whole := 0
	for i, after := range crashes {
		if _, err := after.Stat("saved"); err == nil {
			whole++
			if v, err := VerifyBackup(t.Context(), o(after), nil); err != nil || v.Events != 30 {
				t.Fatalf("crash %d of %d: %+v, %v", i, len(crashes), v, err)
			}
			continue
		}
		s := openMem(t, after)
		if _, v, err := SaveBackup(t.Context(), &Node{engine: s, store: s}, o(after), nil); err != nil || v.Events != 30 {
			t.Fatalf("crash %d of %d: saved again: %+v, %v", i, len(crashes), v, err)
		}
		closeStore(t, s)
	}
	if whole == 0 || whole == len(crashes) {
		t.Errorf("%d of %d crashes came after the backup: the test sees one side only", whole, len(crashes))
	}
}

// TestSaveBackupAlone: one process at a time makes a backup of a name, and none
// takes the place of another.
func TestSaveBackupAlone(t *testing.T) {
	n := openNode(t, Options{Dir: filepath.Join(t.TempDir(), "events")})
	o := Options{Dir: filepath.Join(t.TempDir(), "saved"), Logger: quiet}
	err := appear(vfs.Default, o.Dir, "", func(string) error {
		if _, _, err := SaveBackup(t.Context(), n, o, nil); err == nil || !strings.Contains(err.Error(), "somebody else is making it") {
			t.Errorf("two at once: %v", err)
		}
		return errors.New("given up")
	})
	if err == nil || err.Error() != "given up" {
		t.Error(err)
	}
	if left, err := filepath.Glob(o.Dir + "*"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, _, err := SaveBackup(t.Context(), n, o, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := SaveBackup(t.Context(), n, o, nil); err == nil || !strings.Contains(err.Error(), "does not replace") {
		t.Errorf("onto another: %v", err)
	}
}
