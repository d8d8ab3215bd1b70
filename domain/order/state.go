package order

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// Outside tells whether the payment is taken outside Kicau: no processor is
// called for it.
func (p Placed) Outside() bool { return p.Processor != Stripe }

// Step is what every amount of the order is a whole number of: see
// [money.Currency.Step]. Who pays outside is not bound by what cards carry.
func (p Placed) Step() money.Minor { return stepOf(p.Currency, p.Processor) }

func stepOf(c money.Currency, processor string) money.Minor {
	if processor != Stripe {
		return 1
	}
	return c.Step()
}

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
	Disputes []Dispute // oldest first
	// Disputed is what of the captured allocation is in dispute or lost in one.
	Disputed  Allocation
	Warnings  []string // the processor's ids of fraud warnings
	Delivered string   // who said that the goods arrived
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

// Payment is the money of an order.
type Payment struct {
	Account    string // the platform's account at the processor
	Intent     string
	Charge     string
	Awaiting   string // what the buyer has to do: "card", "authenticate", or nothing
	Method     string // the buyer's card: the processor's token
	Customer   string // at the processor, when the card is kept
	Remedy     Remedy // after a decline, until the next try
	Declines   int
	Authorised money.Minor // by Intent
	ExpiresAt  *time.Time
	Warned     bool     // that it expires
	Renewals   int      // how often another authorisation has replaced one
	Unrenewed  bool     // the kept card was asked to replace it, in vain
	Former     []Former // intents that were replaced and still hold money
	Voided     bool
	Failed     bool        // capture refused
	Taken      money.Minor // captured in all
	Captured   Allocation  // what of it is earned
	IsCaptured bool
	Unearned   money.Minor // captured, not earned, not refunded
	Earned     bool        // what was shipped is in Captured
	ReturnAt   time.Time   // not before then is Unearned sent back

	SettleAt   time.Time
	Payable    money.Minor // owed to the shop, on hold
	Available  money.Minor // owed to the shop, to be transferred
	Reserve    Reserve     // owed to the shop, kept for longer
	Receivable money.Minor // owed by the shop
	Settled    money.Minor // transferred and not reversed
	Transfers  []Transfer  // oldest first
	Refusals   int         // of transfers, since the last one that was made
	Releases   int
	Netting    money.Minor // the next release asks the shop's stream to give up so much at most; 0: it did not ask
	Debts      []DebtCarried

	Pending *Request // the one call whose outcome is open
	Calls   int      // intentions so far; numbers the idempotency keys
}

// Former is an intent that another one replaced.
type Former struct {
	Intent     string
	Authorised money.Minor
}

// Transfer to the shop.
type Transfer struct {
	ID               string
	Amount, Reversed money.Minor
}

// Dispute of a payment.
type Dispute struct {
	ID       string
	Amount   money.Minor
	Reason   string
	Inquiry  bool
	Due      *time.Time // when evidence is due; nothing: it cannot be answered
	Text     string     // the shop's words about it
	Ready    bool       // the shop wants it answered now
	Answered bool       // evidence was submitted, or refused
	Conceded bool
	Result   DisputeResult // empty while open
	// Held is what was withdrawn for it and did not come back; none when no money
	// moved or all of it came back.
	Held *DisputeWithdrawn
	// InPart: some of it came back. GivenUp: what did not is in the books as lost.
	InPart, GivenUp bool
	Known           []string // the processor's ids of its movements that are in the books
}

// Open tells whether it is still to be decided.
func (d Dispute) Open() bool { return d.Result == "" }

// Request is an intention whose outcome is not recorded yet.
type Request struct {
	Step          Step
	Key           string
	At            time.Time
	Amount        money.Minor
	Intent        string
	PaymentMethod string
	Customer      string
	KeepCard      bool
	Refund        uuid.UUID
	Destination   string
	Charge        string
	Payable       money.Minor
	Available     money.Minor
	Netted        money.Minor
	Transfer      string
	Dispute       string
	Evidence      Evidence
	Tries         int
	RetryAt       time.Time
}

