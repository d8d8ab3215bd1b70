package oracle

import (
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// before are laws about an event in the state that it comes to.
func (o *Oracle) before(w *watched, e event.Event) {
	s, p := &w.state, &w.state.Payment
	wrong := func(law, format string, args ...any) { o.breach(law, e.Stream, format, args...) }
	switch b := e.Body.(type) {
	case order.Placed:
		o.placed(e.Stream, b)
	case order.AuthorisationRequested:
		if b.Amount != s.Placed.Total() {
			wrong("what is authorised is the order's total", "%d asked for, the total is %d", b.Amount, s.Placed.Total())
		}
		if p.Authorised > 0 && !p.Voided && b.Customer == "" {
			wrong("one authorisation at a time", "another is asked for while %s holds %d", p.Intent, p.Authorised)
		}
		if s.Standing != order.Open {
			wrong("nothing is authorised for an order that is not open", "the order is %s", s.Standing)
		}
	case order.Authorised:
		if b.Amount > s.Placed.Total() {
			wrong("authorised ≤ order total", "%d authorised, the total is %d", b.Amount, s.Placed.Total())
		}
		if b.Currency != s.Placed.Currency {
			wrong("one currency an order", "authorised in %s, placed in %s", b.Currency, s.Placed.Currency)
		}
	case order.CaptureRequested:
		o.captureAsked(w, e, b)
	case order.Captured:
		o.captured(w, e, b)
	case order.Expired:
		o.expired(w, e, b)
	case order.RefundAgreed:
		if s.Refund(b.Refund) != nil {
			wrong("a refund is agreed once", "refund %s", b.Refund)
		}
		if left := w.unshipped(); b.Unearned > left {
			wrong("what was shipped is not sent back unasked", "refund %s of %d that was not earned, %d was taken for nothing", b.Refund, b.Unearned, left)
		}
	case order.RefundRequested:
		if r := s.Refund(b.Refund); r == nil || r.Amount() != b.Amount {
			wrong("a refund is of what was agreed", "refund %s is asked for with %d", b.Refund, b.Amount)
		}
	case order.Refunded:
		if r := s.Refund(b.Refund); r == nil || r.Amount() != b.Amount || r.Status == order.Given || r.Status == order.Refused {
			wrong("a refund is given once", "refund %s of %d", b.Refund, b.Amount)
		}
	case order.RefundPending:
		if r := s.Refund(b.Refund); r == nil || r.Amount() != b.Amount || r.Status == order.Given || r.Status == order.Pending || r.Status == order.Refused {
			wrong("a refund is given once", "refund %s of %d is pending", b.Refund, b.Amount)
		}
	case order.Declined:
		if b.Next == "" && p.IsCaptured {
			wrong("a captured order is not declined", "code %s", b.Code)
		}
	case order.Cancelled:
		if s.Standing != order.Open {
			wrong("only an open order is cancelled", "the order is %s", s.Standing)
		}
	case order.Shipped:
		if p.Authorised < b.Total() || p.Voided {
			wrong("nothing is shipped unpaid", "goods worth %d, %d authorised", b.Total(), p.Authorised)
		}
	}
	o.callsBefore(w, e)
	o.sharesBefore(w, e)
}

func (o *Oracle) placed(stream string, p order.Placed) {
	var lines order.Allocation
	for _, l := range p.Lines {
		if goods, _ := money.Times(l.UnitPrice, l.Quantity); goods != l.Goods {
			o.breach("splits add up", stream, "line %d: %d × %d is not %d", l.No, l.Quantity, l.UnitPrice, l.Goods)
		}
		lines = lines.Plus(l.Allocation)
		var units order.Allocation
		for n := range l.Quantity {
			units = units.Plus(l.Of(n, 1, p.Step()))
		}
		if units != l.Allocation {
			o.breach("splits add up", stream, "the units of line %d make %+v, the line is %+v", l.No, units, l.Allocation)
		}
	}
	if lines != p.Allocation {
		o.breach("splits add up", stream, "the lines make %+v, the order is %+v", lines, p.Allocation)
	}
	fee, _ := money.Share(p.Goods, p.FeeBasisPoints, p.Step())
	fee = max(fee+p.FeeFixed, p.FeeMinimum)
	if p.FeeCap > 0 {
		fee = min(fee, p.FeeCap)
	}
	fee = min(fee, p.Goods)
	if fee -= fee % p.Step(); fee != p.Fee {
		o.breach("the fee is that of the schedule", stream, "%d, the schedule says %d", p.Fee, fee)
	}
	if tax, _ := money.Share(p.Goods+p.Shipping, p.TaxBasisPoints, p.Step()); tax != p.Tax {
		o.breach("the tax is that of the jurisdiction", stream, "%d, the rate says %d", p.Tax, tax)
	}
}

// unshipped is what was taken beyond what was shipped, and was not sent back: the
// buyer's.
func (w *watched) unshipped() money.Minor {
	s := &w.state
	left := s.Payment.Taken
	for _, r := range s.Refunds {
		if r.Status != order.Refused {
			left -= r.Unearned
		}
	}
	for _, l := range s.Lines {
		left -= l.Of(0, l.Shipped, s.Placed.Step()).Total()
	}
	return max(left, 0)
}

func (o *Oracle) captureAsked(w *watched, e event.Event, b order.CaptureRequested) {
	s, p := &w.state, &w.state.Payment
	var shipped money.Minor
	for _, l := range s.Lines {
		shipped += l.Of(0, l.Shipped, s.Placed.Step()).Total()
	}
	switch {
	case s.Standing != order.Dispatch:
		o.breach("capture at shipment", e.Stream, "asked for while the order is %q", s.Standing)
	case b.Amount != shipped:
		o.breach("what is captured is what was shipped", e.Stream, "%d asked for, %d shipped", b.Amount, shipped)
	case p.IsCaptured || p.Voided || b.Amount > p.Authorised:
		o.breach("captured ≤ authorised", e.Stream, "%d asked for, %d authorised (captured before: %t, given up: %t)", b.Amount, p.Authorised, p.IsCaptured, p.Voided)
	}
}

func (o *Oracle) captured(w *watched, e event.Event, b order.Captured) {
	s, p := &w.state, &w.state.Payment
	w.taken++
	switch {
	case w.taken > 1:
		o.breach("one capture an authorisation", e.Stream, "capture %d", w.taken)
	case b.Amount > p.Authorised || b.Authorised != p.Authorised:
		o.breach("captured ≤ authorised", e.Stream, "%d captured of %d (the event says %d)", b.Amount, p.Authorised, b.Authorised)
	case b.Amount > s.Placed.Total():
		o.breach("captured ≤ order total", e.Stream, "%d captured, the total is %d", b.Amount, s.Placed.Total())
	case p.Voided:
		o.breach("what was given up is not captured", e.Stream, "intent %s", b.Intent)
	case b.Total()+b.Unearned != b.Amount:
		o.breach("splits add up", e.Stream, "earned %d and unearned %d are not the %d captured", b.Total(), b.Unearned, b.Amount)
	case b.Currency != s.Placed.Currency:
		o.breach("one currency an order", e.Stream, "captured in %s", b.Currency)
	}
}

// expired: a deadline may fire late, never early.
func (o *Oracle) expired(w *watched, e event.Event, b order.Expired) {
	s, p := &w.state, &w.state.Payment
	switch {
	case b.Cause == order.Abandoned && s.Standing != order.None:
		o.breach("only an order that never came is abandoned", e.Stream, "it is %s", s.Standing)
	case b.Cause == order.Abandoned:
	case s.Standing != order.Open:
		o.breach("only an open order expires", e.Stream, "it is %s", s.Standing)
	case p.IsCaptured && (b.Cause != order.Unshipped || at(e).Before(p.SettleAt.Add(order.TakenLimit))):
		o.breach("deadlines are never early", e.Stream, "given up (%s) at %s, taken money waits until %s", b.Cause, e.OccurredAt, p.SettleAt.Add(order.TakenLimit))
	case p.IsCaptured:
	case b.Cause == order.Unpaid && p.Authorised > 0 && !p.Voided:
		o.breach("what is paid does not expire unpaid", e.Stream, "%d authorised", p.Authorised)
	case b.Cause == order.Unpaid && !p.Voided && at(e).Before(s.Placed.StockHeldUntil):
		o.breach("deadlines are never early", e.Stream, "expired at %s, the stock is held until %s", e.OccurredAt, s.Placed.StockHeldUntil)
	case b.Cause == order.Unshipped && !p.Voided && (p.ExpiresAt == nil || at(e).Before(p.ExpiresAt.Add(-order.AuthorisationMargin))):
		o.breach("deadlines are never early", e.Stream, "given up at %s, the authorisation ends at %v", e.OccurredAt, p.ExpiresAt)
	}
}

// after are laws about the state that an event leaves.
func (o *Oracle) after(w *watched, e event.Event) {
	s, p := &w.state, &w.state.Payment
	left := s.Left()
	if left.Goods < 0 || left.Shipping < 0 || left.Tax < 0 || left.Fee < 0 || p.Unearned < 0 {
		o.breach("refunds and lost disputes ≤ captured", e.Stream, "after %s %+v is left, unearned %d", e.Type, left, p.Unearned)
	}
	for _, l := range s.Lines {
		if l.Shipped > l.Quantity || l.Returned > l.Shipped || l.Shipped < 0 || l.Returned < 0 {
			o.breach("returned ≤ shipped ≤ ordered", e.Stream, "line %d: %d, %d, %d", l.No, l.Returned, l.Shipped, l.Quantity)
		}
	}
	o.sharesAfter(w, e)
}
