package projections_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"

	"kicau/domain/event"
	"kicau/projections"
)

// read is a log that breaks after some events; n < 0: never.
func (b *book) read(n int, err error) iter.Seq2[event.Recorded, error] {
	return func(yield func(event.Recorded, error) bool) {
		for i, e := range b.events {
			if i == n {
				yield(event.Recorded{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

func TestRebuild(t *testing.T) {
	s := openStore(t)
	b := new(book).take("till-a", 1).take("till-x", -1, 5).write("till-a", cleaned{})
	for range projections.RebuildPage {
		b.take("till-b", 2)
	}
	// What stands in the table before does not matter; other tables are left alone.
	old := new(book).take("till-old", 7)
	apply(t, run(t, s), old.whole())
	other := projections.Rename(tills.View(), "other")
	untouched, err := projections.NewRunner(t.Context(), other, s, registry, theLog)
	ok(t, err)
	apply(t, untouched, old.whole())

	var steps []uint64
	copied := projections.Rename(tills.View(), "copied")
	ok(t, projections.Rebuild(t.Context(), s, registry, theLog, b.read(-1, nil), []projections.View{tills.View(), copied},
		func(events uint64) { steps = append(steps, events) }))
	hold(t, s, map[string]int{"till-a": 1, "till-b": 2 * projections.RebuildPage, all: 1 + 2*projections.RebuildPage})
	stands(t, run(t, s), b, len(b.events))
	if want := []uint64{projections.RebuildPage, uint64(len(b.events))}; !cmp.Equal(steps, want) {
		t.Errorf("progress %v, want %v", steps, want)
	}
	if parked, err := s.Parked(t.Context(), "tills_v1"); err != nil || len(parked) != 2 {
		t.Errorf("parked: %v, %v; want the poison and the one behind it", parked, err)
	}
	if _, diffs, err := projections.Compare(t.Context(), s, "tills_v1", s, "copied"); err != nil || len(diffs) != 0 {
		t.Errorf("two copies of one fold differ: %v, %v", diffs, err)
	}
	if data, err := s.Get(t.Context(), "other", "till-old"); err != nil || data == nil {
		t.Errorf("another view's rows are gone: %v", err)
	}
}

func TestRebuildOfAnEmptyLog(t *testing.T) {
	s := openStore(t)
	apply(t, run(t, s), new(book).take("till-old", 7).whole())
	ok(t, projections.Rebuild(t.Context(), s, registry, theLog, new(book).read(-1, nil), []projections.View{tills.View()},
		func(uint64) { t.Error("progress without an event") }))
	hold(t, s, map[string]int{})
}

func TestRebuildEndsEarly(t *testing.T) {
	b := new(book)
	for range 3 * projections.RebuildPage {
		b.take("till-a", 1)
	}
	broken := errors.New("a torn page")
	t.Run("the log cannot be read on", func(t *testing.T) {
		s := openStore(t)
		n := projections.RebuildPage + 10
		err := projections.Rebuild(t.Context(), s, registry, theLog, b.read(n, broken), []projections.View{tills.View()}, func(uint64) {})
		if !errors.Is(err, broken) {
			t.Fatalf("got %v", err)
		}
		stands(t, run(t, s), b, projections.RebuildPage) // whole pages, and no more
	})
	t.Run("the store fails", func(t *testing.T) {
		s := &shaky{Store: openStore(t), before: errStore}
		done := false
		events := func(yield func(event.Recorded, error) bool) {
			defer func() { done = true }()
			b.read(-1, nil)(yield)
		}
		err := projections.Rebuild(t.Context(), s, registry, theLog, events, []projections.View{tills.View()}, func(uint64) {})
		if !errors.Is(err, errStore) {
			t.Fatalf("got %v", err)
		}
		if !done { // written by the reader: a data race unless it has ended
			t.Error("the log is still being read")
		}
	})
	t.Run("it is called off", func(t *testing.T) {
		s := openStore(t)
		ctx, stop := context.WithCancel(t.Context())
		err := projections.Rebuild(ctx, s, registry, theLog, b.read(-1, nil), []projections.View{tills.View()}, func(uint64) { stop() })
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		stands(t, run(t, s), b, projections.RebuildPage)
	})
}

// table makes a table of rows, each its key.
func table(t *testing.T, s projections.Store, name string, rows ...projections.RowData) {
	t.Helper()
	at, err := s.Prepare(t.Context(), projections.Schema{Table: name})
	ok(t, err)
	ok(t, s.Commit(t.Context(), projections.Batch{Table: name, From: at, To: projections.Checkpoint{Log: theLog, Position: event.At(1), Events: 1}, Rows: rows}))
}

func row(key, data string) projections.RowData {
	return projections.RowData{Key: key, Data: []byte(data)}
}

func TestCompare(t *testing.T) {
	for name, c := range map[string]struct {
		a, b  []projections.RowData
		diffs []projections.Difference
	}{
		"alike":                {a: []projections.RowData{row("a", `1`), row("b", `2`)}, b: []projections.RowData{row("a", `1`), row("b", `2`)}},
		"both empty":           {},
		"other content":        {[]projections.RowData{row("a", `1`), row("b", `2`)}, []projections.RowData{row("a", `1`), row("b", `3`)}, []projections.Difference{{Key: "b", A: []byte(`2`), B: []byte(`3`)}}},
		"written differently":  {[]projections.RowData{row("a", `{"x":1}`)}, []projections.RowData{row("a", `{"x": 1}`)}, []projections.Difference{{Key: "a", A: []byte(`{"x":1}`), B: []byte(`{"x": 1}`)}}},
		"one more at the end":  {[]projections.RowData{row("a", `1`), row("b", `2`)}, []projections.RowData{row("a", `1`)}, []projections.Difference{{Key: "b", A: []byte(`2`)}}},
		"one less at the end":  {[]projections.RowData{row("a", `1`)}, []projections.RowData{row("a", `1`), row("b", `2`)}, []projections.Difference{{Key: "b", B: []byte(`2`)}}},
		"one more at the head": {[]projections.RowData{row("a", `1`), row("b", `2`)}, []projections.RowData{row("b", `2`)}, []projections.Difference{{Key: "a", A: []byte(`1`)}}},
		"one less at the head": {[]projections.RowData{row("b", `2`)}, []projections.RowData{row("a", `1`), row("b", `2`)}, []projections.Difference{{Key: "a", B: []byte(`1`)}}},
		"one side empty":       {nil, []projections.RowData{row("a", `1`)}, []projections.Difference{{Key: "a", B: []byte(`1`)}}},
		"nothing in common": {[]projections.RowData{row("a", `1`), row("c", `3`)}, []projections.RowData{row("b", `2`), row("d", `4`)}, []projections.Difference{
			{Key: "a", A: []byte(`1`)}, {Key: "b", B: []byte(`2`)}, {Key: "c", A: []byte(`3`)}, {Key: "d", B: []byte(`4`)}}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := openStore(t), openStore(t)
			table(t, a, "one", c.a...)
			table(t, b, "two", c.b...)
			rows, diffs, err := projections.Compare(t.Context(), a, "one", b, "two")
			ok(t, err)
			if rows != len(c.a) {
				t.Errorf("%d rows, want %d", rows, len(c.a))
			}
			if d := cmp.Diff(c.diffs, diffs); d != "" {
				t.Errorf("other differences (-want +got):\n%s", d)
			}
		})
	}
	t.Run("many differences: the first of them", func(t *testing.T) {
		var many []projections.RowData
		for n := range 2 * projections.MaxDifferences {
			many = append(many, row(fmt.Sprintf("%03d", n), `1`))
		}
		s := openStore(t)
		table(t, s, "full", many...)
		table(t, s, "empty")
		for name, c := range map[string][2]string{"in the first": {"full", "empty"}, "in the second": {"empty", "full"}} {
			_, diffs, err := projections.Compare(t.Context(), s, c[0], s, c[1])
			ok(t, err)
			if len(diffs) != projections.MaxDifferences || diffs[0].Key != "000" {
				t.Errorf("%s: %d differences", name, len(diffs))
			}
		}
	})
	t.Run("a table that is not there", func(t *testing.T) {
		s := openStore(t)
		table(t, s, "one", row("a", `1`))
		for _, c := range [][2]string{{"one", "none"}, {"none", "one"}} {
			if _, _, err := projections.Compare(t.Context(), s, c[0], s, c[1]); err == nil {
				t.Errorf("%s and %s were compared", c[0], c[1])
			}
		}
	})
	t.Run("a store that fails half-way", func(t *testing.T) {
		s := openStore(t)
		table(t, s, "one", row("a", `1`), row("b", `2`), row("c", `3`))
		for name, stores := range map[string][2]projections.Store{"first": {torn{s}, s}, "second": {s, torn{s}}} {
			if _, _, err := projections.Compare(t.Context(), stores[0], "one", stores[1], "one"); !errors.Is(err, errStore) {
				t.Errorf("the %s: got %v", name, err)
			}
		}
	})
}

// torn is a store whose rows cannot be read beyond the first.
type torn struct{ projections.Store }

func (s torn) Dump(ctx context.Context, table string) iter.Seq2[projections.RowData, error] {
	return func(yield func(projections.RowData, error) bool) {
		for row, err := range s.Store.Dump(ctx, table) {
			if !yield(row, err) {
				return
			}
			yield(projections.RowData{}, errStore)
			return
		}
	}
}

// Rows and Get decode what is stored, or say what they cannot.
func TestReadingRows(t *testing.T) {
	s := openStore(t)
	apply(t, run(t, s), new(book).take("till-a", 1, 2).whole())
	got, found, err := projections.Get(t.Context(), s, tills, "till-a")
	ok(t, err)
	if !found || got != (takings{3, 2}) {
		t.Errorf("got %v, %v", got, found)
	}
	if _, found, err := projections.Get(t.Context(), s, tills, "till-none"); found || err != nil {
		t.Errorf("got %v, %v", found, err)
	}
	rows, next, err := projections.Rows(t.Context(), s, tills, projections.Query{Limit: 1})
	ok(t, err)
	if len(rows) != 1 || rows[0] != (takings{3, 2}) || next == "" {
		t.Errorf("got %v, %q", rows, next)
	}

	at, err := s.Checkpoint(t.Context(), "tills_v1")
	ok(t, err)
	ok(t, s.Commit(t.Context(), projections.Batch{Table: "tills_v1", From: at, To: at, Rows: []projections.RowData{row("till-a", `"?"`)}}))
	var broken *json.SemanticError
	if _, _, err := projections.Get(t.Context(), s, tills, "till-a"); !errors.As(err, &broken) {
		t.Errorf("got %v", err)
	}
	if _, _, err := projections.Rows(t.Context(), s, tills, projections.Query{}); !errors.As(err, &broken) {
		t.Errorf("got %v", err)
	}
}