func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case Placed:
		s.Placed, s.Standing = e, Open
		s.Payment.Method = e.PaymentMethod
		s.Lines = make([]LineState, len(e.Lines))
		for i, l := range e.Lines {
			s.Lines[i] = LineState{Line: l}
		}
	case MethodGiven:
		s.Payment.Method, s.Payment.Remedy, s.Payment.Awaiting = e.PaymentMethod, "", ""
	case Shipped:
		s.Standing = Dispatch
		for _, u := range e.Units {
			s.Lines[u.Line-1].Shipped += u.Quantity
		}
	case Delivered:
		s.Delivered = e.By
	case Cancelled:
		s.Standing = Called
	case Expired:
		s.Standing = TimedOut
		if e.Cause == Abandoned {
			s.Standing = Forgotten
		}
	case RefundAgreed:
		r := Refund{ID: e.Refund, Units: e.Units, Allocation: e.Allocation, Unearned: e.Unearned, Rest: e.Rest, Reason: e.Reason, Status: Agreed}
		s.Refunded = s.Refunded.Plus(e.Allocation)
		s.Payment.Unearned -= e.Unearned
		for _, u := range e.Units {
			units, line := s.Lines[u.Line-1].give(u.Quantity)
			line.Returned += u.Quantity
			r.Spans, s.Lines[u.Line-1] = append(r.Spans, units), line
		}
		s.Refunds = append(s.Refunds, r)
	default:
		evolvePayment(&s, e)
	}
	return s
}

func evolvePayment(s *State, e event.Data) {
	p := &s.Payment
	switch e := e.(type) {
	case AuthorisationRequested:
		p.Account, p.Remedy = e.Account, ""
		p.ask(Request{Step: Authorise, Key: e.Key, At: e.At, Amount: e.Amount, PaymentMethod: e.PaymentMethod,
			Intent: e.Intent, Customer: e.Customer, KeepCard: e.KeepCard})
	case ActionRequired:
		p.Pending, p.Awaiting = nil, e.Action
		p.replace(e.Intent)
	case Authorised:
		p.Pending, p.Awaiting, p.Remedy, p.Warned, p.Voided = nil, "", "", false, false
		p.replace(e.Intent)
		p.Charge, p.Authorised, p.ExpiresAt = e.Charge, e.Amount, e.ExpiresAt
		p.Customer = e.Customer
		if e.PaymentMethod != "" {
			p.Method = e.PaymentMethod
		}
	case Expiring:
		p.Warned = true
	case Declined:
		s.declined(e)
	case VoidRequested:
		p.ask(Request{Step: Void, Key: e.Key, At: e.At, Intent: e.Intent})
	case Voided:
		p.voided(e)
	case CaptureRequested:
		p.ask(Request{Step: Capture, Key: e.Key, At: e.At, Amount: e.Amount, Intent: e.Intent})
	case Captured:
		p.answered(about{intent: p.Intent}, Capture, Void)
		p.IsCaptured, p.Taken, p.Captured, p.SettleAt, p.Unearned = true, e.Amount, e.Allocation, e.SettleAfter, e.Unearned
		p.Earned = e.Allocation != Allocation{}
		p.Payable += e.ShopShare()
		if e.Charge != "" {
			p.Charge = e.Charge
		}
	case Earned:
		p.Earned, p.SettleAt = true, e.SettleAfter
		p.Captured = p.Captured.Plus(e.Allocation)
		p.Unearned -= e.Total()
		p.Payable += e.ShopShare()
	case CaptureFailed:
		p.answered(about{intent: e.Intent}, Capture)
		p.Failed = true
	case OutcomeUnknown:
		if p.Pending != nil && p.Pending.Key == e.Key {
			r := *p.Pending
			r.Tries, r.RetryAt = e.Tries, e.RetryAt
			p.Pending = &r
		}
	default:
		evolveRefund(s, e)
	}
}

