package payment_test

import (
	"testing"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// What TestExplore found.

// The answer to a call about a dispute brings the bank's withdrawal: what left the
// shop in the meantime is earned first. Else the bank gives back, when it is won, what
// nobody earned, and the buyer gets the money of goods that were shipped.
func TestAWithdrawalInAnAnswerAfterTheShipment(t *testing.T) {
	part := with(opened, func(d *payment.SeenDispute) { d.Amount, d.Movements[0].Amount = 1000, -1000 })
	asked := with(inquiry, func(d *payment.SeenDispute) { d.Amount = 1000 })
	ends := with(part, func(d *payment.SeenDispute) {
		won(d)
		d.Movements[1].Amount = 1000
	})
	h := paid(t).heard(captured).disputed(asked).by(order.Answer{At: noon}).next().answered(unknown).shipped()
	h.answered(payment.Disputed{Dispute: with(part, submitted)}).disputed(ends)
	if s := h.state(); len(s.Refunds) != 0 || s.Payment.Payable != 2100 {
		t.Errorf("refunds %+v, the shop is owed %d, want 2100", s.Refunds, s.Payment.Payable)
	}
}

// Two intents were captured by hand. What becomes of the money of the one that was
// replaced is none of the order's.
func TestNewsOfTheOtherOfTwoCapturedIntents(t *testing.T) {
	other := payment.Captured{Intent: "pi_2", Charge: "ch_2", Transaction: "txn_2", Amount: 2760, ProcessorFee: 59}
	seen := payment.Seen{Intent: "pi_2", Outcome: other,
		Refunds:  []payment.SeenRefund{{ID: "re_9", Amount: 1000, Status: payment.RefundSucceeded, Transaction: "txn_9"}},
		Disputes: []payment.SeenDispute{with(opened, func(d *payment.SeenDispute) { d.Charge, d.Amount, d.Movements[0].Amount = "ch_2", 500, -500 })}}
	h := begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed).answered(captured)
	h.when(h.sees(seen)).ThenNothing()
}

// A shop agreed to a whole refund while the payment was in dispute, somebody had given
// a part by hand, and the bank keeps all: ours is refused, and the one by hand is in
// the books. What the bank took beyond the sale is our loss.
func TestARefundByHandAndTheWholeAmountLost(t *testing.T) {
	byHand := payment.SeenRefund{ID: "re_9", Amount: 1380, Status: payment.RefundSucceeded, Transaction: "txn_9"}
	news := payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{byHand}, Disputes: []payment.SeenDispute{with(opened, lost)}}
	h := charged(t).agreed(refund, 0)
	h.took(payment.Decider.Decide(h.state(), h.sees(news)))
	h.answered(failed)
	h.took(payment.Decider.Decide(h.state(), h.sees(news)))
	s := h.state()
	if payment.Waits(s, news) {
		t.Error("the refund by hand waits for ever")
	}
	if r := s.Refund(event.NameID("refund", "re_9")); r == nil || r.Status != order.Given {
		t.Errorf("the refund by hand is %+v", r)
	}
	if d := s.Disputes[0]; d.Held.Excess != 1380 || d.Held.Total() != 1380 {
		t.Errorf("the bank has %+v", d.Held)
	}
	if p := s.Payment; p.Payable != 0 || p.Receivable != 0 {
		t.Errorf("the shop is owed %d and owes %d", p.Payable, p.Receivable)
	}
}

// A refund by hand came back before anybody heard of it, and all was refunded since:
// nothing of it is left to wait for.
func TestARefundByHandThatCameBackUnheardOf(t *testing.T) {
	back := payment.SeenRefund{ID: "re_9", Amount: 1380, Status: payment.RefundFailed, Transaction: "txn_8", Returned: "txn_9"}
	given := payment.SeenRefund{ID: "re_1", Refund: refund, Amount: 2760, Status: payment.RefundSucceeded, Transaction: "txn_2"}
	seen := payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{back, given}}
	h := charged(t).agreed(refund, 0).next().answered(refunded)
	if payment.Waits(h.state(), seen) {
		t.Error("it waits, and nothing will ever come")
	}
}

// Two banks take more than there is, and the first gives it back while a call about
// the other is open and the goods leave the shop: they are earned before the other bank
// has of it what it took beyond the sale.
func TestDisputedAfterAllAfterTheShipment(t *testing.T) {
	other := with(opened, func(d *payment.SeenDispute) {
		d.ID, d.Amount, d.Movements = "dp_2", 1000, []payment.Movement{{Transaction: "txn_e", Amount: -1000, Fee: 1500}}
	})
	h := paid(t).heard(captured).disputed(opened, other).by(order.Answer{At: noon, Dispute: "dp_2"}).next().disputed(with(opened, won), other).shipped().answered(failed)
	h.disputed(with(opened, won), with(other, func(d *payment.SeenDispute) {
		d.Result, d.Movements = order.Won, append(d.Movements, payment.Movement{Transaction: "txn_f", Amount: 1000})
	}))
	if s := h.state(); len(s.Refunds) != 0 || s.Payment.Payable != 2100 {
		t.Errorf("refunds %+v, the shop is owed %d, want 2100", s.Refunds, s.Payment.Payable)
	}
}
