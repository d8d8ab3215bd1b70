package projections

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"kicau/domain/event"
)

// RowData is a row as stored.
type RowData struct {
	Key  string
	Data []byte // JSON
}

// Checkpoint says how far a view has come.
type Checkpoint struct {
	// Log is the id of the log that the rows were folded from; zero before the
	// first commit. Rows of one log are never continued with another.
	Log      uuid.UUID
	Position event.Position
	// Events counts the events considered so far, for progress and lag.
	Events uint64
}

// Parked is an event that a view could not fold, or that came after one in the
// same stream.
type Parked struct {
	Table    string         `json:"table"`
	Position event.Position `json:"-"`
	Stream   string         `json:"stream"`
	EventID  uuid.UUID      `json:"eventId"`
	Type     string         `json:"type"`
	Reason   string         `json:"reason"`
}

// Batch is one step of a view: all of it is committed or nothing.
type Batch struct {
	Table string
	// From is the checkpoint that the step was folded on. If the stored one
	// differs, somebody else moved it: nothing is written, ErrFenced.
	From, To Checkpoint
	Rows     []RowData // by key, each key once
	Parked   []Parked
}

// ErrFenced: the view's checkpoint is not where this writer left it. Another
// process is projecting the same view, or the store was replaced.
var ErrFenced = errors.New("the view was moved on by another writer")

// Store keeps rows, checkpoints and parked events. Methods may be called from
// many goroutines; writers wait for each other.
type Store interface {
	// Prepare creates what a view needs if it is not there yet and returns its
	// checkpoint (zero for a new view).
	Prepare(ctx context.Context, s Schema) (Checkpoint, error)
	// Load gives the rows of the keys that exist.
	Load(ctx context.Context, table string, keys []string) ([]RowData, error)
	// Commit writes batches in one transaction, durable when it returns.
	Commit(ctx context.Context, batches ...Batch) error
	// Checkpoint of a view; zero when the view is unknown.
	Checkpoint(ctx context.Context, table string) (Checkpoint, error)
	// Get one row; nil data when there is none.
	Get(ctx context.Context, table, key string) ([]byte, error)
	// Query rows by indexed fields.
	Query(ctx context.Context, table string, q Query) (Result, error)
	// Dump yields all rows in key order.
	Dump(ctx context.Context, table string) iter.Seq2[RowData, error]
	// Parked lists parked events of a table in log order.
	Parked(ctx context.Context, table string) ([]Parked, error)
	// Drop removes a view, checkpoint and parked events included.
	Drop(ctx context.Context, table string) error
	// Promote puts the view built in table from into the place of table to, in
	// one step, and removes from.
	Promote(ctx context.Context, from, to string) error
}

// Query asks for rows. Field names are top-level JSON fields of the rows, all
// of them among the view's Indexes.
type Query struct {
	Where []Cond
	// OrderBy is a field; rows that agree in it come in key order. Empty: key
	// order.
	OrderBy string
	Desc    bool // turns the whole order round
	// After is the Next of the result before; empty for the first page.
	After string
	Limit int // rows, at most [MaxQueryLimit]; 0 means DefaultQueryLimit
}

// ErrCursor is a Query.After that no result of the same query gave.
var ErrCursor = errors.New("After is not the Next of a result: begin at the first page")

// Bounds of a query.
const (
	DefaultQueryLimit = 50
	MaxQueryLimit     = 1000
)

// Cond compares a field with a value: a string, an int64 or a bool (stored as
// JSON true/false).
type Cond struct {
	Field string
	Op    Op
	Value any
}

// Op compares.
type Op string

// Comparisons.
const (
	Eq Op = "="
	Ne Op = "<>"
	Lt Op = "<"
	Le Op = "<="
	Gt Op = ">"
	Ge Op = ">="
)

// Result of a query.
type Result struct {
	Rows []RowData
	Next string // for Query.After; empty when there is no more
}

// Rows runs a query of a view and decodes what it finds.
func Rows[Row any](ctx context.Context, s Store, p Projection[Row], q Query) ([]Row, string, error) {
	res, err := s.Query(ctx, p.Table(), q)
	if err != nil {
		return nil, "", err
	}
	out := make([]Row, len(res.Rows))
	for i, r := range res.Rows {
		if err := json.Unmarshal(r.Data, &out[i]); err != nil {
			return nil, "", fmt.Errorf("row %q of %s: %w", r.Key, p.Name, err)
		}
	}
	return out, res.Next, nil
}

// Get one row of a view; false when there is none.
func Get[Row any](ctx context.Context, s Store, p Projection[Row], key string) (Row, bool, error) {
	var row Row
	data, err := s.Get(ctx, p.Table(), key)
	if err != nil || data == nil {
		return row, false, err
	}
	if err := json.Unmarshal(data, &row); err != nil {
		return row, false, fmt.Errorf("row %q of %s: %w", key, p.Name, err)
	}
	return row, true, nil
}
