package payment_test

import (
	"strings"
	"testing"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// The buyer called the order off while the card was being asked: what was
// authorised all the same is given up.
func TestAuthorisedAfterCancelled(t *testing.T) {
	void := order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: noon}
	auth := order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP", ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"}

	h := requested(t).cancelled()
	h.when(h.record(authorised)).Then(auth, void)
	h = requested(t).answered(unknown).cancelled()
	h.when(h.record(authorised)).Then(auth, void)

	// The news come from the processor, not from our call.
	h = requested(t).answered(typeCard).cancelled()
	h.when(h.observe(authorised)).Then(auth, void)
	h = requested(t).answered(typeCard).until(heldUntil).expired()
	void.At = heldUntil
	h.when(h.observe(authorised)).Then(auth, void)

	// The void is asked already: its own answer says what was held.
	h = requested(t).answered(typeCard).cancelled().next()
	h.when(h.observe(authorised)).ThenNothing()
	h = h.answered(voided)
	h.when(h.observe(authorised)).ThenNothing()
	h.when(h.observe(voided)).ThenNothing()
}

func TestDeclinedOrAskedAfterCancelled(t *testing.T) {
	void := order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: noon}
	h := requested(t).cancelled()
	h.when(h.record(typeCard)).Then(order.ActionRequired{Intent: "pi_1", Action: "card"}, void)
	h.when(h.record(declined)).Then(order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}, void)
	h.when(h.record(failed)).Then(order.Declined{Code: "refused"}) // there is nothing to give up
}

// The processor let an authorisation go that we still counted on.
func TestLapsed(t *testing.T) {
	gone := order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "lapsed"}
	lost := order.CaptureFailed{Intent: "pi_1", Code: "authorisation-lapsed", Reason: "the processor had let the authorisation go"}

	h := paid(t)
	h.when(h.observe(voided)).Then(gone, order.Expired{Cause: order.Unshipped})
	h = sent(t)
	h.when(h.observe(voided)).Then(gone, lost)
	h = sent(t).next() // our own call will say so
	h.when(h.observe(voided)).ThenNothing()
	h.when(h.record(voided)).Then(gone, lost)
	h = sent(t).next().answered(failed) // heard of before; now the books know too
	h.when(h.observe(voided)).Then(gone)
	h = paid(t).cancelled()
	h.when(h.observe(voided)).Then(gone)
	h = charged(t)
	h.when(h.observe(voided)).ThenNothing()
}

// An answer to a call that is not open any more was recorded by whoever was
// faster; one to a call that never was is nobody's.
func TestStaleKeys(t *testing.T) {
	for _, h := range []*history{requested(t), paid(t), sent(t).next(), charged(t), settled(t)} {
		for _, stale := range []string{"", key(order.Authorise, "2"), key(order.Capture, "1"), "v1:other:authorise:1"} {
			for _, o := range []payment.Outcome{authorised, declined, captured, voided, refunded, transferred, failed, unknown} {
				h.when(payment.Record{At: h.at, Account: ours, Key: stale, Outcome: o}).ThenNothing()
			}
		}
	}
	h := sent(t).next()
	h.when(payment.Record{At: h.at, Account: ours, Key: key(order.Authorise, "1"), Outcome: declined}).ThenNothing()
}

// News of another intent, or of none, are not of this order.
func TestOtherIntents(t *testing.T) {
	for _, h := range []*history{begin(t).placed(), requested(t), requested(t).answered(typeCard), paid(t), charged(t)} {
		for _, intent := range []string{"", "pi_2"} {
			for _, o := range []payment.Outcome{authorised, typeCard, declined, captured, voided, refunded, transferred, failed, unknown} {
				h.when(h.sees(payment.Seen{Intent: intent, Outcome: o})).ThenNothing()
			}
		}
	}
}

// Two sagas run on one log, each with its own account at the processor. The one
// that asked for the authorisation has the order for good; the other may bring
// news but asks for nothing.
func TestTwoSagas(t *testing.T) {
	other := func(h *history) payment.Advance { return payment.Advance{At: h.at, Account: theirs} }

	h := begin(t).placed()
	h.when(other(h)).Then(order.AuthorisationRequested{Key: key(order.Authorise, "1"), Account: theirs, Amount: 2760, PaymentMethod: "pm_1", At: noon})
	h.took(payment.Decider.Decide(h.state(), other(h)))
	h.when(h.advance()).ThenNothing() // too late: it is theirs
	due, _ := payment.Due(h.state())
	if due.Account != theirs {
		t.Errorf("the call is to be made by %s", due.Account)
	}

	for _, h := range []*history{paid(t).cancelled(), sent(t), charged(t).agreed(refund, 1380), charged(t).until(settleAt)} {
		h.when(other(h)).ThenNothing()
		if events, err := payment.Decider.Decide(h.state(), h.advance()); err != nil || len(events) == 0 {
			t.Errorf("its owner decides %v, %v", events, err)
		}
	}

	// Facts are facts whoever reports them; what follows waits for its owner.
	void := order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: noon}
	auth := order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP", ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"}
	h = requested(t).cancelled()
	theirsSay := h.record(authorised)
	theirsSay.Account = theirs
	h.when(theirsSay).Then(auth)
	h.took(payment.Decider.Decide(h.state(), theirsSay))
	h.when(h.advance()).Then(void)

	h = requested(t).answered(typeCard).cancelled()
	news := h.observe(authorised)
	news.Account = theirs
	h.when(news).Then(auth)
}

