package sandbox

import (
	"net/http"
	"slices"
	"time"
)

// createRefund: POST /v1/refunds
func createRefund(p *params, _ string) op {
	intentID, chargeID := p.word("payment_intent"), p.word("charge")
	switch {
	case intentID == "" && chargeID == "":
		p.fail(refuse("parameter_missing", "One of the following params should be provided for this request: payment_intent or charge."))
	case intentID != "" && chargeID != "":
		p.fail(refuse("", "You may only specify one of these parameters: charge, payment_intent."))
	}
	amount, partial := p.positive("amount")
	reason := p.choice("reason", "", "duplicate", "fraudulent", "requested_by_customer")
	metadata, _ := p.metadata()
	e := p.expand("refund")
	return func(t *tx) (any, *apiError) {
		c, err := t.refundable(intentID, chargeID)
		if err != nil {
			return nil, err
		}
		left := c.Amount - c.RefundedSum - t.lost(c.ID)
		if !partial {
			amount = left
		}
		if amount > left {
			return nil, refuse("", "Refund amount (%s) is greater than unrefunded amount on charge (%s)", display(amount, c.Currency), display(left, c.Currency)).on("amount")
		}
		if err := checkStep(amount, stepOf(c.Currency), c.Currency, "amount"); err != nil && partial { // all that is left can go
			return nil, err
		}
		r := t.newRefund(c, amount)
		r.Reason, r.Metadata = reason, changed(nil, metadata, false)
		// A charge that is still pending is undone, not refunded: the money goes
		// out of the pending balance. The fee stays with Stripe.
		on := max(t.now.Unix(), t.txns.get(c.Txn).AvailableOn)
		r.Reversal = on > t.now.Unix()
		fate := cardsByToken[t.methods.get(c.Method).Card].refunds
		if t.terms.HoldRefunds && !r.Reversal && t.book.available[purse{platform, c.Currency}] < amount {
			fate = short
		}
		switch fate {
		case short:
			r.Status, r.Short = refundWaits, true
		case refundWaits:
			r.Status, r.DueAt = refundWaits, t.now.Add(t.refundDelay()).Unix()
		case refundFails:
			r.DueAt = t.now.Add(t.refundDelay()).Unix()
			fallthrough
		default:
			r.Txn = t.payRefund(r, on)
		}
		c.RefundedSum += amount
		t.put(entry{Refund: &r})
		t.put(entry{Charge: &c})
		t.emit("refund.created", t.refundWire(&r, nil))
		t.emit("charge.refunded", t.chargeWire(&c, nil))
		return t.refundWire(&r, e), nil
	}
}

// short is the fate of a refund that the available balance does not cover.
const short = "short"

// payWaiting pays refunds that have waited for the balance to cover them, the
// oldest first.
func (t *tx) payWaiting() {
	if len(t.short) == 0 {
		return
	}
	behind := map[string]bool{} // currencies in which an older one still waits
	for _, id := range slices.Clone(t.short) {
		r := *t.refunds.get(id)
		if behind[r.Currency] || r.Amount > t.book.available[purse{platform, r.Currency}] {
			behind[r.Currency] = true
			continue
		}
		r.Short = false
		t.endRefund(r)
	}
}

// refundDelay is how long a refund takes whose card does not take it at once.
const refundDelay = 30 * time.Second

func (t *tx) refundDelay() time.Duration {
	if t.lag != nil {
		return t.lag()
	}
	return refundDelay
}

func (t *tx) payRefund(r refund, on int64) string {
	return t.book1(txn{Type: "refund", Category: "refund", Amount: -r.Amount, Other: cards,
		Currency: r.Currency, Source: r.ID, Description: "REFUND FOR CHARGE", AvailableOn: on})
}

