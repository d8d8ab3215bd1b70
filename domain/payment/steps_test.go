package payment_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// Each step of the saga in full: the intention, and every fact it can become.

func TestAuthorise(t *testing.T) {
	begin(t).placed().when(payment.Advance{At: noon, Account: ours}).Then(order.AuthorisationRequested{
		Key: key(order.Authorise, "1"), Account: ours, Amount: 2760, PaymentMethod: "pm_1", At: noon})

	h := requested(t)
	h.when(h.record(authorised)).Then(order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP",
		ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"})
	h.when(h.record(typeCard)).Then(order.ActionRequired{Intent: "pi_1", Action: "card"})
	h.when(h.record(declined)).Then(order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds", Next: order.OtherCard})
	h.when(h.record(failed)).Then(order.Declined{Code: "refused"})
	h.when(h.record(voided)).Then(
		order.Voided{Intent: "pi_1", Currency: "GBP", Cause: "lapsed"},
		order.Expired{Cause: order.Unpaid})
	h.when(h.record(unknown)).Then(order.OutcomeUnknown{Step: order.Authorise, Key: key(order.Authorise, "1"), Tries: 1,
		RetryAt: noon.Add(payment.RetryFirst), Reason: "timeout"})
}

func TestVoid(t *testing.T) {
	h := paid(t).cancelled()
	h.when(h.advance()).Then(order.VoidRequested{Key: key(order.Void, "2"), Intent: "pi_1", At: noon})
	h = h.next()
	h.when(h.record(voided)).Then(order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "requested"})
	// Refused is not released: the money may be held still, or be taken.
	h.when(h.record(failed)).Then(order.OutcomeUnknown{Step: order.Void, Key: key(order.Void, "2"), Tries: 1,
		RetryAt: noon.Add(payment.RetryFirst), Reason: "refused: the processor refused"})
	// Nothing was held yet.
	h = requested(t).answered(typeCard).cancelled().next()
	h.when(h.record(voided)).Then(order.Voided{Intent: "pi_1", Currency: "GBP", Cause: "requested"})
}

func TestCapture(t *testing.T) {
	h := sent(t)
	h.when(h.advance()).Then(order.CaptureRequested{Key: key(order.Capture, "2"), Intent: "pi_1", Amount: 2760, At: noon})
	h = h.next().until(noon.Add(time.Hour))
	want := order.Captured{
		Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 2760, Authorised: 2760, Allocation: of(2000, 300, 460, 200), ProcessorFee: 59, SettleAfter: noon.Add(73 * time.Hour)}
	h.when(h.record(captured)).Then(want)
	h.when(h.record(payment.Captured{Transaction: "txn_1", Amount: 2760, ProcessorFee: 59})).Then(want) // the charge is known
	want.Charge = "ch_2"
	h.when(h.record(payment.Captured{Charge: "ch_2", Transaction: "txn_1", Amount: 2760, ProcessorFee: 59})).Then(want)
	h.when(h.record(failed)).Then(order.CaptureFailed{Intent: "pi_1", Code: "refused", Reason: "the processor refused"})
	h.when(h.record(voided)).Then(
		order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "lapsed"},
		order.CaptureFailed{Intent: "pi_1", Code: "authorisation-lapsed", Reason: "the processor had let the authorisation go"})
}

// What was not shipped is released: the capture is of the shipped units.
func TestCaptureInPart(t *testing.T) {
	h := paid(t)
	h.by(order.Ship{At: noon, Units: []order.Units{{Line: 1, Quantity: 1}}})
	h.when(h.advance()).Then(order.CaptureRequested{Key: key(order.Capture, "2"), Intent: "pi_1", Amount: 1380, At: noon})
	h = h.next()
	h.when(h.record(payment.Captured{Charge: "ch_1", Transaction: "txn_1", Amount: 1380, ProcessorFee: 40})).Then(order.Captured{
		Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 1380, Authorised: 2760, Allocation: of(1000, 150, 230, 100), ProcessorFee: 40, SettleAfter: settleAt})
}

