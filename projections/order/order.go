// Package order is the view of orders: one row an order, with its whole state
// and its money.
package order

import (
	"slices"
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
	Settled      money.Minor    `json:"settled"`        // transferred to the shop and not taken back
	Lost         money.Minor    `json:"lost,omitempty"` // in disputes
	ProcessorFee money.Minor    `json:"processorFee"`
	Lines        []Line         `json:"lines"`
	Refunds      []Refund       `json:"refunds,omitempty"`        // oldest first
	Unpaid       *Transfer      `json:"failedTransfer,omitempty"` // the last one to the shop, until one is made
	Disputes     []Dispute      `json:"disputes,omitempty"`       // oldest first
	Warnings     int            `json:"warnings,omitempty"`       // of fraud, by the card's issuer
	Processor    string         `json:"processor"`
	Intent       string         `json:"intent,omitempty"`
	Charge       string         `json:"charge,omitempty"`
	Card         string         `json:"card,omitempty"` // brand and last four digits
	Action       string         `json:"action,omitempty"`
	Remedy       order.Remedy   `json:"remedy,omitempty"`    // what the buyer may do about a declined payment
	ExpiresAt    string         `json:"expiresAt,omitempty"` // the authorisation, while nothing is captured
	Expiring     bool           `json:"expiring,omitempty"`  // soon
	Delivered    string         `json:"delivered,omitempty"` // who said that the goods arrived
	Problem      string         `json:"problem,omitempty"`   // code of a decline or failure that nothing has put right
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
	// Code is why it failed; Returned: after it had been accepted or paid.
	Code     string `json:"code,omitempty"`
	Returned bool   `json:"returned,omitempty"`
}

// Transfer to the shop that failed.
type Transfer struct {
	Code    string `json:"code"`
	Reason  string `json:"reason"`
	RetryAt string `json:"retryAt"`
}

// Dispute of an order's payment.
type Dispute struct {
	Dispute     string        `json:"dispute"` // the processor's id
	Status      DisputeStatus `json:"status"`
	Amount      money.Minor   `json:"amount"`
	Reason      string        `json:"reason"`
	EvidenceDue string        `json:"evidenceDue,omitempty"`
	Withdrawn   bool          `json:"withdrawn,omitempty"` // the bank has the money
}

// Open tells whether it is still to be decided.
func (d Dispute) Open() bool {
	return d.Status != DisputeWon && d.Status != DisputeLost && d.Status != DisputeClosed
}

// DisputeStatus says how far a dispute is.
type DisputeStatus string

// Statuses of a dispute.
const (
	Inquiry       DisputeStatus = "inquiry"
	Chargeback    DisputeStatus = "chargeback"
	Answered      DisputeStatus = "answered"
	NotAnswered   DisputeStatus = "answer refused"
	Conceded      DisputeStatus = "conceded"
	DisputeWon    DisputeStatus = "won"
	DisputeLost   DisputeStatus = "lost"
	DisputeClosed DisputeStatus = "withdrawn"
)

// Status of an order, as people speak of it.
type Status string

// Statuses.
const (
	Placed         Status = "placed"
	ActionRequired Status = "action required"
	Unknown        Status = "payment outcome unknown"
	Authorised     Status = "authorised"
	TryAgain       Status = "payment declined" // the buyer may pay in another way
	Declined       Status = "declined"
	Shipped        Status = "shipped"
	Captured       Status = "captured"
	CaptureFailed  Status = "capture failed"
	Disputed       Status = "in dispute"
	Lost           Status = "dispute lost"
	Settled        Status = "settled"
	PartRefunded   Status = "partly refunded"
	Refunded       Status = "refunded"
	Cancelled      Status = "cancelled"
	Expired        Status = "expired"
)

// Statuses are all of them.
var Statuses = []Status{Placed, ActionRequired, Unknown, Authorised, TryAgain, Declined, Shipped, Captured, CaptureFailed,
	Disputed, Lost, Settled, PartRefunded, Refunded, Cancelled, Expired}

