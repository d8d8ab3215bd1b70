package stripe_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/order"
	"kicau/domain/payment"
)

// The same intent is tried with one card after another.
func TestAnotherCardOnTheSameIntent(t *testing.T) {
	w := newWorld(t)
	first := w.perform(w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod = "pm_card_visa_chargeDeclined" })).(payment.Declined)
	again := func(card string) payment.Outcome {
		return w.perform(w.intention(order.Authorise, func(e *payment.Effect) { e.Intent, e.PaymentMethod = first.Intent, card }))
	}
	if o, ok := again("pm_card_visa_chargeDeclinedInsufficientFunds").(payment.Declined); !ok || o.Intent != first.Intent || o.DeclineCode != "insufficient_funds" {
		t.Errorf("the second card: %#v", o)
	}
	if o, ok := again("pm_card_authenticationRequired").(payment.ActionRequired); !ok || o.Intent != first.Intent {
		t.Errorf("the third card: %#v", o)
	}
	last := w.intention(order.Authorise, func(e *payment.Effect) { e.Intent, e.PaymentMethod = first.Intent, "pm_card_mastercard" })
	o, ok := w.perform(last).(payment.Authorised)
	if !ok || o.Intent != first.Intent || o.Amount != 2500 || o.Brand != "mastercard" {
		t.Errorf("the last card: %#v", o)
	}
	last.Tries++
	if same := w.perform(last); kind(same) != "authorised" {
		t.Errorf("looked up: %#v", same)
	}
}

// A confirmation whose answer is lost, each way.
func TestAnotherCardBroken(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.perform(w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod = "pm_card_visa_chargeDeclined" })).(payment.Declined)
			e := w.intention(order.Authorise, func(e *payment.Effect) { e.Intent, e.PaymentMethod = first.Intent, "pm_card_visa" })
			w.fault = f
			if o := w.perform(e); kind(o) != "unknown" {
				t.Fatalf("broken: %#v", o)
			}
			e.Tries++
			if o, ok := w.perform(e).(payment.Authorised); !ok || o.Intent != first.Intent {
				t.Errorf("looked up: %#v", o)
			}
		})
	}
}

// A kept card is charged without the buyer, as an intent of its own; one that
// wants the buyer says so.
func TestKeptCard(t *testing.T) {
	w := newWorld(t)
	keep := w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod, e.KeepCard = "pm_card_visa", true })
	a, ok := w.perform(keep).(payment.Authorised)
	if !ok || a.Customer == "" || a.Method == "" {
		t.Fatalf("kept: %#v", a)
	}
	w.wait(6 * 24 * time.Hour)
	again := w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod, e.Customer = a.Method, a.Customer })
	b, ok := w.perform(again).(payment.Authorised)
	if !ok || b.Intent == a.Intent || b.Customer != a.Customer || b.Method != a.Method {
		t.Fatalf("charged again: %#v", b)
	}
	if left := b.ExpiresAt.Sub(w.time()); left != 4*24*time.Hour+18*time.Hour {
		t.Errorf("without the buyer Visa holds for %s", left)
	}
	again.Tries++
	if same := w.perform(again); kind(same) != "authorised" || same.(payment.Authorised).Intent != b.Intent {
		t.Errorf("looked up: %#v", same)
	}

}

// A shop that emptied its account cannot give anything back.
func TestNothingToTakeBack(t *testing.T) {
	w := newWorld(t)
	e := prepared(w, order.Reverse)
	w.wait(3 * 24 * time.Hour) // until the money has come in
	w.payOut(900)
	e.RequestedAt = w.time()
	if o, ok := w.perform(e).(payment.Failed); !ok || o.Code != "balance_insufficient" {
		t.Errorf("%#v", o)
	}
}

