// Package react is where Kicau acts on what the log says: it performs the calls
// that the payment process manager asks for and records what came of them.
//
// Its laws:
//   - an effect is performed only for an intention that is in the log, and what
//     came of it is recorded before anything else is done about the order;
//   - an intention is performed by the process that has the account named in
//     it, so two sagas on one log do not charge twice;
//   - whatever is delivered twice happens once: a step looks at the order's
//     stream, never at the message;
//   - a replay cannot come here: projections are another kind of handler.
package react

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
	"kicau/projections"
)

// Bounds of a saga.
const (
	// AtOnce bounds the orders of a page that are worked on together.
	AtOnce = 32
	// MaxSteps bounds the calls made for an order in one go. The longest run
	// of them, capture then refund then settle, has three.
	MaxSteps = 8
	// MaxTries bounds how often an order is stepped before its page is given
	// back, to come again after a pause.
	MaxTries = 5
	// FirstRetry is the wait before the second try; it doubles from then on.
	FirstRetry = 50 * time.Millisecond
)

// Table is the name under which a saga keeps its checkpoint and parked events.
const Table = "saga"

// Saga drives the payment of orders.
type Saga struct {
	commands *command.Commands
	payments command.Payments
	store    projections.Store
	log      uuid.UUID // the log's identity
	now      func() time.Time
	newID    func() uuid.UUID
	logger   *slog.Logger

	mu   sync.Mutex
	busy map[uuid.UUID]*turn // orders that are being stepped
	at   projections.Checkpoint
}

// turn lets one goroutine at a time step an order: whoever could put something
// into taken.
type turn struct {
	taken chan struct{}
	users int
}

// Options of a saga.
type Options struct {
	Commands *command.Commands
	Payments command.Payments
	Store    projections.Store // of its checkpoint
	LogID    uuid.UUID
	Now      func() time.Time
	NewID    func() uuid.UUID
	Logger   *slog.Logger
}

// New takes up where the saga stopped.
func New(ctx context.Context, o Options) (*Saga, error) {
	s := &Saga{commands: o.Commands, payments: o.Payments, store: o.Store, log: o.LogID, now: o.Now, newID: o.NewID,
		logger: o.Logger, busy: map[uuid.UUID]*turn{}}
	return s, s.reload(ctx)
}

func (s *Saga) reload(ctx context.Context) error {
	at, err := s.store.Prepare(ctx, projections.Schema{Table: Table})
	if err != nil {
		return fmt.Errorf("checkpoint of the saga: %w", err)
	}
	if at.Log != uuid.Nil && at.Log != s.log {
		return fmt.Errorf("the saga's checkpoint is of log %s, this is log %s: %w; use another data directory, or remove views.sqlite from this one: it is made again from the log", at.Log, s.log, projections.ErrOtherLog)
	}
	s.mu.Lock()
	s.at = at
	s.mu.Unlock()
	return nil
}

// Checkpoint is the place up to which every order was looked after.
func (s *Saga) Checkpoint() projections.Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

// Handler is the saga as a Watermill handler of pages of events of orders.
func (s *Saga) Handler(pageOf func(*message.Message) (projections.Page, bool)) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		p, ok := pageOf(m)
		if !ok {
			return fmt.Errorf("saga: message %s carries no page of events", m.UUID)
		}
		return s.Apply(m.Context(), p)
	}
}

