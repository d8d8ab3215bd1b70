package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// What the buyer's bank asks back. A dispute begins as an inquiry, which moves
// no money, or as a chargeback, which takes the amount and a fee from us at
// once; it is answered once, with evidence, and ends won, lost or withdrawn.
// Amounts are minor units of the order's currency.

// FraudWarned: the card's issuer believes that the payment is a fraud. No money
// has moved; refunding it may spare a dispute.
type FraudWarned struct {
	Warning    string `json:"warning"` // the processor's id
	Charge     string `json:"charge"`
	Kind       string `json:"kind"`
	Actionable bool   `json:"actionable"`
}

// DisputeOpened: a bank asks.
type DisputeOpened struct {
	Dispute     string         `json:"dispute"` // the processor's id
	Charge      string         `json:"charge"`
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
	Reason      string         `json:"reason"`
	Inquiry     bool           `json:"inquiry,omitempty"`
	EvidenceDue *time.Time     `json:"evidenceDue,omitempty"` // nothing: it cannot be answered
}

// DisputeEscalated: the inquiry became a chargeback.
type DisputeEscalated struct {
	Dispute     string     `json:"dispute"`
	EvidenceDue *time.Time `json:"evidenceDue,omitempty"`
}

// DisputeWithdrawn: the bank took the amount, and the processor its fee. The
// allocation is what of the sale is in dispute, Excess what the amount has
// beyond it. The shop's part is held.
type DisputeWithdrawn struct {
	Dispute      string         `json:"dispute"`
	Transaction  string         `json:"transaction"`
	Shop         uuid.UUID      `json:"shop"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	DisputeFee   money.Minor    `json:"disputeFee"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Excess   money.Minor `json:"excess,omitempty"`
	Taken
}

// DisputeReallocated: money that a dispute took beyond the sale (its Excess) stands
// for the sale after all, since what had the sale's money before gave it up: a
// refund that did not go, or another dispute that was won. Below zero it is the other
// way round: of what it took of the sale, a part is beyond it now, since somebody gave
// as much back at the processor.
type DisputeReallocated struct {
	Dispute      string         `json:"dispute"`
	Shop         uuid.UUID      `json:"shop"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Taken
	WasLost bool `json:"wasLost,omitempty"` // after it was in the books as lost
}

// Evidence is what a bank is told. It is made of the order's history and holds
// no personal data.
type Evidence struct {
	Product   string `json:"product,omitempty"`
	Carrier   string `json:"carrier,omitempty"`
	Tracking  string `json:"tracking,omitempty"`
	ShippedOn string `json:"shippedOn,omitempty"` // a date, UTC
	History   string `json:"history,omitempty"`
	Text      string `json:"text,omitempty"` // the shop's own words
}

// DisputeAnswered: the shop has said what it has to say.
type DisputeAnswered struct {
	Dispute string `json:"dispute"`
	Text    string `json:"text,omitempty"`
}

// ContestRequested: the evidence is to be submitted.
type ContestRequested struct {
	Key      string    `json:"key"`
	Dispute  string    `json:"dispute"`
	Evidence Evidence  `json:"evidence"`
	At       time.Time `json:"at"` // when it was decided: keys live for a day
}

// Contested: the evidence was submitted.
type Contested struct {
	Dispute string `json:"dispute"`
}

// ContestFailed: the processor took no evidence, or no acceptance; somebody has
// to look.
type ContestFailed struct {
	Dispute string `json:"dispute"`
	Code    string `json:"code"`
	Reason  string `json:"reason"`
}

// DisputeConceded: the shop does not answer the dispute.
type DisputeConceded struct {
	Dispute string `json:"dispute"`
}

// AcceptRequested: the processor is to be told so.
type AcceptRequested struct {
	Key     string    `json:"key"`
	Dispute string    `json:"dispute"`
	At      time.Time `json:"at"` // when it was decided: keys live for a day
}

// DisputeCharged: the processor took (or, below zero, gave back) a fee for
// answering.
type DisputeCharged struct {
	Dispute     string         `json:"dispute"`
	Transaction string         `json:"transaction"`
	Shop        uuid.UUID      `json:"shop"`
	Currency    money.Currency `json:"currency"`
	Fee         money.Minor    `json:"fee"`
}

// without is what is still withdrawn after some of it came back, nil: nothing.
func (w *DisputeWithdrawn) without(r DisputeReinstated) *DisputeWithdrawn {
	if w == nil || w.Amount <= r.Amount {
		return nil
	}
	rest := *w
	rest.Amount -= r.Amount
	rest.Allocation = w.Allocation.Minus(r.Allocation)
	rest.Unearned -= r.Unearned
	rest.Excess -= r.Excess
	return &rest
}

// with is what is withdrawn when more of it, or less, stands for the sale.
func (w DisputeWithdrawn) with(r DisputeReallocated) *DisputeWithdrawn {
	w.Allocation = w.Allocation.Plus(r.Allocation)
	w.Unearned += r.Unearned
	w.Excess -= r.Total() + r.Unearned
	return &w
}

// DisputeReinstated: the amount, or a part of it, came back; the shop's part is
// its own again.
type DisputeReinstated struct {
	Dispute      string         `json:"dispute"`
	Transaction  string         `json:"transaction"`
	Shop         uuid.UUID      `json:"shop"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	DisputeFee   money.Minor    `json:"disputeFee,omitempty"` // given back with it
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Excess   money.Minor `json:"excess,omitempty"`
	Restored
	WasLost bool `json:"wasLost,omitempty"` // after it was in the books as lost
}

