package sandbox

import "net/http"

// createMethod: POST /v1/payment_methods, test cards only.
func createMethod(p *params, _ string) op {
	p.choice("type", "card", "card")
	if _, given := p.values["type"]; !given {
		p.fail(missing("type"))
	}
	var in cardInput
	token := p.word("card[token]")
	if token == "" {
		in.number = p.required("card[number]")
		p.required("card[exp_month]")
		p.required("card[exp_year]")
		in.month, _ = p.integer("card[exp_month]")
		in.year, _ = p.integer("card[exp_year]")
		in.cvc = p.word("card[cvc]")
	} else {
		p.fail(refuse("", "This sandbox makes no card tokens: use a pm_card_ token as payment_method.").on("card[token]"))
	}
	metadata, _ := p.metadata()
	return func(t *tx) (any, *apiError) {
		m, err := t.newMethod(in)
		if err != nil {
			return nil, err
		}
		m.Metadata = changed(nil, metadata, false)
		t.put(entry{Method: &m})
		return methodWireOf(&m), nil
	}
}

// retrieveMethod: GET /v1/payment_methods/{id}
func retrieveMethod(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		m, err := t.methodAt(id)
		if err != nil {
			return nil, err
		}
		return methodWireOf(&m), nil
	}
}

// updateMethod: POST /v1/payment_methods/{id}
func updateMethod(p *params, id string) op {
	month, hasMonth := p.positive("card[exp_month]")
	year, hasYear := p.positive("card[exp_year]")
	if month > 12 {
		p.fail(cardError("invalid_expiry_month", "card[exp_month]", "Your card's expiration month is invalid."))
	}
	metadata, clear := p.metadata()
	return func(t *tx) (any, *apiError) {
		m, err := t.methodAt(id)
		if err != nil {
			return nil, err
		}
		if m.Customer == "" {
			return nil, refuse("", "You must save this PaymentMethod to a customer before you can update it.")
		}
		if hasMonth {
			m.ExpMonth = month
		}
		if hasYear {
			m.ExpYear = year
		}
		m.Metadata = changed(m.Metadata, metadata, clear)
		t.put(entry{Method: &m})
		t.emit("payment_method.updated", methodWireOf(&m))
		return methodWireOf(&m), nil
	}
}

// methodAt is the payment method of a request's path.
func (t *tx) methodAt(id string) (method, *apiError) {
	if m := t.methods.get(id); m != nil {
		return *m, nil
	}
	return method{}, noSuch(http.StatusNotFound, "PaymentMethod", id, "payment_method")
}

// attachMethod: POST /v1/payment_methods/{id}/attach
func attachMethod(p *params, id string) op {
	to := p.required("customer")
	return func(t *tx) (any, *apiError) {
		if err := t.payer(to); err != nil {
			return nil, err
		}
		m, err := t.attachable(id, to)
		if err != nil {
			return nil, err
		}
		if m.Customer == "" {
			t.attach(*m, to)
		}
		return methodWireOf(t.methods.get(m.ID)), nil
	}
}

// attachable is a PaymentMethod, or the one that a pm_card_ token makes, that a
// customer can have. Its issuer is asked: most cards that decline payments
// decline this, too (https://stripe.com/docs/testing#declined-payments).
func (t *tx) attachable(id, customer string) (*method, *apiError) {
	m := t.methods.get(id)
	if card := cardsByToken[id]; card != nil {
		made := t.methodOf(card)
		m = &made
	}
	switch {
	case m == nil:
		return nil, noSuch(http.StatusNotFound, "PaymentMethod", id, "payment_method")
	case m.Customer != "" && m.Customer != customer:
		return nil, refuse("", "The payment method you provided has already been attached to a customer.")
	case m.Used && m.Customer == "":
		return nil, usedUp()
	}
	if card := cardsByToken[m.Card]; card.challenge == never && card.decline != nil && !card.decline.blocked && card.token != "pm_card_chargeCustomerFail" {
		d := card.decline
		return nil, &apiError{Status: http.StatusPaymentRequired, Type: errCard, Code: d.code, Decline: d.reason, Message: d.message, Param: d.param}
	}
	return m, nil
}

func (t *tx) attach(m method, customer string) {
	m.Customer = customer
	t.put(entry{Method: &m})
	t.emit("payment_method.attached", methodWireOf(&m))
}

// detach takes a card from its customer. It cannot be used any more.
func (t *tx) detach(m method) {
	m.Customer, m.Used, m.SetUp = "", true, false
	t.put(entry{Method: &m})
	t.emit("payment_method.detached", methodWireOf(&m))
}

// detachMethod: POST /v1/payment_methods/{id}/detach
func detachMethod(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		m, err := t.methodAt(id)
		if err != nil {
			return nil, err
		}
		if m.Customer == "" {
			return nil, refuse("", "The payment method you provided is not attached to a customer so detachment is impossible.")
		}
		t.detach(m)
		return methodWireOf(t.methods.get(m.ID)), nil
	}
}

// listMethods: GET /v1/payment_methods?customer=…
func listMethods(p *params, _ string) op {
	return methodsOf(p, p.required("customer"), "/v1/payment_methods")
}

// listCustomerMethods: GET /v1/customers/{id}/payment_methods
func listCustomerMethods(p *params, id string) op {
	return methodsOf(p, id, "/v1/customers/"+id+"/payment_methods")
}

func methodsOf(p *params, customer, url string) op {
	pg := p.paging("payment_method")
	p.choice("type", "card", "card")
	return func(t *tx) (any, *apiError) {
		if _, err := t.customerAt(customer); err != nil {
			return nil, err
		}
		return page(&t.methods, t.methods.rowsWhere("customer", customer), pg, url,
			func(*method) bool { return true },
			func(m *method) int64 { return m.Created },
			func(m *method) any { return methodWireOf(m) })
	}
}
