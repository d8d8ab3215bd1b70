package projections_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"pgregory.net/rapid"

	"kicau/domain"
	"kicau/domain/event"
	"kicau/projections"
	"kicau/projections/deadline"
	orderview "kicau/projections/order"
	"kicau/projections/payout"
	"kicau/projections/settlement"
	"kicau/projections/timeline"
)

var allViews = []projections.View{
	timeline.Projection.View(), orderview.Projection.View(), deadline.Projection.View(), settlement.Journal.View(), settlement.Balances.View(),
	payout.Projection.View(),
}

// Of a random life, a view that was kept up to date page by page, however the
// pages fell and whatever died in between, is byte for byte what a rebuild makes
// of the log.
func TestRebuildEqualsLive(t *testing.T) {
	t.Parallel()
	dir, store := t.TempDir(), openStore(t)
	rapid.Check(t, func(t *rapid.T) {
		view := rapid.SampledFrom(allViews).Draw(t, "view")
		kept, built := projections.Rename(view, "kept"), projections.Rename(view, "built")
		live(t, dir, func(l *life) {
			for range rapid.IntRange(1, 30).Draw(t, "steps") {
				l.step()
			}
			events := l.events(event.Position{})
			l.ok(store.Drop(context.Background(), "kept"))
			keepUp(l, &shaky{Store: store}, kept, events)
			l.ok(projections.Rebuild(context.Background(), store, domain.Events, l.id, each(events), []projections.View{built}, func(uint64) {}))
		})
		rows, diffs, err := projections.Compare(context.Background(), store, "kept", store, "built")
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range diffs {
			t.Errorf("%s, one of %d rows, is\n%s\nand rebuilt\n%s", d.Key, rows, d.A, d.B)
		}
		for _, table := range []string{"kept", "built"} {
			if parked, err := store.Parked(context.Background(), table); err != nil || len(parked) != 0 {
				t.Errorf("parked in %s: %v, %v", table, parked, err)
			}
		}
	})
}

func each(events []event.Recorded) iter.Seq2[event.Recorded, error] {
	return func(yield func(event.Recorded, error) bool) {
		for _, e := range events {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// keepUp hands the events to a view in pages that fall anyhow, some of them
// again, while commits fail and processes die.
func keepUp(l *life, s *shaky, v projections.View, events []event.Recorded) {
	restart := func() *projections.Runner {
		r, err := projections.NewRunner(context.Background(), v, s, domain.Events, l.id)
		l.ok(err)
		return r
	}
	r := restart()
	for done := 0; done < len(events); {
		from := rapid.IntRange(max(0, done-5), done).Draw(l.t, "from")
		to := rapid.IntRange(from+1, len(events)).Draw(l.t, "to")
		switch rapid.IntRange(0, 9).Draw(l.t, "fate") {
		case 0:
			r = restart()
		case 1:
			s.before = errStore
		case 2:
			s.after = errStore
		}
		err := r.Apply(context.Background(), &projections.Page{Events: events[from:to], Last: events[to-1].Position})
		if err == nil {
			done = max(done, to)
		} else if !errors.Is(err, errStore) {
			l.t.Fatal(err)
		}
	}
}
