// Package deadline is what has to happen by when: one row an order, with the
// time at which somebody must look at it again. A deadline is a hint: when it
// fires, the order's decider says whether it still matters. It may fire late,
// after an outage, and never early.
package deadline

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/projections"
)

// OpenCall is how long a call to the processor may stay without an outcome in
// the log before somebody looks: longer than a call may take.
const OpenCall = 5 * time.Minute

// Row is what an order waits for. Due is empty when nothing. Times are UTC in
// [projections.TimeLayout].
type Row struct {
	Order  string      `json:"order"`
	Due    string      `json:"due"`
	Kind   Kind        `json:"kind"`
	Offers []uuid.UUID `json:"offers,omitempty"` // whose stock is held for it

	// Waits are the times known so far, by kind; which of them matter is a
	// question of the order's state.
	Waits map[Kind]string `json:"waits,omitempty"`
	// Evidence is when disputes are to be answered, by the processor's id.
	Evidence map[string]string `json:"evidence,omitempty"`

	// Open is the call to the processor whose outcome is not in the log.
	Open *Open `json:"open,omitempty"`

	Placed    bool          `json:"placed"`
	Over      bool          `json:"over"`
	Outside   bool          `json:"outside,omitempty"` // paid outside: nothing is asked of a processor
	Intent    string        `json:"intent,omitempty"`  // that the processor holds
	Paid      bool          `json:"paid"`              // the intent holds money
	KeepCard  bool          `json:"keepCard,omitempty"`
	Shipped   bool          `json:"shipped"`
	Taken     bool          `json:"taken,omitempty"` // captured
	Settles   bool          `json:"settles"`         // its shop is paid through us
	Payable   money.Minor   `json:"payable,omitempty"`
	Available money.Minor   `json:"available,omitempty"`
	Reserve   order.Reserve `json:"reserve,omitempty"`
	Unearned  money.Minor   `json:"unearned,omitempty"` // the buyer's, to be sent back or earned
}

// Open call: of a step, about an intent, a refund or a dispute.
type Open struct {
	Step order.Step `json:"step"`
	Of   string     `json:"of,omitempty"`
}

// Kind of a deadline.
type Kind string

// Kinds.
const (
	None       Kind = ""
	Hold       Kind = "stock hold"
	Warning    Kind = "authorisation warning"
	Renewal    Kind = "authorisation renewal"
	Unshipped  Kind = "authorisation"
	Call       Kind = "open call"
	Settlement Kind = "settlement"
	Reserve    Kind = "reserve"
	Evidence   Kind = "dispute evidence"
	Return     Kind = "return of what was not earned"
)

// Projection of deadlines. The key is the order's id.
var Projection = projections.Projection[Row]{
	Name:    "deadlines",
	Version: 7,
	Handles: handles(),
	Keys:    keys,
	Fold:    fold,
	Indexes: [][]string{{"due"}},
}

func handles() []string {
	types := []string{offer.StockHeld{}.EventType(), offer.StockReleased{}.EventType()}
	for _, t := range order.Events {
		types = append(types, t.Name)
	}
	return types
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
	switch b := e.Body.(type) {
	case offer.StockHeld:
		id, _ := uuid.Parse(strings.TrimPrefix(e.Stream, offer.Category+"-"))
		r.Offers = append(r.Offers, id)
		r.wait(Hold, b.ExpiresAt)
	case offer.StockReleased:
		id, _ := uuid.Parse(strings.TrimPrefix(e.Stream, offer.Category+"-"))
		r.Offers = slices.DeleteFunc(r.Offers, func(o uuid.UUID) bool { return o == id })
		if !r.Placed && len(r.Offers) == 0 {
			r.done(Hold)
		}
	case order.Placed:
		r.Outside, r.KeepCard = b.Outside(), b.KeepCard
		r.Placed, r.Settles = true, b.Destination != "" && !b.Outside()
		if !b.Outside() {
			r.wait(Hold, b.StockHeldUntil)
		}
	case order.RefundAgreed:
		r.Unearned -= b.Unearned
		r.follows(e)
	case order.MethodGiven, order.DisputeAnswered, order.DisputeConceded:
		r.follows(e) // a call
	case order.Cancelled, order.Expired:
		r.Over = true
		if r.Intent != "" {
			r.follows(e) // the void
		}
	case order.Shipped:
		r.Shipped = true
		r.follows(e) // the capture
	case order.AuthorisationRequested:
		r.asks(e, order.Authorise, b.Intent)
	case order.VoidRequested:
		r.asks(e, order.Void, b.Intent)
	case order.CaptureRequested:
		r.asks(e, order.Capture, b.Intent)
	case order.RefundRequested:
		r.asks(e, order.Refunding, b.Refund.String())
	case order.SettlementRequested:
		r.asks(e, order.Settle, "")
	case order.ReversalRequested:
		r.asks(e, order.Reverse, "")
	case order.ContestRequested:
		r.asks(e, order.Contest, b.Dispute)
	case order.AcceptRequested:
		r.asks(e, order.Accept, b.Dispute)
	case order.OutcomeUnknown:
		r.wait(Call, b.RetryAt)
	default:
		r.foldMoney(e)
		r.foldSettlement(e)
		r.foldDispute(e)
	}
	r.Due, r.Kind = r.next()
	return r
}

