package payment

import (
	"slices"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// disputeNews says what is new about a dispute: that it exists, that money moved,
// that it was answered, and how it ended.
func disputeNews(s order.State, seen SeenDispute) (facts []event.Data) {
	add := func(e event.Data) {
		facts = append(facts, e)
		s = order.After(s, e)
	}
	if !s.Payment.IsCaptured {
		return nil // the capture comes first, with the same news
	}
	d := s.Dispute(seen.ID)
	if d == nil {
		add(order.DisputeOpened{Dispute: seen.ID, Charge: seen.Charge, Currency: s.Placed.Currency, Amount: seen.Amount,
			Reason: seen.Reason, Inquiry: seen.Inquiry, EvidenceDue: seen.EvidenceDue})
	} else if d.Inquiry && !seen.Inquiry {
		add(order.DisputeEscalated{Dispute: seen.ID, EvidenceDue: seen.EvidenceDue})
	}
	for _, m := range seen.Movements {
		if d := s.Dispute(seen.ID); !slices.Contains(d.Known, m.Transaction) {
			if e := moved(&s, *d, m); e != nil {
				add(e)
			}
		}
	}
	d = s.Dispute(seen.ID)
	contesting := s.Payment.Pending != nil && s.Payment.Pending.Step == order.Contest && s.Payment.Pending.Dispute == d.ID
	if seen.Submitted && !d.Answered && !contesting && !seen.Inquiry {
		add(order.Contested{Dispute: seen.ID})
	}
	d = s.Dispute(seen.ID)
	if d.Result == order.Won && d.InPart && !d.GivenUp {
		add(closed(&s, *d, order.Won)) // decided before its money came, and not all of it did
		return facts
	}
	if seen.Result == "" || seen.Result == d.Result {
		return facts
	}
	if seen.Result == order.Lost && d.Held == nil && !d.Inquiry {
		return facts // the money moves first; reading again will show it
	}
	add(closed(&s, *d, seen.Result))
	return facts
}

// moved says what a movement of money means.
func moved(s *order.State, d order.Dispute, m Movement) event.Data {
	switch {
	case m.Amount < 0 && d.Held == nil:
		return withdrawn(s, d, m)
	case m.Amount > 0 && d.Held != nil:
		return reinstated(s, d, m)
	case m.Amount == 0 && m.Fee != 0:
		return order.DisputeCharged{Dispute: d.ID, Transaction: m.Transaction, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Fee: m.Fee}
	}
	return nil // out of order: reading again will show it in order
}

func withdrawn(s *order.State, d order.Dispute, m Movement) order.DisputeWithdrawn {
	amount := -m.Amount
	e := order.DisputeWithdrawn{
		Dispute: d.ID, Transaction: m.Transaction, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Amount: amount, DisputeFee: m.Fee,
	}
	left := s.Left()
	e.Allocation = left.Slice(min(amount, left.Total()), s.Placed.Step())
	rest := amount - e.Total()
	e.Unearned = max(0, min(rest, s.Payment.Unearned))
	e.Excess = rest - e.Unearned
	e.Taken = takenFrom(s, e.ShopShare())
	return e
}

// reallocated lets a dispute that took more than the sale had left take what the
// sale has again; nil: there is no such dispute, or nothing for it to take.
func reallocated(s *order.State) event.Data {
	left := s.Left()
	for _, d := range s.Disputes {
		if d.Held == nil || d.Held.Excess == 0 {
			continue
		}
		e := order.DisputeReallocated{Dispute: d.ID, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
			Principal: s.Placed.Principal, WasLost: d.GivenUp}
		e.Allocation = left.Slice(min(d.Held.Excess, left.Total()), s.Placed.Step())
		e.Unearned = min(d.Held.Excess-e.Total(), s.Payment.Unearned)
		if e.Total()+e.Unearned > 0 {
			e.Taken = takenFrom(s, e.ShopShare())
			return e
		}
	}
	return nil
}

// yielded lets disputes give up an amount of the sale, for a refund that somebody
// gave at the processor: what the banks took is beyond the sale then. Nothing: they
// have not as much, or a refund of ours is under way that may not go.
func yielded(s order.State, amount money.Minor) (facts []event.Data) {
	if underway(&s) {
		return nil
	}
	for i := 0; i < len(s.Disputes) && amount > 0; i++ {
		d := s.Disputes[i]
		if d.Held == nil {
			continue
		}
		unearned := min(d.Held.Unearned, amount)
		part := d.Held.Slice(min(d.Held.Total(), amount-unearned), s.Placed.Step())
		back := restoredTo(&s, part.ShopShare())
		e := order.DisputeReallocated{Dispute: d.ID, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
			Principal: s.Placed.Principal, WasLost: d.GivenUp, Allocation: order.Allocation{}.Minus(part), Unearned: -unearned,
			Taken: order.Taken{FromPayable: -back.ToPayable, FromReceivable: -back.ToReceivable}}
		if given := part.Total() + unearned; given > 0 {
			amount -= given
			facts, s = append(facts, e), order.After(s, e)
		}
	}
	if amount > 0 {
		return nil
	}
	return facts
}

// underway tells whether a refund is agreed and neither given nor refused.
func underway(s *order.State) bool {
	return slices.ContainsFunc(s.Refunds, func(r order.Refund) bool { return r.Status == order.Agreed || r.Status == order.Asked })
}

func reinstated(s *order.State, d order.Dispute, m Movement) order.DisputeReinstated {
	h := d.Held
	e := order.DisputeReinstated{
		Dispute: d.ID, Transaction: m.Transaction, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Amount: m.Amount, DisputeFee: -m.Fee, WasLost: d.GivenUp,
	}
	// What comes back in part is the sale first, then what was not earned.
	e.Allocation = h.Slice(min(m.Amount, h.Total()), s.Placed.Step())
	rest := m.Amount - e.Total()
	e.Unearned = min(rest, h.Unearned)
	e.Excess = rest - e.Unearned
	e.Restored = restoredTo(s, e.ShopShare())
	return e
}

func closed(s *order.State, d order.Dispute, result order.DisputeResult) order.DisputeClosed {
	e := order.DisputeClosed{Dispute: d.ID, Result: result, Shop: s.Placed.Shop, Currency: s.Placed.Currency,
		Jurisdiction: s.Placed.Jurisdiction, Principal: s.Placed.Principal}
	if h := d.Held; h != nil && !d.GivenUp && (result == order.Lost || d.InPart) {
		e.Amount, e.Allocation, e.Unearned, e.Excess = h.Amount, h.Allocation, h.Unearned, h.Excess
	}
	return e
}
