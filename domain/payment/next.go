package payment

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// How long before an authorisation runs out what is done about it. The order of
// the three matters: people are told, the card is charged again where the buyer
// agreed, and only then the order is given up (order.AuthorisationMargin).
const (
	ExpiryWarning = 24 * time.Hour
	RenewalMargin = 12 * time.Hour
)

// MaxRenewals bounds how often a kept card is charged again for one order: about
// a month in all. What is not shipped by then is given up.
const MaxRenewals = 4

// next is what is due now: facts that follow by themselves, and at most one
// intention, which is the last.
func next(s order.State, c Advance) []event.Data {
	if !ours(&s, c.Account) {
		return nil
	}
	var all []event.Data
	for s.Payment.Pending == nil {
		e := follow(&s, c)
		if e == nil {
			e = intend(&s, c)
		}
		if e == nil {
			break
		}
		all = append(all, e)
		s = order.After(s, e)
	}
	return all
}

// ours tells whether the account is the one that looks after the order.
func ours(s *order.State, account string) bool {
	return !s.Placed.Outside() && cmp.Or(s.Payment.Account, s.Placed.Platform, account) == account
}

// follow is a fact that follows from the state and the time alone.
func follow(s *order.State, c Advance) event.Data {
	p := s.Payment
	if earnable(s) { // before a bank takes of it what was shipped
		return earned(s, c.At)
	}
	if e := reallocated(s); e != nil {
		return e
	}
	switch {
	case surplus(s) > 0 && !c.At.Before(p.ReturnAt):
		return order.RefundAgreed{Refund: event.NameID("unearned", fmt.Sprintf("%s:%d", s.Placed.Order, len(s.Refunds)+1)),
			Unearned: p.Unearned, Reason: NotEarned}
	case s.Standing == order.Open && p.Authorised > 0 && !p.IsCaptured && !p.Voided && !p.Warned && reached(p.ExpiresAt, ExpiryWarning, c.At):
		return order.Expiring{Intent: p.Intent, ExpiresAt: *p.ExpiresAt}
	}
	return followSettlement(s, c)
}

// NotEarned is the reason of a refund that the payment's own process agrees to.
const NotEarned = "not earned"

// reached tells whether the time is nearer to the end than the margin.
func reached(end *time.Time, margin time.Duration, at time.Time) bool {
	return end != nil && !at.Before(end.Add(-margin))
}

// MaxReturns bounds how often money that was not earned is sent back by itself,
// within 24 days (see [RefusedFirst]): when that is refused so often, somebody has to
// look, and can give it back (order.GiveBack).
const MaxReturns = 10

// surplus is what was taken and will not be earned, and is still to be sent back.
func surplus(s *order.State) money.Minor {
	if s.Standing == order.Open || s.Standing == order.Dispatch && !s.Payment.Earned {
		return 0
	}
	if returnsRefused(s) >= MaxReturns {
		return 0
	}
	return s.Payment.Unearned
}

func returnsRefused(s *order.State) (n int) {
	for _, r := range s.Refunds {
		if r.Unearned > 0 && r.Status == order.Refused {
			n++
		}
	}
	return n
}

// returnAgain is when money that was not earned, and came back or did not go, is
// sent again; nil: the refund was of other money, or nothing sends it again.
func returnAgain(s *order.State, r order.Refund, at time.Time) *time.Time {
	before := returnsRefused(s)
	if r.Unearned == 0 || before+1 >= MaxReturns {
		return nil
	}
	again := at.Add(refusedAgain(before))
	return &again
}

// earnable tells whether goods left the shop after their price had been taken, and
// that is not said yet.
func earnable(s *order.State) bool {
	p := s.Payment
	return s.Standing == order.Dispatch && p.IsCaptured && !p.Earned && p.Unearned > 0
}

func earned(s *order.State, at time.Time) order.Earned {
	a := shipped(s)
	if a.Total() > s.Payment.Unearned {
		a = a.Slice(s.Payment.Unearned, s.Placed.Step()) // less was taken than was shipped
	}
	return order.Earned{Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Allocation: a, SettleAfter: settleAfter(s, at)}
}

func settleAfter(s *order.State, at time.Time) time.Time {
	return at.Add(time.Duration(s.Placed.HoldHours) * time.Hour)
}

