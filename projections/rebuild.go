package projections

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/google/uuid"

	"kicau/domain/event"
)

// RebuildPage is how many events a rebuild folds and commits together.
const RebuildPage = 2048

// Rename is v under another table name: a second copy of the same fold.
func Rename(v View, table string) View { return renamed{v, table} }

type renamed struct {
	View
	table string
}

func (r renamed) Schema() Schema {
	s := r.View.Schema()
	s.Table = r.table
	return s
}

// Rebuild folds events, which must begin at the start of the log, into fresh
// tables of the views, and reports progress after every page. Nothing but the
// views' own tables is touched. The views are folded from the same pages, each
// event decoded once, and committed in one transaction a page; the next page is
// read and decoded meanwhile.
func Rebuild(ctx context.Context, store Store, registry *event.Registry, log uuid.UUID, events iter.Seq2[event.Recorded, error], views []View, progress func(events uint64)) error {
	runners := make([]*Runner, len(views))
	for i, v := range views {
		if err := store.Drop(ctx, v.Schema().Table); err != nil {
			return err
		}
		r, err := NewRunner(ctx, v, store, registry, log)
		if err != nil {
			return err
		}
		runners[i] = r
	}
	ctx, stop := context.WithCancel(ctx)
	pages := make(chan pageOrError, 1)
	defer func() {
		stop()
		for range pages { // until the log is not read any more
		}
	}()
	go func() {
		defer close(pages)
		readPages(ctx, registry, events, views, pages)
	}()
	for p := range pages {
		if p.err != nil {
			return fmt.Errorf("read the log: %w", p.err)
		}
		if err := applyAll(ctx, store, runners, p.page); err != nil {
			return err
		}
		progress(runners[0].Checkpoint().Events)
	}
	return ctx.Err()
}

type pageOrError struct {
	page *Page
	err  error
}

// readPages cuts events into pages and decodes what the views handle.
func readPages(ctx context.Context, registry *event.Registry, events iter.Seq2[event.Recorded, error], views []View, to chan<- pageOrError) {
	page := &Page{}
	send := func(err error) bool {
		for i, rec := range page.Events {
			if slices.ContainsFunc(views, func(v View) bool { return v.handles(rec.Type) }) {
				_, _ = page.decode(registry, i) // an error is the runner's to deal with
			}
			page.Last = rec.Position
		}
		select {
		case to <- pageOrError{page, err}:
			page = &Page{}
			return true
		case <-ctx.Done():
			return false
		}
	}
	for rec, err := range events {
		if err != nil {
			send(err)
			return
		}
		if page.Events = append(page.Events, rec); len(page.Events) == RebuildPage && !send(nil) {
			return
		}
	}
	if len(page.Events) > 0 {
		send(nil)
	}
}

func applyAll(ctx context.Context, store Store, runners []*Runner, page *Page) error {
	batches := make([]Batch, 0, len(runners))
	for _, r := range runners {
		b, err := r.fold(ctx, page)
		if err != nil {
			return err
		}
		batches = append(batches, *b)
	}
	if err := store.Commit(ctx, batches...); err != nil {
		return err
	}
	for i, r := range runners {
		r.committed(&batches[i])
	}
	return nil
}

// Difference is a row that two tables do not agree on.
type Difference struct {
	Key  string
	A, B []byte // nil: not there
}

// MaxDifferences bounds what Compare reports.
const MaxDifferences = 20

// Compare table a of one store with table b of another, byte by byte: how many
// rows a has, and where they differ, at most [MaxDifferences].
func Compare(ctx context.Context, storeA Store, a string, storeB Store, b string) (rows int, diffs []Difference, err error) {
	nextB, stop := iter.Pull2(storeB.Dump(ctx, b))
	defer stop()
	rowB, errB, okB := nextB()
	differ := func(d Difference) bool {
		diffs = append(diffs, d)
		return len(diffs) < MaxDifferences
	}
	for rowA, err := range storeA.Dump(ctx, a) {
		if err != nil {
			return rows, diffs, err
		}
		rows++
		for okB && errB == nil && rowB.Key < rowA.Key {
			if !differ(Difference{Key: rowB.Key, B: rowB.Data}) {
				return rows, diffs, nil
			}
			rowB, errB, okB = nextB()
		}
		if errB != nil {
			return rows, diffs, errB
		}
		switch {
		case !okB || rowB.Key != rowA.Key:
			if !differ(Difference{Key: rowA.Key, A: rowA.Data}) {
				return rows, diffs, nil
			}
		default:
			if !bytes.Equal(rowA.Data, rowB.Data) && !differ(Difference{rowA.Key, rowA.Data, rowB.Data}) {
				return rows, diffs, nil
			}
			rowB, errB, okB = nextB()
		}
	}
	for okB && errB == nil && differ(Difference{Key: rowB.Key, B: rowB.Data}) {
		rowB, errB, okB = nextB()
	}
	return rows, diffs, errB
}
