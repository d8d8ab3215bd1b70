// Package order is the view of orders: one row an order, with its whole state
// and its money.
package order

import (
	"strings"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/projections"
)

// Row is an order. Amounts are minor units of Currency; times are UTC in
// [projections.TimeLayout].
type Row struct {
	Order        string         `json:"order"`
	Reference    string         `json:"reference,omitempty"`
	Shop         string         `json:"shop"`
	Buyer        string         `json:"buyer"`
	Status       Status         `json:"status"`
	Currency     money.Currency `json:"currency"`
	Total        money.Minor    `json:"total"`
	Goods        money.Minor    `json:"goods"`
	Shipping     money.Minor    `json:"shipping"`
	Tax          money.Minor    `json:"tax"`
	Fee          money.Minor    `json:"fee"`
	Authorised   money.Minor    `json:"authorised"`
	Captured     money.Minor    `json:"captured"`
	Refunded     money.Minor    `json:"refunded"`
	Settled      money.Minor    `json:"settled"`
	ProcessorFee money.Minor    `json:"processorFee"`
	Lines        []Line         `json:"lines"`
	Refunds      []Refund       `json:"refunds,omitempty"` // oldest first
	Processor    string         `json:"processor"`
	Intent       string         `json:"intent,omitempty"`
	Charge       string         `json:"charge,omitempty"`
	Card         string         `json:"card,omitempty"` // brand and last four digits
	Action       string         `json:"action,omitempty"`
	Problem      string         `json:"problem,omitempty"` // code of a decline or failure
	Carrier      string         `json:"carrier,omitempty"`
	Tracking     string         `json:"tracking,omitempty"`
	PlacedAt     string         `json:"placedAt"`
	UpdatedAt    string         `json:"updatedAt"`
}

// Line of an order.
type Line struct {
	No        int         `json:"no"`
	Offer     string      `json:"offer"`
	Title     string      `json:"title"`
	Quantity  int64       `json:"quantity"`
	UnitPrice money.Minor `json:"unitPrice"`
	Shipped   int64       `json:"shipped"`
	Returned  int64       `json:"returned"`
}

// Refund that was agreed.
type Refund struct {
	Refund uuid.UUID          `json:"refund"`
	Status order.RefundStatus `json:"status"`
	Amount money.Minor        `json:"amount"`
	Units  []order.Units      `json:"units,omitempty"`
}

// Status of an order, as people speak of it.
type Status string

// Statuses.
const (
	Placed         Status = "placed"
	ActionRequired Status = "action required"
	Unknown        Status = "payment outcome unknown"
	Authorised     Status = "authorised"
	Declined       Status = "declined"
	Shipped        Status = "shipped"
	Captured       Status = "captured"
	CaptureFailed  Status = "capture failed"
	Settled        Status = "settled"
	PartRefunded   Status = "partly refunded"
	Refunded       Status = "refunded"
	Cancelled      Status = "cancelled"
	Expired        Status = "expired"
)

// Statuses are all of them.
var Statuses = []Status{Placed, ActionRequired, Unknown, Authorised, Declined, Shipped, Captured, CaptureFailed,
	Settled, PartRefunded, Refunded, Cancelled, Expired}

// Projection of orders. The key is the order's id.
var Projection = projections.Projection[Row]{
	Name:    "orders",
	Version: 2,
	Handles: []string{
		order.Placed{}.EventType(), order.Shipped{}.EventType(), order.Cancelled{}.EventType(), order.Expired{}.EventType(),
		order.RefundAgreed{}.EventType(), order.ActionRequired{}.EventType(), order.Authorised{}.EventType(),
		order.Declined{}.EventType(), order.Captured{}.EventType(), order.CaptureFailed{}.EventType(),
		order.Refunded{}.EventType(), order.RefundFailed{}.EventType(), order.Settled{}.EventType(), order.OutcomeUnknown{}.EventType(),
	},
	Keys:   keys,
	Begins: func(e event.Event) bool { _, ok := e.Body.(order.Placed); return ok },
	Fold:   fold,
	Indexes: [][]string{
		{"placedAt"},
		{"shop", "placedAt"},
		{"buyer", "placedAt"},
		{"status", "placedAt"},
	},
}

