package payment_test

import (
	"testing"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// unearned is the refund of what was taken for nothing.
func unearned(n string) uuid.UUID { return event.NameID("unearned", id.String()+":"+n) }

func taken(amount, unearned int64, a order.Allocation) order.Captured {
	return order.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: minor(amount), Authorised: 2760, Allocation: a, Unearned: minor(unearned), ProcessorFee: 59, SettleAfter: settleAt}
}

// The order was called off, and yet the money was taken: it goes back.
func TestCapturedAfterItWasOver(t *testing.T) {
	back := func(call string) []event.Data {
		return []event.Data{taken(2760, 2760, order.Allocation{}),
			order.RefundAgreed{Refund: unearned("1"), Unearned: 2760, Reason: payment.NotEarned},
			order.RefundRequested{Key: key(order.Refunding, call), Refund: unearned("1"), Intent: "pi_1", Amount: 2760, At: noon}}
	}
	h := paid(t).cancelled() // by news
	h.when(h.observe(captured)).Then(back("2")...)
	h = h.next() // by the answer to our void
	h.when(h.record(captured)).Then(back("3")...)

	h.answered(captured)
	h.when(h.record(refunded)).Then(order.Refunded{Refund: unearned("1"), RefundID: "re_1", Transaction: "txn_2", Shop: potter,
		Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB", Amount: 2760, Unearned: 2760})
	h.answered(refunded)
	h.when(h.advance()).ThenNothing()
}

// A refund of it that is refused is tried again, after longer and longer waits.
func TestUnearnedIsSentBackAgain(t *testing.T) {
	h := paid(t).cancelled().heard(captured)
	again := noon.Add(payment.RefusedFirst)
	h.when(h.record(failed)).Then(order.RefundFailed{Refund: unearned("1"), Code: "refused", Reason: "the processor refused", Unearned: 2760, RetryAt: &again})
	h.answered(failed)
	h.until(again.Add(-1)).when(h.advance()).ThenNothing()
	h.until(again).when(h.advance()).Then(order.RefundAgreed{Refund: unearned("2"), Unearned: 2760, Reason: payment.NotEarned},
		order.RefundRequested{Key: key(order.Refunding, "3"), Refund: unearned("2"), Intent: "pi_1", Amount: 2760, At: again})
	h.next()
	later := again.Add(2 * payment.RefusedFirst)
	h.when(h.record(failed)).Then(order.RefundFailed{Refund: unearned("2"), Code: "refused", Reason: "the processor refused", Unearned: 2760, RetryAt: &later})
}

// One that comes back from the buyer's bank is, too.
func TestUnearnedComesBack(t *testing.T) {
	h := paid(t).cancelled().heard(captured).answered(refunded)
	h = h.sees1(t, payment.SeenRefund{ID: "re_1", Refund: unearned("1"), Amount: 2760, Status: payment.RefundFailed, Transaction: "txn_2", Returned: "txn_r", Code: "expired_card"})
	h.until(noon.Add(payment.RefusedFirst - 1)).when(h.advance()).ThenNothing()
	h.until(noon.Add(payment.RefusedFirst)).next()
	if r := h.state().Payment.Pending; r == nil || r.Step != order.Refunding || r.Amount != 2760 {
		t.Errorf("the call is %+v", r)
	}
}

// One that is refused again and again is for people to look at. They give it back.
func TestUnearnedIsLeftToPeople(t *testing.T) {
	h := paid(t).cancelled().heard(captured)
	for range payment.MaxReturns - 1 {
		h.answered(failed).until(h.at.Add(payment.RefusedMost)).next()
	}
	h.answered(failed)
	if s := h.state(); s.Payment.Unearned != 2760 || s.Payment.Pending != nil || len(s.Refunds) != payment.MaxReturns {
		t.Errorf("%d are kept for the buyer, want all 2760; the open call is %+v, after %d refunds", s.Payment.Unearned, s.Payment.Pending, len(s.Refunds))
	}
	h.until(h.at.AddDate(1, 0, 0)).when(h.advance()).ThenNothing()

	h.by(order.GiveBack{At: h.at, Refund: refund, Reason: "by another card"})
	h.when(h.advance()).Then(order.RefundRequested{Key: key(order.Refunding, "12"), Refund: refund, Intent: "pi_1", Amount: 2760, At: h.at})
	h.next().answered(refunded)
	if got := h.state().Payment.Unearned; got != 0 {
		t.Errorf("%d are kept for the buyer", got)
	}
}

// Taken by hand before anything left the shop: not ours yet, and not to be taken
// again when it does.
func TestCapturedBeforeShipment(t *testing.T) {
	h := paid(t)
	h.when(h.observe(captured)).Then(taken(2760, 2760, order.Allocation{}))
	h.heard(captured)
	h.when(h.advance()).ThenNothing()

	earned := order.Earned{Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB", Allocation: of(2000, 300, 460, 200), SettleAfter: settleAt}
	all := paid(t).heard(captured).shipped()
	all.when(all.advance()).Then(earned)

	// One mug of two: the price of the other goes back.
	half := paid(t).heard(captured).by(order.Ship{At: noon, Units: []order.Units{{Line: 1, Quantity: 1}}})
	earned.Allocation = of(1000, 150, 230, 100)
	half.when(half.advance()).Then(earned,
		order.RefundAgreed{Refund: unearned("1"), Unearned: 1380, Reason: payment.NotEarned},
		order.RefundRequested{Key: key(order.Refunding, "2"), Refund: unearned("1"), Intent: "pi_1", Amount: 1380, At: noon})

	// Called off instead: all of it goes back.
	off := paid(t).heard(captured).cancelled()
	off.when(off.advance()).Then(
		order.RefundAgreed{Refund: unearned("1"), Unearned: 2760, Reason: payment.NotEarned},
		order.RefundRequested{Key: key(order.Refunding, "2"), Refund: unearned("1"), Intent: "pi_1", Amount: 2760, At: noon})

	// Never shipped: the same, after a month.
	late := paid(t).heard(captured).until(settleAt.Add(order.TakenLimit)).expired()
	late.when(late.advance()).Then(
		order.RefundAgreed{Refund: unearned("1"), Unearned: 2760, Reason: payment.NotEarned},
		order.RefundRequested{Key: key(order.Refunding, "2"), Refund: unearned("1"), Intent: "pi_1", Amount: 2760, At: late.at})
}

// Somebody captured another amount than was shipped.
func TestCapturedAnotherAmount(t *testing.T) {
	half := paid(t).by(order.Ship{At: noon, Units: []order.Units{{Line: 1, Quantity: 1}}}).next()
	half.when(half.record(captured)).Then(taken(2760, 1380, of(1000, 150, 230, 100)),
		order.RefundAgreed{Refund: unearned("1"), Unearned: 1380, Reason: payment.NotEarned},
		order.RefundRequested{Key: key(order.Refunding, "3"), Refund: unearned("1"), Intent: "pi_1", Amount: 1380, At: noon})

	less := payment.Captured{Charge: "ch_1", Transaction: "txn_1", Amount: 1380, ProcessorFee: 59}
	all := sent(t).next()
	all.when(all.record(less)).Then(taken(1380, 0, of(1000, 150, 230, 100)),
		order.CaptureFailed{Intent: "pi_1", Code: "captured-less", Reason: "13.80 GBP was captured, less than the 27.60 GBP of the shipment"})
}

// Refunds given at the processor are found and counted, ours are recognised.
func TestRefundedElsewhere(t *testing.T) {
	seen := payment.SeenRefund{ID: "re_9", Amount: 1380, Status: payment.RefundSucceeded, Transaction: "txn_9"}
	adopted := event.NameID("refund", "re_9")
	h := charged(t)
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{seen}})).Then(
		order.RefundAgreed{Refund: adopted, Allocation: of(1000, 150, 230, 100), Reason: payment.AtProcessor},
		order.Refunded{Refund: adopted, RefundID: "re_9", Transaction: "txn_9", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
			Amount: 1380, Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}})

	// Ours, found by its number before our own call has heard of it: our call
	// will say so.
	h = charged(t).agreed(refund, 1380).next()
	mine := seen
	mine.Refund = refund
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{mine}})).ThenNothing()
	h.answered(payment.Refunded{RefundID: "re_9", Transaction: "txn_9"})
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{mine}})).ThenNothing()

	// One that we had given up on was made after all: it is counted as one given
	// at the processor.
	h = charged(t).agreed(refund, 1380).next().answered(failed)
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{mine}})).Then(
		order.RefundAgreed{Refund: adopted, Allocation: of(1000, 150, 230, 100), Reason: payment.AtProcessor},
		order.Refunded{Refund: adopted, RefundID: "re_9", Transaction: "txn_9", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
			Amount: 1380, Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}})

	// One that had come back before anybody heard of it: both happened.
	gone := seen
	gone.Status, gone.Returned, gone.Code = payment.RefundFailed, "txn_10", "lost_or_stolen_card"
	h = charged(t)
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{gone}})).Then(
		order.RefundAgreed{Refund: adopted, Allocation: of(1000, 150, 230, 100), Reason: payment.AtProcessor},
		order.Refunded{Refund: adopted, RefundID: "re_9", Transaction: "txn_9", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
			Amount: 1380, Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}},
		order.RefundReturned{Refund: adopted, RefundID: "re_9", Transaction: "txn_10", Code: "lost_or_stolen_card", Shop: potter, Processor: order.Stripe,
			Currency: "GBP", Jurisdiction: "GB", Amount: 1380, Allocation: of(1000, 150, 230, 100), Restored: order.Restored{ToPayable: 1050}})

	// A failed one moved nothing; one above what is left waits until it can be
	// told what it is.
	bad, much := seen, seen
	bad.Status, much.Amount = payment.RefundFailed, 2761
	h = charged(t)
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{bad, much}})).ThenNothing()
}

