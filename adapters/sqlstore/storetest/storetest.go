// Package storetest is the contract of [projections.Store] as tests. Every
// implementation passes it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/projections"
)

// Store is what is tested.
type Store interface {
	projections.Store
	Close() error
}

// Open opens one database; called again, it opens the same one once more, as
// another process would.
type Open func(t *testing.T) Store

// Run tests an implementation. fresh makes an empty database.
func Run(t *testing.T, fresh func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"a new view is empty":                        newView,
		"an unknown view is an error":                unknownView,
		"what is committed comes back byte for byte": bytesComeBack,
		"a step is taken once":                       stepOnce,
		"a refused step leaves nothing":              refusedStep,
		"of two writers one is fenced":               twoWriters,
		"a commit shows whole or not at all":         wholeCommits,
		"what was committed survives reopening":      reopen,
		"a cancelled commit writes nothing":          cancelled,
		"rows are loaded and dumped by key":          loadAndDump,
		"a step that no projector sends is refused":  defects,
		"parked events are kept in log order":        parkedInOrder,
		"a dropped view is gone":                     dropped,
		"promote puts one view in another's place":   promoted,
		"promote finds no view":                      promoteUnknown,
		"names are held to what they may be":         names,
		"indexes follow the schema":                  indexesFollow,
		"queries agree with a sort in memory":        queriesAgree,
		"a query is refused with its reason":         queryRefusals,
		"a cursor is good for its own order":         cursors,
		"nothing in a query gets into the SQL":       injection,
	} {
		t.Run(name, func(t *testing.T) { test(t, fresh(t)) })
	}
}

const view = "orders_v1"

var theLog = uuid.MustParse("2a0e9a7c-8a51-4a2e-9e58-0c6a5b0f2f11")

// at is a checkpoint of the test's log.
func at(n uint64) projections.Checkpoint {
	if n == 0 {
		return projections.Checkpoint{}
	}
	return projections.Checkpoint{Log: theLog, Position: event.Position{Commit: n, Prepare: n - 1}, Events: n}
}

func prepare(t *testing.T, s Store, table string, indexes ...[]string) projections.Checkpoint {
	t.Helper()
	cp, err := s.Prepare(t.Context(), projections.Schema{Table: table, Indexes: indexes})
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// step is a batch from one checkpoint to another. Rows are key, data, key, ….
func step(table string, from, to uint64, keysAndData ...string) projections.Batch {
	b := projections.Batch{Table: table, From: at(from), To: at(to)}
	for i := 0; i < len(keysAndData); i += 2 {
		b.Rows = append(b.Rows, projections.RowData{Key: keysAndData[i], Data: []byte(keysAndData[i+1])})
	}
	return b
}

func commit(t *testing.T, s Store, batches ...projections.Batch) {
	t.Helper()
	if err := s.Commit(t.Context(), batches...); err != nil {
		t.Fatal(err)
	}
}

func wantCheckpoint(t *testing.T, s Store, table string, want projections.Checkpoint) {
	t.Helper()
	got, err := s.Checkpoint(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Fatalf("checkpoint of %s is %+v, want %+v", table, got, want)
	}
}

// wantRows compares the whole view. Rows are key, data, key, ….
func wantRows(t *testing.T, s Store, table string, keysAndData ...string) {
	t.Helper()
	var got []string
	for r, err := range s.Dump(t.Context(), table) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, r.Key, string(r.Data))
	}
	if d := cmp.Diff(keysAndData, got); d != "" {
		t.Fatalf("rows of %s (-want +got):\n%s", table, d)
	}
}

