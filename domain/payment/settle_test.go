package payment_test

import (
	"slices"
	"testing"
	"time"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

func minor(n int64) money.Minor { return money.Minor(n) }

// reversed answers the open reversal.
var reversed = payment.Reversed{Reversal: "trr_1", Transaction: "txn_4"}

// A tenth of the shop's share stays with us for thirty days more.
func TestReserve(t *testing.T) {
	reserves := func(p *order.Place) { p.Terms.ReserveBasisPoints, p.Terms.ReserveDays = 1000, 30 }
	until := settleAt.AddDate(0, 0, 30)
	h := begin(t).by(place(reserves)).next().answered(authorised).shipped().next().answered(captured).until(settleAt)
	h.when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Reserved: 210, ReserveUntil: &until},
		order.SettlementRequested{Key: key(order.Settle, "3"), Destination: "acct_shop", Charge: "ch_1", Amount: 1890, Available: 1890, At: settleAt})
	h.next().answered(transferred).until(until.Add(-1))
	h.when(h.advance()).ThenNothing()

	// A refund in the meantime comes out of it first; the shop owes the rest.
	r := begin(t)
	r.log, r.at = append(r.log, h.log...), h.at
	r.agreed(refund, 690).next().answered(refunded)
	if p := r.state().Payment; len(p.Reserve) != 0 || p.Receivable != 525-210 {
		t.Errorf("after a refund of 525 of the shop's: %+v", p)
	}

	h.until(until)
	h.when(h.advance()).Then(
		order.ReserveReleased{Shop: potter, Currency: "GBP", Amount: 210},
		order.SettlementRequested{Key: key(order.Settle, "4"), Destination: "acct_shop", Charge: "ch_1", Amount: 210, Available: 210, At: until})
}

// A dispute is won after the release: what comes back is released again, with a
// reserve of its own. The first part goes out when it was to.
func TestTwoReserves(t *testing.T) {
	reserves := func(p *order.Place) { p.Terms.ReserveBasisPoints, p.Terms.ReserveDays = 1000, 30 }
	first := settleAt.AddDate(0, 0, 30)
	half := with(opened, func(d *payment.SeenDispute) { d.Amount, d.Movements[0].Amount = 1380, -1380 })
	h := begin(t).by(place(reserves)).next().answered(authorised).shipped().next().answered(captured).disputed(half).until(settleAt).next().answered(transferred)
	if got := h.state().Payment.Reserve; !slices.Equal(got, order.Reserve{{Amount: 105, Until: first}}) {
		t.Fatalf("of the half that is not disputed %v is kept", got)
	}

	h.until(settleAt.AddDate(0, 0, 20)).disputed(with(half, func(d *payment.SeenDispute) { won(d); d.Movements[1].Amount = 1380 }))
	h.next().answered(transferred)
	second := h.at.AddDate(0, 0, 30)
	if got := h.state().Payment.Reserve; !slices.Equal(got, order.Reserve{{Amount: 105, Until: first}, {Amount: 105, Until: second}}) {
		t.Fatalf("kept: %v", got)
	}
	h.until(first)
	h.when(h.advance()).Then(order.ReserveReleased{Shop: potter, Currency: "GBP", Amount: 105},
		order.SettlementRequested{Key: key(order.Settle, "5"), Destination: "acct_shop", Charge: "ch_1", Amount: 105, Available: 105, At: first})
	h.next().answered(transferred).until(second.Add(-1))
	h.when(h.advance()).ThenNothing()
	h.until(second).next()
	if got := h.state().Payment.Reserve; len(got) != 0 {
		t.Errorf("kept for too long: %v", got)
	}
}

// What a settled shop owes is taken back from its transfer.
func TestTakenBack(t *testing.T) {
	h := settled(t).agreed(refund, 1380).next().answered(refunded) // asks for the reversal
	if due, open := payment.Due(h.state()); !open || due.Step != order.Reverse || due.Transfer != "tr_1" || due.Amount != 1050 {
		t.Fatalf("due is %+v", due)
	}
	h.when(h.record(reversed)).Then(order.Reversed{Transfer: "tr_1", Reversal: "trr_1", Transaction: "txn_4", Shop: potter, Currency: "GBP", Amount: 1050})
	h.answered(reversed)
	if p := h.state().Payment; p.Receivable != 0 || p.Settled != 1050 {
		t.Errorf("after the reversal: %+v", p)
	}
}

// Its account is empty: the debt is carried to the shop, and this order is done.
func TestCarried(t *testing.T) {
	h := settled(t).agreed(refund, 1380).next().answered(refunded)
	empty := payment.Failed{Code: "balance_insufficient", Reason: "the account has not as much"}
	debt := order.DebtCarried{Number: 1, Shop: potter, Currency: "GBP", Amount: 1050, Code: "balance_insufficient", Reason: "the account has not as much"}
	h.when(h.record(empty)).Then(debt)
	h.answered(empty)
	h.when(h.advance()).ThenNothing()
	h.agreed(second, 1380).next().answered(payment.Refunded{RefundID: "re_2"}).answered(empty)
	if got := h.state().Payment.Debts; len(got) != 2 || got[1].Number != 2 || got[1].Amount != 1050 {
		t.Errorf("the debts are %+v", got)
	}
}

