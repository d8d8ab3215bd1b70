package sandbox

import (
	"cmp"
	"net/http"
	"strings"
)

// Statuses of a charge.
const (
	chargeSucceeded = "succeeded"
	chargeFailed    = "failed"
)

func list(statuses []string) string { return strings.Join(statuses, ", ") }

// confirmIntent: POST /v1/payment_intents/{id}/confirm
func confirmIntent(p *params, id string) op {
	method, returnURL := p.word("payment_method"), p.returnURL()
	offSession, _ := p.boolean("off_session")
	usage := p.choice("setup_future_usage", "", "on_session", "off_session")
	e := p.expand("payment_intent")
	return func(t *tx) (any, *apiError) {
		pi, err := t.intentAt(id)
		if err != nil {
			return nil, err
		}
		pi.FutureUsage = cmp.Or(usage, pi.FutureUsage)
		if err := t.confirm(pi, method, returnURL, offSession); err != nil {
			return nil, err
		}
		return t.intentWire(t.intents.get(id), e), nil
	}
}

// confirm tries to pay pi, with another payment method if one is named.
func (t *tx) confirm(pi intent, name, returnURL string, offSession bool) *apiError {
	var m *method
	if name != "" {
		var err *apiError
		if m, err = t.usableMethod(name, pi.Customer); err != nil {
			return err
		}
		if m.ID != pi.Method {
			pi.Method, pi.Authenticated = m.ID, false
		}
	}
	if returnURL != "" {
		pi.ReturnURL = returnURL
	}
	if err := confirmable(pi, pi.ReturnURL); err != nil {
		return err
	}
	t.keep(m)
	return t.attempt(pi, offSession)
}

// confirmable refuses what cannot be confirmed.
func confirmable(pi intent, returnURL string) *apiError {
	switch {
	case pi.Status == succeeded:
		return unexpectedState(pi, "You cannot confirm this PaymentIntent because it has already succeeded after being previously confirmed.")
	case pi.Status == requiresCapture || pi.Status == canceled:
		return unexpectedState(pi, "You cannot confirm this PaymentIntent because it has a status of %s. Only a PaymentIntent with one of the following statuses may be confirmed: %s.", pi.Status, list([]string{requiresConfirmation, requiresAction}))
	case pi.Method == "":
		return unexpectedState(pi, "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a payment method.")
	case pi.Redirects == "always" && returnURL == "":
		return refuse("", "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents.").on("return_url")
	}
	return nil
}

// usableMethod finds a PaymentMethod that may pay for a customer, or for nobody
// that is known. A pm_card_ token makes a new
// one, to be put once the request is sure to be carried out.
func (t *tx) usableMethod(name, customer string) (*method, *apiError) {
	if card := cardsByToken[name]; card != nil {
		m := t.methodOf(card)
		return &m, nil
	}
	m := t.methods.get(name)
	if m == nil {
		return nil, noSuch(http.StatusBadRequest, "PaymentMethod", name, "payment_method")
	}
	if m.Used && m.Customer == "" {
		return nil, usedUp()
	}
	if m.Customer != "" && m.Customer != customer {
		return nil, refuse("", "The payment method you provided is attached to a Customer, so you must also pass that Customer in your request: %s.", m.ID).on("customer")
	}
	return m, nil
}

// usedUp refuses a PaymentMethod that has paid and belongs to nobody.
func usedUp() *apiError {
	return refuse("", "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a connected account without Customer attachment, or was detached from a Customer. It may not be used again. To use a PaymentMethod multiple times, you must attach it to a Customer first.").on("payment_method")
}

// keep puts a PaymentMethod that a token has just made; nil is none.
func (t *tx) keep(m *method) {
	if m != nil && t.methods.get(m.ID) == nil {
		t.put(entry{Method: m})
	}
}

// attempt asks the card: the outcome is an authorisation, a payment, a
// challenge for the holder, or a decline, which it returns as an error.
func (t *tx) attempt(pi intent, offSession bool) *apiError {
	m := *t.methods.get(pi.Method)
	card := cardsByToken[m.Card]
	if card.asks(m, offSession) && !pi.Authenticated {
		if offSession {
			return t.decline(pi, m, card, needsHolder)
		}
		pi.Status = requiresAction
		t.put(entry{Intent: &pi})
		t.emit("payment_intent.requires_action", t.intentWire(&pi, nil))
		return nil
	}
	if card.decline != nil {
		return t.decline(pi, m, card, card.decline)
	}
	t.authorise(pi, m, card, offSession)
	return nil
}

