package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// openLaps opens a log with laps of four records.
func openLaps(t *testing.T, fs vfs.FS) *store {
	t.Helper()
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs, lapBytes: testLap})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// powerLost is what is left when nothing is that was not synced.
func powerLost(fs *vfs.MemFS) *vfs.MemFS { return fs.CrashClone(vfs.CrashCloneCfg{}) }

func promisedIn(t *testing.T, fs vfs.FS) promised {
	t.Helper()
	p, err := readCheckpointFile(fs, checkpointPath)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestWrittenAgain: an append that Pebble has not synced is acknowledged, and
// written to Pebble again when it has lost it. Until then the log is not read:
// that would be without it.
func TestWrittenAgain(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openMem(t, fs)
	var promises []promise
	for n := range 5 {
		events := someEvents(3)
		promises = append(promises, promise{"a", events, mustAppend(t, s, "a", int64(3*n)-1, events)})
	}
	left := powerLost(fs)
	closeStore(t, s)

	if p := promisedIn(t, left); p.synced.size != 0 || p.end.size != 15 || len(p.redo) != 5 {
		t.Fatalf("%d events are synced of %d promised, with %d redos", p.synced.size, p.end.size, len(p.redo))
	}
	before := sums(t, left)
	if _, err := openStore(Options{Dir: "data", Logger: quiet, fs: left, readOnly: true}); err == nil || errors.Is(err, ErrDamaged) ||
		!strings.Contains(err.Error(), "last 15 events are only in its checkpoint") || !strings.Contains(err.Error(), "start the event store on it once") {
		t.Errorf("opened for reading: %v", err)
	}
	if after := sums(t, left); after != before {
		t.Errorf("opening for reading left\n%s\nof\n%s", after, before)
	}
	checkAfterCrash(t, left, promises)
	s, err := openStore(Options{Dir: "data", Logger: quiet, fs: left, readOnly: true})
	if err != nil {
		t.Fatalf("opened for reading after a start: %v", err)
	}
	if s.head() != 18 {
		t.Errorf("the head is %d", s.head())
	}
	closeStore(t, s)
}

// sums are of all files but locks.
func sums(t *testing.T, fs vfs.FS) string {
	t.Helper()
	var b strings.Builder
	for _, path := range filesOf(t, fs, "data") {
		if !strings.HasSuffix(path, "LOCK") {
			fmt.Fprintf(&b, "%s %x\n", path, crc32.ChecksumIEEE([]byte(readFile(t, fs, path))))
		}
	}
	return b.String()
}

// TestLogTailDamaged: what is damaged at the end of Pebble's write-ahead log,
// where nobody can tell it from a torn write, is there again.
func TestLogTailDamaged(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openMem(t, fs)
	events := someEvents(3)
	told := []promise{{"a", events, mustAppend(t, s, "a", -1, events)}}
	if err := s.syncLog(s.applyNoWait); err != nil {
		t.Fatal(err)
	}
	left := powerLost(fs)
	closeStore(t, s)
	again, damaged := 0, 0
	for _, path := range filesOf(t, left, "data/log") {
		content := []byte(readFile(t, left, path))
		if !strings.HasSuffix(path, ".log") || !bytes.Contains(content, events[0].ID[:]) {
			continue
		}
		end := bytes.LastIndexFunc(content, func(r rune) bool { return r != 0 })
		for at := 0; at <= end; at += 7 {
			one := cloneFiles(t, left)
			flip(t, one, path, int64(at), uint(at%8))
			s, err := openStore(Options{Dir: "data", Logger: quiet, fs: one})
			if errors.Is(err, ErrDamaged) {
				damaged++ // the log's id is lost with it
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			again++
			checkAfterCrash(t, one, told)
		}
	}
	t.Logf("written again %d times, refused %d times", again, damaged)
	if again == 0 {
		t.Error("the test reaches no event")
	}
}

// TestEitherFileLate: at a crash in the middle of an append it is on the disk in
// either file, in both or in none. It is there, or it is not; what was
// acknowledged before is.
func TestEitherFileLate(t *testing.T) {
	for name, c := range map[string]struct {
		log, checkpoint bool // have it
		head            uint64
	}{
		"both":       {true, true, 5},
		"log":        {true, false, 5},
		"checkpoint": {false, true, 5},
		"none":       {false, false, 3},
	} {
		t.Run(name, func(t *testing.T) {
			fs := settledLogOf(t, 3)
			before := cloneFiles(t, fs)
			s := openMem(t, fs)
			mustAppend(t, s, "a", 2, someEvents(2))
			closeStore(t, s)
			if !c.log {
				copyFiles(t, before, fs, "data/log")
			}
			if !c.checkpoint {
				copyFiles(t, before, fs, checkpointPath)
			}
			s = openMem(t, fs)
			if s.head() != c.head {
				t.Errorf("the head is %d, want %d", s.head(), c.head)
			}
			if err := s.verify(t.Context()); err != nil {
				t.Error(err)
			}
			closeStore(t, s)
			if p := promisedIn(t, fs); p.end.size != c.head || p.synced.size != c.head {
				t.Errorf("%d events are promised, %d of them synced", p.end.size, p.synced.size)
			}
		})
	}
}

// TestLapsAndLargeAppends: through many laps, with appends too large for a redo
// among them, whatever is left of what was not synced.
func TestLapsAndLargeAppends(t *testing.T) {
	fs := vfs.NewCrashableMem()
	s := openLaps(t, fs)
	var promises []promise
	redos, whole := 0, 0
	for n := range 60 {
		stream, events := fmt.Sprint("s", n%7, "-", n), someEvents(3)
		if n%11 == 5 {
			events[1].Data = bytes.Repeat([]byte("large "), testLap/12)
		}
		promises = append(promises, promise{stream, events, mustAppend(t, s, stream, -1, events)})
		p := promisedIn(t, fs)
		redos = max(redos, len(p.redo))
		if len(p.redo) == 0 {
			whole++
		} else if n%11 == 5 {
			t.Fatalf("an append of %d bytes has a redo", testLap/2)
		}
		cfg := vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced[n%len(unsynced)], RNG: rand.New(rand.NewPCG(uint64(n), 5))}
		checkAfterCrash(t, fs.CrashClone(cfg), promises)
	}
	closeStore(t, s)
	if redos != 4 || whole < 10 {
		t.Errorf("a lap had %d redos, %d appends began one", redos, whole)
	}
}

// TestRedoOfAnother: a batch that is whole but not what was promised is refused
// when it was needed.
func TestRedoOfAnother(t *testing.T) {
	fs := settledLogOf(t, 3)
	before := cloneFiles(t, fs)
	s := openMem(t, fs)
	mustAppend(t, s, "a", 2, someEvents(1))
	closeStore(t, s)
	p := promisedIn(t, fs)
	copyFiles(t, before, fs, "data/log")

	batch := bytes.Clone(p.redo[0].batch)
	at := bytes.Index(batch, []byte(`{"n":1}`))
	if at < 0 {
		t.Fatalf("the event is not in the batch: %q", batch)
	}
	batch[at+5]++
	f, err := createCheckpointFile(fs, checkpointPath, lapBytes, p.synced)
	if err == nil {
		err = f.write(redo{p.end, batch})
	}
	if err = errors.Join(err, f.close()); err != nil {
		t.Fatal(err)
	}
	if s, err := openStore(Options{Dir: "data", Logger: quiet, fs: fs}); !errors.Is(err, ErrDamaged) {
		t.Errorf("it was opened: %v", errors.Join(err, s.close()))
	}
}

// firstFormat is a checkpoint's file of the first format. The older slot
// promises nothing.
func firstFormat(c checkpoint) []byte {
	b := make([]byte, slotCount*recordBlock)
	for i := range slotCount {
		s := append(b[i*recordBlock:][:0], recordMagic...)
		s = binary.BigEndian.AppendUint64(append(s, slotFormat), uint64(i))
		s = append(s, c.log[:]...)
		s = binary.BigEndian.AppendUint64(s, c.size*uint64(i))
		s = append(s, c.root[:]...)
		binary.BigEndian.AppendUint32(s, crc32.Checksum(s, castagnoli))
	}
	return b
}

// TestFirstFormat: a directory that an earlier version left opens, for reading
// too, and is refused where that refused it. Then it has the new format.
func TestFirstFormat(t *testing.T) {
	old := settledLogOf(t, 3)
	p := promisedIn(t, old)
	replace := func(fs vfs.FS, content []byte) {
		t.Helper()
		f, err := fs.Create(checkpointPath, vfs.WriteCategoryUnspecified)
		if err == nil {
			_, err = f.Write(content)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	replace(old, firstFormat(p.end))
	for _, readOnly := range []bool{true, false} {
		s, err := openStore(Options{Dir: "data", Logger: quiet, fs: old, readOnly: readOnly})
		if err != nil {
			t.Fatal(err)
		}
		if s.head() != 3 {
			t.Errorf("the head is %d", s.head())
		}
		closeStore(t, s)
	}
	if content := readFile(t, old, checkpointPath); content[8] != lapFormat || promisedIn(t, old).end != p.end {
		t.Errorf("after a start the format is %d", content[8])
	}
	p.end.size++
	replace(old, firstFormat(p.end))
	if _, err := openStore(Options{Dir: "data", Logger: quiet, fs: old}); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "the last 1 are lost") {
		t.Errorf("with an event lost: %v", err)
	}
}

// FuzzFirstFormat: of two slots that are damaged, or are none at all, nothing is
// read but what was written.
func FuzzFirstFormat(f *testing.F) {
	c := checkpoint{size: 5, root: root{2}}
	f.Add(firstFormat(c), 60, byte(1))
	f.Fuzz(func(t *testing.T, b []byte, at int, bits byte) {
		readSlots(b)
		whole := firstFormat(c)
		if at < 0 || at >= len(whole) {
			return
		}
		whole[at] ^= bits
		none := c
		none.size = 0
		if got, ok := readSlots(whole); !ok || got != c && got != none {
			t.Fatalf("with byte %d changed by %b: %+v, %v", at, bits, got, ok)
		}
	})
}
