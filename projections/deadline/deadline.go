// Package deadline is what has to happen by when: one row an order, with the
// time at which somebody must look at it again. A deadline is a hint: when it
// fires, the order's decider says whether it still matters. It may fire late,
// after an outage, and never early.
package deadline

import (
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/projections"
)

// OpenCall is how long a call to the processor may stay without an outcome in
// the log before somebody looks: longer than a call may take.
const OpenCall = 5 * time.Minute

// Row is what an order waits for. Due is empty when nothing.
type Row struct {
	Order  string      `json:"order"`
	Due    string      `json:"due"`
	Kind   Kind        `json:"kind"`
	Offers []uuid.UUID `json:"offers,omitempty"` // whose stock is held for it

	Placed   bool   `json:"placed"`
	Over     bool   `json:"over"`
	Hold     string `json:"hold,omitempty"`
	AuthEnds string `json:"authEnds,omitempty"`
	Outside  bool   `json:"outside,omitempty"` // paid outside: nothing is asked of a processor
	Intent   bool   `json:"intent,omitempty"`  // the processor holds a payment intent
	Paid     bool   `json:"paid"`
	Shipped  bool   `json:"shipped"`
	Settles  bool   `json:"settles"` // its shop is paid through us
	SettleAt string `json:"settleAt,omitempty"`
	// Owed is the shop's share that was not transferred yet; a refund of more
	// than that makes it negative.
	Owed money.Minor `json:"owed,omitempty"`
	Call string      `json:"call,omitempty"` // when to look after the open call
}

// Kind of a deadline.
type Kind string

// Kinds.
const (
	None       Kind = ""
	Hold       Kind = "stock hold"
	Unshipped  Kind = "authorisation"
	Call       Kind = "open call"
	Settlement Kind = "settlement"
)

// Projection of deadlines. The key is the order's id.
var Projection = projections.Projection[Row]{
	Name:    "deadlines",
	Version: 2,
	Handles: []string{
		offer.StockHeld{}.EventType(), offer.StockReleased{}.EventType(),
		order.Placed{}.EventType(), order.Shipped{}.EventType(), order.Cancelled{}.EventType(), order.Expired{}.EventType(), order.RefundAgreed{}.EventType(),
		order.AuthorisationRequested{}.EventType(), order.ActionRequired{}.EventType(), order.Authorised{}.EventType(),
		order.Declined{}.EventType(), order.VoidRequested{}.EventType(), order.Voided{}.EventType(),
		order.CaptureRequested{}.EventType(), order.Captured{}.EventType(), order.CaptureFailed{}.EventType(),
		order.RefundRequested{}.EventType(), order.Refunded{}.EventType(), order.RefundFailed{}.EventType(),
		order.SettlementRequested{}.EventType(), order.Settled{}.EventType(), order.SettlementFailed{}.EventType(),
		order.OutcomeUnknown{}.EventType(),
	},
	Keys:    keys,
	Fold:    fold,
	Indexes: [][]string{{"due"}},
}

func keys(e event.Event) []string {
	switch b := e.Body.(type) {
	case offer.StockHeld:
		return []string{b.Order.String()}
	case offer.StockReleased:
		return []string{b.Order.String()}
	}
	return []string{strings.TrimPrefix(e.Stream, order.Category+"-")}
}

func fold(r Row, key string, e event.Event) Row {
	r.Order = key
	open := func() { r.Call = projections.Time(e.OccurredAt.Add(OpenCall)) }
	switch b := e.Body.(type) {
	case offer.StockHeld:
		id, _ := uuid.Parse(strings.TrimPrefix(e.Stream, offer.Category+"-"))
		r.Offers = append(r.Offers, id)
		r.Hold = projections.Time(b.ExpiresAt)
	case offer.StockReleased:
		id, _ := uuid.Parse(strings.TrimPrefix(e.Stream, offer.Category+"-"))
		r.Offers = slices.DeleteFunc(r.Offers, func(o uuid.UUID) bool { return o == id })
		if !r.Placed && len(r.Offers) == 0 {
			r.Hold = ""
		}
	case order.Placed:
		r.Outside = b.Outside()
		r.Placed, r.Settles = true, b.Destination != "" && !b.Outside()
		if !b.Outside() {
			r.Hold = projections.Time(b.StockHeldUntil)
		}
	case order.AuthorisationRequested, order.VoidRequested, order.CaptureRequested, order.RefundRequested, order.SettlementRequested:
		open()
	case order.OutcomeUnknown:
		r.Call = projections.Time(b.RetryAt)
	case order.ActionRequired:
		r.Call, r.Intent = "", true
		if r.Over {
			open()
		}
	case order.CaptureFailed, order.RefundFailed:
		r.Call = ""
	case order.Refunded:
		r.Call = ""
		r.Owed -= b.FromPayable + b.FromReceivable
	case order.RefundAgreed:
		if r.ours() {
			open() // the request for it is to follow
		}
	case order.Authorised:
		r.Call, r.Paid, r.Intent = "", true, true
		if r.Over && r.ours() {
			open()
		}
		if b.ExpiresAt != nil {
			r.AuthEnds = projections.Time(b.ExpiresAt.Add(-order.AuthorisationMargin))
		}
	case order.Declined:
		r.Call, r.Over = "", true
		if r.Intent = r.Intent || b.Intent != ""; r.Intent {
			open() // the void of the intent is to follow
		}
	case order.Voided:
		r.Call, r.Paid, r.Intent, r.AuthEnds = "", false, false, ""
	case order.Cancelled, order.Expired:
		r.Over = true
		if r.Intent && r.ours() {
			open() // the void is to follow
		}
	case order.Shipped:
		r.Shipped = true
		if r.ours() {
			open() // the capture is to follow
		}
	case order.Captured:
		r.Call = ""
		if r.Settles {
			r.SettleAt = projections.Time(b.SettleAfter)
		}
		r.Owed += b.ShopShare()
	case order.Settled:
		r.Call = ""
		r.Owed -= b.Amount
	case order.SettlementFailed:
		r.Call, r.SettleAt = "", projections.Time(b.RetryAt)
	}
	r.Due, r.Kind = r.next()
	return r
}

// ours: it is paid through us, so that calls follow.
func (r Row) ours() bool { return !r.Outside }

// next is what comes first in the order's present state.
func (r Row) next() (due string, kind Kind) {
	switch {
	case r.Call != "":
		return r.Call, Call
	case r.SettleAt != "" && r.Owed > 0:
		return r.SettleAt, Settlement
	case !r.Placed:
		// Held for an order that never came: due until all of it was given back,
		// even once the order is closed.
		return orNone(r.Hold, Hold)
	case r.Over || r.Shipped:
		return "", None
	case r.Paid:
		return orNone(r.AuthEnds, Unshipped)
	default:
		return orNone(r.Hold, Hold)
	}
}

func orNone(due string, kind Kind) (string, Kind) {
	if due == "" {
		return "", None
	}
	return due, kind
}