// A shop is connected to one account of the platform: only that one takes the
// payments of its orders.
func TestTheShopsPlatform(t *testing.T) {
	h := begin(t).by(place(func(p *order.Place) { p.Terms.Platform = theirs }))
	h.when(h.advance()).ThenNothing()
	h.when(payment.Advance{At: noon, Account: theirs}).Then(order.AuthorisationRequested{
		Key: key(order.Authorise, "1"), Account: theirs, Amount: 2760, PaymentMethod: "pm_1", At: noon})
	if payment.AtRest(h.state(), noon) {
		t.Error("an order that waits for its platform is at rest")
	}
}

// Both sagas race with the same account: the log lets one of them in, and the
// other finds the step done.
func TestTheSameSagaTwice(t *testing.T) {
	h := begin(t).placed()
	twice := h.advance()
	h.next()
	h.when(twice).ThenNothing()
	answer := h.record(authorised)
	h.answered(authorised)
	h.when(answer).ThenNothing()
	late := answer
	late.Outcome = declined
	h.when(late).ThenNothing() // the first answer stands
}

// No end forbids a later correction: whatever an order came to, what is heard
// of its money afterwards is written down, and what follows from it is done.
func TestNoEndIsFinal(t *testing.T) {
	back := func(h *history) *history { return h.agreed(refund, 0).next().answered(refunded) }
	seen := func(status payment.RefundStatus) payment.Seen {
		return payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{{ID: "re_1", Refund: refund, Amount: 2760, Status: status, Transaction: "txn_2", Returned: "txn_3"}}}
	}
	given := payment.Seen{Intent: "pi_1", Outcome: captured, Refunds: []payment.SeenRefund{{ID: "re_9", Amount: 1000, Status: payment.RefundSucceeded, Transaction: "txn_9"}}}
	disputed := func(d payment.SeenDispute) payment.Seen {
		return payment.Seen{Intent: "pi_1", Outcome: captured, Disputes: []payment.SeenDispute{d}}
	}
	news := func(o payment.Outcome) payment.Seen { return payment.Seen{Intent: "pi_1", Outcome: o} }
	for _, c := range []struct {
		end  string
		h    *history
		seen payment.Seen
		then []event.Data
	}{
		{"cancelled and voided, then captured by hand", paid(t).cancelled().next().answered(voided), news(captured),
			[]event.Data{order.Authorised{}, order.Captured{}, order.RefundAgreed{}, order.RefundRequested{}}},
		{"expired, then authorised after all", requested(t).answered(typeCard).until(heldUntil).expired(), news(authorised),
			[]event.Data{order.Authorised{}, order.VoidRequested{}}},
		{"expired unshipped, then captured by hand", paid(t).until(authEnds).expired(), news(captured),
			[]event.Data{order.Captured{}, order.RefundAgreed{}, order.RefundRequested{}}},
		{"never captured, as it was refused, then it was", sent(t).next().answered(failed), news(captured),
			[]event.Data{order.Captured{}}},
		{"settled, then refunded by hand", settled(t), given,
			[]event.Data{order.RefundAgreed{}, order.Refunded{}, order.ReversalRequested{}}},
		{"settled, then disputed", settled(t), disputed(opened),
			[]event.Data{order.DisputeOpened{}, order.DisputeWithdrawn{}, order.ReversalRequested{}}},
		{"refunded whole, then the refund comes back", back(settled(t)).answered(reversed), seen(payment.RefundFailed),
			[]event.Data{order.RefundReturned{}}},
		{"refunded whole, then disputed all the same", back(charged(t)), disputed(opened),
			[]event.Data{order.DisputeOpened{}, order.DisputeWithdrawn{}}},
		{"a refund given up, then it was made", charged(t).agreed(refund, 0).next().answered(failed), seen(payment.RefundSucceeded),
			[]event.Data{order.RefundAgreed{}, order.Refunded{}}},
		{"a dispute lost, then won after all", charged(t).disputed(opened).disputed(with(opened, lost)), disputed(with(opened, won)),
			[]event.Data{order.DisputeReinstated{}, order.Contested{}, order.DisputeClosed{}}},
		{"an inquiry over, then a chargeback", charged(t).disputed(inquiry).disputed(with(inquiry, func(d *payment.SeenDispute) { d.Result = order.Withdrawn })), disputed(opened),
			[]event.Data{order.DisputeEscalated{}, order.DisputeWithdrawn{}}},
		{"a debt carried, then a warning of fraud", settled(t).agreed(refund, 1380).next().answered(refunded).answered(failed),
			payment.Seen{Intent: "pi_1", Outcome: captured, Warnings: []payment.SeenWarning{{ID: "issfr_1", Charge: "ch_1"}}}, []event.Data{order.FraudWarned{}}},
	} {
		got, err := payment.Decider.Decide(c.h.state(), c.h.sees(c.seen))
		if err != nil {
			t.Errorf("%s: %v", c.end, err)
			continue
		}
		if g, w := types(got), types(c.then); g != w {
			t.Errorf("%s: %s, want %s", c.end, g, w)
		}
	}
}

func types(events []event.Data) string {
	var all []string
	for _, e := range events {
		all = append(all, e.EventType())
	}
	return strings.Join(all, ", ")
}
