package react

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/order"
	"kicau/projections"
	"kicau/projections/deadline"
)

// Bounds of deadlines.
const (
	// LookEvery is the pause between two looks at what is due.
	LookEvery = time.Second
	// MaxDue bounds the deadlines that fire at a look, MaxLooked those that a
	// look considers, fired lately or not. The next look goes on from there.
	MaxDue    = 500
	MaxLooked = 10_000
	// MaxRemembered bounds the deadlines whose pauses are remembered, at some
	// 150 bytes each. One beyond it has no pause: it fires whenever a look comes
	// by, which is too often and does no harm; not firing would.
	MaxRemembered = 100_000
	// AgainFirst and AgainMost bound the pause before an order whose deadline
	// did not move is looked after again.
	AgainFirst = 30 * time.Second
	AgainMost  = time.Hour
)

// Deadlines fires what is due: it asks the order's decider whether the deadline
// still matters and has the saga do the rest. Start it, wait for nothing, Close
// it.
type Deadlines struct {
	saga  *Saga
	store projections.Store

	stop context.CancelFunc
	done chan struct{}

	again map[string]pause // of what is due, by order and due time

	// A round goes once through all that is due when it begins, in as many looks
	// as that takes.
	round int
	until time.Time // what is due later is for the next round
	after string    // where the round goes on; empty: a new one begins
}

type pause struct {
	until time.Time
	wait  time.Duration
	round int // that last came by
}

// NewDeadlines of a saga, read from the deadline view in store.
func NewDeadlines(s *Saga, store projections.Store) *Deadlines {
	return &Deadlines{saga: s, store: store, again: map[string]pause{}}
}

// Start looking.
func (d *Deadlines) Start() {
	ctx, stop := context.WithCancel(context.Background())
	d.stop, d.done = stop, make(chan struct{})
	go func() {
		defer close(d.done)
		tick := time.NewTicker(LookEvery)
		defer tick.Stop()
		for {
			if _, err := d.Look(ctx); err != nil && ctx.Err() == nil {
				d.saga.logger.Error("deadlines could not be looked after; trying again", "error", err, "in", LookEvery)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

// Close stops looking and waits for what is being done.
func (d *Deadlines) Close() {
	if d.stop != nil {
		d.stop()
		<-d.done
	}
}

// Look fires what is due now and says how many deadlines that were.
func (d *Deadlines) Look(ctx context.Context) (fired int, err error) {
	rows, err := d.Ready(ctx, d.saga.now())
	if err != nil {
		err = fmt.Errorf("read what is due: %w", err) // what was read before fires
	}
	var wg sync.WaitGroup
	slots := make(chan struct{}, AtOnce)
	for _, r := range rows {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if err := d.Fire(ctx, r); err != nil && ctx.Err() == nil {
				d.saga.logger.Error("a deadline failed; it fires again", "order", r.Order, "kind", r.Kind, "error", err)
			}
		})
	}
	wg.Wait()
	return len(rows), err
}

// Ready is what is due, the longest first, and whose time has come again: a
// deadline whose order does not move must not fire every second. Such ones may
// be many, the calls of another account on the same log among them, so a look
// goes on where the one before stopped: everything due has its turn.
func (d *Deadlines) Ready(ctx context.Context, now time.Time) (ready []deadline.Row, err error) {
	if d.after == "" {
		d.round, d.until = d.round+1, now
	}
	query := projections.Query{
		Where: []projections.Cond{
			{Field: "due", Op: projections.Gt, Value: ""},
			{Field: "due", Op: projections.Le, Value: projections.Time(d.until)},
		},
		OrderBy: "due",
		Limit:   min(MaxDue, projections.MaxQueryLimit), // the first page can always fire
	}
	for looked := 0; looked < MaxLooked; {
		query.After = d.after
		rows, next, err := projections.Rows(ctx, d.store, deadline.Projection, query)
		if err != nil {
			d.after = "" // in case it is this place that cannot be read
			return ready, err
		}
		fires := slices.DeleteFunc(slices.Clone(rows), func(r deadline.Row) bool { return now.Before(d.again[keyOf(r)].until) })
		if len(ready)+len(fires) > MaxDue {
			break // the next look begins with this page
		}
		ready = append(ready, fires...)
		for _, r := range rows {
			d.remember(keyOf(r), now)
		}
		looked += len(rows)
		if d.after = next; next == "" {
			// What the round did not come by is not due any more, and forgotten.
			maps.DeleteFunc(d.again, func(_ string, p pause) bool { return p.round != d.round })
			break
		}
	}
	return ready, nil
}

func keyOf(r deadline.Row) string { return r.Order + r.Due }

// remember that the round came by a deadline, and the pause after it fired.
func (d *Deadlines) remember(key string, now time.Time) {
	p, known := d.again[key]
	if !known && len(d.again) >= MaxRemembered {
		return
	}
	if !now.Before(p.until) {
		p.wait = min(max(2*p.wait, AgainFirst), AgainMost)
		p.until = now.Add(p.wait)
	}
	p.round = d.round
	d.again[key] = p
}

// Fire asks whether what a row waits for still matters, and does it, within
// StepTimeout: one that hangs would hold up all others.
func (d *Deadlines) Fire(ctx context.Context, r deadline.Row) error {
	ctx, stop := context.WithTimeout(ctx, StepTimeout)
	defer stop()
	id, err := uuid.Parse(r.Order)
	if err != nil {
		return fmt.Errorf("deadline of order %q: %w", r.Order, err)
	}
	s := d.saga
	by := command.By{Command: s.newID(), Actor: "deadline", At: s.now()}
	if _, err := s.commands.Order(ctx, by, id, order.Expire{At: s.now()}); err != nil {
		return err
	}
	if err := s.commands.Abandon(ctx, by, id, r.Offers); err != nil {
		return err
	}
	return s.Step(ctx, id, by.Command)
}