// Apply steps the orders of a page and moves the checkpoint. Killed in between,
// the page comes again, and the orders that had been stepped are at rest.
func (s *Saga) Apply(ctx context.Context, p projections.Page) error {
	from := s.Checkpoint()
	if p.Last.Compare(from.Position) <= 0 {
		return nil
	}
	events := p.Events
	for len(events) > 0 && events[0].Position.Compare(from.Position) <= 0 {
		events = events[1:] // looked after before: pages may overlap
	}
	var newest = map[uuid.UUID]event.Recorded{}
	for _, rec := range events {
		id, err := uuid.Parse(strings.TrimPrefix(rec.Stream, order.Category+"-"))
		if err == nil && strings.HasPrefix(rec.Stream, order.Category+"-") {
			newest[id] = rec
		}
	}
	var parked []projections.Parked
	var mu sync.Mutex
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(AtOnce)
	for id, rec := range newest {
		g.Go(func() error {
			err := s.try(gctx, id, rec.ID)
			if err != nil && !forGood(err) {
				return fmt.Errorf("order %s: %w", id, err) // the page comes again
			}
			if err != nil {
				s.logger.Error("an order could not be looked after; its event is parked", "order", id, "event", rec.ID, "error", err)
				mu.Lock()
				parked = append(parked, projections.Parked{Table: Table, Position: rec.Position, Stream: rec.Stream, EventID: rec.ID, Type: rec.Type, Reason: err.Error()})
				mu.Unlock()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	to := projections.Checkpoint{Log: s.log, Position: p.Last, Events: from.Events + uint64(len(events))}
	if err := s.store.Commit(ctx, projections.Batch{Table: Table, From: from, To: to, Parked: parked}); err != nil {
		return errors.Join(fmt.Errorf("checkpoint of the saga: %w", err), s.reload(ctx))
	}
	s.mu.Lock()
	s.at = to
	s.mu.Unlock()
	return nil
}

// forGood tells whether trying again is of no use: the order's stream has an
// event that cannot be read, or the business forbids what is to be done. A log
// or a processor that cannot be reached comes back, and the page waits for it.
func forGood(err error) bool {
	return errors.Is(err, event.ErrUnknownType) || refusal.From(err) != nil
}

func (s *Saga) try(ctx context.Context, id, cause uuid.UUID) error {
	wait := FirstRetry
	for n := 1; ; n++ {
		err := s.Step(ctx, id, cause)
		if err == nil || n == MaxTries || forGood(err) || ctx.Err() != nil {
			return err
		}
		select {
		case <-time.After(wait):
			wait *= 2
		case <-ctx.Done():
		}
	}
}

// Step does whatever is to be done about an order now, until it is at rest:
// stock is settled, the next intention recorded, performed, its outcome
// recorded, and so on. cause is the event or command behind it.
func (s *Saga) Step(ctx context.Context, id, cause uuid.UUID) error {
	release, err := s.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	account, err := s.payments.Account(ctx)
	if err != nil {
		return fmt.Errorf("account at the processor: %w", err)
	}
	if err := s.commands.SettleStock(ctx, s.by(cause), id); err != nil {
		return err
	}
	_, effect, open, err := s.commands.Money(ctx, s.by(cause), id, payment.Advance{At: s.now(), Account: account})
	if err != nil {
		return ignoreMissing(err)
	}
	for n := 0; open && effect.Account == account && n < MaxSteps; n++ {
		if effect.Tries > 0 && s.now().Before(effect.RetryAt) {
			return nil // a deadline comes back to it
		}
		outcome := s.payments.Perform(ctx, effect)
		if u, unknown := outcome.(payment.Unknown); unknown {
			s.logger.Warn("the outcome of a call is unknown; it will be looked up", "order", id, "step", effect.Step, "key", effect.Key, "reason", u.Reason)
		}
		record := payment.Record{At: s.now(), Account: account, Key: effect.Key, Outcome: outcome}
		// The call was made: its outcome is recorded even if we are asked to stop.
		_, effect, open, err = s.commands.Money(context.WithoutCancel(ctx), s.by(cause), id, record)
		if err != nil {
			return err
		}
	}
	return s.commands.SettleStock(ctx, s.by(cause), id)
}

// An abandoned order has no money to look after.
func ignoreMissing(err error) error {
	if errors.Is(err, order.ErrNotPlaced) {
		return nil
	}
	return err
}

func (s *Saga) by(cause uuid.UUID) command.By {
	return command.By{Command: s.newID(), Actor: "saga", At: s.now(), Cause: cause}
}

// take waits for the order's turn, or until the context ends; call what it
// returns when done.
func (s *Saga) take(ctx context.Context, id uuid.UUID) (release func(), err error) {
	s.mu.Lock()
	t, ok := s.busy[id]
	if !ok {
		t = &turn{taken: make(chan struct{}, 1)}
		s.busy[id] = t
	}
	t.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.busy, id)
		}
	}
	select {
	case t.taken <- struct{}{}:
		return func() { <-t.taken; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// ErrNotOurs: the payment intent was not made for an order of this log.
var ErrNotOurs = errors.New("the payment intent belongs to no order of ours")

// Notice that something happened to a payment intent at the processor: a signal
// to read it again, whatever the message said. When it returns nil, what was
// read is in the log.
func (s *Saga) Notice(ctx context.Context, intent string, cause uuid.UUID) error {
	account, err := s.payments.Account(ctx)
	if err != nil {
		return fmt.Errorf("account at the processor: %w", err)
	}
	id, outcome := s.payments.Read(ctx, intent)
	if u, unknown := outcome.(payment.Unknown); unknown {
		return fmt.Errorf("read payment intent %s: %s", intent, u.Reason)
	}
	if id == uuid.Nil {
		return fmt.Errorf("%s: %w", intent, ErrNotOurs)
	}
	by := s.by(cause)
	by.Actor = "processor"
	if _, _, _, err := s.commands.Money(ctx, by, id, payment.Observe{At: s.now(), Account: account, Intent: intent, Outcome: outcome}); err != nil {
		if errors.Is(err, order.ErrNotPlaced) {
			return fmt.Errorf("%s: %w", intent, ErrNotOurs)
		}
		return err
	}
	return s.Step(ctx, id, cause)
}
