package projections_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/sqlstore"
	"kicau/domain/event"
	"kicau/projections"
)

// The runner is tested with a small business of its own: tills that take money,
// one stream a till, and a view of what each of them and all of them took.

type (
	took struct {
		Amount int `json:"amount"` // less than nothing cannot be folded
	}
	// opened is the first event of a till.
	opened struct{}
	// cleaned is of no interest to the view.
	cleaned struct{}
)

func (took) EventType() string    { return "TillTook" }
func (opened) EventType() string  { return "TillOpened" }
func (cleaned) EventType() string { return "TillCleaned" }

var registry = event.NewRegistry([]event.Type{event.Of[took](), event.Of[opened](), event.Of[cleaned]()})

type takings struct {
	Sum    int `json:"sum"`
	Events int `json:"events"`
}

// all is the key of the row of all tills together.
const all = "all"

var tills = projections.Projection[takings]{
	Name:    "tills",
	Version: 1,
	Handles: []string{took{}.EventType()},
	Keys: func(e event.Event) []string {
		if e.Stream == "till-nowhere" {
			panic("a till that stands nowhere")
		}
		return []string{e.Stream, all}
	},
	Fold: func(r takings, key string, e event.Event) takings {
		amount := e.Body.(took).Amount
		if amount < 0 && key == all { // after the till's own row was folded
			panic("a till that pays out")
		}
		r.Sum += amount
		r.Events++
		return r
	},
}

// book writes a log, event by event.
type book struct {
	events    []event.Recorded
	revisions map[string]uint64
}

func (b *book) write(stream string, d event.Data) *book {
	p, err := registry.Encode(event.Meta{Command: uuid.New()}, 0, d)
	if err != nil {
		panic(err)
	}
	return b.writeRaw(stream, p.Type, p.Data, p.Metadata)
}

func (b *book) writeRaw(stream, eventType string, data, metadata []byte) *book {
	if b.revisions == nil {
		b.revisions = map[string]uint64{}
	}
	// Positions have gaps, as they may.
	at := event.At(uint64(len(b.events)+1) * 10)
	b.events = append(b.events, event.Recorded{ID: uuid.New(), Type: eventType, Stream: stream, Revision: b.revisions[stream],
		Position: at, Data: data, Metadata: metadata})
	b.revisions[stream]++
	return b
}

// take has a till take money, some times.
func (b *book) take(stream string, amounts ...int) *book {
	for _, a := range amounts {
		b.write(stream, took{a})
	}
	return b
}

// page is the events from one index to another.
func (b *book) page(from, to int) *projections.Page {
	return &projections.Page{Events: slices.Clone(b.events[from:to]), Last: b.events[to-1].Position}
}

func (b *book) whole() *projections.Page { return b.page(0, len(b.events)) }

var theLog = uuid.MustParse("2a0e9a7c-8a51-4a2e-9e58-0c6a5b0f2f11")

func openStore(t *testing.T) projections.Store {
	t.Helper()
	s, err := sqlstore.Open(t.Context(), sqlstore.Options{Path: filepath.Join(t.TempDir(), "views.db")})
	ok(t, err)
	t.Cleanup(func() { ok(t, s.Close()) })
	return s
}

func run(t *testing.T, s projections.Store) *projections.Runner {
	t.Helper()
	r, err := projections.NewRunner(t.Context(), tills.View(), s, registry, theLog)
	ok(t, err)
	return r
}

func apply(t *testing.T, r *projections.Runner, pages ...*projections.Page) {
	t.Helper()
	for _, p := range pages {
		ok(t, r.Apply(t.Context(), p))
	}
}

// hold checks the rows: the sums by key.
func hold(t *testing.T, s projections.Store, want map[string]int) {
	t.Helper()
	got := map[string]int{}
	for row, err := range s.Dump(t.Context(), tills.Table()) {
		ok(t, err)
		var r takings
		ok(t, json.Unmarshal(row.Data, &r))
		got[row.Key] = r.Sum
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("the rows are %v, want %v", got, want)
	}
}

// stands checks how far a view has come.
func stands(t *testing.T, r *projections.Runner, b *book, events int) {
	t.Helper()
	want := projections.Checkpoint{}
	if events > 0 {
		want = projections.Checkpoint{Log: theLog, Position: b.events[events-1].Position, Events: uint64(events)}
	}
	if got := r.Checkpoint(); got != want {
		t.Fatalf("the view stands at %+v, want %+v", got, want)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// shaky is a store that fails when told to, and counts what is asked of it.
type shaky struct {
	projections.Store
	before, after error // of the next commit, done or not
	away          error // of everything but commits, until it is back
	loaded        atomic.Int64
}

var errStore = errors.New("the store is away")

func (s *shaky) Commit(ctx context.Context, batches ...projections.Batch) error {
	before, after := s.before, s.after
	s.before, s.after = nil, nil
	if before != nil {
		return before
	}
	if err := s.Store.Commit(ctx, batches...); err != nil {
		return err
	}
	return after
}

func (s *shaky) Prepare(ctx context.Context, schema projections.Schema) (projections.Checkpoint, error) {
	if s.away != nil {
		return projections.Checkpoint{}, s.away
	}
	return s.Store.Prepare(ctx, schema)
}

func (s *shaky) Load(ctx context.Context, table string, keys []string) ([]projections.RowData, error) {
	s.loaded.Add(int64(len(keys)))
	if s.away != nil {
		return nil, s.away
	}
	return s.Store.Load(ctx, table, keys)
}

func contains(t *testing.T, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%q does not say %q", text, want)
	}
}