func (s *State) declined(e Declined) {
	p := &s.Payment
	again := p.Pending != nil && p.Pending.Customer != ""
	p.Pending, p.Awaiting, p.Remedy = nil, "", e.Next
	p.Declines++
	if again {
		// The authorisation that was to be replaced stands; what was made in
		// its place holds nothing.
		p.Remedy, p.Unrenewed = "", true
		if e.Intent != "" && e.Intent != p.Intent {
			p.Former = append(slices.Clone(p.Former), Former{Intent: e.Intent})
		}
		return
	}
	if e.Intent != "" {
		p.Intent = e.Intent
	}
	if s.Standing == Open && e.Next == "" {
		s.Standing = Turned
	}
}

// replace puts an intent in the place of the one before, which may hold money.
func (p *Payment) replace(intent string) {
	if p.Intent != "" && p.Intent != intent && !p.Voided {
		p.Former = append(slices.Clone(p.Former), Former{p.Intent, p.Authorised})
		p.Authorised = 0
		p.Renewals++
	}
	p.Intent = intent
}

func (p *Payment) voided(e Voided) {
	p.answered(about{intent: e.Intent}, Void, Authorise, Capture)
	for i, f := range p.Former {
		if f.Intent == e.Intent {
			p.Former = slices.Delete(slices.Clone(p.Former), i, i+1)
			return
		}
	}
	p.Awaiting, p.Voided = "", true
}

func evolveSettlement(s *State, e event.Data) {
	p := &s.Payment
	switch e := e.(type) {
	case NettingRequested:
		p.Netting = e.UpTo
	case Released:
		p.Netting = 0
		p.Payable -= e.Payable
		p.Receivable -= e.Netted - e.Debt
		if e.ReserveUntil != nil {
			p.Reserve = p.Reserve.With(e.Reserved, *e.ReserveUntil)
		}
		p.Available += e.Available()
		p.Releases++
	case ReserveReleased:
		p.Reserve = p.Reserve.Without(e.Amount)
		p.Available += e.Amount
	case SettlementRequested:
		p.ask(Request{Step: Settle, Key: e.Key, At: e.At, Amount: e.Amount, Destination: e.Destination, Charge: e.Charge,
			Payable: e.Payable, Available: e.Available, Netted: e.Netted})
	case Settled:
		p.answered(about{}, Settle)
		p.Payable -= e.Payable
		p.Available -= e.Available
		p.Receivable -= e.Netted
		p.Settled += e.Amount
		p.Refusals = 0
		if e.Transfer != "" {
			p.Transfers = append(slices.Clone(p.Transfers), Transfer{ID: e.Transfer, Amount: e.Amount})
		}
	case SettlementFailed:
		p.answered(about{}, Settle)
		p.SettleAt = e.RetryAt
		p.Refusals++
	case ReversalRequested:
		p.ask(Request{Step: Reverse, Key: e.Key, At: e.At, Amount: e.Amount, Transfer: e.Transfer})
	case Reversed:
		p.answered(about{}, Reverse)
		p.Receivable -= e.Amount
		p.Settled -= e.Amount
		p.Transfers = slices.Clone(p.Transfers)
		for i := range p.Transfers {
			if p.Transfers[i].ID == e.Transfer {
				p.Transfers[i].Reversed += e.Amount
			}
		}
	case DebtCarried:
		p.answered(about{}, Reverse)
		p.Receivable -= e.Amount
		p.Debts = append(slices.Clone(p.Debts), e)
	default:
		evolveDispute(s, e)
	}
}