// DisputeClosed: decided. One that keeps money carries what the books need: all
// that was withdrawn when it was lost, the rest when it was won in part.
type DisputeClosed struct {
	Dispute      string         `json:"dispute"`
	Result       DisputeResult  `json:"result"`
	Shop         uuid.UUID      `json:"shop"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount,omitempty"` // that does not come back
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Excess   money.Minor `json:"excess,omitempty"`
}

// DisputeResult is how a dispute ended.
type DisputeResult string

// Results.
const (
	Won       DisputeResult = "won"
	Lost      DisputeResult = "lost"
	Withdrawn DisputeResult = "withdrawn" // an inquiry that came to nothing
)

func (FraudWarned) EventType() string        { return "PaymentFraudWarned" }
func (DisputeOpened) EventType() string      { return "DisputeOpened" }
func (DisputeEscalated) EventType() string   { return "DisputeEscalated" }
func (DisputeWithdrawn) EventType() string   { return "DisputeFundsWithdrawn" }
func (DisputeReallocated) EventType() string { return "DisputeReallocated" }
func (DisputeAnswered) EventType() string    { return "DisputeAnswered" }
func (ContestRequested) EventType() string   { return "DisputeContestRequested" }
func (Contested) EventType() string          { return "DisputeContested" }
func (ContestFailed) EventType() string      { return "DisputeContestFailed" }
func (DisputeConceded) EventType() string    { return "DisputeConceded" }
func (AcceptRequested) EventType() string    { return "DisputeAcceptRequested" }
func (DisputeCharged) EventType() string     { return "DisputeFeeCharged" }
func (DisputeReinstated) EventType() string  { return "DisputeFundsReinstated" }
func (DisputeClosed) EventType() string      { return "DisputeClosed" }

var disputeEvents = []event.Type{
	event.Of[FraudWarned](), event.Of[DisputeOpened](), event.Of[DisputeEscalated](), event.Of[DisputeWithdrawn](), event.Of[DisputeAnswered](), event.Of[ContestRequested](),
	event.Of[Contested](), event.Of[ContestFailed](), event.Of[DisputeConceded](), event.Of[AcceptRequested](), event.Of[DisputeCharged](),
	event.Of[DisputeReinstated](), event.Of[DisputeClosed](), event.Of[DisputeReallocated](),
}
