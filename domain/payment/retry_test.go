package payment_test

import (
	"fmt"
	"testing"
	"time"

	"kicau/domain/order"
	"kicau/domain/payment"
)

// After a decline the order stays open and its stock held: the buyer gives
// another card, and the same intent is asked again.
func TestAnotherCard(t *testing.T) {
	h := requested(t).answered(declined)
	h.when(h.advance()).ThenNothing() // the buyer's move
	h.by(order.Pay{At: noon, PaymentMethod: "pm_2"})
	h.when(h.advance()).Then(order.AuthorisationRequested{Key: key(order.Authorise, "2"), Account: ours, Amount: 2760,
		PaymentMethod: "pm_2", Intent: "pi_1", At: noon})
	h.next()
	h.when(h.record(authorised)).Then(order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP",
		ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"})
	if due, _ := payment.Due(h.state()); due.Intent != "pi_1" || due.PaymentMethod != "pm_2" {
		t.Errorf("the call is %+v", due)
	}
}

// What the buyer may do next depends on what the bank said.
func TestRemedies(t *testing.T) {
	for _, c := range []struct {
		code, decline string
		want          order.Remedy
	}{
		{"card_declined", "insufficient_funds", order.OtherCard},
		{"card_declined", "generic_decline", order.OtherCard},
		{"card_declined", "lost_card", order.OtherCard},
		{"card_declined", "try_again_later", order.SameAgain},
		{"card_declined", "issuer_not_available", order.SameAgain},
		{"incorrect_cvc", "", order.SameAgain},
		{"incorrect_cvc", "incorrect_cvc", order.SameAgain},
		{"processing_error", "", order.SameAgain},
		{"expired_card", "", order.OtherCard},
		{"payment_intent_authentication_failure", "", order.SameAgain},
		{"canceled", "automatic", ""}, // the processor gave the intent up
	} {
		h := requested(t).answered(payment.Declined{Intent: "pi_1", Code: c.code, DeclineCode: c.decline})
		if got := h.state().Payment.Remedy; got != c.want {
			t.Errorf("after %s %s the buyer may try %q, want %q", c.code, c.decline, got, c.want)
		}
		if over := h.state().Standing == order.Turned; over != (c.want == "") {
			t.Errorf("after %s %s the order is over: %v", c.code, c.decline, over)
		}
	}
}

// Cards are not tried for ever: with the last decline the order is over, and the
// intent is given up.
func TestTooManyDeclines(t *testing.T) {
	h := requested(t).answered(declined)
	for n := 2; n < payment.MaxDeclines; n++ {
		h.by(order.Pay{At: noon, PaymentMethod: "pm_" + string(rune('0'+n))}).next().answered(declined)
	}
	h.by(order.Pay{At: noon, PaymentMethod: "pm_last"}).next()
	h.when(h.record(declined)).Then(
		order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"},
		order.VoidRequested{Key: key(order.Void, "6"), Intent: "pi_1", At: noon})
}

// A buyer who gives up, or just leaves: the order ends, the intent is voided.
func TestDeclinedAndLeft(t *testing.T) {
	void := order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: noon}
	h := requested(t).answered(declined).cancelled()
	h.when(h.advance()).Then(void)
	h = requested(t).answered(declined).until(heldUntil).expired()
	void.At = heldUntil
	h.when(h.advance()).Then(void)
}

// 3-D Secure: the buyer is asked, and comes back having passed, having failed, or
// not at all; or takes another card instead.
func TestAuthenticate(t *testing.T) {
	asked := func() *history { return requested(t).answered(confirm) }

	asked().when(asked().observe(authorised)).Then(order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP",
		ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"})

	failed := payment.Declined{Intent: "pi_1", Code: "payment_intent_authentication_failure"}
	asked().when(asked().observe(failed)).Then(order.Declined{Intent: "pi_1", Code: failed.Code, Next: order.SameAgain})

	h := asked().until(heldUntil).expired()
	h.when(h.advance()).Then(order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: heldUntil})

	h = asked().by(order.Pay{At: noon, PaymentMethod: "pm_2"})
	h.when(h.advance()).Then(order.AuthorisationRequested{Key: key(order.Authorise, "2"), Account: ours, Amount: 2760,
		PaymentMethod: "pm_2", Intent: "pi_1", At: noon})
}

