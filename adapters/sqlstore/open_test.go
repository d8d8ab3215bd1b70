package sqlstore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kicau/projections"
)

func TestVersionsThatMayCorruptAreRefused(t *testing.T) {
	for v, sound := range map[string]bool{
		"3.51.2": false, "3.40.1": false, "3.52.0": false, "2.99.99": false, "4.0.0": false, "": false, "3.53": false, "3.x.0": false,
		"3.51.3": true, "3.51.10": true, "3.52.1": true, "3.53.0": true, "3.54.1": true, "3.100.0": true,
	} {
		if err := checkVersion(v); (err == nil) != sound {
			t.Errorf("SQLite %q: %v", v, err)
		}
	}
}

func TestReadOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if _, err := Open(t.Context(), Options{Path: path, ReadOnly: true}); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("a store that is not there: %v", err)
	}
	w := open(t, path)
	prepareStep(t, w, 1)
	r, err := Open(t.Context(), Options{Path: path, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := uint64(1); n < 4; n++ { // it follows what the other one writes
		if cp, err := r.Checkpoint(t.Context(), table); err != nil || cp != at(n) {
			t.Fatalf("reader is at %+v, %v", cp, err)
		}
		if err := w.Commit(t.Context(), step(n)); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"commit":  r.Commit(t.Context(), step(4)),
		"drop":    r.Drop(t.Context(), table),
		"promote": r.Promote(t.Context(), table, "b_v1"),
	} {
		if err == nil || !strings.Contains(err.Error(), "read-only") {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Not for want of a method: the connection itself cannot write.
	if _, err := r.readers.Exec("DELETE FROM checkpoints"); err == nil {
		t.Error("a reading connection wrote")
	}
	if err := w.Check(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestOthersFilesAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	foreign := filepath.Join(dir, "foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE theirs (x)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	text := filepath.Join(dir, "text.db")
	if err := os.WriteFile(text, bytes.Repeat([]byte("not a database "), 100), 0o600); err != nil {
		t.Fatal(err)
	}
	newer := filepath.Join(dir, "newer.db")
	d := open(t, newer)
	if _, err := d.writer.Exec("PRAGMA user_version = 2"); err != nil {
		t.Fatal(err)
	}
	d.Close()

	for path, says := range map[string]string{
		foreign:                           "not a store of read models",
		text:                              "not an SQLite database",
		newer:                             "format 2",
		filepath.Join(dir, "no", "where"): "no such file",
		"":                                "no path",
	} {
		before, _ := os.ReadFile(path)
		for _, ro := range []bool{false, true} {
			_, err := Open(t.Context(), Options{Path: path, ReadOnly: ro})
			if err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s (read-only %t): %v, want it to say %q", path, ro, err, says)
			}
		}
		if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
			t.Errorf("%s was changed", path)
		}
	}
}

func TestTheFileIsItsOwners(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	prepareStep(t, open(t, path), 1)
	for _, p := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if perm := info.Mode().Perm(); perm != 0o600 {
			t.Errorf("%s has mode %o", p, perm)
		}
	}
}

func TestCheckFindsDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d := open(t, path)
	prepareStep(t, d, 1)
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Close()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Turn the index on the key against its table.
	i := bytes.LastIndex(file, []byte("k000"))
	file[i]++
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	err = open(t, path).Check(t.Context())
	if err == nil || !strings.Contains(err.Error(), "fold the log again") {
		t.Errorf("Check of a damaged file: %v", err)
	}
}

// A full disk refuses the step and leaves the store as it was; with room again
// the same step is taken.
func TestFullDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d := open(t, path)
	prepareStep(t, d, 1)
	limit := func(pages string) {
		if _, err := d.writer.Exec("PRAGMA max_page_count = " + pages); err != nil {
			t.Fatal(err)
		}
	}
	limit("1") // SQLite takes what the file has already
	big := step(1)
	for i := range 100 {
		big.Rows = append(big.Rows, projections.RowData{Key: strings.Repeat("x", i), Data: bytes.Repeat([]byte("1"), 1000)})
	}
	if err := d.Commit(t.Context(), big); err == nil || !strings.Contains(err.Error(), "make room") {
		t.Fatalf("commit to a full disk: %v", err)
	}
	if got := state(t, d); got != 1 {
		t.Fatalf("state %d after a refused step, want 1", got)
	}
	limit("1000000")
	if err := d.Commit(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	if cp, err := d.Checkpoint(t.Context(), table); err != nil || cp != at(2) {
		t.Fatal(cp, err)
	}
}

// A writer waits for its turn no longer than its context.
func TestWaitingForAnotherWriterEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	d, other := open(t, path), open(t, path)
	prepareStep(t, d, 1)
	tx, err := other.writer.Begin() // takes the write lock
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := d.Commit(ctx, step(1)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%v, want context.DeadlineExceeded", err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(t.Context(), step(1)); err != nil {
		t.Fatal(err)
	}
}
