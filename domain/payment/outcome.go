package payment

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/order"
)

// Outcome is what is known after a call, or after reading an object back.
// Amounts are minor units of the order's currency.
type Outcome interface{ outcome() }

// Authorised: the amount is held.
type Authorised struct {
	Intent, Charge string
	Amount         money.Minor
	ExpiresAt      *time.Time
	Brand, Last4   string
	// Customer and Method of a card that is kept.
	Customer, Method string
}

// ActionRequired: the buyer has to type a card ("card") or to authenticate
// ("authenticate") at the processor.
type ActionRequired struct{ Intent, Action string }

// Declined: this try was refused.
type Declined struct{ Intent, Code, DeclineCode string }

// Captured: Amount was taken, ProcessorFee of it kept by the processor. Intent
// is needed in answer to an authorisation, which makes it known.
type Captured struct {
	Intent              string
	Charge, Transaction string
	Amount              money.Minor
	ProcessorFee        money.Minor
}

// Voided: the intent holds nothing any more.
type Voided struct{ Intent string }

// Refunded: the refund was accepted; while it is Pending it was not paid yet. One
// that was paid and came back since names the movement that brought it: Returned.
type Refunded struct {
	RefundID, Transaction string
	Pending               bool
	Returned, Code        string
}

// Transferred: the shop's share is on its account.
type Transferred struct{ Transfer, Transaction string }

// Reversed: it came back from there.
type Reversed struct{ Reversal, Transaction string }

// Disputed: what has become of the dispute after a call about it.
type Disputed struct{ Dispute SeenDispute }

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
func (Reversed) outcome()       {}
func (Disputed) outcome()       {}
func (Failed) outcome()         {}
func (Unknown) outcome()        {}

// Seen is all that the processor shows of a payment.
type Seen struct {
	Intent   string
	Outcome  Outcome // what the intent itself says; nil: nothing
	Refunds  []SeenRefund
	Disputes []SeenDispute
	Warnings []SeenWarning
}

// SeenRefund is a refund as the processor shows it.
type SeenRefund struct {
	ID     string    // the processor's
	Refund uuid.UUID // ours; zero: it was not made by us
	Amount money.Minor
	Status RefundStatus
	// Transaction paid it, Returned brought it back.
	Transaction, Returned string
	Code                  string // why it failed
}

// RefundStatus is how far the processor is with a refund.
type RefundStatus string

// Refund statuses.
const (
	RefundPending   RefundStatus = "pending"
	RefundSucceeded RefundStatus = "succeeded"
	RefundFailed    RefundStatus = "failed" // or cancelled
)

// SeenDispute is a dispute as the processor shows it.
type SeenDispute struct {
	ID          string
	Charge      string
	Amount      money.Minor
	Reason      string
	Inquiry     bool
	EvidenceDue *time.Time // nothing: it cannot be answered
	Submitted   bool       // evidence is with the bank
	Result      order.DisputeResult
	Movements   []Movement // oldest first
}

// Movement of money because of a dispute. Amount came to us (positive) or was
// taken (negative), without Fee, which was taken (positive) or given back.
type Movement struct {
	Transaction string
	Amount      money.Minor
	Fee         money.Minor
}

// SeenWarning is a warning of fraud by the card's issuer.
type SeenWarning struct {
	ID, Charge, Kind string
	Actionable       bool
}