// newCharge is what a try at paying pi leaves, whether it succeeds or not.
func (t *tx) newCharge(pi intent, card *testCard) charge {
	return charge{
		ID: t.newID("ch"), Created: t.now.Unix(), Amount: pi.Amount, Currency: pi.Currency,
		Intent: pi.ID, Method: pi.Method, Status: chargeSucceeded, Risk: card.risk, ThreeDS: pi.Authenticated,
		Description: pi.Description, Descriptor: pi.Descriptor, Suffix: pi.Suffix,
		Metadata: pi.Metadata, TransferGroup: pi.TransferGroup, Customer: pi.Customer,
	}
}

func (t *tx) authorise(pi intent, m method, card *testCard, offSession bool) {
	c := t.newCharge(pi, card)
	m.Used = true
	attached := pi.FutureUsage != "" && pi.Customer != "" && m.Customer == ""
	if pi.FutureUsage != "" && pi.Customer != "" {
		m.Customer, m.SetUp = pi.Customer, m.SetUp || pi.FutureUsage == "off_session"
	}
	t.put(entry{Method: &m})
	if attached {
		t.emit("payment_method.attached", methodWireOf(&m))
	}
	pi.Charge, pi.LastError = c.ID, nil
	if pi.CaptureMethod == "manual" {
		c.CaptureBefore = t.now.Add(windowOf(card, offSession)).Unix()
		pi.Status, pi.Capturable, pi.CaptureBefore = requiresCapture, pi.Amount, c.CaptureBefore
	} else {
		pi.Status, pi.Received = succeeded, pi.Amount
		c.Captured, c.CapturedSum = true, pi.Amount
		c.Txn = t.book1(txn{Type: "charge", Category: "charge", Amount: c.Amount, Fee: t.terms.feeOf(c.Amount), Other: cards,
			Currency: c.Currency, Source: c.ID, Description: c.Description, AvailableOn: t.terms.availableOn(t.now, card)})
	}
	t.put(entry{Charge: &c})
	t.put(entry{Intent: &pi})
	t.emit("charge.succeeded", t.chargeWire(&c, nil))
	if c.Captured {
		defer t.aftermath(c.ID, card)
	}
	if pi.Status == requiresCapture {
		t.emit("payment_intent.amount_capturable_updated", t.intentWire(&pi, nil))
	} else {
		t.emit("payment_intent.succeeded", t.intentWire(&pi, nil))
	}
}

// book1 records one balance transaction and gives its id.
func (t *tx) book1(b txn) string {
	b.ID, b.Created = t.newID("txn"), t.now.Unix()
	t.put(entry{Txn: &b})
	t.book.settle(t.now) // what is available at once is so for the rest of this request, too
	return b.ID
}

// decline records that the card said no. The intent can be tried again, with
// another payment method.
func (t *tx) decline(pi intent, m method, card *testCard, d *decline) *apiError {
	c := t.newCharge(pi, card)
	c.Status, c.FailureCode, c.FailureReason, c.FailureText, c.Blocked = chargeFailed, d.code, d.reason, d.message, d.blocked
	t.put(entry{Charge: &c})
	pi.Status, pi.Charge, pi.Method, pi.Authenticated = requiresMethod, c.ID, "", false
	pi.LastError = &lastError{Type: errCard, Code: d.code, Decline: d.reason, Message: d.message, Param: d.param, Charge: c.ID, Method: m.ID}
	t.put(entry{Intent: &pi})
	t.emit("charge.failed", t.chargeWire(&c, nil))
	t.emit("payment_intent.payment_failed", t.intentWire(&pi, nil))
	return &apiError{
		Status: http.StatusPaymentRequired, Type: errCard, Code: d.code, Decline: d.reason, Message: d.message, Param: d.param,
		Charge: c.ID, Intent: &pi, Method: &m, outcome: true,
	}
}

// authenticate takes the holder's answer to a challenge.
func (t *tx) authenticate(pi intent, passed bool) *apiError {
	if pi.Status != requiresAction {
		return unexpectedState(pi, "This PaymentIntent awaits no authentication: it has a status of %s.", pi.Status)
	}
	if !passed {
		pi.LastError = &lastError{
			Type: errInvalid, Code: "payment_intent_authentication_failure", Method: pi.Method,
			Message: "The provided PaymentMethod has failed authentication. You can provide payment_method_data or a new PaymentMethod to attempt to fulfill this PaymentIntent again.",
		}
		pi.Status, pi.Method = requiresMethod, ""
		t.put(entry{Intent: &pi})
		t.emit("payment_intent.payment_failed", t.intentWire(&pi, nil))
		return nil
	}
	pi.Authenticated = true
	if pi.ConfirmationMethod == "manual" { // the server wants the last word
		pi.Status = requiresConfirmation
		t.put(entry{Intent: &pi})
		return nil
	}
	return t.attempt(pi, false)
}
