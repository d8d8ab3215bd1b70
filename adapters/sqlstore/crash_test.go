package sqlstore

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/projections"
)

// The view of these tests: after step n every one of its rows says n.
const (
	table    = "crash_v1"
	rowCount = 12
)

var logID = uuid.MustParse("2a0e9a7c-8a51-4a2e-9e58-0c6a5b0f2f11")

func at(n uint64) projections.Checkpoint {
	if n == 0 {
		return projections.Checkpoint{}
	}
	return projections.Checkpoint{Log: logID, Position: event.At(n), Events: n}
}

// step is the one from n to n+1.
func step(n uint64) projections.Batch {
	b := projections.Batch{Table: table, From: at(n), To: at(n + 1)}
	for i := range rowCount {
		b.Rows = append(b.Rows, projections.RowData{Key: fmt.Sprintf("k%03d", i), Data: fmt.Appendf(nil, `{"n":%d}`, n+1)})
	}
	return b
}

func prepareStep(t testing.TB, d *DB, steps uint64) {
	t.Helper()
	if _, err := d.Prepare(t.Context(), projections.Schema{Table: table, Indexes: [][]string{{"n"}}}); err != nil {
		t.Fatal(err)
	}
	for n := range steps {
		if err := d.Commit(t.Context(), step(n)); err != nil {
			t.Fatal(err)
		}
	}
}

// state is the step that the store is at; it fails unless rows, index and
// checkpoint all say the same.
func state(t testing.TB, d *DB) uint64 {
	t.Helper()
	if err := d.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	cp, err := d.Checkpoint(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	n := cp.Position.Commit
	want := 0
	if n > 0 {
		want = rowCount
	}
	rows := 0
	for r, err := range d.Dump(t.Context(), table) {
		if err != nil {
			t.Fatal(err)
		}
		if string(r.Data) != fmt.Sprintf(`{"n":%d}`, n) {
			t.Fatalf("checkpoint %d beside row %s", n, r.Data)
		}
		rows++
	}
	res, err := d.Query(t.Context(), table, projections.Query{Where: []projections.Cond{{Field: "n", Op: projections.Eq, Value: int64(n)}}})
	if err != nil || cp != at(n) || rows != want || len(res.Rows) != want {
		t.Fatalf("checkpoint %+v, %d rows, %d by index (%v), want %d", cp, rows, len(res.Rows), err, want)
	}
	return n
}

// A power cut may take the end of the write-ahead log: cut off or half written.
// The store then is at some earlier step, whole.
func TestTornWriteAheadLog(t *testing.T) {
	const steps = 10
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	d := open(t, path)
	prepareStep(t, d, 0)
	// What a commit has synced is not in question: begin with an empty log.
	if _, err := d.writer.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		t.Fatal(err)
	}
	prepareStep(t, d, steps)
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	wal, err := os.ReadFile(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	seen := map[uint64]bool{}
	for i := range 60 {
		torn := append([]byte{}, wal...)
		cut := r.IntN(len(wal) + 1)
		if i == 0 {
			cut = len(wal)
		}
		if i%2 == 0 {
			torn = torn[:cut]
		} else { // the length got there, the bytes did not
			clear(torn[cut:])
		}
		copied := filepath.Join(dir, strconv.Itoa(i)+".db")
		if err := os.WriteFile(copied, file, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(copied+"-wal", torn, 0o600); err != nil {
			t.Fatal(err)
		}
		after := open(t, copied)
		n := state(t, after)
		seen[n] = true
		if i == 0 && n != steps {
			t.Fatalf("an untouched log gives step %d of %d", n, steps)
		}
		// And goes on from there.
		if err := after.Commit(t.Context(), step(n)); err != nil {
			t.Fatal(err)
		}
		after.Close()
	}
	if len(seen) < steps/2 {
		t.Errorf("only steps %v were reached: the test cuts at the wrong places", seen)
	}
}

const killEnv = "KICAU_SQLSTORE_KILL"

// TestMain commits until it is killed, when told so.
func TestMain(m *testing.M) {
	if path := os.Getenv(killEnv); path != "" {
		if err := commitForEver(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func commitForEver(path string) error {
	ctx := context.Background()
	d, err := Open(ctx, Options{Path: path})
	if err != nil {
		return err
	}
	cp, err := d.Prepare(ctx, projections.Schema{Table: table, Indexes: [][]string{{"n"}}})
	if err != nil {
		return err
	}
	for n := cp.Position.Commit; ; n++ {
		if err := d.Commit(ctx, step(n)); err != nil {
			return err
		}
		fmt.Println(n + 1) // answered
	}
}

// A process killed in the middle of its commits has written all that it said
// it had, and at most one step more.
func TestKilledProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	prepareStep(t, open(t, path), 0)
	last := uint64(0)
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), killEnv+"="+path)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		answered := last
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if answered, err = strconv.ParseUint(lines.Text(), 10, 64); err != nil {
				t.Fatal(err)
			}
			if answered == last+uint64(10+7*round) {
				cmd.Process.Kill() // and read on what it had said until then
			}
		}
		cmd.Wait()
		after := open(t, path)
		n := state(t, after)
		if n < answered || n > answered+1 {
			t.Fatalf("step %d in the store, %d answered", n, answered)
		}
		if answered < last+10 {
			t.Fatalf("the process ended by itself after step %d", answered)
		}
		last = n
		after.Close()
	}
}
