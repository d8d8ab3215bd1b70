// Package projections turns the log into read models.
//
// A view is a [Projection]: a pure fold over rows. Keys says which rows an
// event touches, Fold what they become; neither reads a clock, a database or
// another view. Everything else is here, once: decoding, loading and saving the
// rows of a page of events, the checkpoint, parking, rebuilding, comparing.
//
// Laws:
//   - a view's rows equal the fold of the log up to its checkpoint, byte for
//     byte, however often it was stopped, killed or rebuilt;
//   - rows and checkpoint are committed together (see [Store]);
//   - an event that cannot be folded is parked with its reason and its stream
//     is held; it is never skipped in silence;
//   - a view has no effects: replaying it touches nothing but its own rows.
package projections

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	jsonv2 "github.com/go-json-experiment/json"

	"kicau/domain/event"
)

// Projection defines a view. Row is a struct; its JSON is what is stored, so
// its exported fields are the view's schema and their order never varies.
type Projection[Row any] struct {
	Name string
	// Version grows whenever the same log would give other rows; the new
	// version is another table, built beside the old one.
	Version int
	// Handles are the event types that may touch a row; others are not decoded.
	Handles []string
	// Keys are the rows that an event touches. No key: none.
	Keys func(e event.Event) []string
	// Fold is what the row becomes. An absent row is the zero Row. It may reuse
	// what row holds.
	Fold func(row Row, key string, e event.Event) Row
	// Begins says that the event is the first that touches its rows, so that
	// they need not be looked up. Nil: none is known to be.
	Begins func(e event.Event) bool
	// Indexes are the top-level JSON fields that queries filter and sort by, one
	// list an index.
	Indexes [][]string
}

// View is a Projection whatever its rows; only this package implements it.
type View interface {
	Schema() Schema
	handles(eventType string) bool
	keys(e event.Event) []string
	begins(e event.Event) bool
	newRows(cached int) rows
}

// Schema is what a store must know of a view.
type Schema struct {
	Table   string // "timeline_v1"; letters, digits and underscores
	Indexes [][]string
}

// Table is where a store keeps the rows: "timeline_v1".
func (p Projection[Row]) Table() string { return p.Name + "_v" + strconv.Itoa(p.Version) }

// View of the projection.
func (p Projection[Row]) View() View {
	handled := make(map[string]bool, len(p.Handles))
	for _, t := range p.Handles {
		handled[t] = true
	}
	return &view[Row]{p, handled}
}

type view[Row any] struct {
	p       Projection[Row]
	handled map[string]bool
}

func (v *view[Row]) Schema() Schema {
	return Schema{Table: v.p.Table(), Indexes: v.p.Indexes}
}
func (v *view[Row]) handles(t string) bool       { return v.handled[t] }
func (v *view[Row]) keys(e event.Event) []string { return v.p.Keys(e) }
func (v *view[Row]) begins(e event.Event) bool {
	return v.p.Begins != nil && v.p.Begins(e)
}
func (v *view[Row]) newRows(cached int) rows {
	return &typedRows[Row]{foldRow: v.p.Fold, bound: cached, byKey: map[string]*cachedRow[Row]{}}
}

// rows are the rows of a view that are in memory: those of the page at work
// and, up to a bound, those of the pages before it.
type rows interface {
	// missing picks the keys whose rows must be loaded first.
	missing(keys []string) []string
	// put takes what the store had for a key; nil when it had nothing.
	put(key string, data []byte) error
	// blank puts an empty row unless there is one in memory.
	blank(key string)
	fold(key string, e event.Event)
	// changed encodes the rows folded since the last call of settle, by key.
	changed() ([]RowData, error)
	// settle says the changed rows are stored.
	settle()
	// forget drops everything: after a failure rows may be half folded.
	forget()
}

type cachedRow[Row any] struct {
	row     Row
	changed bool
}

type typedRows[Row any] struct {
	foldRow func(Row, string, event.Event) Row
	bound   int // rows kept from page to page
	byKey   map[string]*cachedRow[Row]
	dirty   []string // keys of changed rows
}

func (r *typedRows[Row]) missing(keys []string) []string {
	var m []string
	for _, k := range keys {
		if _, ok := r.byKey[k]; !ok {
			m = append(m, k)
		}
	}
	slices.Sort(m)
	return slices.Compact(m)
}

func (r *typedRows[Row]) put(key string, data []byte) error {
	c := &cachedRow[Row]{}
	if data != nil {
		if err := jsonv2.Unmarshal(data, &c.row); err != nil {
			return fmt.Errorf("stored row %q: %w", key, err)
		}
	}
	r.byKey[key] = c
	return nil
}

func (r *typedRows[Row]) blank(key string) {
	if _, ok := r.byKey[key]; !ok {
		r.byKey[key] = &cachedRow[Row]{}
	}
}

func (r *typedRows[Row]) fold(key string, e event.Event) {
	c := r.byKey[key]
	c.row = r.foldRow(c.row, key, e)
	if !c.changed {
		c.changed = true
		r.dirty = append(r.dirty, key)
	}
}

func (r *typedRows[Row]) changed() ([]RowData, error) {
	slices.Sort(r.dirty)
	out := make([]RowData, 0, len(r.dirty))
	for _, k := range r.dirty {
		data, err := json.Marshal(r.byKey[k].row)
		if err != nil {
			return nil, fmt.Errorf("encode row %q: %w", k, err)
		}
		out = append(out, RowData{Key: k, Data: data})
	}
	return out, nil
}

func (r *typedRows[Row]) settle() {
	for _, k := range r.dirty {
		r.byKey[k].changed = false
	}
	r.dirty = r.dirty[:0]
	if len(r.byKey) > r.bound {
		clear(r.byKey)
	}
}

func (r *typedRows[Row]) forget() {
	clear(r.byKey)
	r.dirty = r.dirty[:0]
}
