package order

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
)

func decideShip(s State, c Ship) ([]event.Data, error) {
	if s.Standing.Over() {
		return nil, s.over()
	}
	units, err := s.pick(c.Units, func(l LineState) int64 { return l.Quantity })
	if err != nil {
		return nil, err
	}
	if s.Standing == Dispatch {
		for _, l := range s.Lines {
			if l.Shipped != quantityOf(units, l.No) {
				return nil, s.about(ErrShippedBefore)
			}
		}
		return nil, nil
	}
	paid, how := s.paid()
	if paid == 0 {
		return nil, s.about(ErrNotPaid)
	}
	if end := s.Payment.ExpiresAt; how == heldFor && end != nil && !c.At.Before(*end) {
		return nil, s.about(ErrNotPaid).Because("had its authorisation until %s, so it must not be shipped", end.UTC().Format(time.RFC3339))
	}
	for _, text := range [][2]string{{"carrier", c.Carrier}, {"tracking", c.Tracking}} {
		if len(text[1]) > MaxText {
			return nil, ErrTextTooLong.In(text[0])
		}
		if err := privacy.RefuseCardNumber(text[0], text[1]); err != nil {
			return nil, err
		}
	}
	shipped := Shipped{Units: units, Carrier: c.Carrier, Tracking: c.Tracking}
	for _, l := range s.Lines {
		n := quantityOf(units, l.No)
		shipped.Allocation = shipped.Allocation.Plus(l.Of(0, n, s.Placed.Step()))
		shipped.Offers = addUnits(shipped.Offers, l.Offer, n)
		if rest := l.Quantity - n; rest > 0 {
			shipped.Rest = append(shipped.Rest, Units{l.No, rest})
		}
	}
	if shipped.Total() == 0 {
		return nil, s.about(ErrWorthNothing)
	}
	if shipped.Total() > paid {
		return nil, s.about(ErrNotPaid).Because("has %s %s, less than the %s of the shipment",
			money.Format(paid, s.Placed.Currency), how, money.Format(shipped.Total(), s.Placed.Currency))
	}
	return []event.Data{shipped}, nil
}

// How an order that is not shipped yet is paid for.
const (
	heldFor = "authorised"
	taken   = "captured and not refunded"
)

// paid is what a shipment can be worth at most: what is held, or what is left of
// what somebody captured at the processor before the shop had shipped.
func (s *State) paid() (amount money.Minor, how string) {
	switch p := s.Payment; {
	case p.IsCaptured:
		return p.Unearned, taken
	case p.Voided:
		return 0, ""
	default:
		return p.Authorised, heldFor
	}
}

func addUnits(to []OfferUnits, offer uuid.UUID, n int64) []OfferUnits {
	if n == 0 {
		return to
	}
	for i := range to {
		if to[i].Offer == offer {
			to[i].Quantity += n
			return to
		}
	}
	return append(to, OfferUnits{offer, n})
}

// pick checks units against what each line has left; no units mean all that is
// left of every line.
func (s *State) pick(asked []Units, left func(LineState) int64) ([]Units, error) {
	if len(asked) == 0 {
		var all []Units
		for _, l := range s.Lines {
			if n := left(l); n > 0 {
				all = append(all, Units{l.No, n})
			}
		}
		return all, nil
	}
	units := slices.Clone(asked)
	slices.SortFunc(units, func(a, b Units) int { return a.Line - b.Line })
	for i, u := range units {
		if u.Line < 1 || u.Line > len(s.Lines) || (i > 0 && units[i-1].Line == u.Line) {
			return nil, ErrNoSuchLine.About("line %d", u.Line)
		}
		if u.Quantity < 1 {
			return nil, ErrQuantity.About("quantity %d of line %d", u.Quantity, u.Line)
		}
		if l := s.Lines[u.Line-1]; u.Quantity > left(l) {
			return nil, ErrMoreThanBought.About("quantity %d of line %d", u.Quantity, u.Line).
				Because("is more than the %d that are left", left(l))
		}
	}
	return units, nil
}

func quantityOf(units []Units, line int) int64 {
	for _, u := range units {
		if u.Line == line {
			return u.Quantity
		}
	}
	return 0
}