func TestRefund(t *testing.T) {
	// Before the shop was settled with, its part comes from what is owed to it.
	h := charged(t).agreed(refund, 1380)
	h.when(h.advance()).Then(order.RefundRequested{Key: key(order.Refunding, "3"), Refund: refund, Intent: "pi_1", Amount: 1380, At: noon})
	h = h.next()
	given := order.Refunded{Refund: refund, RefundID: "re_1", Transaction: "txn_2", Shop: potter, Processor: order.Stripe,
		Currency: "GBP", Jurisdiction: "GB", Amount: 1380, Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}}
	h.when(h.record(refunded)).Then(given)
	h.when(h.record(failed)).Then(order.RefundFailed{Refund: refund, Code: "refused", Reason: "the processor refused"})

	// Afterwards the shop owes it.
	h = settled(t).agreed(refund, 1380).next()
	given.FromPayable, given.FromReceivable = 0, 1050
	h.when(h.record(refunded)).Then(given, order.ReversalRequested{Key: key(order.Reverse, "5"), Transfer: "tr_1", Amount: 1050, At: settleAt})

	// One at a time, in the order they were agreed.
	h = charged(t).agreed(refund, 1380).agreed(second, 690).next()
	h.when(h.record(failed)).Then(
		order.RefundFailed{Refund: refund, Code: "refused", Reason: "the processor refused"},
		order.RefundRequested{Key: key(order.Refunding, "4"), Refund: second, Intent: "pi_1", Amount: 690, At: noon})
}

func TestSettle(t *testing.T) {
	h := charged(t)
	h.until(settleAt.Add(-1)).when(h.advance()).ThenNothing()
	h.until(settleAt).when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 2100},
		order.SettlementRequested{Key: key(order.Settle, "3"), Destination: "acct_shop", Charge: "ch_1", Amount: 2100, Available: 2100, At: settleAt})
	h = h.next()
	h.when(h.record(transferred)).Then(order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 2100, Available: 2100})
	h.when(h.record(failed)).Then(order.SettlementFailed{Code: "refused", Reason: "the processor refused", RetryAt: settleAt.Add(payment.RefusedFirst)})

	// A refused transfer is another call when it is tried again.
	h = h.answered(failed)
	again := settleAt.Add(payment.RefusedFirst)
	h.when(payment.Advance{At: again.Add(-1), Account: ours}).ThenNothing()
	h.when(payment.Advance{At: again, Account: ours}).Then(order.SettlementRequested{Key: key(order.Settle, "4"),
		Destination: "acct_shop", Charge: "ch_1", Amount: 2100, Available: 2100, At: again})

	// Each refusal doubles the wait, up to a bound.
	for range 5 {
		h = h.until(h.state().Payment.SettleAt).next().answered(failed)
	}
	h.until(h.state().Payment.SettleAt).next()
	h.when(h.record(failed)).Then(order.SettlementFailed{Code: "refused", Reason: "the processor refused", RetryAt: h.at.Add(payment.RefusedMost)})
	if wait := h.state().Payment.SettleAt.Sub(settleAt); wait != (6+12+24+48+96+96)*time.Hour {
		t.Errorf("six refusals took %s", wait)
	}

	// What was refunded before is not paid.
	h = charged(t).agreed(refund, 1380).next().answered(refunded).until(settleAt)
	h.when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 1050},
		order.SettlementRequested{Key: key(order.Settle, "4"), Destination: "acct_shop", Charge: "ch_1", Amount: 1050, Available: 1050, At: settleAt})
}

// A shop whose money is not held is settled with as soon as it is captured, once
// its own stream has been asked what it owes.
func TestSettleAtOnce(t *testing.T) {
	h := begin(t).by(place(func(p *order.Place) { p.Terms.HoldHours = 0 })).next().answered(authorised).shipped().next().answered(captured)
	if n := payment.NeedsOf(h.state(), h.at, ours); n != (payment.Needs{Owed: true}) {
		t.Errorf("it needs %+v", n)
	}
	h.when(payment.Advance{At: noon, Account: ours}).ThenNothing() // not asked yet
	h.when(h.advance()).Then(
		order.Released{Shop: potter, Currency: "GBP", Payable: 2100},
		order.SettlementRequested{Key: key(order.Settle, "3"), Destination: "acct_shop", Charge: "ch_1", Amount: 2100, Available: 2100, At: noon})
}

