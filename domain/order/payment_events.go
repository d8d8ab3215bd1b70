package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// The buyer's money: intentions, written before the processor is asked, and
// outcomes. Amounts are minor units of the order's currency.

// AuthorisationRequested: the processor is to be asked to hold the amount.
type AuthorisationRequested struct {
	Key           string      `json:"key"`     // idempotency key of the call
	Account       string      `json:"account"` // the platform's account that asks; only it performs
	Amount        money.Minor `json:"amount"`
	PaymentMethod string      `json:"paymentMethod,omitempty"`
	At            time.Time   `json:"at"` // when it was decided: keys live for a day
	// Intent is to be confirmed with another card; empty: a new one is made.
	Intent string `json:"intent,omitempty"`
	// KeepCard asks the processor to keep the card under a customer of its own.
	KeepCard bool `json:"keepCard,omitempty"`
	// Customer whose kept card is charged without the buyer: another
	// authorisation in place of one that runs out.
	Customer string `json:"customer,omitempty"`
}

// ActionRequired: the buyer has to do something at the processor.
type ActionRequired struct {
	Intent string `json:"intent"`
	Action string `json:"action"` // "card": type a card; "authenticate": 3-D Secure
}

// Authorised: the amount is held for us until a time. Another intent than the
// one before takes its place.
type Authorised struct {
	Intent    string         `json:"intent,omitempty"`
	Charge    string         `json:"charge,omitempty"`
	Amount    money.Minor    `json:"amount"`
	Currency  money.Currency `json:"currency"`
	ExpiresAt *time.Time     `json:"expiresAt,omitempty"` // as the processor says, unless EndAssumed
	Brand     string         `json:"brand,omitempty"`
	Last4     string         `json:"last4,omitempty"`
	Reference string         `json:"reference,omitempty"` // of an outside processor
	// Customer and PaymentMethod of a card that was kept.
	Customer      string `json:"customer,omitempty"`
	PaymentMethod string `json:"paymentMethod,omitempty"`
	// EndAssumed: the processor named no end; ExpiresAt is [LongestHold] from then.
	EndAssumed bool `json:"endAssumed,omitempty"`
}

// LongestHold is how long any card is held at most, whatever its network
// (https://docs.stripe.com/payments/extended-authorization). What the processor names
// no end of is given up then: nobody would look at it otherwise.
const LongestHold = 30 * 24 * time.Hour

// Expiring: the authorisation is about to run out and nothing was shipped.
type Expiring struct {
	Intent    string    `json:"intent"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Declined: the payment was refused.
type Declined struct {
	Intent      string `json:"intent,omitempty"`
	Code        string `json:"code"`
	DeclineCode string `json:"declineCode,omitempty"`
	// Next is what the buyer may do about it; empty: nothing, the order is over.
	Next Remedy `json:"next,omitempty"`
}

// Remedy is what a buyer may do after a decline.
type Remedy string

// Remedies.
const (
	OtherCard Remedy = "another card"
	SameAgain Remedy = "the same card again" // what was wrong passes, or was a slip
)

// VoidRequested: the hold on the buyer's money is to be given up.
type VoidRequested struct {
	Key    string    `json:"key"`
	Intent string    `json:"intent"`
	At     time.Time `json:"at"` // when it was decided: keys live for a day
}

// Voided: the intent holds nothing any more. Released is what it had authorised.
type Voided struct {
	Intent   string         `json:"intent,omitempty"`
	Released money.Minor    `json:"released"`
	Currency money.Currency `json:"currency"`
	Cause    string         `json:"cause"` // "requested", "lapsed" when the processor let it go, or "captured" by hand
}

// CaptureRequested: what was shipped is to be taken.
type CaptureRequested struct {
	Key    string      `json:"key"`
	Intent string      `json:"intent"`
	Amount money.Minor `json:"amount"`
	At     time.Time   `json:"at"` // when it was decided: keys live for a day
}

// Captured: the money is taken. It carries all that the books need.
type Captured struct {
	Intent       string         `json:"intent,omitempty"`
	Charge       string         `json:"charge,omitempty"`
	Transaction  string         `json:"transaction,omitempty"`
	Shop         uuid.UUID      `json:"shop"`
	Processor    string         `json:"processor"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	Authorised   money.Minor    `json:"authorised"` // the rest of it was released
	Allocation                  // what is earned
	// Unearned is the rest of Amount: taken, and not by us, before goods left
	// the shop or beyond what they cost.
	Unearned     money.Minor `json:"unearned,omitempty"`
	ProcessorFee money.Minor `json:"processorFee"`
	SettleAfter  time.Time   `json:"settleAfter"` // when the shop's share may be transferred
}

