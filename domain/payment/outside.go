package payment

import (
	"time"

	"github.com/google/uuid"

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
		facts = append(facts, captured(s, Captured{Amount: shipped(s).Total()}, "", at))
	}
	for _, r := range s.Refunds {
		if r.Status == order.Agreed {
			facts = append(facts, refunded(s, r.ID, Refunded{}))
		}
	}
	return facts
}

// refunded takes the shop's part of a refund from what is still owed to it; the
// rest it owes.
func refunded(s order.State, id uuid.UUID, o Refunded) order.Refunded {
	var a order.Allocation
	for _, r := range s.Refunds {
		if r.ID == id {
			a = r.Allocation
		}
	}
	share := a.ShopShare()
	fromPayable := min(share, s.Payment.Payable)
	return order.Refunded{
		Refund: id, RefundID: o.RefundID, Transaction: o.Transaction,
		Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Amount: a.Total(), Allocation: a, FromPayable: fromPayable, FromReceivable: share - fromPayable,
	}
}
