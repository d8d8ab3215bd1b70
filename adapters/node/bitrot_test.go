package node

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// flips yields places in a file, some in each part of it: all bits when they are
// not more than so many.
func flips(path string, size int64, most int) func(func(offset int64, bit uint) bool) {
	return func(yield func(int64, uint) bool) {
		if bits := 8 * size; bits <= int64(most) {
			for b := range bits {
				if !yield(b/8, uint(b%8)) {
					return
				}
			}
			return
		}
		rng := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE([]byte(path))), uint64(longer)))
		for n := range int64(most) {
			first, next := n*size/int64(most), max((n+1)*size/int64(most), n*size/int64(most)+1)
			if !yield(first+rng.Int64N(next-first), uint(rng.IntN(8))) {
				return
			}
		}
	}
}

// livedLog is the log of a life that was not closed in order, so that some of it
// is only in the write-ahead log and some of that, and of what is lost there, in
// the checkpoint. It has files of every kind.
func livedLog(t *testing.T) *vfs.MemFS {
	t.Helper()
	mem := vfs.NewCrashableMem()
	l := &life{}
	if err := l.run(mem, "data"); err != nil {
		t.Fatal(err)
	}
	n, err := Open(lifeOptions(mem, "data"))
	if err != nil {
		t.Fatal(err)
	}
	// The checkpoint has room for three. The first four are synced in the log, the
	// fifth begins to be, the sixth is not.
	for i := range 6 {
		if err := (&living{l, n}).append("order-1", 1); err != nil {
			t.Fatal(err)
		}
		if i == 4 {
			if err := n.store.syncLog(n.store.applyNoWait); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p, err := readCheckpointFile(mem, "data/checkpoint"); err != nil || len(p.redo) != 2 {
		t.Fatalf("the checkpoint has %d redos, %v", len(p.redo), err)
	}
	crashed := mem.CrashClone(vfs.CrashCloneCfg{})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	return crashed
}

// refusal is an error of opening.
type refusal struct{ error }

// contentOf opens a log and reads all that it tells: its events, its streams,
// indexes among them, its groups and what those parked.
func contentOf(t *testing.T, fs vfs.FS) (text string, err error) {
	t.Helper()
	n, err := Open(lifeOptions(fs, "data"))
	if err != nil {
		return "", refusal{err}
	}
	defer func() { err = errors.Join(err, n.Close()) }()
	var b bytes.Buffer
	tell := func(what string, records func(func(record, error) bool), upTo uint64) error {
		for r, err := range records {
			if err != nil {
				return err
			}
			if r.Position <= upTo { // the group may go on writing
				fmt.Fprintf(&b, "%s: %+v\n", what, r)
			}
		}
		return nil
	}
	head := n.engine.head()
	if err := errors.Join(tell("all", n.engine.readAll(t.Context(), false, 0), head), tell("back", n.engine.readAll(t.Context(), true, head+1), head)); err != nil {
		return "", err
	}
	for _, stream := range []string{"order-1", "order-2", "order-3", "order-4", "$$order-4", "$ce-order", "$et-T", "$et-$deleted", "$streams", "$category-order"} {
		st, err := n.engine.state(stream)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&b, "%s is %+v\n", stream, st)
		if err := tell(stream, n.engine.readStream(t.Context(), stream, false, 0), head); err != nil {
			return "", err
		}
	}
	for _, g := range n.groups.list("") {
		fmt.Fprintf(&b, "group %+v at %s\n", g.config, g.info().checkpoint)
		for p, err := range g.parkedEvents(t.Context()) {
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&b, "parked %+v\n", p)
		}
	}
	return b.String(), n.Verify(t.Context())
}

// TestBitRot flips bits all over the files of a log. Whatever is flipped, the
// log is refused, or says at a read that it is damaged, or is what it was. Never
// is it something else.
func TestBitRot(t *testing.T) {
	whole := livedLog(t)
	want, err := contentOf(t, cloneFiles(t, whole))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string][3]int{} // refused, found damaged, harmless
	for _, path := range filesOf(t, whole, "data") {
		kind := kindOf(path)
		for offset, bit := range flips(path, sizeOf(t, whole, path), 16*longer) {
			fs := cloneFiles(t, whole)
			flip(t, fs, path, offset, bit)
			got, err := contentOf(t, fs)
			counts := kinds[kind]
			switch {
			case err == nil && got == want:
				counts[2]++
			case err == nil:
				t.Fatalf("%s, byte %d, bit %d: it tells\n%s\ninstead of\n%s", path, offset, bit, got, want)
			case errors.As(err, new(refusal)):
				counts[0]++
			default:
				counts[1]++
			}
			kinds[kind] = counts
		}
	}
	t.Logf("refused, found damaged, harmless: %v", kinds)
	for _, kind := range []string{".log", ".sst", "MANIFEST", "OPTIONS", "checkpoint"} {
		if n := kinds[kind]; n[0]+n[1]+n[2] == 0 {
			t.Errorf("there was no file of kind %s", kind)
		}
	}
	if kinds["checkpoint"][2] == 0 || kinds[".log"][2] == 0 {
		t.Error("nothing was found in the checkpoint: the test does not reach what matters")
	}
	if kinds[".log"][0] == 0 || kinds[".sst"][0]+kinds[".sst"][1] == 0 || kinds["MANIFEST"][0] == 0 {
		t.Error("no flip was found: the test does not reach what matters")
	}
}

