// Package order is an order and its money: one stream, one story, so that a
// cancellation and a capture cannot both win.
//
// Two doors lead to the stream. This package decides what people ask: place,
// ship, cancel, refund, expire. Package payment decides what is to be done next
// about the money and what the processor's answers mean. Both fold the same
// events, all defined here, into the same [State].
//
// Its laws:
//   - prices, fee, tax and shipping are allocated to the lines when the order
//     is placed and never again ([Allocation]);
//   - captured ≤ authorised ≤ total, refunded ≤ captured, to the minor unit;
//   - one shipment closes an order: what is not in it is released, since a card
//     authorisation can be captured once;
//   - no state forbids a later correction by the processor.
package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
)

// Category is the first part of an order's stream, "order-<uuid>".
const Category = "order"

// Stream of an order.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Allocation is what a part of an order is made of. What the buyer pays for it
// is Goods + Shipping + Tax; Fee is the platform's share of Goods.
type Allocation struct {
	Goods    money.Minor `json:"goods"`
	Shipping money.Minor `json:"shipping"`
	Tax      money.Minor `json:"tax"`
	Fee      money.Minor `json:"fee"`
}

// Total is what the buyer pays.
func (a Allocation) Total() money.Minor { return a.Goods + a.Shipping + a.Tax }

// ShopShare is what the shop gets of it.
func (a Allocation) ShopShare() money.Minor { return a.Goods + a.Shipping - a.Fee }

// Plus adds component by component. The parts of an order cannot overflow: its
// total was checked when it was placed.
func (a Allocation) Plus(b Allocation) Allocation {
	return Allocation{a.Goods + b.Goods, a.Shipping + b.Shipping, a.Tax + b.Tax, a.Fee + b.Fee}
}

// Minus subtracts component by component.
func (a Allocation) Minus(b Allocation) Allocation {
	return Allocation{a.Goods - b.Goods, a.Shipping - b.Shipping, a.Tax - b.Tax, a.Fee - b.Fee}
}

// upTo is the first n of count pieces, see [money.UpTo].
func (a Allocation) upTo(n, count int64) Allocation {
	return Allocation{money.UpTo(a.Goods, n, count), money.UpTo(a.Shipping, n, count),
		money.UpTo(a.Tax, n, count), money.UpTo(a.Fee, n, count)}
}

// Line is one position of an order, with its frozen allocation.
type Line struct {
	No        int         `json:"no"` // from 1
	Offer     uuid.UUID   `json:"offer"`
	Title     string      `json:"title"`
	Quantity  int64       `json:"quantity"`
	UnitPrice money.Minor `json:"unitPrice"`
	Allocation
}

// Units names units of a line.
type Units struct {
	Line     int   `json:"line"`
	Quantity int64 `json:"quantity"`
}

// OfferUnits are units of an offer, whatever their lines.
type OfferUnits struct {
	Offer    uuid.UUID `json:"offer"`
	Quantity int64     `json:"quantity"`
}

// What people ask.

// Placed: a buyer ordered.
type Placed struct {
	Order    uuid.UUID      `json:"order"`
	Shop     uuid.UUID      `json:"shop"`
	Buyer    uuid.UUID      `json:"buyer"`
	Currency money.Currency `json:"currency"`
	Lines    []Line         `json:"lines"`
	Allocation
	// Fee, tax and hold as they were then.
	FeeBasisPoints money.BasisPoints `json:"feeBasisPoints"`
	FeeFixed       money.Minor       `json:"feeFixed"`
	TaxBasisPoints money.BasisPoints `json:"taxBasisPoints"`
	Jurisdiction   string            `json:"jurisdiction,omitempty"`
	HoldHours      int64             `json:"holdHours"`
	// Destination is the shop's account at the processor; empty: settled
	// outside.
	Destination string `json:"destination,omitempty"`
	// Platform is the platform's account at the processor that has to take the
	// payment; empty: whichever asks first.
	Platform string `json:"platform,omitempty"`
	// Processor is "stripe", or the name of whoever took the payment outside.
	Processor string `json:"processor"`
	// PaymentMethod is the processor's token; empty: the buyer types the card
	// on the processor's own page.
	PaymentMethod string `json:"paymentMethod,omitempty"`
	// Held are the offers whose stock is held for the order; the others are sold
	// without limit.
	Held []uuid.UUID `json:"held,omitempty"`
	// StockHeldUntil is when the order expires unless it was paid.
	StockHeldUntil time.Time       `json:"stockHeldUntil"`
	Contact        *privacy.Sealed `json:"contact,omitempty"`
	Reference      string          `json:"reference,omitempty"` // the shop's own number
}

