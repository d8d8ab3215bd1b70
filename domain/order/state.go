package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// Outside tells whether the payment is taken outside Kicau: no processor is
// called for it.
func (p Placed) Outside() bool { return p.Processor != Stripe }

// Stripe is the processor that Kicau itself asks.
const Stripe = "stripe"

// State of an order and its money.
type State struct {
	Placed   Placed // zero Order: never placed
	Standing Standing
	Lines    []LineState
	Refunds  []Refund // agreed ones, oldest first
	Refunded Allocation
	Payment  Payment
}

// Standing says whether the order is still wanted.
type Standing string

// Standings.
const (
	None      Standing = ""
	Open      Standing = "open"
	Dispatch  Standing = "shipped"
	Called    Standing = "cancelled"
	TimedOut  Standing = "expired"
	Turned    Standing = "declined"
	Forgotten Standing = "abandoned" // expired before it was placed
)

// Over tells whether the order ended without goods leaving the shop.
func (s Standing) Over() bool {
	return s == Called || s == TimedOut || s == Turned || s == Forgotten
}

// LineState is what became of a line.
type LineState struct {
	Line
	Shipped  int64 // units
	Returned int64 // units refunded
}

// Refund is one that was agreed.
type Refund struct {
	ID    uuid.UUID
	Units []Units
	Allocation
	Reason string
	Status RefundStatus
}

// RefundStatus says how far a refund is.
type RefundStatus string

// Refund statuses.
const (
	Agreed  RefundStatus = "agreed"
	Asked   RefundStatus = "requested"
	Given   RefundStatus = "refunded"
	Refused RefundStatus = "failed"
)

// Payment is the money of an order.
type Payment struct {
	Account    string // the platform's account at the processor
	Intent     string
	Charge     string
	Awaiting   string // what the buyer has to do: "card", "authenticate", or nothing
	Authorised money.Minor
	ExpiresAt  *time.Time
	Voided     bool
	Failed     bool // capture refused
	Captured   Allocation
	IsCaptured bool
	SettleAt   time.Time
	Payable    money.Minor // owed to the shop
	Receivable money.Minor // owed by the shop
	Settled    money.Minor
	Pending    *Request // the one call whose outcome is open
	Calls      int      // intentions so far; numbers the idempotency keys
}

// Request is an intention whose outcome is not recorded yet.
type Request struct {
	Step          Step
	Key           string
	At            time.Time
	Amount        money.Minor
	PaymentMethod string
	Refund        uuid.UUID
	Destination   string
	Payable       money.Minor
	Netted        money.Minor
	Tries         int
	RetryAt       time.Time
}

func evolve(s State, e event.Data) State {
	p := &s.Payment
	switch e := e.(type) {
	case Placed:
		s.Placed, s.Standing = e, Open
		s.Lines = make([]LineState, len(e.Lines))
		for i, l := range e.Lines {
			s.Lines[i] = LineState{Line: l}
		}
	case Shipped:
		s.Standing = Dispatch
		for _, u := range e.Units {
			s.Lines[u.Line-1].Shipped += u.Quantity
		}
	case Cancelled:
		s.Standing = Called
	case Expired:
		s.Standing = TimedOut
		if e.Cause == Abandoned {
			s.Standing = Forgotten
		}
	case RefundAgreed:
		s.Refunds = append(s.Refunds, Refund{e.Refund, e.Units, e.Allocation, e.Reason, Agreed})
		s.Refunded = s.Refunded.Plus(e.Allocation)
		for _, u := range e.Units {
			s.Lines[u.Line-1].Returned += u.Quantity
		}
	case AuthorisationRequested:
		p.Account = e.Account
		p.ask(Request{Step: Authorise, Key: e.Key, At: e.At, Amount: e.Amount, PaymentMethod: e.PaymentMethod})
	case ActionRequired:
		p.Pending, p.Intent, p.Awaiting = nil, e.Intent, e.Action
	case Authorised:
		p.Pending, p.Awaiting = nil, ""
		p.Intent, p.Charge, p.Authorised, p.ExpiresAt = e.Intent, e.Charge, e.Amount, e.ExpiresAt
	case Declined:
		p.Pending, p.Awaiting = nil, ""
		if e.Intent != "" {
			p.Intent = e.Intent
		}
		if s.Standing == Open {
			s.Standing = Turned
		}
	case VoidRequested:
		p.ask(Request{Step: Void, Key: e.Key, At: e.At})
	case Voided:
		p.Pending, p.Awaiting, p.Voided = nil, "", true
	case CaptureRequested:
		p.ask(Request{Step: Capture, Key: e.Key, At: e.At, Amount: e.Amount})
	case Captured:
		p.Pending, p.IsCaptured, p.Captured, p.SettleAt = nil, true, e.Allocation, e.SettleAfter
		p.Payable += e.ShopShare()
	case CaptureFailed:
		p.Pending, p.Failed = nil, true
	case RefundRequested:
		p.ask(Request{Step: Refunding, Key: e.Key, At: e.At, Amount: e.Amount, Refund: e.Refund})
		s.refund(e.Refund).Status = Asked
	case Refunded:
		p.Pending = nil
		p.Payable -= e.FromPayable
		p.Receivable += e.FromReceivable
		s.refund(e.Refund).Status = Given
	case RefundFailed:
		p.Pending = nil
		r := s.refund(e.Refund)
		r.Status = Refused
		s.Refunded = s.Refunded.Minus(r.Allocation)
		for _, u := range r.Units {
			s.Lines[u.Line-1].Returned -= u.Quantity
		}
	case SettlementRequested:
		p.ask(Request{Step: Settle, Key: e.Key, At: e.At, Amount: e.Amount, Destination: e.Destination, Payable: e.Payable, Netted: e.Netted})
	case Settled:
		p.Pending = nil
		p.Payable -= e.Payable
		p.Receivable -= e.Netted
		p.Settled += e.Amount
	case SettlementFailed:
		p.Pending = nil
		p.SettleAt = e.RetryAt
	case OutcomeUnknown:
		if p.Pending != nil && p.Pending.Key == e.Key {
			r := *p.Pending
			r.Tries, r.RetryAt = e.Tries, e.RetryAt
			p.Pending = &r
		}
	}
	return s
}

func (p *Payment) ask(r Request) {
	p.Pending = &r
	p.Calls++
}

func (s State) refund(id uuid.UUID) *Refund {
	for i := range s.Refunds {
		if s.Refunds[i].ID == id {
			return &s.Refunds[i]
		}
	}
	panic("order: an event speaks of a refund that was never agreed")
}

// Units that the order has of an offer, and how many of them leave the shop:
// all that were ordered while it is open, what was shipped afterwards, none
// when it is over.
func (s State) Units(offer uuid.UUID) (ordered, taken int64) {
	for _, l := range s.Lines {
		if l.Offer != offer {
			continue
		}
		ordered += l.Quantity
		switch s.Standing {
		case Open:
			taken += l.Quantity
		case Dispatch:
			taken += l.Shipped
		}
	}
	return ordered, taken
}

// After is what s becomes after events. It leaves s as it is.
func After(s State, events ...event.Data) State {
	s.Lines = append([]LineState(nil), s.Lines...)
	s.Refunds = append([]Refund(nil), s.Refunds...)
	for _, e := range events {
		s = evolve(s, e)
	}
	return s
}
