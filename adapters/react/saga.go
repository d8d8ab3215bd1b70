// Package react is where Kicau acts on what the log says: it performs the calls
// that the payment process manager asks for and records what came of them.
//
// Its laws:
//   - an effect is performed only for an intention that is in the log, and what
//     came of it is recorded before anything else is done about the order;
//   - an intention is performed by the process that has the account named in
//     it, so two sagas on one log do not charge twice;
//   - whatever is delivered twice, or to two sagas at once, happens once: a step
//     looks at the order's stream, never at the message;
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

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
)

// Bounds of a saga.
const (
	// AtOnce bounds the orders that are worked on together.
	AtOnce = 32
	// MaxSteps bounds the calls made for an order in one go. The longest run
	// of one of each, give a replaced authorisation up, capture, refund, settle,
	// has four; several refunds, disputes or replaced authorisations may wait for
	// each other. What is left over is an open call, which the next event of the
	// order or a deadline comes back to.
	MaxSteps = 10
	// StepTimeout is how long looking after an order may take, whether an event
	// or a deadline is behind it: MaxSteps calls at slowCall each. When it ends
	// in the middle nothing is lost: the call that is under way has an unknown
	// outcome, which is recorded and looked up later, and none is begun after
	// it. The log gives the event to a saga again, maybe another one, which does
	// no harm: steps exclude each other by what they record.
	StepTimeout = MaxSteps * slowCall
	// slowCall is a call to the processor that is slow but answered: twice what
	// a request may take (stripe.DefaultTimeout), as a call may be several, to
	// look first what became of it. One that is not answered ends the run.
	slowCall = time.Minute
	// maxSeen bounds how many orders the saga remembers having stepped.
	maxSeen = 4096
)

// Group is the name of the persistent subscription through which sagas with an
// account at the processor share their work. Sagas with other accounts on the
// same log see all of its events too: which of them an order belongs to stands
// in the order.
func Group(account string) string { return "saga-" + account }

// Saga drives the payment of orders.
type Saga struct {
	commands *command.Commands
	payments command.Payments
	now      func() time.Time
	newID    func() uuid.UUID
	logger   *slog.Logger

	mu   sync.Mutex
	busy map[uuid.UUID]*turn // orders that are being stepped
	seen seen
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
	Now      func() time.Time
	NewID    func() uuid.UUID
	Logger   *slog.Logger
}

// New makes a saga. It keeps nothing: its place in the log is its persistent
// subscription's, and what it knows of an order stands in the order.
func New(o Options) *Saga {
	return &Saga{commands: o.Commands, payments: o.Payments, now: o.Now, newID: o.NewID,
		logger: o.Logger, busy: map[uuid.UUID]*turn{}}
}

// Handler is the saga as a Watermill handler of events of orders. An error is
// for the message to come again, unless it is [ForGood].
func (s *Saga) Handler(eventOf func(*message.Message) (event.Recorded, bool)) message.NoPublishHandlerFunc {
	return func(m *message.Message) error {
		rec, ok := eventOf(m)
		if !ok {
			return fmt.Errorf("saga: message %s carries no event", m.UUID)
		}
		return s.React(m.Context(), rec)
	}
}

// React looks after the order that an event is about. Killed in the middle, the
// event comes again; said twice, it finds the order at rest.
func (s *Saga) React(ctx context.Context, rec event.Recorded) error {
	name, ours := strings.CutPrefix(rec.Stream, order.Category+"-")
	id, err := uuid.Parse(name)
	if !ours || err != nil || s.saw(id, rec.Revision) {
		return nil
	}
	err = s.Step(ctx, id, rec.ID)
	if err != nil && ForGood(err) && ctx.Err() == nil {
		// Somebody else may have settled the same between the look and the
		// decision: an import does. Then there is nothing left to refuse.
		err = s.Step(ctx, id, rec.ID)
	}
	if err != nil {
		return fmt.Errorf("order %s: %w", id, err)
	}
	return nil
}

