package sandbox

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Statuses of a dispute, https://stripe.com/docs/disputes/how-disputes-work.
const (
	needsResponse        = "needs_response"
	underReview          = "under_review"
	disputeWon           = "won"
	disputeLost          = "lost"
	warningNeedsResponse = "warning_needs_response"
	warningUnderReview   = "warning_under_review"
	warningClosed        = "warning_closed"
)

// Times and fees of disputes. The fee for a dispute stays with Stripe, that for
// answering comes back when it is won.
const (
	answerTime   = 9 * 24 * time.Hour
	reviewTime   = 60 * 24 * time.Hour // what a bank takes to decide
	promptReview = time.Minute         // on the words below
	inquiryLife  = 120 * 24 * time.Hour
	disputeFee   = 1500
	answerFee    = 1500
)

// The words that decide a dispute as uncategorized_text,
// https://stripe.com/docs/testing#disputes.
const (
	winningEvidence  = "winning_evidence"
	losingEvidence   = "losing_evidence"
	escalateEvidence = "escalate_inquiry_evidence"
)

// banks are the account of the book where disputed money is.
const banks = "banks"

// aftermath is what the holder of a test card does after the charge was taken.
func (t *tx) aftermath(chargeID string, card *testCard) {
	c := *t.charges.get(chargeID)
	if card.warned {
		w := warning{ID: t.newID("issfr"), Created: t.now.Unix(), Charge: c.ID, Intent: c.Intent, Kind: "made_with_stolen_card"}
		t.put(entry{Warning: &w})
		t.emit("radar.early_fraud_warning.created", t.warningWire(&w, nil))
	}
	left := c.Amount - c.RefundedSum // what was refunded is not disputed
	for i, reason := range card.disputes {
		amount := left / int64(len(card.disputes)-i)
		if i < len(card.disputes)-1 {
			amount -= amount % stepOf(c.Currency)
		}
		left -= amount
		if amount > 0 {
			t.openDispute(c.ID, amount, reason, card.inquiry)
		}
	}
}

func (t *tx) openDispute(chargeID string, amount int64, reason string, inquiry bool) {
	c := *t.charges.get(chargeID)
	due := t.now.Add(answerTime).Unix()
	d := dispute{ID: t.newID("dp"), Created: t.now.Unix(), Amount: amount, Currency: c.Currency, Charge: c.ID, Intent: c.Intent,
		Reason: reason, Status: needsResponse, DueBy: due, DueAt: due}
	if inquiry {
		d.Status, d.DueAt = warningNeedsResponse, t.now.Add(inquiryLife).Unix()
	}
	c.Disputed = true
	t.put(entry{Charge: &c})
	t.put(entry{Dispute: &d})
	if !inquiry {
		t.withdraw(d)
	}
	t.emit("charge.dispute.created", t.disputeWire(&d, nil))
	if !inquiry {
		t.emit("charge.dispute.funds_withdrawn", t.disputeWire(&d, nil))
	}
}

func (t *tx) withdraw(d dispute) {
	t.book1(txn{Type: "adjustment", Category: "dispute", Amount: -d.Amount, Fee: disputeFee, Other: banks,
		Currency: d.Currency, Source: d.ID, Description: "Chargeback withdrawal for " + d.Charge, AvailableOn: t.now.Unix()})
}

// heldByBank tells whether a bank has the money of a charge for now.
func (t *tx) heldByBank(charge string) bool {
	for d := range t.disputes.where("charge", charge) {
		if d.Status == needsResponse || d.Status == underReview {
			return true
		}
	}
	return false
}

// lost is what of a charge banks have taken for good.
func (t *tx) lost(charge string) (sum int64) {
	for d := range t.disputes.where("charge", charge) {
		if d.Status == disputeLost {
			sum += d.Amount
		}
	}
	return sum
}

// answerable are the statuses in which evidence is taken.
var answerable = []string{needsResponse, warningNeedsResponse}

// updateDispute: POST /v1/disputes/{id}
func updateDispute(p *params, id string) op {
	evidence := map[string]string{}
	for _, field := range evidenceFields {
		if text, given := p.text("evidence["+field+"]", maxEvidence); given {
			evidence[field] = text
		}
	}
	submit, given := p.boolean("submit")
	submit = submit || !given && len(evidence) > 0
	metadata, clear := p.metadata()
	e := p.expand("dispute")
	return func(t *tx) (any, *apiError) {
		old := t.disputes.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "dispute", id, "dispute")
		}
		d := *old
		if len(evidence) > 0 || submit {
			if !slices.Contains(answerable, d.Status) || d.DueBy <= t.now.Unix() {
				return nil, refuse("", "This dispute cannot be updated: it has a status of %s, or the time to submit evidence is over.", d.Status)
			}
		}
		if metadata != nil || clear {
			d.Metadata = changed(d.Metadata, metadata, clear)
		}
		d.Evidence = changed(d.Evidence, evidence, false)
		if !submit {
			t.put(entry{Dispute: &d})
			return t.disputeWire(&d, e), nil
		}
		t.review(d)
		return t.disputeWire(t.disputes.get(id), e), nil
	}
}