// A buyer who pays on the processor's page after a decline there needs nobody's
// help.
func TestPaidOnThePageAfterADecline(t *testing.T) {
	h := begin(t).by(place(func(p *order.Place) { p.PaymentMethod = "" })).next().answered(typeCard).heard(declined)
	h.when(h.observe(authorised)).Then(order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP",
		ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"})
}

var (
	kept      = payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, ExpiresAt: &authEnds, Brand: "visa", Last4: "4242", Customer: "cus_1", Method: "pm_kept"}
	nextEnds  = authEnds.AddDate(0, 0, 5)
	renewed   = payment.Authorised{Intent: "pi_2", Charge: "ch_2", Amount: 2760, ExpiresAt: &nextEnds, Brand: "visa", Last4: "4242", Customer: "cus_1", Method: "pm_kept"}
	toWarn    = authEnds.Add(-payment.ExpiryWarning)
	toRenew   = authEnds.Add(-payment.RenewalMargin)
	toGiveUp  = authEnds.Add(-order.AuthorisationMargin)
	keepsCard = func(p *order.Place) { p.KeepCard = true }
)

// The end of an authorisation comes in three steps: people are told; the card is
// charged again where the buyer agreed; the order is given up.
func TestAuthorisationRunsOut(t *testing.T) {
	h := paid(t)
	h.until(toWarn.Add(-1)).when(h.advance()).ThenNothing()
	h.until(toWarn).when(h.advance()).Then(order.Expiring{Intent: "pi_1", ExpiresAt: authEnds})
	h.next()
	h.until(toRenew).when(h.advance()).ThenNothing() // the card was not kept
	h.until(toGiveUp).expired()
	h.when(h.advance()).Then(order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: toGiveUp})
}

func TestRenewed(t *testing.T) {
	h := begin(t).by(place(keepsCard))
	h.when(h.advance()).Then(order.AuthorisationRequested{Key: key(order.Authorise, "1"), Account: ours, Amount: 2760, PaymentMethod: "pm_1", KeepCard: true, At: noon})
	h.next().answered(kept).until(toWarn).next().until(toRenew)
	h.when(h.advance()).Then(order.AuthorisationRequested{Key: key(order.Authorise, "2"), Account: ours, Amount: 2760,
		PaymentMethod: "pm_kept", Customer: "cus_1", At: toRenew})
	h.next()

	// First the new one holds, then the old one is given up: the money is never
	// without a hold.
	h.when(h.record(renewed)).Then(
		order.Authorised{Intent: "pi_2", Charge: "ch_2", Amount: 2760, Currency: "GBP", ExpiresAt: &nextEnds, Brand: "visa", Last4: "4242", Customer: "cus_1", PaymentMethod: "pm_kept"},
		order.VoidRequested{Key: key(order.Void, "3"), Intent: "pi_1", At: toRenew})
	h.answered(renewed)
	h.when(h.record(payment.Voided{Intent: "pi_1"})).Then(order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "requested"})
	h.answered(payment.Voided{Intent: "pi_1"})
	if p := h.state().Payment; p.Voided || p.Intent != "pi_2" || p.Authorised != 2760 || len(p.Former) != 0 {
		t.Errorf("after the renewal: %+v", p)
	}

	// Shipped now, the new one is captured.
	h.shipped()
	h.when(h.advance()).Then(order.CaptureRequested{Key: key(order.Capture, "4"), Intent: "pi_2", Amount: 2760, At: toRenew})
}

// A buyer's card is not held for ever.
func TestRenewedAMonthAtMost(t *testing.T) {
	h := begin(t).by(place(keepsCard)).next().answered(kept)
	for n := range payment.MaxRenewals {
		ends := h.state().Payment.ExpiresAt
		h.until(ends.Add(-payment.RenewalMargin)).next()
		again, later := renewed, ends.AddDate(0, 0, 7)
		again.Intent, again.ExpiresAt = fmt.Sprintf("pi_%d", n+2), &later
		h.answered(again).answered(payment.Voided{Intent: "the former"})
	}
	ends := h.state().Payment.ExpiresAt
	h.until(ends.Add(-payment.RenewalMargin)).next() // the warning
	h.when(h.advance()).ThenNothing()
	h.until(ends.Add(-order.AuthorisationMargin)).expired()
}