// kindOf is what a file of a log is.
func kindOf(path string) string {
	for _, kind := range []string{"MANIFEST", "OPTIONS", "checkpoint", ".log", ".sst"} {
		if strings.Contains(filepath.Base(path), kind) {
			return kind
		}
	}
	return filepath.Base(path)
}

// TestBitRotOfBackups: a backup is refused with whichever bit flipped, or, as
// long as it is on its way or the bit is in its manifest, is what it was.
func TestBitRotOfBackups(t *testing.T) {
	fs := livedLog(t)
	n, err := Open(lifeOptions(fs, "data"))
	if err != nil {
		t.Fatal(err)
	}
	var archive bytes.Buffer
	err = n.Backup(t.Context(), &archive)
	if err = errors.Join(err, n.Close()); err != nil {
		t.Fatal(err)
	}
	restored := func(fs vfs.FS) (v Verified, files map[string]string, err error) {
		o := Options{Dir: "restored", Logger: quiet, fs: fs}
		if v, err = Restore(t.Context(), "copy", o, nil); err != nil {
			return v, nil, err
		}
		files = map[string]string{}
		for _, path := range filesOf(t, fs, "restored") {
			files[path] = readFile(t, fs, path)
		}
		return v, files, fs.RemoveAll("restored")
	}
	copied := vfs.NewMem()
	if _, err := receiveBackup(t.Context(), copied, bytes.NewReader(archive.Bytes()), "copy", nil); err != nil {
		t.Fatal(err)
	}
	want, wantFiles, err := restored(copied)
	if err != nil {
		t.Fatal(err)
	}
	same := func(v Verified, files map[string]string) bool { return v == want && maps.Equal(files, wantFiles) }

	refused, harmless := 0, 0
	for _, path := range filesOf(t, copied, "copy") {
		whole := readFile(t, copied, path)
		for offset, bit := range flips(path, int64(len(whole)), 12*longer) {
			flip(t, copied, path, offset, bit)
			switch v, files, err := restored(copied); {
			case err != nil:
				refused++
			case kindOf(path) == manifestName && same(v, files):
				harmless++
			default:
				t.Fatalf("%s, byte %d, bit %d: it was restored as %+v", path, offset, bit, v)
			}
			overwrite(t, copied, path, 0, []byte(whole))
		}
	}
	for offset, bit := range flips("archive", int64(archive.Len()), 150*longer) {
		damaged := bytes.Clone(archive.Bytes())
		damaged[offset] ^= 1 << bit
		fs := vfs.NewMem()
		if _, err := receiveBackup(t.Context(), fs, bytes.NewReader(damaged), "copy", nil); err != nil {
			refused++
			continue
		}
		switch v, files, err := restored(fs); {
		case err != nil:
			refused++
		case same(v, files): // the flip is in a header that says when a file was made, or in padding
			harmless++
		default:
			t.Fatalf("archive, byte %d, bit %d: it was restored as %+v", offset, bit, v)
		}
	}
	t.Logf("refused %d, harmless %d", refused, harmless)
}

func readFile(t *testing.T, fs vfs.FS, path string) string {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestBitRotOfUsers: people read and write the users file, so it has no checksum
// and a flipped bit in a name or a hash may go unnoticed. But nobody may do more
// for it: no one who is disabled can log in, nor one without a password, and
// none is in a group of the system who was not.
func TestBitRotOfUsers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.json")
	list := []User{testUser("admin", "password", AdminGroup), testUser("operator", "password", OpsGroup, "staff"), testUser("anna", "password", "staff"), {Name: "without"}}
	list = append(list, list[2])
	list[4].Name, list[4].Disabled = "gone", true
	if err := WriteUsers(path, list); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, unnoticed := 0, 0
	for i := range 8 * len(data) {
		damaged := bytes.Clone(data)
		damaged[i/8] ^= 1 << (i % 8)
		got, err := parseUsers(path, damaged)
		if err != nil {
			refused++
			continue
		}
		unnoticed++
		if len(got) != len(list) {
			t.Fatalf("byte %d, bit %d: %d users", i/8, i%8, len(got))
		}
		for n, u := range got {
			more := slices.ContainsFunc(u.Groups, func(g string) bool { return isSystem(g) && !slices.Contains(list[n].Groups, g) })
			if more || !u.Disabled && list[n].Disabled || u.Password != "" && list[n].Password == "" {
				t.Errorf("byte %d, bit %d: user %+v became %+v", i/8, i%8, list[n], u)
			}
		}
	}
	t.Logf("refused %d, unnoticed %d", refused, unnoticed)
	if refused == 0 {
		t.Error("no flip was refused")
	}
}