// followSettlement moves the shop's money from hold to hand, and what it owes to
// where it can be had.
func followSettlement(s *order.State, c Advance) event.Data {
	p := s.Payment
	if s.Placed.Destination == "" {
		return nil
	}
	switch {
	case c.Shop == nil:
	case p.Netting > 0:
		if c.Shop.Release == p.Releases+1 {
			return release(s, c.At, c.Shop.Debt)
		}
	case releaseDue(s, c.At) && c.Shop.Owed != 0 && p.Payable > p.Receivable:
		return order.NettingRequested{Number: p.Releases + 1, UpTo: p.Payable - p.Receivable}
	case releaseDue(s, c.At):
		return release(s, c.At, 0)
	}
	switch {
	case p.Reserve.Due(c.At) > 0:
		return order.ReserveReleased{Shop: s.Placed.Shop, Currency: s.Placed.Currency, Amount: p.Reserve.Due(c.At)}
	case p.Available > 0 && p.Available <= p.Receivable:
		return order.Settled{Shop: s.Placed.Shop, Currency: s.Placed.Currency, Available: p.Available, Netted: p.Available}
	case p.Receivable > 0 && p.Available == 0 && p.Payable == 0 && reversible(s) == nil:
		return carried(s, "settled", "no transfer of this order is left to take it back from")
	}
	return nil
}

func releaseDue(s *order.State, at time.Time) bool {
	return s.Payment.Payable > 0 && s.Placed.Destination != "" && !at.Before(s.Payment.SettleAt)
}

// release splits what is payable: what the shop owes, the reserve, and the rest.
// A debt that was given up in its favour and that it cannot pay any more becomes
// the order's own.
func release(s *order.State, at time.Time, debt money.Minor) order.Released {
	p := s.Payment
	own := min(p.Receivable, p.Payable)
	r := order.Released{Shop: s.Placed.Shop, Currency: s.Placed.Currency, Payable: p.Payable, Netted: own + min(debt, p.Payable-own), Debt: debt}
	if s.Placed.ReserveBasisPoints > 0 && s.Placed.ReserveDays > 0 {
		// It cannot overflow: the order's total was checked when it was placed.
		r.Reserved, _ = money.Share(r.Payable-r.Netted, s.Placed.ReserveBasisPoints, s.Placed.Step())
		if until := at.AddDate(0, 0, int(s.Placed.ReserveDays)); r.Reserved > 0 {
			r.ReserveUntil = &until
		}
	}
	return r
}

func carried(s *order.State, code, reason string) order.DebtCarried {
	return order.DebtCarried{Number: len(s.Payment.Debts) + 1, Shop: s.Placed.Shop, Currency: s.Placed.Currency,
		Amount: s.Payment.Receivable, Code: code, Reason: reason}
}

// reversible is the newest transfer that money can be taken back from.
func reversible(s *order.State) *order.Transfer {
	for i := len(s.Payment.Transfers) - 1; i >= 0; i-- {
		if t := &s.Payment.Transfers[i]; t.Amount > t.Reversed {
			return t
		}
	}
	return nil
}

// intend is the one intention that is due now, if any: first what concerns the
// buyer's money, then what concerns the shop's.
func intend(s *order.State, c Advance) event.Data {
	p := s.Payment
	holds := p.Authorised > 0 && !p.Voided && !p.IsCaptured
	switch {
	case s.Standing == order.Open && p.Authorised == 0 && !p.IsCaptured && !p.Voided && p.Awaiting == "" && p.Remedy == "":
		return order.AuthorisationRequested{Key: key(s, order.Authorise), Account: c.Account, Amount: s.Placed.Total(),
			PaymentMethod: p.Method, Intent: p.Intent, KeepCard: s.Placed.KeepCard, At: c.At}

	case len(p.Former) > 0:
		return order.VoidRequested{Key: key(s, order.Void), Intent: p.Former[0].Intent, At: c.At}

	case s.Standing.Over() && p.Intent != "" && !p.Voided && !p.IsCaptured && !p.Failed:
		return order.VoidRequested{Key: key(s, order.Void), Intent: p.Intent, At: c.At}

	case s.Standing == order.Open && holds && p.Customer != "" && !p.Unrenewed && p.Renewals < MaxRenewals && reached(p.ExpiresAt, RenewalMargin, c.At):
		return order.AuthorisationRequested{Key: key(s, order.Authorise), Account: c.Account, Amount: s.Placed.Total(),
			PaymentMethod: p.Method, Customer: p.Customer, At: c.At}

	case s.Standing == order.Dispatch && holds && !p.Failed:
		return order.CaptureRequested{Key: key(s, order.Capture), Intent: p.Intent, Amount: shipped(s).Total(), At: c.At}
	}
	for _, r := range s.Refunds {
		if r.Status == order.Agreed && !s.InDispute() {
			return order.RefundRequested{Key: key(s, order.Refunding), Refund: r.ID, Intent: p.Intent, Amount: r.Amount(), At: c.At}
		}
	}
	if e := intendDispute(s, c); e != nil {
		return e
	}
	return intendSettlement(s, c)
}