// A refund may be accepted before it is paid, and may come back after it was.
func TestRefundsThatTakeTime(t *testing.T) {
	made := of(1000, 150, 230, 100)
	h := charged(t).agreed(refund, 1380).next()
	pending := order.RefundPending{Refund: refund, RefundID: "re_1", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Amount: 1380,
		Allocation: made, Taken: order.Taken{FromPayable: 1050}}
	h.when(h.record(payment.Refunded{RefundID: "re_1", Pending: true})).Then(pending)
	h.answered(payment.Refunded{RefundID: "re_1", Pending: true})

	news := func(status payment.RefundStatus) payment.Seen {
		return payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 1380,
			Status: status, Transaction: "txn_2", Returned: "txn_3", Code: "lost_or_stolen_card"}}}
	}
	h.when(h.sees(news(payment.RefundPending))).ThenNothing()
	paid := order.Refunded{Refund: refund, RefundID: "re_1", Transaction: "txn_2", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 1380, Allocation: made, Taken: order.Taken{FromPayable: 1050}, WasPending: true}
	h.when(h.sees(news(payment.RefundSucceeded))).Then(paid)
	back := order.RefundReturned{Refund: refund, RefundID: "re_1", Transaction: "txn_3", Code: "lost_or_stolen_card", Shop: potter, Processor: order.Stripe,
		Currency: "GBP", Jurisdiction: "GB", Amount: 1380, Allocation: made, Restored: order.Restored{ToPayable: 1050}, WasPending: true}
	// It may have been paid and have come back before anybody heard of either; or
	// it was never paid.
	never := news(payment.RefundFailed)
	never.Refunds[0].Transaction, never.Refunds[0].Returned, back.Transaction = "", "", ""
	h.when(h.sees(never)).Then(back)
	back.WasPending, back.Transaction = false, "txn_3"
	h.when(h.sees(news(payment.RefundFailed))).Then(paid, back)

	h.took(payment.Decider.Decide(h.state(), h.sees(news(payment.RefundSucceeded))))
	h.when(h.sees(news(payment.RefundFailed))).Then(back)

	// By the time our own call has its answer both may have happened.
	late := charged(t).agreed(refund, 1380).next().answered(unknown)
	paid.WasPending = false
	late.when(late.record(payment.Refunded{RefundID: "re_1", Transaction: "txn_2", Returned: "txn_3", Code: "lost_or_stolen_card"})).Then(paid, back)

	// The shop may agree to another one then: nothing is refunded.
	h.took(payment.Decider.Decide(h.state(), h.sees(news(payment.RefundFailed))))
	h.agreed(second, 2760)

	// When the shop owed it and a transfer of the rest is still to come, it owes
	// less.
	h = charged(t).until(settleAt).next().answered(failed).agreed(refund, 1380).next().answered(payment.Refunded{RefundID: "re_1", Transaction: "txn_2"})
	back.Restored = order.Restored{ToReceivable: 1050}
	h.when(h.sees(news(payment.RefundFailed))).Then(back)
}