// foldMoney folds what is known of the buyer's money.
func (r *Row) foldMoney(e event.Event) {
	switch b := e.Body.(type) {
	case order.ActionRequired:
		r.answer()
		r.Intent = b.Intent
		r.followsWhenOver(e)
	case order.Authorised:
		r.answer()
		r.Paid, r.Intent = true, cmp.Or(b.Intent, "outside")
		r.done(Warning, Renewal, Unshipped)
		if b.ExpiresAt != nil {
			r.wait(Warning, b.ExpiresAt.Add(-payment.ExpiryWarning))
			r.wait(Unshipped, b.ExpiresAt.Add(-order.AuthorisationMargin))
			if b.Customer != "" {
				r.wait(Renewal, b.ExpiresAt.Add(-payment.RenewalMargin))
			}
		}
		r.followsWhenOver(e)
	case order.Expiring:
		r.done(Warning)
	case order.Declined:
		r.answer()
		if r.Paid { // the authorisation that was to be renewed stands
			r.done(Renewal)
			return
		}
		r.Intent = cmp.Or(b.Intent, r.Intent)
		r.Over = r.Over || b.Next == ""
		r.followsWhenOver(e)
	case order.Voided:
		r.answered(b.Intent, order.Void, order.Authorise, order.Capture)
		if b.Intent == r.Intent || r.Intent == "outside" {
			r.Paid, r.Intent = false, ""
			r.done(Warning, Renewal, Unshipped)
		}
	case order.Captured:
		r.answered(b.Intent, order.Capture, order.Void)
		r.done(Warning, Renewal, Unshipped)
		r.Taken, r.Intent = true, ""
		r.wait(Unshipped, b.SettleAfter.Add(order.TakenLimit))
		r.Unearned += b.Unearned
		r.owed(b.ShopShare(), b.SettleAfter)
	case order.Earned:
		r.answered("") // it was captured before: the shipment has nothing to ask
		r.Unearned -= b.Total()
		r.owed(b.ShopShare(), b.SettleAfter)
	case order.CaptureFailed:
		r.answered(b.Intent, order.Capture)
	case order.RefundFailed:
		r.answered(b.Refund.String(), order.Refunding)
		r.returns(b.Unearned, b.RetryAt)
	case order.RefundPending:
		r.answered(b.Refund.String(), order.Refunding)
		r.took(b.Taken)
	case order.Refunded:
		r.answered(b.Refund.String(), order.Refunding)
		if !b.WasPending {
			r.took(b.Taken)
		}
	case order.RefundReturned:
		r.owed(b.ToPayable, e.OccurredAt)
		r.returns(b.Unearned, b.RetryAt)
	}
}

// foldSettlement folds what is known of the shop's money.
func (r *Row) foldSettlement(e event.Event) {
	switch b := e.Body.(type) {
	case order.NettingRequested:
		r.follows(e)
	case order.Released:
		if r.Open == nil {
			r.done(Call)
		}
		r.Payable -= b.Payable
		r.Available += b.Available()
		if b.ReserveUntil != nil {
			r.Reserve = r.Reserve.With(b.Reserved, *b.ReserveUntil)
		}
	case order.ReserveReleased:
		r.Reserve = r.Reserve.Without(b.Amount)
		r.Available += b.Amount
	case order.Settled:
		r.answered("", order.Settle)
		r.Payable -= b.Payable
		r.Available -= b.Available
	case order.SettlementFailed:
		r.answered("", order.Settle)
		r.wait(Settlement, b.RetryAt)
	case order.Reversed, order.DebtCarried:
		r.answered("", order.Reverse)
	}
}

