// Package payout is a payout: money on its way from the processor to a bank
// account, the platform's own or a shop's. It is made at the processor; what is
// told here is what became of it.
//
// Its laws: a payout is sent once; it may be paid and fail afterwards, and then
// the money is back where it came from.
package payout

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/refusal"
)

// Category is the first part of a payout's stream, "payout-<uuid>".
const Category = "payout"

// Stream of the payout with the processor's id.
func Stream(id string) string { return Category + "-" + event.NameID(Category, id).String() }

// Events.

// Sent: the processor has taken the money from the balance.
type Sent struct {
	Payout      string         `json:"payout"`        // the processor's id
	Account     string         `json:"account"`       // whose balance it left: the processor's id
	Shop        uuid.UUID      `json:"shop,omitzero"` // whose account that is; zero: the platform's own
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
	SentAt      time.Time      `json:"sentAt,omitzero"` // by the processor's clock, UTC; zero in old events
	ArrivesOn   time.Time      `json:"arrivesOn"`       // expected, UTC
	Transaction string         `json:"transaction,omitempty"`
	Automatic   bool           `json:"automatic,omitempty"`
}

// Paid: the bank is expected to have it. That may still turn out otherwise.
type Paid struct {
	Payout   string         `json:"payout"`
	Shop     uuid.UUID      `json:"shop,omitzero"`
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
}

// Failed: the bank sent it back, or it was cancelled.
type Failed struct {
	Payout      string         `json:"payout"`
	Shop        uuid.UUID      `json:"shop,omitzero"`
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
	Transaction string         `json:"transaction,omitempty"` // that brought it back
	Code        string         `json:"code"`
	WasPaid     bool           `json:"wasPaid,omitempty"`
}

func (Sent) EventType() string   { return "PayoutSent" }
func (Paid) EventType() string   { return "PayoutPaid" }
func (Failed) EventType() string { return "PayoutFailed" }

// Events of a payout's stream.
var Events = []event.Type{event.Of[Sent](added), event.Of[Paid](), event.Of[Failed]()}

// added upcasts to a version that only added fields whose zero value says what
// was true before.
func added(body json.RawMessage) (json.RawMessage, error) { return body, nil }

// State.

// State of a payout.
type State struct {
	Sent   *Sent
	Paid   bool
	Failed bool
}

// ReturnsWithin is how long after a payout was to arrive the bank may still send
// it back. Stripe says five business days.
const ReturnsWithin = 14 * 24 * time.Hour

// Over tells whether nothing more is expected of the payout.
func (s State) Over(at time.Time) bool {
	return s.Failed || s.Paid && at.After(s.Sent.ArrivesOn.Add(ReturnsWithin))
}

func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case Sent:
		s.Sent = &e
	case Paid:
		s.Paid = true
	case Failed:
		s.Failed = true
	}
	return s
}

// Decisions.

// Status is how far the processor is.
type Status string

// Statuses.
const (
	OnItsWay Status = "on its way"
	Arrived  Status = "paid"
	Returned Status = "failed" // or cancelled
)

// Observe what the processor shows of the payout.
type Observe struct {
	Sent     Sent // as it was sent
	Status   Status
	Code     string // why it failed
	Returned string // the transaction that brought it back
}

// ErrOtherPayout: the processor shows another amount than it did before.
var ErrOtherPayout = &refusal.Refusal{Kind: refusal.Clash, Code: "payout-differs", Field: "payout", Subject: "the payout", Reason: "is shown with another amount, currency or account than before", Remedy: "compare it with the processor's Dashboard"}

// Decider of payouts.
var Decider = decider.Decider[State, Observe]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Observe) (facts []event.Data, err error) {
	p := c.Sent
	if s.Sent == nil {
		facts = append(facts, p)
	} else {
		b := *s.Sent
		if b.Payout != p.Payout || b.Amount != p.Amount || b.Currency != p.Currency || b.Account != p.Account {
			return nil, ErrOtherPayout.About("payout %s", p.Payout)
		}
		p = b // whose it is was said when it was sent
	}
	switch {
	case s.Failed:
	case c.Status == Returned:
		facts = append(facts, Failed{Payout: p.Payout, Shop: p.Shop, Currency: p.Currency, Amount: p.Amount,
			Transaction: c.Returned, Code: c.Code, WasPaid: s.Paid})
	case c.Status == Arrived && !s.Paid:
		facts = append(facts, Paid{Payout: p.Payout, Shop: p.Shop, Currency: p.Currency, Amount: p.Amount})
	}
	return facts, nil
}
