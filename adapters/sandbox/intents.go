package sandbox

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
)

// Statuses of a PaymentIntent. "processing" does not occur with cards.
const (
	requiresMethod       = "requires_payment_method"
	requiresConfirmation = "requires_confirmation"
	requiresAction       = "requires_action"
	requiresCapture      = "requires_capture"
	succeeded            = "succeeded"
	canceled             = "canceled"
)

// Limits of text on a PaymentIntent.
const (
	maxDescription = 1000
	maxDescriptor  = 22
)

// intentChange is what create and update have in common: nil means untouched.
type intentChange struct {
	amount                          *int64
	method, returnURL               string
	description, descriptor, suffix *string
	group                           *string
	customer, usage                 string
	metadata                        map[string]string
	clearMetadata                   bool
}

func (p *params) intentChange() intentChange {
	var ch intentChange
	if n, given := p.integer("amount"); given {
		ch.amount = &n
	}
	ch.method, ch.returnURL = p.word("payment_method"), p.returnURL()
	optional := func(name string, max int) *string {
		if s, given := p.text(name, max); given {
			return &s
		}
		return nil
	}
	ch.description = optional("description", maxDescription)
	ch.descriptor = optional("statement_descriptor", maxDescriptor)
	ch.suffix = optional("statement_descriptor_suffix", maxDescriptor)
	ch.group = optional("transfer_group", maxText)
	ch.customer = p.word("customer")
	ch.usage = p.choice("setup_future_usage", "", "on_session", "off_session")
	ch.metadata, ch.clearMetadata = p.metadata()
	return ch
}

func (p *params) returnURL() string {
	s := p.word("return_url")
	if s != "" {
		if u, err := url.Parse(s); err != nil || u.Scheme == "" || u.Host == "" {
			p.fail(refuse("url_invalid", "Not a valid URL").on("return_url"))
		}
	}
	return s
}

// to is pi with the change applied, but for the payment method.
func (ch intentChange) to(pi intent) intent {
	if ch.amount != nil {
		pi.Amount = *ch.amount
	}
	for _, f := range []struct{ to, from *string }{
		{&pi.Description, ch.description}, {&pi.Descriptor, ch.descriptor}, {&pi.Suffix, ch.suffix}, {&pi.TransferGroup, ch.group},
	} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	if ch.metadata != nil || ch.clearMetadata {
		pi.Metadata = changed(pi.Metadata, ch.metadata, ch.clearMetadata)
	}
	if ch.returnURL != "" {
		pi.ReturnURL = ch.returnURL
	}
	pi.Customer, pi.FutureUsage = cmp.Or(ch.customer, pi.Customer), cmp.Or(ch.usage, pi.FutureUsage)
	return pi
}

// createIntent: POST /v1/payment_intents
func createIntent(p *params, _ string) op {
	pi := intent{Status: requiresMethod}
	pi.Currency = p.currency()
	p.required("amount")
	ch := p.intentChange()
	if ch.amount != nil {
		if e := checkAmount(*ch.amount, pi.Currency); e != nil {
			p.fail(e)
		}
	}
	pi.CaptureMethod = p.choice("capture_method", "automatic", "automatic", "automatic_async", "manual")
	pi.ConfirmationMethod = p.choice("confirmation_method", "automatic", "automatic", "manual")
	pi.Redirects = p.methodTypes()
	confirm, _ := p.boolean("confirm")
	offSession, given := p.boolean("off_session")
	if given && !confirm {
		p.fail(refuse("", "off_session can only be used when confirm is true.").on("off_session"))
	}
	if ch.returnURL != "" && !confirm {
		p.fail(refuse("", "return_url can only be used when confirm is true.").on("return_url"))
	}
	e := p.expand("payment_intent")

	return func(t *tx) (any, *apiError) {
		pi := ch.to(pi)
		pi.ID, pi.Created = t.newID("pi"), t.now.Unix()
		pi.ClientSecret = t.newID(pi.ID + "_secret")
		if err := t.payer(pi.Customer); err != nil {
			return nil, err
		}
		var m *method
		if ch.method != "" {
			var err *apiError
			if m, err = t.usableMethod(ch.method, pi.Customer); err != nil {
				return nil, err
			}
			pi.Method, pi.Status = m.ID, requiresConfirmation
		}
		if confirm {
			if err := confirmable(pi, pi.ReturnURL); err != nil {
				return nil, err
			}
		}
		t.keep(m)
		t.put(entry{Intent: &pi})
		t.emit("payment_intent.created", t.intentWire(&pi, nil))
		if confirm {
			if err := t.attempt(pi, offSession); err != nil {
				return nil, err
			}
		}
		return t.intentWire(t.intents.get(pi.ID), e), nil
	}
}