// Projection of orders. The key is the order's id.
var Projection = projections.Projection[Row]{
	Name:    "orders",
	Version: 7,
	Handles: handles(),
	Keys:    keys,
	Begins:  func(e event.Event) bool { _, ok := e.Body.(order.Placed); return ok },
	Fold:    fold,
	Indexes: [][]string{
		{"placedAt"},
		{"shop", "placedAt"},
		{"buyer", "placedAt"},
		{"status", "placedAt"},
	},
}

func handles() (types []string) {
	for _, t := range order.Events {
		types = append(types, t.Name)
	}
	return types
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
	case order.MethodGiven:
		r.Status, r.Remedy, r.Action, r.Problem = Placed, "", "", ""
	case order.Cancelled:
		r.Status, r.Action, r.Remedy, r.Problem = Cancelled, "", "", ""
	case order.Expired:
		r.Status, r.Action, r.Remedy, r.Problem = Expired, "", "", ""
	case order.Shipped:
		r.Status, r.Carrier, r.Tracking = Shipped, b.Carrier, b.Tracking
		for _, u := range b.Units {
			r.Lines[u.Line-1].Shipped += u.Quantity
		}
	case order.Delivered:
		r.Delivered = b.By
	default:
		r = foldPayment(r, e.Body)
		r = foldAfterwards(r, e.Body)
		r = foldDispute(r, e.Body)
	}
	if status := r.taken(); status != "" {
		r.Status = status
	}
	r.UpdatedAt = projections.Time(e.OccurredAt)
	return r
}

// foldPayment folds the way to the capture.
func foldPayment(r Row, e event.Data) Row {
	switch b := e.(type) {
	case order.AuthorisationRequested:
		r.Remedy, r.Problem = "", ""
	case order.ActionRequired:
		r.Intent = b.Intent
		if !r.over() {
			r.Status, r.Action = ActionRequired, b.Action
		}
	case order.Authorised:
		if !r.over() && r.Status != Shipped {
			r.Status = Authorised
		}
		r.Authorised, r.Intent, r.Charge, r.Action, r.Remedy, r.Expiring = b.Amount, b.Intent, b.Charge, "", "", false
		r.ExpiresAt, r.Problem = "", ""
		if b.ExpiresAt != nil {
			r.ExpiresAt = projections.Time(*b.ExpiresAt)
		}
		if b.Last4 != "" {
			r.Card = b.Brand + " •••• " + b.Last4
		}
	case order.Expiring:
		r.Expiring = true
	case order.Declined:
		r = declined(r, b)
	case order.Voided:
		if b.Intent == r.Intent {
			r.ExpiresAt, r.Expiring = "", false
		}
	case order.OutcomeUnknown:
		if r.Status == Placed || r.Status == ActionRequired {
			r.Status = Unknown
		}
	case order.Captured:
		r.Captured, r.Charge, r.ProcessorFee, r.ExpiresAt, r.Expiring = b.Amount, b.Charge, b.ProcessorFee, "", false
		r.Problem = ""
	case order.CaptureFailed:
		r.Status, r.Problem = CaptureFailed, b.Code
	}
	return r
}

// declined: of a renewal nothing is said but why; the authorisation stands.
func declined(r Row, b order.Declined) Row {
	r.Problem = b.Code
	if b.DeclineCode != "" {
		r.Problem = b.DeclineCode
	}
	if r.ExpiresAt != "" {
		return r
	}
	r.Action = ""
	if b.Intent != "" {
		r.Intent = b.Intent
	}
	if !r.over() {
		r.Status, r.Remedy = Declined, b.Next
		if b.Next != "" {
			r.Status = TryAgain
		}
	}
	return r
}

