package oracle

import (
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
)

// post an event to the books. The ledger itself panics when an entry is out of
// balance, which is a breach of its own.
func (o *Oracle) post(e event.Event) {
	entry, posts := ledger.Post(e.Body)
	if !posts {
		return
	}
	o.books.Add(entry)
	if sum := o.books.Trial(entry.Currency); sum != 0 {
		o.breach("every currency sums to zero", e.Stream, "after %s %s is off by %d", e.Type, entry.Currency, sum)
	}
}

// share posts an event of an order to its own part of the books.
func (o *Oracle) share(w *watched, e event.Event) {
	switch b := e.Body.(type) {
	case order.Released:
		w.netted += b.Debt
		w.releases = append(w.releases, b.Debt)
	case order.DebtCarried:
		w.carried += b.Amount
	}
	if entry, posts := ledger.Post(e.Body); posts {
		w.sub.Add(entry)
	}
}

func (o *Oracle) sharesBefore(w *watched, e event.Event) {
	s, p := w.state, w.state.Payment
	switch b := e.Body.(type) {
	case order.Released:
		if at(e).Before(p.SettleAt) && p.Netting == 0 { // it was over when the shop's stream was asked
			o.breach("nothing is released before the hold is over", e.Stream, "released at %s, held until %s", e.OccurredAt, p.SettleAt)
		}
		if kept, _ := money.Share(b.Payable-b.Netted, s.Placed.ReserveBasisPoints, s.Placed.Step()); s.Placed.ReserveDays > 0 && kept != b.Reserved {
			o.breach("the reserve is kept", e.Stream, "%d of %d, the terms say %d", b.Reserved, b.Payable-b.Netted, kept)
		}
		if b.Reserved > 0 && (b.ReserveUntil == nil || b.ReserveUntil.Before(e.OccurredAt.AddDate(0, 0, int(s.Placed.ReserveDays)))) {
			o.breach("the reserve is kept", e.Stream, "until %v", b.ReserveUntil)
		}
	case order.ReserveReleased:
		if b.Amount > p.Reserve.Due(at(e)) {
			o.breach("the reserve is kept", e.Stream, "%d released at %s of %v", b.Amount, e.OccurredAt, p.Reserve)
		}
	case order.SettlementRequested:
		if at(e).Before(p.SettleAt) || b.Amount > p.Available+p.Payable-p.Receivable || b.Amount <= 0 || b.Destination != s.Placed.Destination {
			o.breach("what is transferred is what is available", e.Stream, "%d to %s, %d available", b.Amount, b.Destination, p.Available)
		}
	case order.ReversalRequested:
		if b.Amount > p.Receivable || b.Amount <= 0 {
			o.breach("what is taken back is what is owed", e.Stream, "%d, owed %d", b.Amount, p.Receivable)
		}
	}
}

// sharesAfter: what the state says of the shop's money is what the books say.
func (o *Oracle) sharesAfter(w *watched, e event.Event) {
	p := w.state.Payment
	for _, a := range []struct {
		account ledger.Account
		state   money.Minor
	}{
		{ledger.ShopPayable, -p.Payable},
		{ledger.ShopAvailable, -p.Available},
		{ledger.ShopReserve, -p.Reserve.Total()},
		{ledger.ShopReceivable, p.Receivable + w.carried - w.netted},
		{ledger.DeferredRevenue, w.deferred()},
	} {
		if booked := w.sub.Total(w.state.Placed.Currency, a.account); booked != a.state {
			o.breach("the order's state and the books agree", e.Stream, "after %s %s is %d in the books, %d by the state", e.Type, a.account, booked, a.state)
		}
	}
	if p.Payable < 0 || p.Available < 0 || p.Receivable < 0 || p.Settled < 0 {
		o.breach("nothing owed is below nothing", e.Stream, "after %s payable %d, available %d, receivable %d, settled %d",
			e.Type, p.Payable, p.Available, p.Receivable, p.Settled)
	}
	for _, t := range p.Transfers {
		if t.Reversed > t.Amount {
			o.breach("no more is taken back than was paid", e.Stream, "transfer %s: %d of %d", t.ID, t.Reversed, t.Amount)
		}
	}
}

// deferred is what the books must have as captured and not earned: what is still
// unearned, and what is agreed to go back, or in dispute, and did not go yet.
func (w *watched) deferred() money.Minor {
	s := w.state
	due := s.Payment.Unearned
	for _, r := range s.Refunds {
		if r.Status == order.Agreed || r.Status == order.Asked {
			due += r.Unearned
		}
	}
	for _, d := range s.Disputes {
		if d.Held != nil && !d.GivenUp {
			due += d.Held.Unearned
		}
	}
	return -due
}

// AtProcessor is our balance at the processor by the books.
func (o *Oracle) AtProcessor(c money.Currency) (sum money.Minor) {
	for _, a := range ledger.AtStripe {
		sum += o.books.Total(c, a)
	}
	return sum
}
