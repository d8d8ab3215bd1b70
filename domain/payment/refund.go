package payment

import (
	"time"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// takenFrom says where the shop's part of money that goes back comes from: what
// is still on hold, then its reserve; the rest it owes.
func takenFrom(s *order.State, share money.Minor) order.Taken {
	p := s.Payment
	var t order.Taken
	t.FromPayable = max(0, min(share, p.Payable))
	t.FromReserve = max(0, min(share-t.FromPayable, p.Reserve.Total()))
	t.FromReceivable = share - t.FromPayable - t.FromReserve
	return t
}

// restoredTo says where the shop's part of money that came back goes: first the
// shop owes less, then it is owed more. What an open call is about to take back
// from the shop is not forgiven: the call would find nothing to take.
func restoredTo(s *order.State, share money.Minor) order.Restored {
	owed := s.Payment.Receivable
	if r := s.Payment.Pending; r != nil {
		switch r.Step {
		case order.Reverse:
			owed -= r.Amount
		case order.Settle:
			owed -= r.Netted
		}
	}
	toReceivable := max(0, min(share, owed))
	return order.Restored{ToReceivable: toReceivable, ToPayable: share - toReceivable}
}

func refunded(s *order.State, r order.Refund, id, transaction string) order.Refunded {
	e := order.Refunded{
		Refund: r.ID, RefundID: id, Transaction: transaction,
		Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Amount: r.Amount(), Allocation: r.Allocation, Unearned: r.Unearned, Taken: r.Taken,
	}
	if r.Status == order.Pending {
		e.WasPending = true
	} else {
		e.Taken = takenFrom(s, r.ShopShare())
	}
	return e
}

// paidBack is a refund that was paid, and came back since if that moved money.
func paidBack(s order.State, r order.Refund, seen SeenRefund, at time.Time) []event.Data {
	facts := []event.Data{refunded(&s, r, seen.ID, seen.Transaction)}
	if seen.Returned == "" {
		return facts
	}
	s = order.After(s, facts...)
	return append(facts, refundReturned(&s, *s.Refund(r.ID), seen, at))
}

func refundPending(s *order.State, r order.Refund, id string) order.RefundPending {
	return order.RefundPending{
		Refund: r.ID, RefundID: id, Shop: s.Placed.Shop, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Amount: r.Amount(), Allocation: r.Allocation, Unearned: r.Unearned, Taken: takenFrom(s, r.ShopShare()),
	}
}

func refundReturned(s *order.State, r order.Refund, seen SeenRefund, at time.Time) order.RefundReturned {
	return order.RefundReturned{
		Refund: r.ID, RefundID: seen.ID, Transaction: seen.Returned, Code: seen.Code,
		Shop: s.Placed.Shop, Processor: s.Placed.Processor, Currency: s.Placed.Currency, Jurisdiction: s.Placed.Jurisdiction,
		Principal: s.Placed.Principal, Amount: r.Amount(), Allocation: r.Allocation, Unearned: r.Unearned,
		Restored: restoredTo(s, r.ShopShare()), WasPending: r.Status == order.Pending, RetryAt: returnAgain(s, r, at),
	}
}
