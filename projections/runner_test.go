package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/projections"
)

func TestAPageIsFolded(t *testing.T) {
	s := openStore(t)
	r := run(t, s)
	b := new(book).take("till-a", 1, 2).take("till-b", 40).write("till-a", cleaned{})
	apply(t, r, b.whole())
	hold(t, s, map[string]int{"till-a": 3, "till-b": 40, all: 43})
	stands(t, r, b, 4)
	if name := r.Name(); name != "tills_v1" {
		t.Errorf("the view is called %q", name)
	}
}

// Pages come again, overlap, and may hold nothing for the view: each event counts
// once.
func TestPagesComeAsTheyDo(t *testing.T) {
	b := new(book).take("till-a", 1, 2).take("till-b", 4).take("till-a", 8).take("till-b", 16)
	for name, pages := range map[string][]*projections.Page{
		"one by one":       {b.page(0, 1), b.page(1, 2), b.page(2, 3), b.page(3, 4), b.page(4, 5)},
		"again":            {b.page(0, 3), b.page(0, 3), b.page(3, 5), b.page(3, 5)},
		"from the start":   {b.page(0, 2), b.page(0, 4), b.page(0, 5)},
		"overlapping":      {b.page(0, 3), b.page(1, 4), b.page(2, 5)},
		"an old one later": {b.page(0, 5), b.page(0, 2), b.page(1, 4)},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t)
			r := run(t, s)
			apply(t, r, pages...)
			hold(t, s, map[string]int{"till-a": 11, "till-b": 20, all: 31})
			stands(t, r, b, 5)
		})
		t.Run(name+", by a new process each time", func(t *testing.T) {
			s := openStore(t)
			for _, p := range pages {
				apply(t, run(t, s), p)
			}
			hold(t, s, map[string]int{"till-a": 11, "till-b": 20, all: 31})
			stands(t, run(t, s), b, 5)
		})
	}
	t.Run("a page without events moves the view on", func(t *testing.T) {
		s := openStore(t)
		r := run(t, s)
		far := event.At(1000)
		apply(t, r, &projections.Page{Last: far})
		if at := r.Checkpoint(); at.Position != far || at.Events != 0 {
			t.Errorf("the view stands at %+v", at)
		}
		if at, err := s.Checkpoint(t.Context(), r.Name()); err != nil || at.Position != far {
			t.Errorf("stored: %+v, %v", at, err)
		}
	})
}

// A commit fails, or fails but was done, and the store may be away for longer:
// when the page comes again every event still counts once.
func TestACommitFails(t *testing.T) {
	b := new(book).take("till-a", 1).take("till-b", 2).take("till-a", 4, 8)
	for name, breaks := range map[string]func(*shaky){
		"failed":                            func(s *shaky) { s.before = errStore },
		"failed but done":                   func(s *shaky) { s.after = errStore },
		"failed, and away":                  func(s *shaky) { s.before, s.away = errStore, errStore },
		"failed but done, and away":         func(s *shaky) { s.after, s.away = errStore, errStore },
		"cannot be read before it is asked": func(s *shaky) { s.away = errStore },
	} {
		t.Run(name, func(t *testing.T) {
			s := &shaky{Store: openStore(t)}
			r := run(t, s)
			apply(t, r, b.page(0, 2))
			breaks(s)
			for range 3 { // the page comes again and again
				if err := r.Apply(t.Context(), b.page(2, 3)); err != nil && !errors.Is(err, errStore) && !errors.Is(err, projections.ErrFenced) {
					t.Fatalf("got %v", err)
				}
			}
			s.away = nil
			for err := errors.New("not yet"); err != nil; {
				err = r.Apply(t.Context(), b.page(2, 3))
			}
			apply(t, r, b.page(2, 4))
			hold(t, s, map[string]int{"till-a": 13, "till-b": 2, all: 15})
			stands(t, r, b, 4)
		})
	}
}