func newView(t *testing.T, open Open) {
	s := open(t)
	wantCheckpoint(t, s, view, at(0))
	if cp := prepare(t, s, view); cp != at(0) {
		t.Fatalf("a new view is at %+v", cp)
	}
	wantRows(t, s, view)
	if data, err := s.Get(t.Context(), view, "a"); err != nil || data != nil {
		t.Fatalf("Get of a row that is not there: %q, %v", data, err)
	}
	parked, err := s.Parked(t.Context(), view)
	if err != nil || len(parked) != 0 {
		t.Fatalf("parked: %v, %v", parked, err)
	}
	commit(t, s, step(view, 0, 7, "a", `{}`))
	if cp := prepare(t, s, view); cp != at(7) {
		t.Fatalf("prepared again the view is at %+v", cp)
	}
	wantRows(t, s, view, "a", `{}`)
}

func unknownView(t *testing.T, open Open) {
	s := open(t)
	if _, err := s.Get(t.Context(), view, "a"); err == nil {
		t.Error("Get: no error")
	}
	if _, err := s.Load(t.Context(), view, []string{"a"}); err == nil {
		t.Error("Load: no error")
	}
	if _, err := s.Query(t.Context(), view, projections.Query{}); err == nil {
		t.Error("Query: no error")
	}
	var dumpErr error
	for _, dumpErr = range s.Dump(t.Context(), view) {
	}
	if dumpErr == nil {
		t.Error("Dump: no error")
	}
	if err := s.Commit(t.Context(), step(view, 0, 1)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("Commit: %v, want ErrFenced: somebody else removed the view", err)
	}
}

func bytesComeBack(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view, []string{"z"})
	const odd = "{ \"z\" : 1e2,\n\t\"a\":\"\\u00e9 é \U0001F6D2\", \"a\":0.10, \"big\":18446744073709551615 }"
	commit(t, s, step(view, 0, 1, "k", odd, "empty", `""`, "ключ 🛒 'quoted\" \\", `[]`))
	for key, want := range map[string]string{"k": odd, "empty": `""`, "ключ 🛒 'quoted\" \\": `[]`} {
		got, err := s.Get(t.Context(), view, key)
		if err != nil || string(got) != want {
			t.Errorf("row %q is %q (%v), want %q", key, got, err, want)
		}
		rows, err := s.Load(t.Context(), view, []string{key})
		if err != nil || len(rows) != 1 || rows[0].Key != key || string(rows[0].Data) != want {
			t.Errorf("loaded %q: %q (%v), want %q", key, rows, err, want)
		}
	}
	res, err := s.Query(t.Context(), view, projections.Query{Where: []projections.Cond{{Field: "z", Op: projections.Eq, Value: int64(100)}}})
	if err != nil || len(res.Rows) != 1 || string(res.Rows[0].Data) != odd {
		t.Errorf("queried: %q (%v), want %q", res.Rows, err, odd)
	}
}

func stepOnce(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	first := step(view, 0, 3, "a", `1`, "b", `2`)
	first.Parked = []projections.Parked{{Position: event.At(2), Stream: "order-1", EventID: theLog, Type: "T", Reason: "r"}}
	commit(t, s, first)
	// The twin of a failed commit is one that failed and was done: whoever
	// sends it again is told that it is no longer where he thinks.
	if err := s.Commit(t.Context(), first); !errors.Is(err, projections.ErrFenced) {
		t.Fatalf("the same step again: %v, want ErrFenced", err)
	}
	commit(t, s, step(view, 3, 5, "b", `20`, "c", `30`))
	wantRows(t, s, view, "a", `1`, "b", `20`, "c", `30`)
	wantCheckpoint(t, s, view, at(5))
	other := step(view, 5, 6)
	other.From.Log = uuid.MustParse("11111111-8a51-4a2e-9e58-0c6a5b0f2f11")
	other.To.Log = other.From.Log
	if err := s.Commit(t.Context(), other); !errors.Is(err, projections.ErrFenced) {
		t.Fatalf("a step of another log: %v, want ErrFenced", err)
	}
}