// ForGood tells whether trying again is of no use: the order's stream has an
// event that cannot be read, or the business forbids what is to be done. A log
// or a processor that cannot be reached comes back, and is waited for.
func ForGood(err error) bool {
	return errors.Is(err, event.ErrUnknownType) || refusal.From(err) != nil
}

// seen remembers up to which revision orders were taken into account when they
// came to rest. Most events of an order are the saga's own or come several at a
// time, and are not worth another look. In two generations, so that what is old
// is forgotten.
type seen struct{ young, old map[uuid.UUID]uint64 }

func (s *Saga) saw(id uuid.UUID, revision uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, ok := s.seen.young[id]
	if !ok {
		next, ok = s.seen.old[id]
	}
	return ok && revision < next
}

// see is called once an order is at rest.
func (s *Saga) see(id uuid.UUID, next uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.seen.young) >= maxSeen || s.seen.young == nil {
		s.seen.old, s.seen.young = s.seen.young, map[uuid.UUID]uint64{}
	}
	s.seen.young[id] = next
}

// Step does whatever is to be done about an order now, until it is at rest:
// stock is settled, the next intention recorded, performed, its outcome
// recorded, and so on. cause is the event or command behind it.
func (s *Saga) Step(ctx context.Context, id, cause uuid.UUID) error {
	account, err := s.payments.Account(ctx)
	if err != nil {
		return fmt.Errorf("account at the processor: %w", err)
	}
	release, err := s.take(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	return s.step(ctx, id, cause, account)
}

// step is [Saga.Step] for an order whose turn it is.
func (s *Saga) step(ctx context.Context, id, cause uuid.UUID, account string) error {
	st, err := s.commands.Money(ctx, s.by(cause), id, payment.Advance{At: s.now(), Account: account})
	if err != nil {
		return ignoreMissing(err)
	}
	// Others may want the stock, so it does not wait for the calls.
	if err := s.commands.SettleStockOf(ctx, s.by(cause), id, st); err != nil {
		return err
	}
	called := false
	for range MaxSteps {
		if st, err = s.advance(ctx, id, cause, account, st); err != nil {
			return err
		}
		if !st.IsOpen || st.Open.Account != account {
			break
		}
		if st.Open.Tries > 0 && s.now().Before(st.Open.RetryAt) {
			break // a deadline comes back to it
		}
		if err := ctx.Err(); err != nil {
			return err // the call is not begun; what is open is gone on with later
		}
		called = true
		outcome := s.payments.Perform(ctx, st.Open)
		if u, unknown := outcome.(payment.Unknown); unknown {
			s.logger.Warn("the outcome of a call is unknown; it will be looked up", "order", id, "step", st.Open.Step, "key", st.Open.Key, "reason", u.Reason)
		}
		record := payment.Record{At: s.now(), Account: account, Key: st.Open.Key, Outcome: outcome}
		// The call was made: its outcome is recorded even if we are asked to stop.
		if st, err = s.commands.Money(context.WithoutCancel(ctx), s.by(cause), id, record); err != nil {
			return err
		}
	}
	if err := s.commands.CarryDebts(ctx, s.by(cause), id, st); err != nil {
		return err
	}
	if called {
		if err := s.commands.SettleStockOf(ctx, s.by(cause), id, st); err != nil {
			return err
		}
	}
	if !st.IsOpen || st.Open.Account != account {
		s.see(id, st.Next)
	}
	return nil
}

// maxTold bounds how often in a row an order's money is told what it needs to go
// on: what the shop owes, what its stream gave up, and the order's history.
const maxTold = 4

// advance finds out what the order's money needs and goes on with it.
func (s *Saga) advance(ctx context.Context, id, cause uuid.UUID, account string, st command.Standing) (command.Standing, error) {
	for range maxTold {
		if st.IsOpen || !st.Needs.Any() {
			break
		}
		if st.Needs.Owed { // what this order left is owed, too
			if err := s.commands.CarryDebts(ctx, s.by(cause), id, st); err != nil {
				return st, err
			}
		}
		says, evidence, err := s.commands.Tell(ctx, s.by(cause), id, st)
		if err != nil {
			return st, err
		}
		if st, err = s.commands.Money(ctx, s.by(cause), id, payment.Advance{At: s.now(), Account: account, Shop: says, Evidence: evidence}); err != nil {
			return st, err
		}
	}
	return st, nil
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
	release, _, err = s.turn(ctx, id)
	return release, err
}

// turn is take, and tells whether it had to wait.
func (s *Saga) turn(ctx context.Context, id uuid.UUID) (release func(), waited bool, err error) {
	s.mu.Lock()
	t, ok := s.busy[id]
	if !ok {
		t = &turn{taken: make(chan struct{}, 1)}
		s.busy[id] = t
	}
	t.users++
	waited = t.users > 1
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
		return func() { <-t.taken; leave() }, waited, nil
	case <-ctx.Done():
		leave()
		return nil, waited, ctx.Err()
	}
}