func TestTwoProcessesProjectOneView(t *testing.T) {
	b := new(book).take("till-a", 1, 2, 4, 8)
	s := openStore(t)
	first, second := run(t, s), run(t, s)
	apply(t, first, b.page(0, 1))
	fenced := func(r *projections.Runner, p *projections.Page) {
		t.Helper()
		if err := r.Apply(t.Context(), p); !errors.Is(err, projections.ErrFenced) {
			t.Fatalf("got %v, want %v", err, projections.ErrFenced)
		}
	}
	fenced(second, b.page(0, 2))      // it was moved on by the first
	apply(t, second, b.page(0, 2))    // so it takes up there
	fenced(first, b.page(1, 3))       // and the first is behind
	apply(t, first, b.page(1, 3))     // until it takes up there
	apply(t, run(t, s), b.page(0, 4)) // a third one
	fenced(second, b.whole())         //
	apply(t, second, b.whole())       // nothing of it is new
	hold(t, s, map[string]int{"till-a": 15, all: 15})
	stands(t, second, b, 4)
}

func TestAnotherLogIsRefused(t *testing.T) {
	s := openStore(t)
	b := new(book).take("till-a", 1)
	apply(t, run(t, s), b.whole())
	_, err := projections.NewRunner(t.Context(), tills.View(), s, registry, uuid.New())
	if !errors.Is(err, projections.ErrOtherLog) {
		t.Fatalf("got %v", err)
	}
	hold(t, s, map[string]int{"till-a": 1, all: 1})
}

// An event that cannot be folded is parked with its reason and its stream is
// held, in this page, in the next and after a restart. The others go on.
func TestPoison(t *testing.T) {
	future := []byte(`{"schemaVersion":99}`)
	current := []byte(`{"schemaVersion":1}`)
	for name, c := range map[string]struct {
		stream string
		poison func(b *book, stream string)
		reason string
	}{
		"the fold cannot take it": {"till-x", func(b *book, s string) { b.take(s, -1) }, "fold: a till that pays out"},
		"it has no key":           {"till-nowhere", func(b *book, s string) { b.take(s, 1) }, "keys: a till that stands nowhere"},
		"its type is unknown":     {"till-x", func(b *book, s string) { b.writeRaw(s, "TillStolen", []byte(`{}`), current) }, `event not readable by this version of kicau: type "TillStolen"`},
		"its version is too new":  {"till-x", func(b *book, s string) { b.writeRaw(s, "TillTook", []byte(`{"amount":1}`), future) }, "version 99"},
		"its body is broken":      {"till-x", func(b *book, s string) { b.writeRaw(s, "TillTook", []byte(`{"amount":`), current) }, "unexpected EOF"},
		"a field is unknown":      {"till-x", func(b *book, s string) { b.writeRaw(s, "TillTook", []byte(`{"amount":1,"tip":1}`), current) }, `unknown object member name "tip"`},
		"its metadata is broken":  {"till-x", func(b *book, s string) { b.writeRaw(s, "TillTook", []byte(`{"amount":1}`), []byte(`-`)) }, "metadata of TillTook"},
	} {
		b := new(book).take("till-a", 1)
		good := "till-good"
		b.take(good, 100)
		before := len(b.events)
		c.poison(b, c.stream)
		poison := len(b.events) - 1
		b.take(c.stream, 2).write(c.stream, cleaned{}).take("till-a", 10).take(c.stream, 4).take(good, 1000)
		for split, pages := range map[string][]*projections.Page{
			"in one page":       {b.whole()},
			"in several pages":  {b.page(0, before), b.page(before, before+1), b.page(before+1, len(b.events)-1), b.whole()},
			"in pages of twos":  {b.page(0, 2), b.page(1, 4), b.page(2, 6), b.page(3, len(b.events))},
			"once after it all": {b.whole(), b.whole()},
		} {
			t.Run(name+", "+split, func(t *testing.T) {
				s := openStore(t)
				r := run(t, s)
				for i, p := range pages {
					if i == 2 {
						r = run(t, s) // a restart
					}
					apply(t, r, p)
				}
				hold(t, s, map[string]int{"till-a": 11, good: 1100, all: 1111})
				stands(t, run(t, s), b, len(b.events))
				parked, err := s.Parked(t.Context(), "tills_v1")
				ok(t, err)
				if len(parked) != 3 {
					t.Fatalf("%d events are parked, want the one and the two behind it: %+v", len(parked), parked)
				}
				for i, p := range parked {
					want := b.events[[]int{poison, poison + 1, poison + 4}[i]]
					if p.EventID != want.ID || p.Position != want.Position || p.Stream != c.stream || p.Type != want.Type {
						t.Errorf("parked %+v, want the event at %s", p, want.Position)
					}
					reason := "held: an earlier event of the stream is parked"
					if i == 0 {
						reason = c.reason
					}
					contains(t, p.Reason, reason)
				}
			})
		}
	}
}

