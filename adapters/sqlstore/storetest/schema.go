package storetest

import (
	"errors"
	"slices"
	"testing"

	"kicau/domain/event"
	"kicau/projections"
)

func dropped(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view, []string{"n"})
	prepare(t, s, "other_v1")
	b := step(view, 0, 4, "a", `{"n":1}`)
	b.Parked = []projections.Parked{{Position: event.At(3), Stream: "order-1", EventID: theLog, Type: "T", Reason: "r"}}
	commit(t, s, b, step("other_v1", 0, 2, "x", `1`))
	for range 2 { // the second time there is nothing to drop
		if err := s.Drop(t.Context(), view); err != nil {
			t.Fatal(err)
		}
	}
	wantCheckpoint(t, s, view, at(0))
	if err := s.Commit(t.Context(), step(view, 4, 5)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("commit to a dropped view: %v, want ErrFenced", err)
	}
	prepare(t, s, view, []string{"n"})
	wantRows(t, s, view)
	if parked, err := s.Parked(t.Context(), view); err != nil || len(parked) != 0 {
		t.Errorf("parked: %v, %v", parked, err)
	}
	wantRows(t, s, "other_v1", "x", `1`)
	wantCheckpoint(t, s, "other_v1", at(2))
}

func promoted(t *testing.T, open Open) {
	s, other := open(t), open(t)
	const old, built = "orders_v1", "orders_v2"
	prepare(t, s, old, []string{"n"})
	commit(t, s, step(old, 0, 4, "a", `{"n":1}`, "gone", `{"n":2}`))
	prepare(t, s, built, []string{"m"})
	b := step(built, 0, 6, "a", `{"m":10}`, "b", `{"m":5}`)
	b.Parked = []projections.Parked{{Table: built, Position: event.At(3), Stream: "order-1", EventID: theLog, Type: "T", Reason: "r"}}
	commit(t, s, b)
	if _, err := other.Get(t.Context(), old, "a"); err != nil { // so that it has the old table in hand
		t.Fatal(err)
	}

	if err := s.Promote(t.Context(), built, old); err != nil {
		t.Fatal(err)
	}
	for _, s := range []Store{s, other} {
		wantCheckpoint(t, s, old, at(6))
		wantCheckpoint(t, s, built, at(0))
		wantRows(t, s, old, "a", `{"m":10}`, "b", `{"m":5}`)
		if data, err := s.Get(t.Context(), old, "a"); err != nil || string(data) != `{"m":10}` {
			t.Fatalf("row of the promoted view: %s, %v", data, err)
		}
		if _, err := s.Get(t.Context(), built, "a"); err == nil {
			t.Fatal("the built view is still there")
		}
		res, err := s.Query(t.Context(), old, projections.Query{OrderBy: "m"})
		if err != nil || len(res.Rows) != 2 || res.Rows[0].Key != "b" {
			t.Fatalf("query of the promoted view: %v, %v", res, err)
		}
		parked, err := s.Parked(t.Context(), old)
		if err != nil || len(parked) != 1 || parked[0].Table != old {
			t.Fatalf("parked: %v, %v", parked, err)
		}
	}
	if err := s.Commit(t.Context(), step(old, 4, 5)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the old view's writer: %v, want ErrFenced", err)
	}
	commit(t, s, step(old, 6, 7, "c", `{"m":7}`))

	// And once more: what the first time left behind is not in the way.
	prepare(t, s, built, []string{"m"})
	commit(t, s, step(built, 0, 8, "z", `{"m":1}`))
	if err := s.Promote(t.Context(), built, old); err != nil {
		t.Fatal(err)
	}
	wantRows(t, s, old, "z", `{"m":1}`)
	// To a place that is free.
	if err := s.Promote(t.Context(), old, "orders_v9"); err != nil {
		t.Fatal(err)
	}
	wantRows(t, s, "orders_v9", "z", `{"m":1}`)
	wantCheckpoint(t, s, "orders_v9", at(8))
}

func promoteUnknown(t *testing.T, open Open) {
	s := open(t)
	prepare(t, s, view)
	commit(t, s, step(view, 0, 1, "a", `1`))
	if err := s.Promote(t.Context(), "orders_v2", view); err == nil {
		t.Error("promoted a view that is not there")
	}
	if err := s.Promote(t.Context(), view, view); err == nil {
		t.Error("promoted a view to itself")
	}
	wantRows(t, s, view, "a", `1`)
	wantCheckpoint(t, s, view, at(1))
}

func names(t *testing.T, open Open) {
	s := open(t)
	ctx := t.Context()
	prepare(t, s, view)
	commit(t, s, step(view, 0, 1, "a", `1`))
	for _, table := range []string{
		"", "Orders_v1", "1orders", "orders-v1", "orders v1", "orders_v1;--", `orders"`, "ordërs",
		"checkpoints", "parked", "sqlite_schema", "a" + string(make([]byte, 3)), string(slices.Repeat([]byte("a"), 64)),
	} {
		if _, err := s.Prepare(ctx, projections.Schema{Table: table}); err == nil {
			t.Errorf("Prepare of %q: no error", table)
		}
		if err := s.Drop(ctx, table); err == nil {
			t.Errorf("Drop of %q: no error", table)
		}
		if err := s.Promote(ctx, view, table); err == nil {
			t.Errorf("Promote to %q: no error", table)
		}
		if err := s.Commit(ctx, step(table, 0, 1)); err == nil {
			t.Errorf("Commit to %q: no error", table)
		}
		if _, err := s.Get(ctx, table, "a"); err == nil {
			t.Errorf("Get from %q: no error", table)
		}
		if _, err := s.Query(ctx, table, projections.Query{}); err == nil {
			t.Errorf("Query of %q: no error", table)
		}
	}
	for _, f := range []string{"", "a.b", "a b", "a'", `a"`, "1a", "a') --", "$", "ä"} {
		if _, err := s.Prepare(ctx, projections.Schema{Table: "other_v1", Indexes: [][]string{{"n", f}}}); err == nil {
			t.Errorf("an index by %q: no error", f)
		}
	}
	if _, err := s.Prepare(ctx, projections.Schema{Table: "other_v1", Indexes: [][]string{{}}}); err == nil {
		t.Error("an index by nothing: no error")
	}
	wantCheckpoint(t, s, "other_v1", at(0))
	wantRows(t, s, view, "a", `1`)
}

func indexesFollow(t *testing.T, open Open) {
	s := open(t)
	orderBy := func(field string) error {
		res, err := s.Query(t.Context(), view, projections.Query{OrderBy: field})
		if err == nil && len(res.Rows) != 2 {
			t.Errorf("ordered by %s: %v", field, res.Rows)
		}
		return err
	}
	prepare(t, s, view, []string{"a", "B"})
	commit(t, s, step(view, 0, 1, "x", `{"a":1,"B":2,"c":3}`, "y", `{"a":2,"B":1,"c":2}`))
	if err := errors.Join(orderBy("a"), orderBy("B")); err != nil {
		t.Error(err)
	}
	if orderBy("c") == nil || orderBy("b") == nil {
		t.Error("a field without an index was taken")
	}
	prepare(t, s, view, []string{"c"}, []string{"a"})
	if err := errors.Join(orderBy("a"), orderBy("c")); err != nil {
		t.Error(err)
	}
	if orderBy("B") == nil {
		t.Error("a field that lost its index was taken")
	}
	prepare(t, s, view)
	if orderBy("a") == nil {
		t.Error("a field that lost its index was taken")
	}
	wantCheckpoint(t, s, view, at(1))
}