// What is under way here comes first: news that cannot be in the log before it
// wait, and are to be read again.
func TestNewsThatWait(t *testing.T) {
	byHand := payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{{ID: "re_hand", Amount: 141, Status: payment.RefundSucceeded, Transaction: "txn_h"}}}
	whole := charged(t).agreed(refund, 2760).next()
	whole.when(whole.sees(byHand)).ThenNothing()
	early := requested(t)
	voiding := begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed).answered(unknown)
	gone := func(intent string) payment.Seen {
		return payment.Seen{Intent: intent, Outcome: payment.Voided{Intent: intent}}
	}
	anotherCard := requested(t).answered(declined).by(order.Pay{At: noon, PaymentMethod: "pm_2"}).next()
	disputed := payment.Seen{Intent: "pi_1", Outcome: captured, Disputes: []payment.SeenDispute{opened}}
	for name, c := range map[string]struct {
		h     *history
		seen  payment.Seen
		waits bool
	}{
		"a refund by hand while all is about to be refunded": {whole, byHand, true},
		"that was refused": {charged(t).agreed(refund, 2760).next().answered(failed), byHand, false},
		"a refund by hand": {charged(t), byHand, false},
		"the new authorisation is let go while the old one is being voided": {voiding, gone("pi_2"), true},
		"what is being voided is let go":                                    {voiding, gone("pi_1"), false},
		"our own refund, on its way":                                        {whole, payment.Seen{Intent: "pi_1", Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 2760, Status: payment.RefundPending}}}, false},
		"our own refund, paid by now":                                       {whole, payment.Seen{Intent: "pi_1", Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 2760, Status: payment.RefundSucceeded}}}, true},
		"our own refund, failed by now":                                     {whole, payment.Seen{Intent: "pi_1", Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 2760, Status: payment.RefundFailed}}}, true},
		"another card is being tried, and the buyer has authenticated":      {anotherCard, payment.Seen{Intent: "pi_1", Outcome: authorised}, true},
		"another card is being tried, and the buyer has to authenticate":    {anotherCard, payment.Seen{Intent: "pi_1", Outcome: payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}}, false},
		"another card is being tried, and somebody has called it all off":   {anotherCard, gone("pi_1"), true},
		"what the first call made was let go before its answer came":        {early, gone("pi_1"), true},
		"a refund by hand that failed":                                      {whole, payment.Seen{Intent: "pi_1", Refunds: []payment.SeenRefund{{ID: "re_2", Amount: 141, Status: payment.RefundFailed}}}, false},
		"a dispute while the authorisation is open":                         {paid(t).cancelled().next(), disputed, true},
		"a dispute while the capture is open":                               {sent(t).next(), disputed, false},
		"a dispute":                                                         {charged(t), disputed, false},
		"what the first call made is disputed before its answer came":       {early, disputed, true},
		"nothing but what the intent itself says":                           {whole, payment.Seen{Intent: "pi_1", Outcome: captured}, false},
	} {
		events, err := payment.Decider.Decide(c.h.state(), c.h.sees(c.seen))
		if err != nil || payment.Waits(order.After(c.h.state(), events...), c.seen) != c.waits {
			t.Errorf("%s: waits %v, %v", name, !c.waits, err)
		}
	}
}