// A renewal that the bank refuses leaves the old authorisation, and the order its
// last hours. It is not tried twice.
func TestRenewalRefused(t *testing.T) {
	h := begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next()
	refusal := payment.Declined{Intent: "pi_2", Code: "authentication_required", DeclineCode: "authentication_required"}
	void := order.VoidRequested{Key: key(order.Void, "3"), Intent: "pi_2", At: toRenew}
	h.when(h.record(refusal)).Then(order.Declined{Intent: "pi_2", Code: "authentication_required", DeclineCode: "authentication_required"}, void)
	// Whatever the processor asks of the buyer, the buyer is not there.
	h.when(h.record(payment.ActionRequired{Intent: "pi_2", Action: "authenticate"})).Then(order.Declined{Intent: "pi_2", Code: "authentication_required"}, void)
	// Made, and gone before it held anything: the old one holds still.
	h.when(h.record(payment.Voided{Intent: "pi_2"})).Then(order.Declined{Intent: "pi_2", Code: "canceled"}, void)

	h.answered(refusal).answered(payment.Voided{Intent: "pi_2"})
	h.until(toRenew.Add(time.Hour)).when(h.advance()).ThenNothing()
	if s := h.state(); s.Standing != order.Open || s.Payment.Intent != "pi_1" || s.Payment.Authorised != 2760 {
		t.Errorf("after the refusal: %s, %+v", s.Standing, s.Payment)
	}
	h.shipped()
	h.when(h.advance()).Then(order.CaptureRequested{Key: key(order.Capture, "4"), Intent: "pi_1", Amount: 2760, At: toRenew.Add(time.Hour)})
}

// The old authorisation may run out by itself before it is given up.
func TestFormerLapses(t *testing.T) {
	h := begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed).answered(payment.Unknown{Reason: "timeout"})
	gone := order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "requested"}
	h.when(h.record(payment.Voided{Intent: "pi_1"})).Then(gone)

	// News of it while nothing is asked: the order itself goes on.
	h = begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed)
	h.log = h.log[:len(h.log)-1] // the void was not asked for yet
	gone.Cause = "lapsed"
	h.when(h.sees(payment.Seen{Intent: "pi_1", Outcome: payment.Voided{Intent: "pi_1"}})).Then(gone)
}

// Somebody took the money by hand of an authorisation that another one had
// replaced, before it was given up: that one is the payment now, and the other is
// given up.
func TestFormerIsCaptured(t *testing.T) {
	h := begin(t).by(place(keepsCard)).next().answered(kept).until(toRenew).next().answered(renewed)
	h.when(h.record(captured)).Then(
		order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "captured"},
		order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP"},
		order.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
			Amount: 2760, Authorised: 2760, Unearned: 2760, ProcessorFee: 59, SettleAfter: toRenew.Add(72 * time.Hour)},
		order.VoidRequested{Key: key(order.Void, "4"), Intent: "pi_2", At: toRenew})
	both := h.answered(captured)
	both.when(both.record(payment.Captured{Intent: "pi_2", Charge: "ch_2", Transaction: "txn_2", Amount: 2760})).Then(
		order.Voided{Intent: "pi_2", Released: 2760, Currency: "GBP", Cause: "captured"}) // that money is a break in the books
	h = h.answered(payment.Voided{Intent: "pi_2"})
	h.when(h.advance()).ThenNothing()
	if p := h.state().Payment; p.Intent != "pi_1" || len(p.Former) != 0 || p.Taken != 2760 || p.Pending != nil {
		t.Errorf("after the capture: %+v", p)
	}
}

// An authorisation of which the processor names no end has one of ours: nobody would
// look at it otherwise.
func TestAnAuthorisationWithoutAnEnd(t *testing.T) {
	endless, end := authorised, noon.Add(order.LongestHold)
	endless.ExpiresAt = nil
	h := requested(t).answered(endless)
	if got := h.state().Payment.ExpiresAt; got == nil || !got.Equal(end) {
		t.Fatalf("it ends %v", got)
	}
	h.until(end.Add(-payment.ExpiryWarning)).when(h.advance()).Then(order.Expiring{Intent: "pi_1", ExpiresAt: end})
	over := h.until(end.Add(-order.AuthorisationMargin))
	got, err := order.Decider.Decide(over.state(), order.Expire{At: over.at})
	if err != nil || len(got) != 1 || got[0] != (order.Expired{Cause: order.Unshipped}) {
		t.Errorf("%+v, %v", got, err)
	}
}