// What comes after the capture is read with it: refunds of ours and of others,
// late failures, disputes with their money, warnings.
func TestReadShowsWhatCameAfter(t *testing.T) {
	t.Run("refunds", func(t *testing.T) {
		w := newWorld(t)
		a := w.authorisedOn("pm_card_refundFail")
		w.captured(a)
		ours := w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 700 })
		r := w.perform(ours).(payment.Refunded)
		w.api("POST", "/v1/refunds", url.Values{"payment_intent": {a.Intent}, "amount": {"300"}})
		seen := w.read(a.Intent).Refunds
		if len(seen) != 2 || seen[0].Refund != ours.Refund || seen[0].ID != r.RefundID || seen[0].Status != payment.RefundSucceeded || seen[1].Refund != uuid.Nil || seen[1].Amount != 300 {
			t.Errorf("%+v", seen)
		}
		w.wait(time.Minute)
		seen = w.read(a.Intent).Refunds
		if len(seen) != 2 || seen[0].Status != payment.RefundFailed || seen[0].Returned == "" || seen[0].Code != "lost_or_stolen_card" {
			t.Errorf("a minute later: %+v", seen)
		}
	})
	t.Run("a refund that waits", func(t *testing.T) {
		w := newWorld(t)
		a := w.authorisedOn("pm_card_pendingRefund")
		w.captured(a)
		r := w.perform(w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 700 })).(payment.Refunded)
		if !r.Pending || r.Transaction != "" {
			t.Errorf("%#v", r)
		}
		w.wait(time.Minute)
		if seen := w.read(a.Intent).Refunds; seen[0].Status != payment.RefundSucceeded || seen[0].Transaction == "" {
			t.Errorf("a minute later: %+v", seen)
		}
	})
	t.Run("a dispute, won", func(t *testing.T) {
		w := newWorld(t)
		a := w.authorisedOn("pm_card_createDispute")
		w.captured(a)
		e := w.intention(order.Contest, func(e *payment.Effect) {
			e.Dispute, e.Evidence = w.read(a.Intent).Disputes[0].ID, order.Evidence{Text: "winning_evidence"}
		})
		// The answer's fee is no transaction of the dispute's own: reading finds it.
		answered := w.perform(e).(payment.Disputed).Dispute
		if !answered.Submitted || answered.Result != "" || len(answered.Movements) != 1 || answered.Movements[0].Amount != -2500 || answered.Movements[0].Fee != 1500 {
			t.Errorf("answered: %+v", answered)
		}
		if seen := w.read(a.Intent).Disputes[0]; len(seen.Movements) != 2 || seen.Movements[1].Amount != 0 || seen.Movements[1].Fee != 1500 {
			t.Errorf("answered, and read: %+v", seen)
		}
		w.wait(time.Hour)
		e.Tries++
		won := w.perform(e).(payment.Disputed).Dispute
		if won.Result != order.Won || len(won.Movements) != 2 || won.Movements[1].Amount != 2500 {
			t.Errorf("decided: %+v", won)
		}
		if seen := w.read(a.Intent).Disputes[0]; len(seen.Movements) != 4 || seen.Movements[2].Amount != 2500 || seen.Movements[3].Fee != -1500 {
			t.Errorf("decided, and read: %+v", seen)
		}
	})
	t.Run("an inquiry, escalated", func(t *testing.T) {
		w := newWorld(t)
		a := w.authorisedOn("pm_card_createDisputeInquiry")
		w.captured(a)
		d := w.read(a.Intent).Disputes[0]
		if !d.Inquiry || len(d.Movements) != 0 || d.EvidenceDue == nil {
			t.Errorf("%+v", d)
		}
		w.perform(w.intention(order.Contest, func(e *payment.Effect) {
			e.Dispute, e.Evidence = d.ID, order.Evidence{Text: "escalate_inquiry_evidence"}
		}))
		w.wait(time.Hour)
		if d = w.read(a.Intent).Disputes[0]; d.Inquiry || len(d.Movements) != 1 || d.Submitted {
			t.Errorf("escalated: %+v", d)
		}
	})
	t.Run("several disputes, and a warning", func(t *testing.T) {
		w := newWorld(t)
		a := w.authorisedOn("pm_card_createMultipleDisputes")
		w.captured(a)
		if d := w.read(a.Intent).Disputes; len(d) != 2 || d[0].Amount+d[1].Amount != 2500 {
			t.Errorf("%+v", d)
		}
		w.order = uuid.New()
		a = w.authorisedOn("pm_card_createIssuerFraudRecord")
		w.captured(a)
		if seen := w.read(a.Intent).Warnings; len(seen) != 1 || seen[0].Kind != "made_with_stolen_card" || seen[0].Charge != a.Charge {
			t.Errorf("%+v", seen)
		}
	})
}