func evolveDispute(s *State, e event.Data) {
	p := &s.Payment
	switch e := e.(type) {
	case FraudWarned:
		s.Warnings = append(slices.Clone(s.Warnings), e.Warning)
	case DisputeOpened:
		s.Disputes = append(slices.Clone(s.Disputes), Dispute{ID: e.Dispute, Amount: e.Amount, Reason: e.Reason, Inquiry: e.Inquiry, Due: e.EvidenceDue})
	case DisputeEscalated:
		d := s.dispute(e.Dispute)
		d.Inquiry, d.Due, d.Ready, d.Answered, d.Conceded, d.Result = false, e.EvidenceDue, false, false, false, ""
	case DisputeWithdrawn:
		p.take(e.Taken)
		p.Unearned -= e.Unearned
		s.Disputed = s.Disputed.Plus(e.Allocation)
		d := s.dispute(e.Dispute)
		d.Held, d.Known = &e, append(slices.Clone(d.Known), e.Transaction)
		d.InPart, d.GivenUp = false, false
	case DisputeReallocated:
		p.take(e.Taken)
		p.Unearned -= e.Unearned
		s.Disputed = s.Disputed.Plus(e.Allocation)
		d := s.dispute(e.Dispute)
		d.Held = d.Held.with(e)
	case DisputeAnswered:
		d := s.dispute(e.Dispute)
		d.Text, d.Ready = e.Text, true
	case ContestRequested:
		p.ask(Request{Step: Contest, Key: e.Key, At: e.At, Dispute: e.Dispute, Evidence: e.Evidence})
	case Contested:
		p.answered(about{dispute: e.Dispute}, Contest)
		s.dispute(e.Dispute).Answered = true
	case ContestFailed:
		p.answered(about{dispute: e.Dispute}, Contest, Accept)
		s.dispute(e.Dispute).Answered = true
	case DisputeConceded:
		s.dispute(e.Dispute).Conceded = true
	case AcceptRequested:
		p.ask(Request{Step: Accept, Key: e.Key, At: e.At, Dispute: e.Dispute})
	case DisputeCharged:
		d := s.dispute(e.Dispute)
		d.Known = append(slices.Clone(d.Known), e.Transaction)
	case DisputeReinstated:
		p.restore(e.Restored)
		p.Unearned += e.Unearned
		s.Disputed = s.Disputed.Minus(e.Allocation)
		d := s.dispute(e.Dispute)
		d.Held, d.Known = d.Held.without(e), append(slices.Clone(d.Known), e.Transaction)
		d.InPart = d.Held != nil
	case DisputeClosed:
		p.answered(about{dispute: e.Dispute}, Accept)
		d := s.dispute(e.Dispute)
		d.Result, d.GivenUp = e.Result, d.GivenUp || e.Amount > 0
	}
}

func (p *Payment) ask(r Request) {
	p.Pending = &r
	p.Calls++
}

// about is what a call is about, as far as it says so.
type about struct {
	intent  string
	refund  uuid.UUID
	dispute string
}

// answered closes the open call if it is one of these steps and about this. What
// the processor says unasked may come while another call is open.
func (p *Payment) answered(a about, steps ...Step) {
	r := p.Pending
	if r == nil || !slices.Contains(steps, r.Step) || r.Refund != a.refund || r.Dispute != a.dispute ||
		r.Intent != "" && a.intent != "" && r.Intent != a.intent {
		return
	}
	p.Pending = nil
}

func (p *Payment) take(t Taken) {
	p.Payable -= t.FromPayable
	p.Reserve = p.Reserve.Without(t.FromReserve)
	p.Receivable += t.FromReceivable
}

func (p *Payment) restore(r Restored) {
	p.Receivable -= r.ToReceivable
	p.Payable += r.ToPayable
}

func (s *State) dispute(id string) *Dispute {
	if d := s.Dispute(id); d != nil {
		return d
	}
	panic("order: an event speaks of a dispute that was never opened")
}

// Dispute with the processor's id, or nil.
func (s *State) Dispute(id string) *Dispute {
	for i := range s.Disputes {
		if s.Disputes[i].ID == id {
			return &s.Disputes[i]
		}
	}
	return nil
}

// Refund with the id, or nil.
func (s *State) Refund(id uuid.UUID) *Refund { return s.agreed(id) }

// Left of what was captured: not refunded and not in dispute.
func (s *State) Left() Allocation { return s.Payment.Captured.Minus(s.Refunded).Minus(s.Disputed) }

// InDispute tells whether the processor refuses refunds for now.
func (s *State) InDispute() bool {
	return slices.ContainsFunc(s.Disputes, func(d Dispute) bool { return d.Open() && d.Held != nil })
}

// Units that the order has of an offer, and how many of them leave the shop:
// all that were ordered while it is open, what was shipped afterwards, none
// when it is over.
func (s *State) Units(offer uuid.UUID) (ordered, taken int64) {
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
	s.Disputes = append([]Dispute(nil), s.Disputes...)
	for _, e := range events {
		s = evolve(s, e)
	}
	return s
}