// Two poison events in one page, of two streams.
func TestPoisonTwice(t *testing.T) {
	s := openStore(t)
	b := new(book).take("till-x", 1).take("till-a", 1).take("till-x", -1).take("till-y", -1).take("till-a", 1).take("till-x", 1)
	apply(t, run(t, s), b.whole())
	hold(t, s, map[string]int{"till-a": 2, "till-x": 1, all: 3})
	parked, err := s.Parked(t.Context(), "tills_v1")
	ok(t, err)
	if len(parked) != 3 {
		t.Errorf("parked: %+v", parked)
	}
}

func TestRowsInMemory(t *testing.T) {
	s := &shaky{Store: openStore(t)}
	r := run(t, s)
	b := new(book)
	// Next till takes one; how many rows does the store have to look up?
	looksUp := func(want int, tills ...string) {
		t.Helper()
		from, looked := len(b.events), s.loaded.Load()
		for _, name := range tills {
			b.take(name, 1)
		}
		apply(t, r, b.page(from, len(b.events)))
		if got := int(s.loaded.Load() - looked); got != want {
			t.Fatalf("%d rows were looked up, want %d", got, want)
		}
	}
	looksUp(2, "till-0") // and the row of all
	looksUp(0, "till-0")
	many := make([]string, projections.MaxCachedRows-2)
	for i := range many {
		many[i] = fmt.Sprintf("till-%d", i+1)
	}
	looksUp(len(many), many...)
	looksUp(0, "till-0", "till-7") // as many as may be
	looksUp(1, "till-more")        // one too many: all are dropped
	looksUp(2, "till-0")
	looksUp(1, "till-7")
	if row, err := s.Get(t.Context(), "tills_v1", "till-0"); err != nil || string(row) != `{"sum":4,"events":4}` {
		t.Errorf("till-0 is %s, %v", row, err)
	}
}

// A row that an event begins is not looked up.
func TestABeginning(t *testing.T) {
	view := tills
	view.Handles = append(view.Handles, opened{}.EventType())
	view.Keys = func(e event.Event) []string { return []string{e.Stream} }
	view.Begins = func(e event.Event) bool { _, ok := e.Body.(opened); return ok }
	view.Fold = func(r takings, _ string, e event.Event) takings {
		if took, ok := e.Body.(took); ok {
			r.Sum += took.Amount
		}
		r.Events++
		return r
	}
	s := &shaky{Store: openStore(t)}
	r, err := projections.NewRunner(t.Context(), view.View(), s, registry, theLog)
	ok(t, err)
	b := new(book).write("till-a", opened{}).take("till-a", 1).take("till-b", 2).write("till-c", opened{})
	apply(t, r, b.page(0, 3), b.page(0, 4))
	if n := s.loaded.Load(); n != 1 {
		t.Errorf("%d rows were looked up, want that of till-b", n)
	}
	hold(t, s, map[string]int{"till-a": 1, "till-b": 2, "till-c": 0})
}

// moody is a row that cannot be encoded at first.
type moody struct {
	Sum int
}