// review passes the evidence on to the bank.
func (t *tx) review(d dispute) {
	d.Submissions++
	wait := reviewTime
	switch d.Evidence["uncategorized_text"] {
	case winningEvidence, losingEvidence, escalateEvidence:
		wait = promptReview
	}
	d.DueAt = t.now.Add(wait).Unix()
	if d.Status == warningNeedsResponse {
		d.Status = warningUnderReview
		t.put(entry{Dispute: &d})
	} else {
		d.Status = underReview
		t.put(entry{Dispute: &d})
		t.book1(txn{Type: "stripe_fee", Category: "fee", Amount: -answerFee, Other: stripeFees,
			Currency: d.Currency, Source: d.ID, Description: "Card dispute countered fee", AvailableOn: t.now.Unix()})
	}
	t.emit("charge.dispute.updated", t.disputeWire(&d, nil))
}

// decideDispute is what a bank does by itself: it decides, or the time to answer
// is over. Evidence of which nothing is known loses.
func (t *tx) decideDispute(d dispute) {
	d.DueAt = 0
	text := d.Evidence["uncategorized_text"]
	switch {
	case d.Status == warningNeedsResponse, d.Status == warningUnderReview && text != escalateEvidence:
		d.Status = warningClosed
	case d.Status == warningUnderReview:
		t.escalate(d)
		return
	case d.Status == underReview && text == winningEvidence:
		d.Status = disputeWon
		t.put(entry{Dispute: &d})
		t.reinstate(d)
		t.emit("charge.dispute.funds_reinstated", t.disputeWire(&d, nil))
	default:
		d.Status = disputeLost
	}
	t.put(entry{Dispute: &d})
	t.emit("charge.dispute.closed", t.disputeWire(&d, nil))
}

// escalate makes a chargeback of an inquiry, with a time of its own to answer.
func (t *tx) escalate(d dispute) {
	c := t.charges.get(d.Charge)
	if d.Amount = min(d.Amount, c.Amount-c.RefundedSum-t.lost(c.ID)); d.Amount <= 0 { // it was refunded meanwhile
		d.Status = warningClosed
		t.put(entry{Dispute: &d})
		t.emit("charge.dispute.closed", t.disputeWire(&d, nil))
		return
	}
	d.Status, d.DueBy, d.Submissions, d.Evidence = needsResponse, t.now.Add(answerTime).Unix(), 0, nil
	d.DueAt = d.DueBy
	t.put(entry{Dispute: &d})
	t.withdraw(d)
	t.emit("charge.dispute.updated", t.disputeWire(&d, nil))
	t.emit("charge.dispute.funds_withdrawn", t.disputeWire(&d, nil))
}

func (t *tx) reinstate(d dispute) {
	t.book1(txn{Type: "adjustment", Category: "dispute_reversal", Amount: d.Amount, Other: banks,
		Currency: d.Currency, Source: d.ID, Description: "Chargeback reversal for " + d.Charge, AvailableOn: t.now.Unix()})
	t.book1(txn{Type: "stripe_fee", Category: "fee", Amount: answerFee, Other: stripeFees,
		Currency: d.Currency, Source: d.ID, Description: "Card dispute countered fee returned", AvailableOn: t.now.Unix()})
}

// closeDispute: POST /v1/disputes/{id}/close, to give it up.
func closeDispute(p *params, id string) op {
	e := p.expand("dispute")
	return func(t *tx) (any, *apiError) {
		old := t.disputes.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "dispute", id, "dispute")
		}
		if !slices.Contains(answerable, old.Status) {
			return nil, refuse("", "This dispute is already closed or under review: it has a status of %s.", old.Status)
		}
		d := *old
		d.Status, d.DueAt = disputeLost, 0
		if old.Status == warningNeedsResponse {
			d.Status = warningClosed
		}
		t.put(entry{Dispute: &d})
		t.emit("charge.dispute.closed", t.disputeWire(&d, nil))
		return t.disputeWire(&d, e), nil
	}
}

// retrieveDispute: GET /v1/disputes/{id}
func retrieveDispute(p *params, id string) op {
	e := p.expand("dispute")
	return func(t *tx) (any, *apiError) {
		d := t.disputes.get(id)
		if d == nil {
			return nil, noSuch(http.StatusNotFound, "dispute", id, "dispute")
		}
		return t.disputeWire(d, e), nil
	}
}

// listDisputes: GET /v1/disputes
func listDisputes(p *params, _ string) op {
	pg := p.paging("dispute")
	intentID, chargeID := p.word("payment_intent"), p.word("charge")
	return func(t *tx) (any, *apiError) {
		rows := t.disputes.order
		if chargeID != "" {
			rows = t.disputes.rowsWhere("charge", chargeID)
		} else if intentID != "" {
			rows = t.disputes.rowsWhere("payment_intent", intentID)
		}
		return page(&t.disputes, rows, pg, "/v1/disputes",
			func(d *dispute) bool {
				return (intentID == "" || d.Intent == intentID) && (chargeID == "" || d.Charge == chargeID)
			},
			func(d *dispute) int64 { return d.Created },
			func(d *dispute) any { return t.disputeWire(d, pg.expand) })
	}
}

