package projections

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"kicau/domain/event"
)

// MaxCachedRows bounds the rows a runner keeps in memory from page to page.
const MaxCachedRows = 8_000

// Page is a run of consecutive events of the log.
type Page struct {
	Events []event.Recorded
	// Last is the position of the last event considered, which may be beyond
	// the last of Events.
	Last event.Position

	decoded []decoded
}

type decoded struct {
	done  bool
	event event.Event
	err   error
}

// decode reads the i-th event, once however many views ask.
func (p *Page) decode(r *event.Registry, i int) (event.Event, error) {
	if p.decoded == nil {
		p.decoded = make([]decoded, len(p.Events))
	}
	d := &p.decoded[i]
	if !d.done {
		d.event, d.err = r.Decode(p.Events[i])
		d.done = true
	}
	return d.event, d.err
}

// ErrOtherLog: the rows were folded from another log than this one.
var ErrOtherLog = errors.New("the read model belongs to another log")

// Runner keeps one view up to date.
type Runner struct {
	view   View
	schema Schema
	store  Store
	events *event.Registry
	log    uuid.UUID

	mu      sync.Mutex // one page at a time
	rows    rows
	at      Checkpoint
	held    map[string]bool // streams with a parked event
	moved   chan struct{}   // closed and replaced whenever at moves
	movedMu sync.Mutex
}

// NewRunner prepares the view in the store and takes up where it stopped.
func NewRunner(ctx context.Context, v View, s Store, events *event.Registry, log uuid.UUID) (*Runner, error) {
	r := &Runner{view: v, schema: v.Schema(), store: s, events: events, log: log,
		rows: v.newRows(MaxCachedRows), moved: make(chan struct{})}
	return r, r.reload(ctx)
}

// reload takes the stored state of the view for the truth.
func (r *Runner) reload(ctx context.Context) error {
	r.rows.forget() // first: whatever fails below, they must not be folded on
	at, err := r.store.Prepare(ctx, r.schema)
	if err != nil {
		return fmt.Errorf("view %s: %w", r.schema.Table, err)
	}
	if at.Log != uuid.Nil && at.Log != r.log {
		return fmt.Errorf("view %s was folded from log %s, this is log %s: %w; use another data directory, or remove views.sqlite from this one: it is made again from the log",
			r.schema.Table, at.Log, r.log, ErrOtherLog)
	}
	parked, err := r.store.Parked(ctx, r.schema.Table)
	if err != nil {
		return fmt.Errorf("parked events of %s: %w", r.schema.Table, err)
	}
	r.held = map[string]bool{}
	for _, p := range parked {
		r.held[p.Stream] = true
	}
	r.move(at)
	return nil
}

func (r *Runner) move(at Checkpoint) {
	r.movedMu.Lock()
	defer r.movedMu.Unlock()
	r.at = at
	close(r.moved)
	r.moved = make(chan struct{})
}

// Name of the view's table.
func (r *Runner) Name() string { return r.schema.Table }

// Checkpoint is how far the view has come.
func (r *Runner) Checkpoint() Checkpoint {
	r.movedMu.Lock()
	defer r.movedMu.Unlock()
	return r.at
}

// Wait until the view has come to p, or the context ends.
func (r *Runner) Wait(ctx context.Context, p event.Position) error {
	for {
		r.movedMu.Lock()
		at, moved := r.at, r.moved
		r.movedMu.Unlock()
		if at.Position.Compare(p) >= 0 {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("view %s has come to %s, waiting for %s: %w", r.schema.Table, at.Position, p, ctx.Err())
		}
	}
}

// Handler is the runner as a Watermill handler. pageOf takes the page out of a
// message.
func (r *Runner) Handler(pageOf func(*message.Message) (Page, bool)) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		p, ok := pageOf(m)
		if !ok {
			return fmt.Errorf("view %s: message %s carries no page of events", r.schema.Table, m.UUID)
		}
		return r.Apply(m.Context(), &p)
	}
}

// Apply folds a page and commits rows and checkpoint together. Events at or
// before the checkpoint are skipped, so a page may be handed over again.
func (r *Runner) Apply(ctx context.Context, p *Page) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	batch, err := r.fold(ctx, p)
	if err != nil || batch == nil {
		return err
	}
	err = r.store.Commit(ctx, *batch)
	if err != nil {
		// The rows in memory are ahead of the store, or somebody else moved
		// the view: take the store's word for it before the page comes again.
		if again := r.reload(ctx); again != nil {
			return errors.Join(err, again)
		}
		return fmt.Errorf("view %s: %w", r.schema.Table, err)
	}
	r.committed(batch)
	return nil
}

