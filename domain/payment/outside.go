package payment

import (
	"time"

	"kicau/domain/event"
	"kicau/domain/order"
)

// Outside is what follows at once about the money of an order that is paid
// outside Kicau: whoever took the payment has authorised, captured and refunded
// it by the time we hear of it. It returns nothing for other orders.
func Outside(s order.State, at time.Time) []event.Data {
	if !s.Placed.Outside() {
		return nil
	}
	p := s.Payment
	var facts []event.Data
	if s.Standing == order.Open && p.Authorised == 0 {
		facts = append(facts, order.Authorised{Amount: s.Placed.Total(), Currency: s.Placed.Currency, Reference: s.Placed.Reference})
	}
	if s.Standing.Over() && p.Authorised > 0 && !p.Voided && !p.IsCaptured {
		facts = append(facts, order.Voided{Released: p.Authorised, Currency: s.Placed.Currency, Cause: "requested"})
	}
	if s.Standing == order.Dispatch && !p.IsCaptured {
		a := shipped(&s)
		facts = append(facts, captured(&s, Captured{Amount: a.Total()}, a, at))
	}
	for _, r := range s.Refunds {
		if r.Status == order.Agreed {
			e := refunded(&s, r, "", "")
			facts = append(facts, e)
			s = order.After(s, e)
		}
	}
	return facts
}
