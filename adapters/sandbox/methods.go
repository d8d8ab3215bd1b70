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
		m := t.methods.get(id)
		if m == nil {
			return nil, noSuch(http.StatusNotFound, "PaymentMethod", id, "payment_method")
		}
		return methodWireOf(m), nil
	}
}
