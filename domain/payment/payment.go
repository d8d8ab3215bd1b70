// Package payment is the process manager of an order's money: it decides what
// is to be asked of the processor next, and what the processor's answers mean.
// It folds the same events as package order, which defines them, and decides on
// the same state.
//
// Its laws:
//   - an intention is in the log before any call is made, its outcome after;
//   - one call is open at a time; its idempotency key follows from the order
//     and the number of the call, and never changes while the outcome is open;
//   - an outcome that is not known is a state of its own ([Unknown]); it ends by
//     looking, never by guessing;
//   - whatever the processor says later is one more event.
package payment

import (
	"cmp"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// Effect is a call to be made to the processor: what an open intention asks.
// The same effect is the same call, however often it is made.
type Effect struct {
	Step          order.Step
	Key           string    // idempotency key
	RequestedAt   time.Time // when the intention was decided: the processor forgets keys after a day
	Account       string    // the platform's account that asks
	Order         uuid.UUID
	Amount        money.Minor
	Currency      money.Currency
	PaymentMethod string    // Authorise; empty: make the intent, the buyer types the card
	Intent        string    // Void, Capture, Refunding
	Charge        string    // Settle
	Refund        uuid.UUID // Refunding
	Destination   string    // Settle
	// Tries counts earlier looks at this call's outcome: when it is not zero
	// the processor is asked what became of it before anything is sent again.
	Tries   int
	RetryAt time.Time // when the next look is due
}

// Outcome is what is known after a call, or after reading an object back:
// Authorised, ActionRequired, Declined, Captured, Voided, Refunded, Transferred,
// Failed or Unknown.
type Outcome interface{ outcome() }

// Authorised: the amount is held.
type Authorised struct {
	Intent, Charge string
	Amount         money.Minor
	ExpiresAt      *time.Time
	Brand, Last4   string
}

// ActionRequired: the buyer has to type a card ("card") or to authenticate
// ("authenticate") at the processor.
type ActionRequired struct{ Intent, Action string }

// Declined for good.
type Declined struct{ Intent, Code, DeclineCode string }

// Captured: Amount was taken, ProcessorFee of it kept by the processor (minor
// units of the order's currency).
type Captured struct {
	Charge, Transaction string
	Amount              money.Minor
	ProcessorFee        money.Minor
}

// Voided: nothing is held any more.
type Voided struct{ Intent string }

// Refunded: the refund was accepted.
type Refunded struct {
	RefundID, Transaction string
}

// Transferred: the shop's share is on its account.
type Transferred struct{ Transfer string }

// Failed: the processor refused the call for good; the same call would fail
// again.
type Failed struct{ Code, Reason string }

// Unknown: the call may have been done or not.
type Unknown struct{ Reason string }

func (Authorised) outcome()     {}
func (ActionRequired) outcome() {}
func (Declined) outcome()       {}
func (Captured) outcome()       {}
func (Voided) outcome()         {}
func (Refunded) outcome()       {}
func (Transferred) outcome()    {}
func (Failed) outcome()         {}
func (Unknown) outcome()        {}

// Command to the money of an order: Advance, Record or Observe.
type Command interface{ command() }

// Advance asks what is to be done next, on behalf of an account of the platform
// at the processor.
type Advance struct {
	At      time.Time
	Account string
}

// Record the outcome of the open call with the key.
type Record struct {
	At      time.Time
	Account string
	Key     string
	Outcome Outcome
}

// Observe what the processor says of the order's payment intent, unasked: after
// a webhook, or in a reconciliation.
type Observe struct {
	At      time.Time
	Account string
	Intent  string
	Outcome Outcome
}

func (Advance) command() {}
func (Record) command()  {}
func (Observe) command() {}

// Decider of the money of orders.
var Decider = decider.Decider[order.State, Command]{
	Initial: order.Decider.Initial,
	Evolve:  order.Decider.Evolve,
	Decide:  decide,
}

func decide(s order.State, c Command) ([]event.Data, error) {
	if s.Standing == order.None || s.Standing == order.Forgotten {
		return nil, order.ErrNotPlaced
	}
	switch c := c.(type) {
	case Advance:
		return next(s, c.At, c.Account), nil
	case Record:
		return thenNext(s, record(s, c), c.At, c.Account), nil
	case Observe:
		return thenNext(s, observe(s, c), c.At, c.Account), nil
	}
	panic("payment: a command of another kind")
}

// thenNext follows facts up with what they make necessary.
func thenNext(s order.State, facts []event.Data, at time.Time, account string) []event.Data {
	if len(facts) == 0 {
		return nil
	}
	return append(facts, next(order.After(s, facts...), at, account)...)
}

// next is the one intention that is due now, if any.
func next(s order.State, at time.Time, account string) []event.Data {
	p := s.Payment
	if ours := cmp.Or(p.Account, s.Placed.Platform, account); p.Pending != nil || s.Placed.Outside() || ours != account {
		return nil
	}
	key := func(step order.Step) string {
		return fmt.Sprintf("v1:%s:%s:%d", s.Placed.Order, step, p.Calls+1)
	}
	switch {
	case s.Standing == order.Open && p.Calls == 0:
		return []event.Data{order.AuthorisationRequested{
			Key: key(order.Authorise), Account: account, Amount: s.Placed.Total(), PaymentMethod: s.Placed.PaymentMethod, At: at}}

	case s.Standing.Over() && p.Intent != "" && !p.Voided && !p.IsCaptured && !p.Failed:
		return []event.Data{order.VoidRequested{Key: key(order.Void), Intent: p.Intent, At: at}}

	case s.Standing == order.Dispatch && p.Authorised > 0 && !p.Voided && !p.IsCaptured && !p.Failed:
		return []event.Data{order.CaptureRequested{Key: key(order.Capture), Intent: p.Intent, Amount: shipped(s).Total(), At: at}}
	}
	for _, r := range s.Refunds {
		if r.Status == order.Agreed {
			return []event.Data{order.RefundRequested{Key: key(order.Refunding), Refund: r.ID, Intent: p.Intent, Amount: r.Total(), At: at}}
		}
	}
	if owed := p.Payable - p.Receivable; p.IsCaptured && owed > 0 && s.Placed.Destination != "" && !at.Before(p.SettleAt) {
		return []event.Data{order.SettlementRequested{Key: key(order.Settle), Destination: s.Placed.Destination,
			Charge: p.Charge, Amount: owed, Payable: p.Payable, Netted: p.Receivable, At: at}}
	}
	return nil
}

// shipped is the allocation of what left the shop.
func shipped(s order.State) order.Allocation {
	var a order.Allocation
	for _, l := range s.Lines {
		a = a.Plus(l.Of(0, l.Shipped))
	}
	return a
}

// Due is the call that the open intention asks for.
func Due(s order.State) (Effect, bool) {
	p := s.Payment
	if p.Pending == nil {
		return Effect{}, false
	}
	r := p.Pending
	return Effect{
		Step: r.Step, Key: r.Key, RequestedAt: r.At, Account: p.Account, Order: s.Placed.Order, Amount: r.Amount, Currency: s.Placed.Currency,
		PaymentMethod: r.PaymentMethod, Intent: p.Intent, Charge: p.Charge, Refund: r.Refund,
		Destination: r.Destination, Tries: r.Tries, RetryAt: r.RetryAt,
	}, true
}

// AtRest tells whether nothing is to be done about the money until somebody
// asks or a deadline passes.
func AtRest(s order.State, at time.Time) bool {
	return s.Payment.Pending == nil && len(next(s, at, cmp.Or(s.Payment.Account, s.Placed.Platform))) == 0
}