// Due is the call that the open intention asks for, word for word.
func TestDue(t *testing.T) {
	later := settleAt
	for _, c := range []struct {
		name string
		h    *history
		want payment.Effect
	}{
		{"authorise", requested(t), payment.Effect{Step: order.Authorise, Key: key(order.Authorise, "1"), RequestedAt: noon, Amount: 2760, PaymentMethod: "pm_1"}},
		{"authorise, unknown", requested(t).answered(unknown), payment.Effect{Step: order.Authorise, Key: key(order.Authorise, "1"),
			RequestedAt: noon, Amount: 2760, PaymentMethod: "pm_1", Tries: 1, RetryAt: noon.Add(payment.RetryFirst)}},
		{"void", paid(t).cancelled().next(), payment.Effect{Step: order.Void, Key: key(order.Void, "2"), RequestedAt: noon, Intent: "pi_1"}},
		{"capture", sent(t).next(), payment.Effect{Step: order.Capture, Key: key(order.Capture, "2"), RequestedAt: noon, Amount: 2760, Intent: "pi_1"}},
		{"refund", charged(t).agreed(refund, 1380).next(), payment.Effect{Step: order.Refunding, Key: key(order.Refunding, "3"),
			RequestedAt: noon, Amount: 1380, Intent: "pi_1", Refund: refund}},
		{"settle", charged(t).until(later).next(), payment.Effect{Step: order.Settle, Key: key(order.Settle, "3"),
			RequestedAt: later, Amount: 2100, Charge: "ch_1", Destination: "acct_shop"}},
	} {
		c.want.Account, c.want.Order, c.want.Currency = ours, id, "GBP"
		got, open := payment.Due(c.h.state())
		if diff := cmp.Diff(c.want, got); diff != "" || !open {
			t.Errorf("%s: open %v (-want +got):\n%s", c.name, open, diff)
		}
	}
	if got, open := payment.Due(paid(t).state()); open || got != (payment.Effect{}) {
		t.Errorf("nothing is open, yet %+v is due", got)
	}
}

// An outcome that is not known is looked at again, later each time, for ever,
// under the same key.
func TestUnknownForEver(t *testing.T) {
	h := requested(t)
	want := []time.Duration{5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600, 3600}
	for i, wait := range want {
		h.answered(unknown)
		due, open := payment.Due(h.state())
		if !open || due.Key != key(order.Authorise, "1") || due.Tries != i+1 || due.RetryAt.Sub(h.at) != wait*time.Second {
			t.Fatalf("after look %d: open %v, key %s, tries %d, next in %s; want %d and %s",
				i+1, open, due.Key, due.Tries, due.RetryAt.Sub(h.at), i+1, wait*time.Second)
		}
		// Whoever looks before it is due and knows no more adds nothing.
		h.until(due.RetryAt.Add(-1)).when(h.record(unknown)).ThenNothing()
		h.when(h.record(voided)).Then(
			order.Voided{Intent: "pi_1", Currency: "GBP", Cause: "lapsed"},
			order.Expired{Cause: order.Unpaid}) // but an answer counts whenever it comes
		h.until(due.RetryAt)
	}
	h.when(h.record(authorised)).Then(order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, Currency: "GBP",
		ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"})
}

// Paid outside: the facts follow at once, no processor is called.
func TestOutside(t *testing.T) {
	here := place(nil)
	market := place(func(p *order.Place) { p.Processor, p.PaymentMethod, p.Reference = "market", "", "A-17" })
	follow := func(h *history, want ...event.Data) *history {
		t.Helper()
		got := payment.Outside(h.state(), h.at)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		h.log = append(h.log, got...)
		if again := payment.Outside(h.state(), h.at); len(again) > 0 {
			t.Fatalf("said twice, it happened twice: %v", again)
		}
		return h
	}
	follow(begin(t).by(here))
	follow(begin(t))

	auth := order.Authorised{Amount: 2760, Currency: "GBP", Reference: "A-17"}
	capt := order.Captured{Shop: potter, Processor: "market", Currency: "GBP", Jurisdiction: "GB", Amount: 2760, Authorised: 2760,
		Allocation: of(2000, 300, 460, 200), SettleAfter: settleAt}
	back := order.Refunded{Refund: refund, Shop: potter, Processor: "market", Currency: "GBP", Jurisdiction: "GB", Amount: 1380,
		Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}}
	follow(follow(follow(begin(t).by(market), auth).shipped(), capt).agreed(refund, 1380), back)
	follow(follow(begin(t).by(market), auth).cancelled(), order.Voided{Released: 2760, Currency: "GBP", Cause: "requested"})

	half := follow(begin(t).by(market), auth).by(order.Ship{At: noon, Units: []order.Units{{Line: 1, Quantity: 1}}})
	capt.Amount, capt.Allocation = 1380, of(1000, 150, 230, 100)
	follow(half, capt)
}

func TestMoneyOfNoOrder(t *testing.T) {
	for _, c := range []payment.Command{
		payment.Advance{At: noon, Account: ours},
		payment.Record{At: noon, Account: ours, Outcome: authorised},
		payment.Observe{At: noon, Account: ours, Seen: payment.Seen{Outcome: authorised}},
	} {
		decidertest.For(t, payment.Decider).When(c).ThenRefused(order.ErrNotPlaced)
		decidertest.For(t, payment.Decider).Given(order.Expired{Cause: order.Abandoned}).When(c).ThenRefused(order.ErrNotPlaced)
	}
}