var mood = errors.New("not today")

func (m moody) MarshalJSON() ([]byte, error) {
	if mood != nil {
		return nil, mood
	}
	return json.Marshal(m.Sum)
}

func (m *moody) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, &m.Sum) }

// What cannot be stored or read is no fault of an event: nothing is parked, and
// nothing is folded twice.
func TestRowsThatCannotBeStored(t *testing.T) {
	view := projections.Projection[moody]{Name: "moody", Version: 1, Handles: tills.Handles,
		Keys: func(event.Event) []string { return []string{all} },
		Fold: func(r moody, _ string, e event.Event) moody { r.Sum += e.Body.(took).Amount; return r }}
	s := openStore(t)
	r, err := projections.NewRunner(t.Context(), view.View(), s, registry, theLog)
	ok(t, err)
	b := new(book).take("till-a", 1)
	today := mood
	for range 3 {
		if err := r.Apply(t.Context(), b.whole()); !errors.Is(err, today) {
			t.Fatalf("got %v", err)
		}
	}
	mood = nil
	defer func() { mood = today }()
	apply(t, r, b.whole())
	if row, err := s.Get(t.Context(), r.Name(), all); err != nil || string(row) != "1" {
		t.Fatalf("stored %s, %v", row, err)
	}

	at := r.Checkpoint()
	ok(t, s.Commit(t.Context(), projections.Batch{Table: r.Name(), From: at, To: at, Rows: []projections.RowData{{Key: all, Data: []byte(`"many"`)}}}))
	r, err = projections.NewRunner(t.Context(), view.View(), s, registry, theLog)
	ok(t, err)
	if err := r.Apply(t.Context(), b.take("till-a", 2).whole()); err == nil {
		t.Fatal("an unreadable row was folded on")
	} else {
		contains(t, err.Error(), `stored row "all"`)
	}
	if parked, err := s.Parked(t.Context(), r.Name()); err != nil || len(parked) != 0 {
		t.Errorf("parked: %v, %v", parked, err)
	}
	if got := r.Checkpoint(); got != at {
		t.Errorf("the view moved to %+v", got)
	}
}

func TestWait(t *testing.T) {
	s := openStore(t)
	r := run(t, s)
	b := new(book).take("till-a", 1, 2)
	arrived := make(chan error, 1)
	go func() { arrived <- r.Wait(t.Context(), b.events[1].Position) }()
	apply(t, r, b.page(0, 1), b.page(1, 2))
	ok(t, <-arrived)
	ok(t, r.Wait(t.Context(), b.events[0].Position)) // passed

	ctx, giveUp := context.WithCancel(t.Context())
	giveUp()
	if err := r.Wait(ctx, event.At(1000)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestHandler(t *testing.T) {
	s := openStore(t)
	r := run(t, s)
	b := new(book).take("till-a", 1)
	pageOf := func(m *message.Message) (projections.Page, bool) {
		if len(m.Payload) == 0 {
			return projections.Page{}, false
		}
		return *b.whole(), true
	}
	handle := r.Handler(pageOf)
	ok(t, handle(message.NewMessage("1", message.Payload("a page"))))
	hold(t, s, map[string]int{"till-a": 1, all: 1})
	if err := handle(message.NewMessage("2", nil)); err == nil {
		t.Error("a message without a page was taken for one")
	} else {
		contains(t, err.Error(), "message 2 carries no page")
	}
}

// Many hand pages over at the same time.
func TestPagesAtTheSameTime(t *testing.T) {
	s := openStore(t)
	r := run(t, s)
	b := new(book)
	for range 40 {
		b.take("till-a", 1)
	}
	var all sync.WaitGroup
	for n := range 40 {
		all.Go(func() { _ = r.Apply(t.Context(), b.page(0, n+1)) })
	}
	all.Wait()
	apply(t, r, b.whole())
	hold(t, s, map[string]int{"till-a": 40, "all": 40})
	stands(t, r, b, 40)
}