// foldAfterwards folds refunds and what the shop gets.
func foldAfterwards(r Row, e event.Data) Row {
	switch b := e.(type) {
	case order.RefundAgreed:
		r.Refunds = append(r.Refunds, Refund{Refund: b.Refund, Status: order.Agreed, Amount: b.Amount(), Units: b.Units})
		for _, u := range b.Units {
			r.Lines[u.Line-1].Returned += u.Quantity
		}
	case order.RefundPending:
		r.refund(b.Refund).Status = order.Pending
	case order.Refunded:
		r.refund(b.Refund).Status = order.Given
		if slices.ContainsFunc(r.Refunds, func(f Refund) bool { return f.Status == order.Refused && f.Code == r.Problem }) {
			r.Problem = "" // given at last
		}
		if r.Refunded += b.Amount; r.Refunded >= r.Captured {
			r.Unpaid = nil // nothing is left to transfer
		}
	case order.RefundFailed:
		r.undo(b.Refund, b.Code, false)
	case order.RefundReturned:
		if !b.WasPending {
			r.Refunded -= b.Amount
		}
		r.undo(b.Refund, b.Code, true)
	case order.Settled:
		r.Settled += b.Amount
		r.Unpaid = nil
	case order.SettlementFailed:
		r.Unpaid = &Transfer{b.Code, b.Reason, projections.Time(b.RetryAt)}
	case order.Reversed:
		r.Settled -= b.Amount
	}
	return r
}

func (r *Row) undo(refund uuid.UUID, code string, returned bool) {
	failed := r.refund(refund)
	failed.Status, failed.Code, failed.Returned, r.Problem = order.Refused, code, returned, code
	for _, u := range failed.Units {
		r.Lines[u.Line-1].Returned -= u.Quantity
	}
}

// foldDispute folds what banks ask back.
func foldDispute(r Row, e event.Data) Row {
	switch b := e.(type) {
	case order.FraudWarned:
		r.Warnings++
	case order.DisputeOpened:
		d := Dispute{Dispute: b.Dispute, Status: Chargeback, Amount: b.Amount, Reason: b.Reason}
		if b.Inquiry {
			d.Status = Inquiry
		}
		if b.EvidenceDue != nil {
			d.EvidenceDue = projections.Time(*b.EvidenceDue)
		}
		r.Disputes = append(r.Disputes, d)
	case order.DisputeEscalated:
		d := r.dispute(b.Dispute)
		d.Status, d.EvidenceDue = Chargeback, ""
		if b.EvidenceDue != nil {
			d.EvidenceDue = projections.Time(*b.EvidenceDue)
		}
	case order.DisputeWithdrawn:
		r.dispute(b.Dispute).Withdrawn = true
	case order.Contested:
		r.dispute(b.Dispute).Status = Answered
	case order.ContestFailed:
		r.dispute(b.Dispute).Status, r.Problem = NotAnswered, b.Code
	case order.DisputeConceded:
		r.dispute(b.Dispute).Status = Conceded
	case order.DisputeReinstated:
		d := r.dispute(b.Dispute)
		d.Withdrawn = false
		if b.WasLost {
			r.Lost -= b.Amount
		}
	case order.DisputeClosed:
		d := r.dispute(b.Dispute)
		if d.Status == NotAnswered {
			r.Problem = "" // decided
		}
		d.Status = map[order.DisputeResult]DisputeStatus{order.Won: DisputeWon, order.Lost: DisputeLost, order.Withdrawn: DisputeClosed}[b.Result]
		r.Lost += b.Amount
	}
	return r
}

// taken is the status of an order whose money was taken; empty: it was not. What
// somebody has to look at goes before what is done.
func (r Row) taken() Status {
	if r.Captured == 0 {
		return ""
	}
	for _, d := range r.Disputes {
		if d.Withdrawn && d.Status != DisputeLost {
			return Disputed
		}
	}
	switch {
	case r.Refunded >= r.Captured:
		return Refunded
	case r.Lost > 0:
		return Lost
	case r.Refunded > 0:
		return PartRefunded
	case r.Settled > 0:
		return Settled
	}
	return Captured
}

// dispute finds one that was opened. Of any other nothing can be said: the event
// is parked.
func (r *Row) dispute(id string) *Dispute {
	for i := range r.Disputes {
		if r.Disputes[i].Dispute == id {
			return &r.Disputes[i]
		}
	}
	panic("a dispute that was never opened: " + id)
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

// Payable tells whether the buyer can pay on the processor's page now.
func (r Row) Payable() bool {
	return r.Status == ActionRequired || r.Status == TryAgain && r.Intent != ""
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