func keys(e event.Event) []string {
	if x, ok := e.Body.(order.Expired); ok && x.Cause == order.Abandoned {
		return nil // it never was an order
	}
	return []string{strings.TrimPrefix(e.Stream, order.Category+"-")}
}

func fold(r Row, key string, e event.Event) Row {
	switch b := e.Body.(type) {
	case order.Placed:
		r = placed(key, b, projections.Time(e.OccurredAt))
	case order.ActionRequired:
		r.Intent = b.Intent
		if !r.over() {
			r.Status, r.Action = ActionRequired, b.Action
		}
	case order.Authorised:
		if !r.over() {
			r.Status = Authorised
		}
		r.Authorised, r.Intent, r.Charge, r.Action = b.Amount, b.Intent, b.Charge, ""
		if b.Last4 != "" {
			r.Card = b.Brand + " •••• " + b.Last4
		}
	case order.Declined:
		if !r.over() {
			r.Status = Declined
		}
		if b.Intent != "" {
			r.Intent = b.Intent
		}
		r.Action, r.Problem = "", b.Code
		if b.DeclineCode != "" {
			r.Problem = b.DeclineCode
		}
	case order.OutcomeUnknown:
		if r.Status == Placed || r.Status == ActionRequired {
			r.Status = Unknown
		}
	case order.Cancelled:
		r.Status, r.Action = Cancelled, ""
	case order.Expired:
		r.Status, r.Action = Expired, ""
	case order.Shipped:
		r.Status, r.Carrier, r.Tracking = Shipped, b.Carrier, b.Tracking
		for _, u := range b.Units {
			r.Lines[u.Line-1].Shipped += u.Quantity
		}
	case order.Captured:
		r.Status, r.Captured, r.Charge, r.ProcessorFee = Captured, b.Amount, b.Charge, b.ProcessorFee
	case order.CaptureFailed:
		r.Status, r.Problem = CaptureFailed, b.Code
	case order.RefundAgreed:
		r.Refunds = append(r.Refunds, Refund{b.Refund, order.Agreed, b.Total(), b.Units})
		for _, u := range b.Units {
			r.Lines[u.Line-1].Returned += u.Quantity
		}
	case order.Refunded:
		r.refund(b.Refund).Status = order.Given
		r.Refunded += b.Amount
		r.Status = PartRefunded
		if r.Refunded == r.Captured {
			r.Status = Refunded
		}
	case order.RefundFailed:
		failed := r.refund(b.Refund)
		failed.Status, r.Problem = order.Refused, b.Code
		for _, u := range failed.Units {
			r.Lines[u.Line-1].Returned -= u.Quantity
		}
	case order.Settled:
		r.Settled += b.Amount
		if r.Status == Captured {
			r.Status = Settled
		}
	}
	r.UpdatedAt = projections.Time(e.OccurredAt)
	return r
}

// refund finds one that was agreed. Of any other nothing can be said: the event
// is parked.
func (r Row) refund(id uuid.UUID) *Refund {
	for i := range r.Refunds {
		if r.Refunds[i].Refund == id {
			return &r.Refunds[i]
		}
	}
	panic("a refund that was never agreed: " + id.String())
}

func (r Row) over() bool { return r.Status == Declined || r.Status == Cancelled || r.Status == Expired }

func placed(key string, b order.Placed, at string) Row {
	r := Row{
		Order: key, Reference: b.Reference, Shop: b.Shop.String(), Buyer: b.Buyer.String(), Status: Placed,
		Currency: b.Currency, Total: b.Total(), Goods: b.Goods, Shipping: b.Shipping, Tax: b.Tax, Fee: b.Fee,
		Lines: make([]Line, len(b.Lines)), Processor: b.Processor, PlacedAt: at,
	}
	for i, l := range b.Lines {
		r.Lines[i] = Line{No: l.No, Offer: l.Offer.String(), Title: l.Title, Quantity: l.Quantity, UnitPrice: l.UnitPrice}
	}
	return r
}