// Shipped: goods left the shop. Rest are the units that will never be shipped.
type Shipped struct {
	Units    []Units      `json:"units"`
	Rest     []Units      `json:"rest,omitempty"`
	Offers   []OfferUnits `json:"offers"` // the same units by offer, in line order
	Carrier  string       `json:"carrier,omitempty"`
	Tracking string       `json:"tracking,omitempty"`
	Allocation
}

// Cancelled: buyer or shop called the order off before shipment.
type Cancelled struct {
	Reason string `json:"reason,omitempty"`
}

// Expired: the order was not paid in time, or not shipped while the
// authorisation held.
type Expired struct {
	Cause string `json:"cause"` // "unpaid", "unshipped" or "abandoned" (stock was held, the order never placed)
}

// RefundAgreed: the shop gives money back, for units or as an amount.
type RefundAgreed struct {
	Refund uuid.UUID `json:"refund"`
	Units  []Units   `json:"units,omitempty"`
	Allocation
	Reason string `json:"reason,omitempty"`
}

func (Placed) EventType() string       { return "OrderPlaced" }
func (Shipped) EventType() string      { return "OrderShipped" }
func (Cancelled) EventType() string    { return "OrderCancelled" }
func (Expired) EventType() string      { return "OrderExpired" }
func (RefundAgreed) EventType() string { return "OrderRefundAgreed" }

// The money: intentions, written before the processor is asked, and outcomes.

// AuthorisationRequested: the processor is to be asked to hold the amount.
type AuthorisationRequested struct {
	Key           string      `json:"key"`     // idempotency key of the call
	Account       string      `json:"account"` // the platform's account that asks; only it performs
	Amount        money.Minor `json:"amount"`
	PaymentMethod string      `json:"paymentMethod,omitempty"`
	At            time.Time   `json:"at"` // when it was decided: keys live for a day
}

// ActionRequired: the buyer has to do something at the processor.
type ActionRequired struct {
	Intent string `json:"intent"`
	Action string `json:"action"` // "card": type a card; "authenticate": 3-D Secure
}

// Authorised: the amount is held for us until a time.
type Authorised struct {
	Intent    string         `json:"intent,omitempty"`
	Charge    string         `json:"charge,omitempty"`
	Amount    money.Minor    `json:"amount"`
	Currency  money.Currency `json:"currency"`
	ExpiresAt *time.Time     `json:"expiresAt,omitempty"` // as the processor says, never computed
	Brand     string         `json:"brand,omitempty"`
	Last4     string         `json:"last4,omitempty"`
	Reference string         `json:"reference,omitempty"` // of an outside processor
}

// Declined: the payment was refused for good.
type Declined struct {
	Intent      string `json:"intent,omitempty"`
	Code        string `json:"code"`
	DeclineCode string `json:"declineCode,omitempty"`
}

// VoidRequested: the hold on the buyer's money is to be given up.
type VoidRequested struct {
	Key    string    `json:"key"`
	Intent string    `json:"intent"`
	At     time.Time `json:"at"` // when it was decided: keys live for a day
}

