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
//   - whatever the processor says later is one more event;
//   - nobody keeps money that was not earned: what was taken for goods that did
//     not leave the shop goes back by itself.
//
// From the inside out: outcome.go (what the processor can say), next.go (what is
// to be done), record.go (what answers to our calls mean), observe.go (what news
// mean that nobody asked for), evidence.go (what a bank is told).
package payment

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// Command to the money of an order: Advance, Record or Observe.
type Command interface {
	// Asker is the platform's account at the processor on whose behalf it is given.
	Asker() string
}

// Advance asks what is to be done next, on behalf of an account of the platform
// at the processor.
type Advance struct {
	At      time.Time
	Account string
	// Shop is what the shop's own stream says about a release that is due (see
	// [Needs]); nil: it was not asked, and nothing is released.
	Shop *ShopSays
	// Evidence that a dispute is to be answered with (see [Needs]); nil: none was
	// gathered, and nothing is submitted.
	Evidence *order.Evidence
}

// ShopSays is what a release needs to know of the shop. Amounts are minor units
// of the order's currency.
type ShopSays struct {
	// Owed besides this order now; below zero the shop is owed it.
	Owed money.Minor
	// Debt that the shop's stream has given up in favour of the release with the
	// number; number 0: it was not asked to.
	Release int
	Debt    money.Minor
}

// Record the outcome of the open call with the key.
type Record struct {
	At      time.Time
	Account string
	Key     string
	Outcome Outcome
}

// Observe what the processor says of the order's payment, unasked: after a
// webhook, or in a reconciliation.
type Observe struct {
	At      time.Time
	Account string
	Seen    Seen
}

// Asker implements [Command].
func (c Advance) Asker() string { return c.Account }

// Asker implements [Command].
func (c Record) Asker() string { return c.Account }

// Asker implements [Command].
func (c Observe) Asker() string { return c.Account }

// Decider of the money of orders.
var Decider = decider.Decider[order.State, Command]{
	Initial: order.Decider.Initial,
	Evolve:  order.Decider.Evolve,
	Decide:  decide,
}

// What only looks at an order gets it by reference and changes nothing: a state is a
// kilobyte, and one decision would copy it a dozen times.

func decide(s order.State, c Command) ([]event.Data, error) {
	if s.Standing == order.None || s.Standing == order.Forgotten {
		return nil, order.ErrNotPlaced
	}
	switch c := c.(type) {
	case Advance:
		return next(s, c), nil
	case Record:
		return thenNext(s, record(&s, c), c.At, c.Account), nil
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
	return append(facts, next(order.After(s, facts...), Advance{At: at, Account: account})...)
}

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
	PaymentMethod string // Authorise; empty: make the intent, the buyer types the card
	// Intent to void, capture, refund; for Authorise: to confirm again with
	// another card, empty: a new one.
	Intent      string
	KeepCard    bool           // Authorise: keep the card under a customer
	Customer    string         // Authorise: charge the kept card without the buyer
	Charge      string         // Settle: pay from this charge; empty: from the balance
	Refund      uuid.UUID      // Refunding
	Destination string         // Settle
	Transfer    string         // Reverse
	Dispute     string         // Contest, Accept
	Evidence    order.Evidence // Contest
	// Tries counts earlier looks at this call's outcome: when it is not zero
	// the processor is asked what became of it before anything is sent again.
	Tries   int
	RetryAt time.Time // when the next look is due
}

// Due is the call that the open intention asks for.
func Due(s order.State) (Effect, bool) {
	p := s.Payment
	if p.Pending == nil {
		return Effect{}, false
	}
	r := p.Pending
	e := Effect{
		Step: r.Step, Key: r.Key, RequestedAt: r.At, Account: p.Account, Order: s.Placed.Order, Amount: r.Amount, Currency: s.Placed.Currency,
		PaymentMethod: r.PaymentMethod, Intent: r.Intent, KeepCard: r.KeepCard, Customer: r.Customer, Charge: r.Charge, Refund: r.Refund,
		Destination: r.Destination, Transfer: r.Transfer, Dispute: r.Dispute, Evidence: r.Evidence, Tries: r.Tries, RetryAt: r.RetryAt,
	}
	return e, true
}