// netting is an order whose release has asked the shop's stream for its debts.
func netting(t *testing.T) *history {
	h := charged(t).until(settleAt)
	asked := order.NettingRequested{Number: 1, UpTo: 2100}
	owes := h.advance()
	owes.Shop.Owed = 3000
	h.when(owes).Then(asked)
	h.log = append(h.log, asked)
	return h
}

// gave is the answer of the shop's stream to a release.
func (h *history) gave(release int, debt money.Minor) payment.Advance {
	a := h.advance()
	a.Shop = &payment.ShopSays{Owed: 900, Release: release, Debt: debt}
	return a
}

// A release pays what the shop owes of other orders, all of it if need be; or
// what the shop is owed besides them.
func TestNetted(t *testing.T) {
	h := netting(t)
	if n := payment.NeedsOf(h.state(), h.at, ours); n != (payment.Needs{Net: 2100, Number: 1}) {
		t.Errorf("it needs %+v", n)
	}
	pays := func(amount money.Minor) order.SettlementRequested {
		return order.SettlementRequested{Key: key(order.Settle, "3"), Destination: "acct_shop", Charge: "ch_1", Amount: amount, Available: amount, At: settleAt}
	}
	h.when(h.gave(1, 600)).Then(order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Netted: 600, Debt: 600}, pays(1500))
	h.when(h.gave(1, 2100)).Then(order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Netted: 2100, Debt: 2100})
	h.when(h.gave(1, 0)).Then(order.Released{Shop: potter, Currency: "GBP", Payable: 2100}, pays(2100))
	h.when(h.gave(1, -300)).Then(order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Netted: -300, Debt: -300}, pays(2400))

	// A look that came late, and an answer to another release, say nothing to it.
	h.when(h.gave(0, 0)).ThenNothing()
	h.when(h.gave(2, 600)).ThenNothing()
}

// A refund between what the shop's stream gave up and the release: what the
// release cannot pay any more the shop owes of this order, and it is carried back.
func TestNettedTooMuch(t *testing.T) {
	owes := func(amount money.Minor) order.DebtCarried {
		return order.DebtCarried{Number: 1, Shop: potter, Currency: "GBP", Amount: amount, Code: "settled", Reason: "no transfer of this order is left to take it back from"}
	}
	h := netting(t).agreed(refund, 1380).next().answered(refunded)
	h.when(h.gave(1, 2000)).Then(order.Released{Shop: potter, Currency: "GBP", Payable: 1050, Netted: 1050, Debt: 2000}, owes(950))

	h = netting(t).agreed(refund, 0).next().answered(refunded)
	if n := payment.NeedsOf(h.state(), h.at, ours); n != (payment.Needs{Net: 2100, Number: 1}) || payment.AtRest(h.state(), h.at) {
		t.Errorf("nothing is left to release, and it needs %+v", n)
	}
	h.when(h.gave(1, 2000)).Then(order.Released{Shop: potter, Currency: "GBP", Debt: 2000}, owes(2000))
	h.when(h.gave(1, 0)).Then(order.Released{Shop: potter, Currency: "GBP"})
}

// A refund while the transfer is refused: the next try pays the difference, or
// nothing at all.
func TestNettedWithItself(t *testing.T) {
	h := charged(t).until(settleAt).next().answered(failed)
	h.agreed(refund, 690).next().answered(refunded).until(settleAt.Add(payment.RefusedFirst))
	h.when(h.advance()).Then(order.SettlementRequested{Key: key(order.Settle, "5"), Destination: "acct_shop", Charge: "ch_1",
		Amount: 2100 - 525, Available: 2100, Netted: 525, At: h.at})

	h = charged(t).until(settleAt).next().answered(failed).agreed(refund, 0).next()
	h.when(h.record(refunded)).Then(
		order.Refunded{Refund: refund, RefundID: "re_1", Transaction: "txn_2", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
			Amount: 2760, Allocation: of(2000, 300, 460, 200), Taken: order.Taken{FromReceivable: 2100}},
		order.Settled{Shop: potter, Currency: "GBP", Available: 2100, Netted: 2100})
}

// Nobody transfers before the hold is over, whatever else is asked.
func TestHeld(t *testing.T) {
	h := charged(t).until(settleAt.Add(-time.Nanosecond))
	if n := payment.NeedsOf(h.state(), h.at, ours); n.Any() {
		t.Errorf("it needs %+v", n)
	}
	h.when(h.advance()).ThenNothing()
}