func refusedStep(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	prepare(t, s, "other_v1")
	commit(t, s, step(view, 0, 1, "a", `1`))
	bad := step("other_v1", 4, 5, "x", `1`)
	bad.Parked = []projections.Parked{{Position: event.At(5), Stream: "s", EventID: theLog, Type: "T", Reason: "r"}}
	for _, batches := range [][]projections.Batch{
		{step(view, 1, 2, "a", `2`), bad},
		{bad, step(view, 1, 2, "a", `2`)},
	} {
		if err := s.Commit(t.Context(), batches...); !errors.Is(err, projections.ErrFenced) {
			t.Fatalf("%v, want ErrFenced", err)
		}
	}
	wantRows(t, s, view, "a", `1`)
	wantRows(t, s, "other_v1")
	wantCheckpoint(t, s, view, at(1))
	wantCheckpoint(t, s, "other_v1", at(0))
	if parked, err := s.Parked(t.Context(), "other_v1"); err != nil || len(parked) != 0 {
		t.Fatalf("parked: %v, %v", parked, err)
	}
	// Both steps of one view in one commit follow each other.
	commit(t, s, step(view, 1, 2, "a", `2`), step("other_v1", 0, 9, "x", `9`), step(view, 2, 3, "a", `3`))
	wantRows(t, s, view, "a", `3`)
	wantCheckpoint(t, s, view, at(3))
	wantCheckpoint(t, s, "other_v1", at(9))
}

func twoWriters(t *testing.T, open Open) {
	stores := []Store{open(t), open(t)}
	prepare(t, stores[0], view)
	prepare(t, stores[1], view)
	const rounds = 25
	for i := range uint64(rounds) {
		errs := make(chan error, len(stores))
		for w, s := range stores {
			go func() { errs <- s.Commit(t.Context(), step(view, i, i+1, "winner", fmt.Sprint(w))) }()
		}
		a, b := <-errs, <-errs
		if (a == nil) == (b == nil) || !errors.Is(errors.Join(a, b), projections.ErrFenced) {
			t.Fatalf("round %d: %v and %v, want one nil and one ErrFenced", i, a, b)
		}
	}
	wantCheckpoint(t, stores[0], view, at(rounds))
	wantCheckpoint(t, stores[1], view, at(rounds))
}

// wholeCommits rewrites all rows at once while another handle dumps them.
func wholeCommits(t *testing.T, open Open) {
	const rows, commits = 20, 60
	writer, reader := open(t), open(t)
	prepare(t, writer, view)
	write := func(n uint64) error {
		b := step(view, n, n+1)
		for i := range rows {
			b.Rows = append(b.Rows, projections.RowData{Key: fmt.Sprintf("k%02d", i), Data: fmt.Append(nil, n)})
		}
		return writer.Commit(t.Context(), b)
	}
	if err := write(0); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		for n := range uint64(commits) {
			if err := write(n + 1); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for last, running := -1, true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			running = false // and look once more
		default:
		}
		seen, count := "", 0
		for r, err := range reader.Dump(t.Context(), view) {
			if err != nil {
				t.Fatal(err)
			}
			if count > 0 && string(r.Data) != seen {
				t.Fatalf("rows of commits %s and %s side by side", seen, r.Data)
			}
			seen = string(r.Data)
			count++
		}
		var n int
		if _, err := fmt.Sscan(seen, &n); err != nil || count != rows || n < last || (!running && n != commits) {
			t.Fatalf("%d rows of commit %q after commit %d (%v)", count, seen, last, err)
		}
		last = n
	}
}

func reopen(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view, []string{"n"})
	b := step(view, 0, 4, "a", `{"n":1}`)
	b.Parked = []projections.Parked{{Position: event.At(3), Stream: "order-1", EventID: theLog, Type: "T", Reason: "r"}}
	commit(t, s, b)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t)
	wantCheckpoint(t, again, view, at(4))
	wantRows(t, again, view, "a", `{"n":1}`)
	if parked, err := again.Parked(t.Context(), view); err != nil || len(parked) != 1 {
		t.Fatalf("parked: %v, %v", parked, err)
	}
	// Queries need no Prepare: whoever only reads knows no schema.
	res, err := again.Query(t.Context(), view, projections.Query{OrderBy: "n"})
	if err != nil || len(res.Rows) != 1 {
		t.Fatalf("query: %v, %v", res, err)
	}
	commit(t, again, step(view, 4, 5))
}

