package payment_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// Three cups at 9.99 do not divide evenly: one costs the buyer 13.18 with its part of
// shipping and tax, the others 13.00 or so. Each goes back with what it cost, also when
// the first one's refund comes back from the bank after the others went: then it is the
// first one that is given back next.
func TestAUnitGoesBackWithWhatItCost(t *testing.T) {
	cups := func(p *order.Place) {
		p.Lines[0].Quantity, p.Lines[0].Price = 3, 999
		p.Lines = append(p.Lines, order.Ask{Offer: uuid.UUID{0: 0x12}, Quantity: 1, Shop: potter, Title: "Tea", Price: 500})
	}
	h := begin(t).by(place(cups))
	held, taken := authorised, captured
	held.Amount, taken.Amount = h.state().Placed.Total(), h.state().Placed.Total()
	h.next().answered(held).shipped().next().answered(taken)
	give := func(refund uuid.UUID, line int, units int64) order.GiveBack {
		return order.GiveBack{At: h.at, Refund: refund, Units: []order.Units{{Line: line, Quantity: units}}}
	}
	gone := func(id, transaction string) payment.Refunded {
		return payment.Refunded{RefundID: id, Transaction: transaction}
	}
	third, fourth := uuid.UUID{0: 77}, uuid.UUID{0: 78}
	h.by(give(refund, 1, 1)).next().answered(gone("re_1", "txn_2"))
	h.by(give(second, 1, 2)).next().answered(gone("re_2", "txn_3"))
	h.sees1(t, payment.SeenRefund{ID: "re_1", Status: payment.RefundFailed, Returned: "txn_r"})
	h.by(give(third, 1, 1)).next().answered(gone("re_3", "txn_4"))
	cost := func(id uuid.UUID) money.Minor { s := h.state(); return s.Refund(id).Total() }
	if cost(third) != cost(refund) {
		t.Errorf("the cup cost %d and is given back with %d", cost(refund), cost(third))
	}
	h.by(give(fourth, 2, 1))
	if s := h.state(); s.Left().Goods != 0 {
		t.Errorf("all is given back, and %+v is left", s.Left())
	}
}

// Of two units whose refund came back one goes again: the first of them, and then the
// other.
func TestUnitsThatCameBackGoOneByOne(t *testing.T) {
	h := begin(t).by(place(func(p *order.Place) { p.Lines[0].Quantity, p.Lines[0].Price = 3, 999 }))
	held, taken := authorised, captured
	held.Amount, taken.Amount = h.state().Placed.Total(), h.state().Placed.Total()
	h.next().answered(held).shipped().next().answered(taken)
	give := func(refund uuid.UUID, units int64) *history {
		return h.by(order.GiveBack{At: h.at, Refund: refund, Units: []order.Units{{Line: 1, Quantity: units}}})
	}
	give(refund, 2).next().answered(payment.Refunded{RefundID: "re_1", Transaction: "txn_2"})
	h.sees1(t, payment.SeenRefund{ID: "re_1", Status: payment.RefundFailed, Returned: "txn_r"})
	s := h.state()
	var want, got []order.Allocation
	for n := range int64(3) {
		want = append(want, s.Lines[0].Of(n, 1, s.Placed.Step()))
		id := uuid.UUID{0: 77, 1: byte(n)}
		give(id, 1)
		s = h.state()
		got = append(got, s.Refund(id).Allocation)
	}
	if !slices.Equal(got, want) {
		t.Errorf("given back: %+v\nwhat they cost: %+v", got, want)
	}
}