// payer refuses a customer that is not there; "" is none.
func (t *tx) payer(customer string) *apiError {
	if c := t.customers.get(customer); customer != "" && (c == nil || c.Deleted) {
		return noSuch(http.StatusBadRequest, "customer", customer, "customer")
	}
	return nil
}

// methodTypes reads how payment methods are chosen. It is the allow_redirects
// of automatic payment methods, the default since API version 2023-08-16, or ""
// when payment_method_types were named: then only cards, which do not redirect.
func (p *params) methodTypes() string {
	types := p.list("payment_method_types")
	enabled, given := p.boolean("automatic_payment_methods[enabled]")
	redirects := p.choice("automatic_payment_methods[allow_redirects]", "always", "always", "never")
	for _, typ := range types {
		if typ != "card" {
			p.fail(refuse("", "The payment method type provided: %s is invalid. This sandbox serves cards only.", typ).on("payment_method_types"))
		}
	}
	if len(types) > 0 && given && enabled {
		p.fail(refuse("", "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."))
	}
	if len(types) > 0 || given && !enabled {
		return ""
	}
	return redirects
}

// retrieveIntent: GET /v1/payment_intents/{id}
func retrieveIntent(p *params, id string) op {
	e := p.expand("payment_intent")
	return func(t *tx) (any, *apiError) {
		pi, err := t.intentAt(id)
		if err != nil {
			return nil, err
		}
		return t.intentWire(&pi, e), nil
	}
}

// intentAt is the intent of a request's path.
func (t *tx) intentAt(id string) (intent, *apiError) {
	if pi := t.intents.get(id); pi != nil {
		return *pi, nil
	}
	return intent{}, noSuch(http.StatusNotFound, "payment_intent", id, "intent")
}

// open are the statuses in which a payment has not been authorised yet.
var open = []string{requiresMethod, requiresConfirmation, requiresAction}

// updateIntent: POST /v1/payment_intents/{id}
func updateIntent(p *params, id string) op {
	ch := p.intentChange()
	e := p.expand("payment_intent")
	return func(t *tx) (any, *apiError) {
		old, err := t.intentAt(id)
		if err != nil {
			return nil, err
		}
		pi := ch.to(old)
		if err := t.payer(ch.customer); err != nil {
			return nil, err
		}
		if pi.Customer != old.Customer && old.Customer != "" {
			return nil, refuse("", "You cannot change the customer of a PaymentIntent that already has one.").on("customer")
		}
		isOpen := slices.Contains(open, old.Status)
		if ch.amount != nil {
			if !isOpen {
				return nil, unexpectedState(old, "This PaymentIntent's amount could not be updated because it has a status of %s. You may only update the amount of a PaymentIntent with one of the following statuses: %s.", old.Status, list(open))
			}
			if err := checkAmount(pi.Amount, pi.Currency); err != nil {
				return nil, err
			}
		}
		if ch.method != "" {
			if !isOpen {
				return nil, unexpectedState(old, "This PaymentIntent's payment_method could not be updated because it has a status of %s. You may only update the payment_method of a PaymentIntent with one of the following statuses: %s.", old.Status, list(open))
			}
			m, err := t.usableMethod(ch.method, pi.Customer)
			if err != nil {
				return nil, err
			}
			t.keep(m)
			pi.Method, pi.Status, pi.Authenticated = m.ID, requiresConfirmation, false
		}
		t.put(entry{Intent: &pi})
		return t.intentWire(&pi, e), nil
	}
}

// listIntents: GET /v1/payment_intents
func listIntents(p *params, _ string) op {
	pg := p.paging("payment_intent")
	customer := p.word("customer")
	return func(t *tx) (any, *apiError) {
		return page(&t.intents, t.intents.order, pg, "/v1/payment_intents",
			func(pi *intent) bool { return customer == "" || pi.Customer == customer },
			func(pi *intent) int64 { return pi.Created },
			func(pi *intent) any { return t.intentWire(pi, pg.expand) })
	}
}
