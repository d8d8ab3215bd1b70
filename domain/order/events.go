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
//   - money is earned when goods leave the shop; what was taken beyond that is
//     the buyer's and goes back;
//   - no state forbids a later correction by the processor.
//
// Its events are in four files: what people ask (events.go), the buyer's money
// (payment_events.go), the shop's money (settlement_events.go) and what banks
// ask back (dispute_events.go).
package order

import (
	"encoding/json"
	"slices"
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
func (a Allocation) upTo(n, count int64, step money.Minor) Allocation {
	return Allocation{money.UpTo(a.Goods, n, count, step), money.UpTo(a.Shipping, n, count, step),
		money.UpTo(a.Tax, n, count, step), money.UpTo(a.Fee, n, count, step)}
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
	FeeMinimum     money.Minor       `json:"feeMinimum,omitempty"`
	FeeCap         money.Minor       `json:"feeCap,omitempty"` // 0: none
	// ReserveBasisPoints of the shop's share are kept for ReserveDays more.
	ReserveBasisPoints money.BasisPoints `json:"reserveBasisPoints,omitempty"`
	ReserveDays        int64             `json:"reserveDays,omitempty"`
	// Principal: the platform sells the goods itself, see package ledger.
	Principal bool `json:"principal,omitempty"`
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
	// KeepCard: the buyer agreed that the card is charged again without them
	// when the delivery takes longer than the card's authorisation lasts.
	KeepCard bool `json:"keepCard,omitempty"`
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

// MethodGiven: after a decline the buyer gives another card.
type MethodGiven struct {
	PaymentMethod string `json:"paymentMethod"` // the processor's token
}

// Delivered: the goods arrived.
type Delivered struct {
	By string `json:"by"` // who says so: "buyer" or "carrier"
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

// RefundAgreed: the shop gives money back, for units or as an amount; or money
// that nobody earned goes back by itself.
type RefundAgreed struct {
	Refund uuid.UUID `json:"refund"`
	Units  []Units   `json:"units,omitempty"`
	Allocation
	Unearned money.Minor `json:"unearned,omitempty"` // besides the allocation
	// Rest: all that was left was asked for, with or without its shipping.
	Rest   bool   `json:"rest,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// Amount is what the buyer gets.
func (r RefundAgreed) Amount() money.Minor { return r.Total() + r.Unearned }

func (Placed) EventType() string       { return "OrderPlaced" }
func (Shipped) EventType() string      { return "OrderShipped" }
func (Cancelled) EventType() string    { return "OrderCancelled" }
func (Expired) EventType() string      { return "OrderExpired" }
func (RefundAgreed) EventType() string { return "OrderRefundAgreed" }
func (MethodGiven) EventType() string  { return "OrderPaymentMethodGiven" }
func (Delivered) EventType() string    { return "OrderDelivered" }

// Events of an order's stream.
var Events = slices.Concat([]event.Type{
	event.Of[Placed](added), event.Of[MethodGiven](), event.Of[Shipped](), event.Of[Delivered](), event.Of[Cancelled](), event.Of[Expired](),
	event.Of[RefundAgreed](added),
}, paymentEvents, settlementEvents, disputeEvents)

// added upcasts to a version that only added fields whose zero value says what
// was true before.
func added(body json.RawMessage) (json.RawMessage, error) { return body, nil }