func (r *Runner) committed(b *Batch) {
	r.rows.settle()
	for _, p := range b.Parked {
		r.held[p.Stream] = true
	}
	r.move(b.To)
}

// fold works a page into a batch, nil when nothing of it is new. An event that
// cannot be folded is parked: the page is folded again without it.
func (r *Runner) fold(ctx context.Context, p *Page) (*Batch, error) {
	at := r.Checkpoint()
	if p.Last.Compare(at.Position) <= 0 {
		return nil, nil
	}
	poison := map[int]string{}
	for {
		b := &Batch{Table: r.schema.Table, From: at, To: Checkpoint{Log: r.log, Position: p.Last, Events: at.Events}}
		bad, err := r.foldAll(ctx, p, at, poison, b)
		if err != nil {
			r.rows.forget()
			return nil, err
		}
		if bad == nil {
			if b.Rows, err = r.rows.changed(); err != nil {
				r.rows.forget()
				return nil, fmt.Errorf("view %s: %w", r.schema.Table, err)
			}
			return b, nil
		}
		poison[bad.index] = bad.reason
		r.rows.forget() // rows may be half folded
	}
}

type badEvent struct {
	index  int
	reason string
}

func (r *Runner) foldAll(ctx context.Context, p *Page, at Checkpoint, poison map[int]string, b *Batch) (*badEvent, error) {
	touched := make([]touch, 0, len(p.Events))
	var keys []string
	held := map[string]bool{}
	for i := range p.Events {
		rec := &p.Events[i]
		if rec.Position.Compare(at.Position) <= 0 {
			continue
		}
		b.To.Events++
		reason, bad := poison[i]
		known := r.events.Knows(rec.Type)
		switch {
		case bad:
		case known && !r.view.handles(rec.Type):
			continue
		case r.held[rec.Stream] || held[rec.Stream]:
			reason = "held: an earlier event of the stream is parked"
		case !known:
			reason = fmt.Sprintf("%v: type %q", event.ErrUnknownType, rec.Type)
		}
		if reason != "" {
			held[rec.Stream] = true
			b.Parked = append(b.Parked, Parked{r.schema.Table, rec.Position, rec.Stream, rec.ID, rec.Type, reason})
			continue
		}
		e, err := p.decode(r.events, i)
		if err != nil {
			return &badEvent{i, err.Error()}, nil
		}
		ks, failure := r.keysOf(e)
		if failure != "" {
			return &badEvent{i, failure}, nil
		}
		if len(ks) == 0 {
			continue
		}
		touched = append(touched, touch{i, e, ks})
		if !r.view.begins(e) {
			keys = append(keys, ks...)
			continue
		}
		for _, k := range ks {
			r.rows.blank(k)
		}
	}
	if err := r.load(ctx, keys); err != nil {
		return nil, err
	}
	for _, t := range touched {
		if failure := r.foldOne(t); failure != "" {
			return &badEvent{t.index, failure}, nil
		}
	}
	return nil, nil
}

type touch struct {
	index int
	event event.Event
	keys  []string
}

func (r *Runner) load(ctx context.Context, keys []string) error {
	missing := r.rows.missing(keys)
	if len(missing) == 0 {
		return nil
	}
	found, err := r.store.Load(ctx, r.schema.Table, missing)
	if err != nil {
		return fmt.Errorf("load rows of %s: %w", r.schema.Table, err)
	}
	byKey := make(map[string][]byte, len(found))
	for _, row := range found {
		byKey[row.Key] = row.Data
	}
	for _, k := range missing {
		if err := r.rows.put(k, byKey[k]); err != nil {
			return fmt.Errorf("view %s: %w", r.schema.Table, err)
		}
	}
	return nil
}

// keysOf and foldOne turn a panic of a view into the reason to park the event:
// a fold that meets what it cannot fold has no other way to say so.
func (r *Runner) keysOf(e event.Event) (keys []string, failure string) {
	defer func() {
		if p := recover(); p != nil {
			failure = fmt.Sprintf("keys: %v", p)
		}
	}()
	return r.view.keys(e), ""
}

func (r *Runner) foldOne(t touch) (failure string) {
	defer func() {
		if p := recover(); p != nil {
			failure = fmt.Sprintf("fold: %v", p)
		}
	}()
	for _, k := range t.keys {
		r.rows.fold(k, t.event)
	}
	return ""
}