// listWarnings: GET /v1/radar/early_fraud_warnings
func listWarnings(p *params, _ string) op {
	pg := p.paging("early_fraud_warning")
	intentID, chargeID := p.word("payment_intent"), p.word("charge")
	return func(t *tx) (any, *apiError) {
		rows := t.warnings.order
		if chargeID != "" {
			rows = t.warnings.rowsWhere("charge", chargeID)
		} else if intentID != "" {
			rows = t.warnings.rowsWhere("payment_intent", intentID)
		}
		return page(&t.warnings, rows, pg, "/v1/radar/early_fraud_warnings",
			func(w *warning) bool {
				return (intentID == "" || w.Intent == intentID) && (chargeID == "" || w.Charge == chargeID)
			},
			func(w *warning) int64 { return w.Created },
			func(w *warning) any { return t.warningWire(w, pg.expand) })
	}
}

// maxEvidence bounds a field of evidence; Stripe's bound is 150,000 characters for
// all of them together.
const maxEvidence = 150_000

// evidenceFields are all that Stripe knows, files too, which nobody uploads here.
var evidenceFields = []string{
	"access_activity_log", "billing_address", "cancellation_policy", "cancellation_policy_disclosure", "cancellation_rebuttal",
	"customer_communication", "customer_email_address", "customer_name", "customer_purchase_ip", "customer_signature",
	"duplicate_charge_documentation", "duplicate_charge_explanation", "duplicate_charge_id", "product_description", "receipt",
	"refund_policy", "refund_policy_disclosure", "refund_refusal_explanation", "service_date", "service_documentation",
	"shipping_address", "shipping_carrier", "shipping_date", "shipping_documentation", "shipping_tracking_number",
	"uncategorized_file", "uncategorized_text",
}

type disputeWire struct {
	ID              string            `json:"id"`
	Object          string            `json:"object"`
	Amount          int64             `json:"amount"`
	Txns            []any             `json:"balance_transactions"`
	Charge          any               `json:"charge"`
	Created         int64             `json:"created"`
	Currency        string            `json:"currency"`
	Evidence        map[string]any    `json:"evidence"`
	EvidenceDetails map[string]any    `json:"evidence_details"`
	Refundable      bool              `json:"is_charge_refundable"`
	Livemode        bool              `json:"livemode"`
	Metadata        map[string]string `json:"metadata"`
	PaymentIntent   any               `json:"payment_intent"`
	MethodDetails   any               `json:"payment_method_details"`
	Reason          string            `json:"reason"`
	Status          string            `json:"status"`
}

func (st *state) disputeWire(d *dispute, e expansion) *disputeWire {
	w := &disputeWire{
		ID: d.ID, Object: "dispute", Amount: d.Amount, Txns: []any{}, Charge: st.ref(e, "charge", d.Charge), Created: d.Created,
		Currency: d.Currency, Evidence: map[string]any{}, Metadata: metadataOf(d.Metadata), PaymentIntent: st.ref(e, "payment_intent", d.Intent),
		Refundable: strings.HasPrefix(d.Status, "warning_"), Reason: d.Reason, Status: d.Status,
		EvidenceDetails: map[string]any{"due_by": d.DueBy, "has_evidence": len(d.Evidence) > 0, "past_due": false, "submission_count": d.Submissions},
	}
	for _, field := range evidenceFields {
		w.Evidence[field] = null(d.Evidence[field])
	}
	for b := range st.txns.where("source", d.ID) {
		if b.Category != "fee" { // Stripe shows the withdrawal and the reinstatement, at most
			w.Txns = append(w.Txns, st.txnWire(b, nil))
		}
	}
	brand := ""
	if c := st.charges.get(d.Charge); c != nil {
		brand = st.methods.get(c.Method).Brand
	}
	w.MethodDetails = map[string]any{"card": map[string]any{"brand": brand, "network_reason_code": "10.4"}, "type": "card"}
	return w
}

type warningWire struct {
	ID            string `json:"id"`
	Object        string `json:"object"`
	Actionable    bool   `json:"actionable"`
	Charge        any    `json:"charge"`
	Created       int64  `json:"created"`
	FraudType     string `json:"fraud_type"`
	Livemode      bool   `json:"livemode"`
	PaymentIntent any    `json:"payment_intent"`
}

func (st *state) warningWire(w *warning, e expansion) *warningWire {
	c := st.charges.get(w.Charge)
	return &warningWire{ID: w.ID, Object: "radar.early_fraud_warning", Actionable: c.RefundedSum < c.Amount && !c.Disputed,
		Charge: st.ref(e, "charge", w.Charge), Created: w.Created, FraudType: w.Kind, PaymentIntent: st.ref(e, "payment_intent", w.Intent)}
}