// Voided: nothing is held any more. Released is what was authorised.
type Voided struct {
	Intent   string         `json:"intent,omitempty"`
	Released money.Minor    `json:"released"`
	Currency money.Currency `json:"currency"`
	Cause    string         `json:"cause"` // "requested", or "lapsed" when the processor let it go
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
	Amount       money.Minor    `json:"amount"`
	Authorised   money.Minor    `json:"authorised"` // the rest of it was released
	Allocation
	ProcessorFee money.Minor `json:"processorFee"`
	SettleAfter  time.Time   `json:"settleAfter"` // when the shop's share may be transferred
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
	Amount       money.Minor    `json:"amount"`
	Allocation
	// FromPayable is the shop's part that was still owed to it, FromReceivable
	// the part it had been paid already and now owes.
	FromPayable    money.Minor `json:"fromPayable"`
	FromReceivable money.Minor `json:"fromReceivable"`
}

// RefundFailed: the processor refused the refund.
type RefundFailed struct {
	Refund uuid.UUID `json:"refund"`
	Code   string    `json:"code"`
	Reason string    `json:"reason"`
}

// SettlementRequested: the shop's share is to be transferred.
type SettlementRequested struct {
	Key         string      `json:"key"`
	Destination string      `json:"destination"`
	Charge      string      `json:"charge"`
	Amount      money.Minor `json:"amount"`
	Payable     money.Minor `json:"payable"` // what is owed for this order
	Netted      money.Minor `json:"netted"`  // less what the shop owes of it
	At          time.Time   `json:"at"`      // when it was decided: keys live for a day
}

// Settled: the shop has its money.
type Settled struct {
	Transfer string         `json:"transfer"`
	Shop     uuid.UUID      `json:"shop"`
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
	Payable  money.Minor    `json:"payable"`
	Netted   money.Minor    `json:"netted"`
}

// SettlementFailed: the transfer was refused; it is tried again later.
type SettlementFailed struct {
	Code    string    `json:"code"`
	Reason  string    `json:"reason"`
	RetryAt time.Time `json:"retryAt"`
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
)

func (AuthorisationRequested) EventType() string { return "PaymentAuthorisationRequested" }
func (ActionRequired) EventType() string         { return "PaymentActionRequired" }
func (Authorised) EventType() string             { return "PaymentAuthorised" }
func (Declined) EventType() string               { return "PaymentDeclined" }
func (VoidRequested) EventType() string          { return "PaymentVoidRequested" }
func (Voided) EventType() string                 { return "PaymentVoided" }
func (CaptureRequested) EventType() string       { return "PaymentCaptureRequested" }
func (Captured) EventType() string               { return "PaymentCaptured" }
func (CaptureFailed) EventType() string          { return "PaymentCaptureFailed" }
func (RefundRequested) EventType() string        { return "PaymentRefundRequested" }
func (Refunded) EventType() string               { return "PaymentRefunded" }
func (RefundFailed) EventType() string           { return "PaymentRefundFailed" }
func (SettlementRequested) EventType() string    { return "SettlementRequested" }
func (Settled) EventType() string                { return "SettlementPaid" }
func (SettlementFailed) EventType() string       { return "SettlementFailed" }
func (OutcomeUnknown) EventType() string         { return "PaymentOutcomeUnknown" }

// Events of an order's stream.
var Events = []event.Type{
	event.Of[Placed](), event.Of[Shipped](), event.Of[Cancelled](), event.Of[Expired](), event.Of[RefundAgreed](),
	event.Of[AuthorisationRequested](), event.Of[ActionRequired](), event.Of[Authorised](), event.Of[Declined](),
	event.Of[VoidRequested](), event.Of[Voided](), event.Of[CaptureRequested](), event.Of[Captured](),
	event.Of[CaptureFailed](), event.Of[RefundRequested](), event.Of[Refunded](), event.Of[RefundFailed](),
	event.Of[SettlementRequested](), event.Of[Settled](), event.Of[SettlementFailed](), event.Of[OutcomeUnknown](),
}