func intendDispute(s *order.State, c Advance) event.Data {
	for _, d := range s.Disputes {
		switch {
		case d.Conceded && d.Open() && !d.Answered:
			return order.AcceptRequested{Key: key(s, order.Accept), Dispute: d.ID, At: c.At}
		case d.ContestDue(c.At) && c.Evidence != nil:
			e := *c.Evidence
			e.Text = cut(d.Text, order.MaxAnswer)
			return order.ContestRequested{Key: key(s, order.Contest), Dispute: d.ID, Evidence: e, At: c.At}
		}
	}
	return nil
}

func intendSettlement(s *order.State, c Advance) event.Data {
	p := s.Payment
	if s.Placed.Destination == "" {
		return nil
	}
	if t := reversible(s); t != nil && p.Receivable > 0 && p.Available == 0 && p.Payable == 0 {
		return order.ReversalRequested{Key: key(s, order.Reverse), Transfer: t.ID, Amount: min(p.Receivable, t.Amount-t.Reversed), At: c.At}
	}
	if p.Available > p.Receivable && !c.At.Before(p.SettleAt) {
		amount := p.Available - p.Receivable
		return order.SettlementRequested{Key: key(s, order.Settle), Destination: s.Placed.Destination, Charge: source(s, amount),
			Amount: amount, Available: p.Available, Netted: p.Receivable, At: c.At}
	}
	return nil
}

// source is the charge that a transfer is paid from, so that no other order's
// money is used for it. Empty: the charge has not as much to give, and the
// platform's balance pays. That happens when a transfer could not be taken back
// before, other orders of the shop paid for that, and then a bank gave this
// order's money back.
func source(s *order.State, amount money.Minor) string {
	left := s.Payment.Taken
	for _, t := range s.Payment.Transfers {
		left -= t.Amount - t.Reversed
	}
	for _, r := range s.Refunds {
		if r.Status != order.Refused {
			left -= r.Amount()
		}
	}
	for _, d := range s.Disputes {
		if d.Held != nil {
			left -= d.Held.Amount
		}
	}
	if amount > left {
		return ""
	}
	return s.Payment.Charge
}

// shipped is the allocation of what left the shop.
func shipped(s *order.State) order.Allocation {
	var a order.Allocation
	for _, l := range s.Lines {
		a = a.Plus(l.Of(0, l.Shipped, s.Placed.Step()))
	}
	return a
}

// Needs is what has to be found out elsewhere before the order's money can go
// on.
type Needs struct {
	// Owed: what the shop owes besides this order.
	Owed bool
	// Net: the shop's stream is to give up to so much of its debts (minor units of
	// the order's currency) in favour of the release with the number.
	Net    money.Minor
	Number int
	// Evidence: the order's history is to be told to a bank.
	Evidence bool
}

// NeedsOf an order's money now.
func NeedsOf(s order.State, at time.Time, account string) (n Needs) {
	if !ours(&s, account) || s.Payment.Pending != nil || s.Standing == order.None || s.Standing == order.Forgotten {
		return n
	}
	if p := s.Payment; p.Netting > 0 {
		n.Net, n.Number = p.Netting, p.Releases+1
	} else {
		n.Owed = releaseDue(&s, at)
	}
	n.Evidence = slices.ContainsFunc(s.Disputes, func(d order.Dispute) bool { return d.ContestDue(at) })
	return n
}

// Any tells whether anything is needed.
func (n Needs) Any() bool { return n != Needs{} }

// AtRest tells whether nothing is to be done about the money until somebody
// asks or a deadline passes.
func AtRest(s order.State, at time.Time) bool {
	account := cmp.Or(s.Payment.Account, s.Placed.Platform)
	return s.Payment.Pending == nil && len(next(s, Advance{At: at, Account: account})) == 0 && !NeedsOf(s, at, account).Any()
}