// foldDispute folds what banks want.
func (r *Row) foldDispute(e event.Event) {
	switch b := e.Body.(type) {
	case order.DisputeOpened:
		r.evidence(b.Dispute, b.EvidenceDue)
	case order.DisputeEscalated:
		r.evidence(b.Dispute, b.EvidenceDue)
	case order.DisputeWithdrawn:
		r.took(b.Taken)
		r.Unearned -= b.Unearned
	case order.DisputeReallocated:
		r.took(b.Taken)
		r.Unearned -= b.Unearned
	case order.DisputeReinstated:
		r.Unearned += b.Unearned
		r.owed(b.ToPayable, e.OccurredAt)
	case order.Contested:
		r.answered(b.Dispute, order.Contest)
		r.evidence(b.Dispute, nil)
	case order.ContestFailed:
		r.answered(b.Dispute, order.Contest, order.Accept)
		r.evidence(b.Dispute, nil)
	case order.DisputeClosed:
		r.answered(b.Dispute, order.Accept)
		r.evidence(b.Dispute, nil)
	}
}

func (r *Row) wait(kind Kind, until time.Time) {
	if r.Waits == nil {
		r.Waits = map[Kind]string{}
	}
	r.Waits[kind] = projections.Time(until)
}

// returns: money that was not earned is here again, to be sent back at a time;
// nil: that is left to people.
func (r *Row) returns(more money.Minor, at *time.Time) {
	r.Unearned += more
	if at != nil {
		r.wait(Return, *at)
	} else if more > 0 {
		r.done(Return)
	}
}

func (r *Row) done(kinds ...Kind) {
	for _, k := range kinds {
		delete(r.Waits, k)
	}
}

// follows: something is to be asked, of the processor or the shop's stream. It
// waits for a call that is open, whose own time stands. Who is paid outside asks
// nothing.
func (r *Row) follows(e event.Event) {
	if !r.Outside && r.Open == nil {
		r.wait(Call, e.OccurredAt.Add(OpenCall))
	}
}

// asks: an intention is in the log.
func (r *Row) asks(e event.Event, step order.Step, of string) {
	r.Open = nil
	r.follows(e)
	r.Open = &Open{step, of}
}

// answered: the call of one of these steps, about this, is not open any more.
// What the processor says unasked may come while another call is open, which is
// still to be looked after.
func (r *Row) answered(of string, steps ...order.Step) {
	if o := r.Open; o != nil && (!slices.Contains(steps, o.Step) || o.Of != "" && of != "" && o.Of != of) {
		return
	}
	r.answer()
}

// answer: no call is open any more.
func (r *Row) answer() {
	r.Open = nil
	r.done(Call)
}

// followsWhenOver: an intent that is not wanted any more is to be voided.
func (r *Row) followsWhenOver(e event.Event) {
	if r.Over && r.Intent != "" {
		r.follows(e)
	}
}

// owed: the shop is owed more, to be released at a time, and not before the hold
// of what it is owed already.
func (r *Row) owed(more money.Minor, at time.Time) {
	r.Payable += more
	if r.Settles && more > 0 && r.Waits[Settlement] < projections.Time(at) {
		r.wait(Settlement, at)
	}
}

func (r *Row) took(t order.Taken) {
	r.Payable -= t.FromPayable
	r.Reserve = r.Reserve.Without(t.FromReserve)
}

func (r *Row) evidence(dispute string, due *time.Time) {
	if due == nil {
		delete(r.Evidence, dispute)
		return
	}
	if r.Evidence == nil {
		r.Evidence = map[string]string{}
	}
	r.Evidence[dispute] = projections.Time(due.Add(-order.EvidenceMargin))
}

// next is what comes first in the order's present state.
func (r Row) next() (due string, kind Kind) {
	sooner := func(at string, k Kind) {
		if at != "" && (due == "" || at < due) {
			due, kind = at, k
		}
	}
	if call := r.Waits[Call]; call != "" {
		return call, Call // its outcome comes first
	}
	for _, at := range r.Evidence {
		sooner(at, Evidence)
	}
	if r.Unearned > 0 {
		sooner(r.Waits[Return], Return)
	}
	if r.Payable > 0 || r.Available > 0 {
		sooner(r.Waits[Settlement], Settlement)
	}
	if len(r.Reserve) > 0 {
		sooner(projections.Time(r.Reserve[0].Until), Reserve)
	}
	switch {
	case !r.Placed:
		// Held for an order that never came: due until all of it was given back,
		// even once the order is closed.
		sooner(r.Waits[Hold], Hold)
	case r.Over || r.Shipped:
	case r.Paid || r.Taken:
		for _, k := range []Kind{Warning, Renewal, Unshipped} {
			sooner(r.Waits[k], k)
		}
	default:
		sooner(r.Waits[Hold], Hold)
	}
	return due, kind
}
