package sandbox

import (
	"container/heap"
	"slices"
)

// captureIntent: POST /v1/payment_intents/{id}/capture
func captureIntent(p *params, id string) op {
	amount, partial := p.positive("amount_to_capture")
	if final, given := p.boolean("final_capture"); given && !final {
		p.fail(refuse("", "final_capture=false needs multicapture, which is not available for this payment.").on("final_capture"))
	}
	descriptor, hasDescriptor := p.text("statement_descriptor", maxDescriptor)
	suffix, hasSuffix := p.text("statement_descriptor_suffix", maxDescriptor)
	metadata, clear := p.metadata()
	e := p.expand("payment_intent")
	return func(t *tx) (any, *apiError) {
		pi, err := t.intentAt(id)
		if err != nil {
			return nil, err
		}
		switch {
		case pi.Status == succeeded:
			return nil, unexpectedState(pi, "This PaymentIntent could not be captured because it has already been captured.")
		case pi.Status != requiresCapture:
			return nil, unexpectedState(pi, "This PaymentIntent could not be captured because it has a status of %s. Only a PaymentIntent with one of the following statuses may be captured: %s.", pi.Status, requiresCapture)
		}
		if !partial {
			amount = pi.Capturable
		}
		if amount > pi.Capturable {
			err := refuse("amount_too_large", "The amount to capture (%s) is greater than the amount capturable (%s).", display(amount, pi.Currency), display(pi.Capturable, pi.Currency)).on("amount_to_capture")
			err.Intent = &pi
			return nil, err
		}
		if err := checkStep(amount, stepOf(pi.Currency), pi.Currency, "amount_to_capture"); err != nil {
			err.Intent = &pi
			return nil, err
		}
		c := *t.charges.get(pi.Charge)
		if hasDescriptor {
			pi.Descriptor, c.Descriptor = descriptor, descriptor
		}
		if hasSuffix {
			pi.Suffix, c.Suffix = suffix, suffix
		}
		if metadata != nil || clear {
			pi.Metadata = changed(pi.Metadata, metadata, clear)
		}
		t.capture(pi, c, amount)
		return t.intentWire(t.intents.get(id), e), nil
	}
}

// capture takes amount of what is held and gives the rest back. In the books
// that is two balance transactions: the whole authorised amount, and the
// reversal of what was not captured, with its part of the fee
// (https://stripe.com/docs/reports/reporting-categories, partial_capture_reversal).
func (t *tx) capture(pi intent, c charge, amount int64) {
	on := t.terms.availableOn(t.now, cardsByToken[t.methods.get(c.Method).Card])
	c.Txn = t.book1(txn{Type: "charge", Category: "charge", Amount: c.Amount, Fee: t.terms.feeOf(c.Amount), Other: cards,
		Currency: c.Currency, Source: c.ID, Description: c.Description, AvailableOn: on})
	c.Captured, c.CapturedSum = true, amount
	pi.Status, pi.Received, pi.Capturable, pi.CaptureBefore = succeeded, amount, 0, 0
	if rest := c.Amount - amount; rest > 0 {
		r := t.newRefund(c, rest)
		r.Reversal = true
		r.Txn = t.book1(txn{Type: "refund", Category: "partial_capture_reversal", Amount: -rest, Fee: t.terms.feeOf(amount) - t.terms.feeOf(c.Amount), Other: cards,
			Currency: c.Currency, Source: r.ID, Description: "REFUND FOR CHARGE (Partial capture)", AvailableOn: on})
		t.put(entry{Refund: &r})
		c.RefundedSum = rest
	}
	card := cardsByToken[t.methods.get(c.Method).Card]
	if t.lag != nil && (card.warned || len(card.disputes) > 0) {
		c.DueAt = t.now.Add(t.lag()).Unix()
	}
	t.put(entry{Charge: &c})
	t.put(entry{Intent: &pi})
	t.emit("charge.captured", t.chargeWire(&c, nil))
	t.emit("payment_intent.succeeded", t.intentWire(&pi, nil))
	if c.DueAt == 0 {
		t.aftermath(c.ID, card)
	}
}

// cancelable are the statuses from which a payment can be cancelled.
var cancelable = []string{requiresMethod, requiresCapture, requiresConfirmation, requiresAction, "processing"}

// cancelIntent: POST /v1/payment_intents/{id}/cancel
func cancelIntent(p *params, id string) op {
	reason := p.choice("cancellation_reason", "", "duplicate", "fraudulent", "requested_by_customer", "abandoned")
	e := p.expand("payment_intent")
	return func(t *tx) (any, *apiError) {
		pi, err := t.intentAt(id)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(cancelable, pi.Status) {
			return nil, unexpectedState(pi, "You cannot cancel this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be canceled: %s.", pi.Status, list(cancelable))
		}
		t.cancel(pi, reason, "charge.refunded", "")
		return t.intentWire(t.intents.get(id), e), nil
	}
}

// cancel ends pi and releases what is held. Stripe shows the release as a
// refund, with no balance transaction since nothing had moved.
func (t *tx) cancel(pi intent, reason, chargeEvent, refundReason string) {
	if pi.Status == requiresCapture {
		c := *t.charges.get(pi.Charge)
		r := t.newRefund(c, c.Amount)
		r.Reversal, r.Reason = true, refundReason
		c.RefundedSum = c.Amount
		t.put(entry{Refund: &r})
		t.put(entry{Charge: &c})
		t.emit(chargeEvent, t.chargeWire(&c, nil))
	}
	pi.Status, pi.Capturable, pi.CaptureBefore = canceled, 0, 0
	pi.CanceledAt, pi.CancelReason = t.now.Unix(), reason
	t.put(entry{Intent: &pi})
	t.emit("payment_intent.canceled", t.intentWire(&pi, nil))
}

// expire cancels the authorisations that have run out by now.
func (t *tx) expire() {
	for len(t.holds) > 0 && t.holds[0].until <= t.now.Unix() {
		h := heap.Pop(&t.holds).(hold)
		if pi := t.intents.get(h.intent); pi.Status == requiresCapture {
			t.cancel(*pi, "automatic", "charge.expired", "expired_uncaptured_charge")
		}
	}
}