// ErrNotOurs: the payment intent was not made for an order of this log.
var ErrNotOurs = errors.New("the payment intent belongs to no order of ours")

// ErrNotYet: some of what the processor shows of a payment has to wait for what
// is under way here. The notice is to come again.
var ErrNotYet = errors.New("some of what the processor shows waits for what is under way")

// Notice that something happened to a payment intent at the processor: a signal
// to read it again, whatever the message said. When it returns nil, what was
// read is in the log.
func (s *Saga) Notice(ctx context.Context, intent string, cause uuid.UUID) error {
	account, err := s.payments.Account(ctx)
	if err != nil {
		return fmt.Errorf("account at the processor: %w", err)
	}
	id, seen, err := s.read(ctx, intent)
	if err != nil {
		return err
	}
	release, waited, err := s.turn(ctx, id)
	if err != nil {
		return err
	}
	defer release()
	if waited {
		// A call was under way: what was read before its answer may be older.
		if _, seen, err = s.read(ctx, intent); err != nil {
			return err
		}
	}
	by := s.by(cause)
	by.Actor = "processor"
	st, err := s.commands.Money(ctx, by, id, payment.Observe{At: s.now(), Account: account, Seen: seen})
	if err != nil {
		if errors.Is(err, order.ErrNotPlaced) {
			return fmt.Errorf("%s: %w", intent, ErrNotOurs)
		}
		return err
	}
	if err := s.step(ctx, id, cause, account); err != nil {
		return err
	}
	if st.Waits {
		return fmt.Errorf("%s: %w", intent, ErrNotYet)
	}
	return nil
}

// Echo tells whether a notice is of a call of ours, by its idempotency key, whose
// answer is in the log: then it says nothing new, and nothing need be read for it.
// A call that is under way here is waited for, since its notice often comes before
// its answer.
func (s *Saga) Echo(ctx context.Context, key string) (echo bool, err error) {
	id, ours := payment.OrderOf(key)
	if !ours {
		return false, nil
	}
	release, err := s.take(ctx, id)
	if err != nil {
		return false, err
	}
	defer release()
	err = s.commands.Orders.Look(ctx, order.Stream(id), func(st order.State) error {
		echo = payment.Answered(st, key)
		return nil
	})
	return echo, err
}

// read a payment intent, and whose it is.
func (s *Saga) read(ctx context.Context, intent string) (uuid.UUID, payment.Seen, error) {
	id, seen := s.payments.Read(ctx, intent)
	if u, unknown := seen.Outcome.(payment.Unknown); unknown {
		return id, seen, fmt.Errorf("read payment intent %s: %s", intent, u.Reason)
	}
	if id == uuid.Nil {
		return id, seen, fmt.Errorf("%s: %w", intent, ErrNotOurs)
	}
	return id, seen, nil
}