func decideGiveBack(s State, c GiveBack) ([]event.Data, error) {
	if before := s.agreed(c.Refund); before != nil {
		if !s.answers(before, c) {
			return nil, ErrRefundDiffers.About("refund %s", c.Refund)
		}
		if before.Status == Refused {
			return nil, ErrRefundOver.About("refund %s", c.Refund)
		}
		return nil, nil
	}
	if !s.Payment.IsCaptured {
		return nil, s.about(ErrNotCaptured)
	}
	if s.InDispute() {
		return nil, s.about(ErrDisputed)
	}
	if len(c.Units) > 0 && c.Amount != 0 {
		return nil, ErrUnitsOrAmount
	}
	if c.Amount < 0 {
		return nil, ErrRefundNothing
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	left := s.Left()
	switch {
	case c.KeepShipping && len(c.Units) > 0:
		left.Shipping = 0 // each unit leaves its own tax on shipping, rounded there
	case c.KeepShipping:
		left = left.withoutShipping(s.Placed.Step())
	}
	r := RefundAgreed{Refund: c.Refund, Reason: c.Reason}
	switch {
	case c.Amount > 0:
		if c.Amount%s.Placed.Step() != 0 {
			return nil, ErrTooFine.In("amount").About("the refund")
		}
		if c.Amount > left.Total() {
			return nil, s.above(c.Amount, left)
		}
		r.Allocation = left.Slice(c.Amount, s.Placed.Step())
	case len(c.Units) > 0:
		units, err := s.pick(c.Units, func(l LineState) int64 { return l.Shipped - l.Returned })
		if err != nil {
			return nil, err
		}
		r.Units = units
		for _, u := range units {
			l := s.Lines[u.Line-1]
			spans, _ := l.give(u.Quantity)
			var part Allocation
			for _, span := range spans {
				part = part.Plus(l.Of(span.From, span.N, s.Placed.Step()))
			}
			if c.KeepShipping {
				part = part.withoutShipping(s.Placed.Step())
			}
			r.Allocation = r.Allocation.Plus(part)
		}
		if r.Total() > left.Total() {
			return nil, s.above(r.Total(), left) // amounts were refunded before
		}
		r.Allocation = left.give(r.Allocation, s.Placed.Step())
	default:
		r.Allocation, r.Rest = left, true
		if s.Standing.Over() || s.Payment.Earned {
			r.Unearned = s.Payment.Unearned // it was sent back by itself, in vain
		}
		r.Units, _ = s.pick(nil, func(l LineState) int64 { return l.Shipped - l.Returned })
	}
	if r.Amount() == 0 {
		return nil, ErrRefundNothing
	}
	return []event.Data{r}, nil
}

func (s *State) above(asked money.Minor, left Allocation) error {
	return s.about(ErrOverCaptured).Because("has %s left to refund, less than the %s asked for",
		money.Format(left.Total(), s.Placed.Currency), money.Format(asked, s.Placed.Currency))
}

// Slice takes an amount out of a, which has as much: goods, shipping and tax in
// proportion, and of the fee what belongs to those goods, in whole steps (see
// [Placed.Step]).
func (a Allocation) Slice(amount, step money.Minor) Allocation {
	parts := money.Split(amount, []money.Minor{a.Goods, a.Shipping, a.Tax}, step)
	part := Allocation{Goods: parts[0], Shipping: parts[1], Tax: parts[2]}
	if a.Goods > 0 {
		part.Fee = money.UpTo(a.Fee, int64(part.Goods), int64(a.Goods), step)
	}
	return part
}

// give is how much of a want is when it comes out of a, which has its total.
// Amounts refunded before may have rounded the other way, so that a part of it
// is short: then goods, shipping and tax are taken in proportion. The fee that
// stays never exceeds the goods that stay, so no fee is left when they are gone.
func (a Allocation) give(want Allocation, step money.Minor) Allocation {
	if want.Goods > a.Goods || want.Shipping > a.Shipping || want.Tax > a.Tax {
		return a.Slice(want.Total(), step)
	}
	want.Fee = max(min(want.Fee, a.Fee), a.Fee-(a.Goods-want.Goods))
	return want
}

// withoutShipping is a less its shipping and the part of the tax that is on it.
func (a Allocation) withoutShipping(step money.Minor) Allocation {
	if a.Shipping > 0 {
		a.Tax = money.UpTo(a.Tax, int64(a.Goods), int64(a.Goods+a.Shipping), step)
		a.Shipping = 0
	}
	return a
}

func (s *State) agreed(id uuid.UUID) *Refund {
	for i := range s.Refunds {
		if s.Refunds[i].ID == id {
			return &s.Refunds[i]
		}
	}
	return nil
}

// answers tells whether r is what c asks for.
func (s *State) answers(r *Refund, c GiveBack) bool {
	if r.Reason != c.Reason || c.Amount < 0 || (len(c.Units) > 0 && c.Amount != 0) || (c.KeepShipping && r.Shipping != 0) {
		return false
	}
	switch {
	case c.Amount > 0:
		return len(r.Units) == 0 && r.Total() == c.Amount
	case len(c.Units) > 0:
		asked := slices.Clone(c.Units)
		slices.SortFunc(asked, func(a, b Units) int { return a.Line - b.Line })
		return slices.Equal(r.Units, asked)
	}
	return r.Rest || s.wasTheRest(r, c.KeepShipping)
}

// wasTheRest tells, of a refund that was agreed before events said so, whether it
// left nothing to refund then, or nothing but shipping. An earlier refund that failed since is counted: it may
// not have failed by then.
func (s *State) wasTheRest(r *Refund, keepShipping bool) bool {
	part := Allocation.Total
	if keepShipping {
		part = func(a Allocation) money.Minor { return a.Goods }
	}
	taken := part(r.Allocation)
	for i := range s.Refunds {
		if &s.Refunds[i] == r {
			break
		}
		taken += part(s.Refunds[i].Allocation)
	}
	return taken >= part(s.Payment.Captured)
}