// Earned: goods left the shop after their price had been taken. The allocation
// is what is earned of what was not yet.
type Earned struct {
	Shop         uuid.UUID      `json:"shop"`
	Processor    string         `json:"processor"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Allocation
	SettleAfter time.Time `json:"settleAfter"`
}

// CaptureFailed: the processor refused to capture; somebody has to look.
type CaptureFailed struct {
	Intent string `json:"intent"`
	Code   string `json:"code"`
	Reason string `json:"reason"`
}

// RefundRequested: the processor is to be asked to give an agreed refund.
type RefundRequested struct {
	Key    string      `json:"key"`
	Refund uuid.UUID   `json:"refund"`
	Intent string      `json:"intent"`
	Amount money.Minor `json:"amount"`
	At     time.Time   `json:"at"` // when it was decided: keys live for a day
}

// Refunded: the buyer got money back.
type Refunded struct {
	Refund       uuid.UUID      `json:"refund"`
	RefundID     string         `json:"refundId,omitempty"` // the processor's
	Transaction  string         `json:"transaction,omitempty"`
	Shop         uuid.UUID      `json:"shop"`
	Processor    string         `json:"processor"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Taken
	// WasPending: it was accepted before (PaymentRefundPending) and all but the
	// payment itself is in the books already.
	WasPending bool `json:"wasPending,omitempty"`
}

// RefundPending: the processor accepted the refund and has not paid it yet.
type RefundPending struct {
	Refund       uuid.UUID      `json:"refund"`
	RefundID     string         `json:"refundId"`
	Shop         uuid.UUID      `json:"shop"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Taken
}

// RefundFailed: the processor refused the refund. What of it was not earned is
// sent again from RetryAt on; nothing: that is left to people.
type RefundFailed struct {
	Refund   uuid.UUID   `json:"refund"`
	Code     string      `json:"code"`
	Reason   string      `json:"reason"`
	Unearned money.Minor `json:"unearned,omitempty"`
	RetryAt  *time.Time  `json:"retryAt,omitempty"`
}

// RefundReturned: a refund that had been paid or accepted came back. Nothing of
// it reached the buyer, and the order is as if it had not been agreed.
type RefundReturned struct {
	Refund       uuid.UUID      `json:"refund"`
	RefundID     string         `json:"refundId"`
	Transaction  string         `json:"transaction,omitempty"`
	Code         string         `json:"code"`
	Shop         uuid.UUID      `json:"shop"`
	Processor    string         `json:"processor"`
	Currency     money.Currency `json:"currency"`
	Jurisdiction string         `json:"jurisdiction,omitempty"`
	Principal    bool           `json:"principal,omitempty"`
	Amount       money.Minor    `json:"amount"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"`
	Restored
	WasPending bool       `json:"wasPending,omitempty"`
	RetryAt    *time.Time `json:"retryAt,omitempty"` // as of RefundFailed
}

// OutcomeUnknown: a call was made and its answer is not known. It is neither
// done nor failed; it is looked up from RetryAt on.
type OutcomeUnknown struct {
	Step    Step      `json:"step"`
	Key     string    `json:"key"`
	Tries   int       `json:"tries"` // looks so far
	RetryAt time.Time `json:"retryAt"`
	Reason  string    `json:"reason"`
}

// Step is a kind of call to the processor.
type Step string

// Steps.
const (
	Authorise Step = "authorise"
	Void      Step = "void"
	Capture   Step = "capture"
	Refunding Step = "refund"
	Settle    Step = "settle"
	Reverse   Step = "reverse" // a transfer
	Contest   Step = "contest" // a dispute
	Accept    Step = "accept"  // a dispute
)

func (AuthorisationRequested) EventType() string { return "PaymentAuthorisationRequested" }
func (ActionRequired) EventType() string         { return "PaymentActionRequired" }
func (Authorised) EventType() string             { return "PaymentAuthorised" }
func (Expiring) EventType() string               { return "PaymentAuthorisationExpiring" }
func (Declined) EventType() string               { return "PaymentDeclined" }
func (VoidRequested) EventType() string          { return "PaymentVoidRequested" }
func (Voided) EventType() string                 { return "PaymentVoided" }
func (CaptureRequested) EventType() string       { return "PaymentCaptureRequested" }
func (Captured) EventType() string               { return "PaymentCaptured" }
func (Earned) EventType() string                 { return "PaymentEarned" }
func (CaptureFailed) EventType() string          { return "PaymentCaptureFailed" }
func (RefundRequested) EventType() string        { return "PaymentRefundRequested" }
func (Refunded) EventType() string               { return "PaymentRefunded" }
func (RefundPending) EventType() string          { return "PaymentRefundPending" }
func (RefundFailed) EventType() string           { return "PaymentRefundFailed" }
func (RefundReturned) EventType() string         { return "PaymentRefundReturned" }
func (OutcomeUnknown) EventType() string         { return "PaymentOutcomeUnknown" }

var paymentEvents = []event.Type{
	event.Of[AuthorisationRequested](added), event.Of[ActionRequired](), event.Of[Authorised](added, added), event.Of[Expiring](), event.Of[Declined](added),
	event.Of[VoidRequested](), event.Of[Voided](), event.Of[CaptureRequested](), event.Of[Captured](added), event.Of[Earned](),
	event.Of[CaptureFailed](), event.Of[RefundRequested](), event.Of[Refunded](added), event.Of[RefundPending](), event.Of[RefundFailed](added),
	event.Of[RefundReturned](added), event.Of[OutcomeUnknown](),
}