func cancelled(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Commit(ctx, step(view, 0, 1, "a", `1`)); !errors.Is(err, context.Canceled) {
		t.Fatalf("commit: %v, want context.Canceled", err)
	}
	wantCheckpoint(t, s, view, at(0))
	commit(t, s, step(view, 0, 1, "b", `2`))
	wantRows(t, s, view, "b", `2`)
}

func loadAndDump(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	// In byte order, which no language's alphabet agrees with.
	commit(t, s, step(view, 0, 1, "", `0`, "B", `1`, "a", `2`, "a ", `3`, "a0", `4`, "b", `5`, "ä", `6`, "\uffff", `7`, "\U0001F6D2", `8`))
	wantRows(t, s, view, "", `0`, "B", `1`, "a", `2`, "a ", `3`, "a0", `4`, "b", `5`, "ä", `6`, "\uffff", `7`, "\U0001F6D2", `8`)
	rows, err := s.Load(t.Context(), view, []string{"a", "ä", "A", "a", "nobody"})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, r := range rows {
		got[r.Key] += string(r.Data)
	}
	if d := cmp.Diff(map[string]string{"a": `2`, "ä": `6`}, got); d != "" {
		t.Errorf("loaded (-want +got):\n%s", d)
	}
	if rows, err := s.Load(t.Context(), view, nil); err != nil || len(rows) != 0 {
		t.Errorf("load of nothing: %v, %v", rows, err)
	}
	for r, err := range s.Dump(t.Context(), view) { // may be left early
		if err != nil || r.Key != "" {
			t.Fatal(r, err)
		}
		break
	}
	commit(t, s, step(view, 1, 2))
}

func defects(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	commit(t, s, step(view, 0, 5, "a", `1`))
	otherLog := step(view, 5, 6)
	otherLog.To.Log = uuid.MustParse("11111111-8a51-4a2e-9e58-0c6a5b0f2f11")
	beyond := step(view, 5, 6)
	beyond.To.Position = event.At(math.MaxInt64 + 1)
	noData := step(view, 5, 6)
	noData.Rows = []projections.RowData{{Key: "b"}}
	for name, b := range map[string]projections.Batch{
		"back":                step(view, 5, 4),
		"other log":           otherLog,
		"position too large":  beyond,
		"no data":             noData,
		"key is not text":     step(view, 5, 6, "\xff", `1`),
		"key with zero bytes": step(view, 5, 6, "a\x00b", `1`),
	} {
		if err := s.Commit(t.Context(), b); err == nil || errors.Is(err, projections.ErrFenced) {
			t.Errorf("%s: %v, want a refusal", name, err)
		}
	}
	wantRows(t, s, view, "a", `1`)
	wantCheckpoint(t, s, view, at(5))
	last := step(view, 5, 6)
	last.To.Position = event.At(math.MaxInt64)
	commit(t, s, last)
	wantCheckpoint(t, s, view, last.To)
}

func parkedInOrder(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	prepare(t, s, "other_v1")
	park := func(commit, prepare uint64) projections.Parked {
		return projections.Parked{Table: view, Position: event.Position{Commit: commit, Prepare: prepare},
			Stream: "order-1", EventID: uuid.New(), Type: "OrderPlaced", Reason: "cannot: \"é\""}
	}
	want := []projections.Parked{park(2, 1), park(2, 2), park(9, 0), park(10, 10)}
	b := step(view, 0, 9)
	b.Parked = []projections.Parked{want[2], want[1], want[0]}
	commit(t, s, b)
	b = step(view, 9, 10)
	b.Parked = want[3:]
	commit(t, s, b)
	got, err := s.Parked(t.Context(), view)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("parked (-want +got):\n%s", d)
	}
	if other, err := s.Parked(t.Context(), "other_v1"); err != nil || len(other) != 0 {
		t.Errorf("parked in another view: %v, %v", other, err)
	}
}