// endRefund is what becomes of a refund by itself: one that waited is paid, one
// that a card cannot take comes back
// (https://stripe.com/docs/refunds#failed-refunds).
func (t *tx) endRefund(r refund) {
	r.DueAt = 0
	if r.Status == refundWaits {
		r.Status, r.Txn = "", t.payRefund(r, t.now.Unix())
		t.put(entry{Refund: &r})
		t.emit("refund.updated", t.refundWire(&r, nil))
		t.emit("charge.refund.updated", t.refundWire(&r, nil))
		return
	}
	r.Status, r.Failure = refundFails, "lost_or_stolen_card"
	r.FailTxn = t.book1(txn{Type: "refund_failure", Category: "refund_failure", Amount: r.Amount, Other: cards,
		Currency: r.Currency, Source: r.ID, Description: "REFUND FAILURE", AvailableOn: t.now.Unix()})
	c := *t.charges.get(r.Charge)
	c.RefundedSum -= r.Amount
	t.put(entry{Refund: &r})
	t.put(entry{Charge: &c})
	t.emit("refund.failed", t.refundWire(&r, nil))
	t.emit("charge.refund.updated", t.refundWire(&r, nil))
}

// newRefund is a refund of c, still without reason and transaction.
func (t *tx) newRefund(c charge, amount int64) refund {
	return refund{ID: t.newID("re"), Created: t.now.Unix(), Amount: amount, Currency: c.Currency, Charge: c.ID, Intent: c.Intent}
}

// refundable is the captured charge that a refund names, with something left.
func (t *tx) refundable(intentID, chargeID string) (charge, *apiError) {
	if intentID != "" {
		pi := t.intents.get(intentID)
		switch {
		case pi == nil:
			return charge{}, noSuch(http.StatusNotFound, "payment_intent", intentID, "payment_intent")
		case pi.Status != succeeded && pi.Status != canceled || pi.Charge == "":
			return charge{}, refuse("", "This PaymentIntent (%s) does not have a successful charge to refund.", intentID).on("payment_intent")
		}
		chargeID = pi.Charge
	}
	c := t.charges.get(chargeID)
	switch {
	case c == nil:
		return charge{}, noSuch(http.StatusNotFound, "charge", chargeID, "charge")
	case c.Status != chargeSucceeded:
		return charge{}, refuse("charge_not_refundable", "Charge %s cannot be refunded because it did not succeed.", c.ID)
	case t.heldByBank(c.ID):
		return charge{}, refuse("charge_disputed", "Charge %s has been charged back; cannot issue a refund.", c.ID)
	case c.RefundedSum+t.lost(c.ID) >= c.Amount:
		return charge{}, refuse("charge_already_refunded", "Charge %s has already been refunded.", c.ID)
	case !c.Captured:
		return charge{}, refuse("charge_not_refundable", "Charge %s cannot be refunded because it has not been captured: cancel PaymentIntent %s instead.", c.ID, c.Intent)
	}
	return *c, nil
}

// retrieveRefund: GET /v1/refunds/{id}
func retrieveRefund(p *params, id string) op {
	e := p.expand("refund")
	return func(t *tx) (any, *apiError) {
		r := t.refunds.get(id)
		if r == nil {
			return nil, noSuch(http.StatusNotFound, "refund", id, "id")
		}
		return t.refundWire(r, e), nil
	}
}

// listRefunds: GET /v1/refunds
func listRefunds(p *params, _ string) op {
	pg := p.paging("refund")
	intentID, chargeID := p.word("payment_intent"), p.word("charge")
	return func(t *tx) (any, *apiError) {
		rows := t.refunds.order
		if chargeID != "" {
			rows = t.refunds.rowsWhere("charge", chargeID)
		} else if intentID != "" {
			rows = t.refunds.rowsWhere("payment_intent", intentID)
		}
		return page(&t.refunds, rows, pg, "/v1/refunds",
			func(r *refund) bool {
				return (intentID == "" || r.Intent == intentID) && (chargeID == "" || r.Charge == chargeID)
			},
			func(r *refund) int64 { return r.Created },
			func(r *refund) any { return t.refundWire(r, pg.expand) })
	}
}
