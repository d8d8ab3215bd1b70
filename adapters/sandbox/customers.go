package sandbox

import (
	"net/http"
	"slices"
)

// customerChange is what create and update have in common.
func (p *params) customerChange() func(*customer) {
	given := map[string]*string{}
	for _, name := range []string{"name", "email", "phone", "description"} {
		if s, ok := p.text(name, maxText); ok {
			given[name] = &s
		}
	}
	metadata, clear := p.metadata()
	return func(c *customer) {
		for name, to := range map[string]*string{"name": &c.Name, "email": &c.Email, "phone": &c.Phone, "description": &c.Description} {
			if s := given[name]; s != nil {
				*to = *s
			}
		}
		c.Metadata = changed(c.Metadata, metadata, clear)
	}
}

// createCustomer: POST /v1/customers
func createCustomer(p *params, _ string) op {
	change := p.customerChange()
	name := p.word("payment_method")
	return func(t *tx) (any, *apiError) {
		c := customer{ID: t.newID("cus"), Created: t.now.Unix()}
		change(&c)
		var m *method
		if name != "" {
			var err *apiError
			if m, err = t.attachable(name, ""); err != nil {
				return nil, err
			}
		}
		t.put(entry{Customer: &c})
		t.emit("customer.created", customerWireOf(&c))
		if m != nil {
			t.attach(*m, c.ID)
		}
		return customerWireOf(&c), nil
	}
}

// customerAt is the customer of a request's path.
func (t *tx) customerAt(id string) (customer, *apiError) {
	if c := t.customers.get(id); c != nil {
		return *c, nil
	}
	return customer{}, noSuch(http.StatusNotFound, "customer", id, "id")
}

// retrieveCustomer: GET /v1/customers/{id}
func retrieveCustomer(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		c, err := t.customerAt(id)
		switch {
		case err != nil:
			return nil, err
		case c.Deleted:
			return deletedWire{c.ID, "customer", true}, nil
		}
		return customerWireOf(&c), nil
	}
}

// updateCustomer: POST /v1/customers/{id}
func updateCustomer(p *params, id string) op {
	change := p.customerChange()
	return func(t *tx) (any, *apiError) {
		c, err := t.customerAt(id)
		switch {
		case err != nil:
			return nil, err
		case c.Deleted:
			return nil, noSuch(http.StatusNotFound, "customer", id, "id")
		}
		change(&c)
		t.put(entry{Customer: &c})
		t.emit("customer.updated", customerWireOf(&c))
		return customerWireOf(&c), nil
	}
}

// deleteCustomer: DELETE /v1/customers/{id}. What was paid stays.
func deleteCustomer(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		c, err := t.customerAt(id)
		switch {
		case err != nil:
			return nil, err
		case c.Deleted:
			return nil, noSuch(http.StatusNotFound, "customer", id, "id")
		}
		for _, m := range slices.Collect(t.methods.where("customer", id)) {
			t.detach(*m)
		}
		c = customer{ID: c.ID, Created: c.Created, Deleted: true}
		t.put(entry{Customer: &c})
		t.emit("customer.deleted", customerWireOf(&c))
		return deletedWire{c.ID, "customer", true}, nil
	}
}

// listCustomers: GET /v1/customers
func listCustomers(p *params, _ string) op {
	pg := p.paging("customer")
	email := p.word("email")
	return func(t *tx) (any, *apiError) {
		return page(&t.customers, t.customers.order, pg, "/v1/customers",
			func(c *customer) bool { return !c.Deleted && (email == "" || c.Email == email) },
			func(c *customer) int64 { return c.Created },
			func(c *customer) any { return customerWireOf(c) })
	}
}

type customerWire struct {
	ID              string            `json:"id"`
	Object          string            `json:"object"`
	Address         any               `json:"address"`
	Balance         int64             `json:"balance"`
	Created         int64             `json:"created"`
	Currency        any               `json:"currency"`
	DefaultSource   any               `json:"default_source"`
	Delinquent      bool              `json:"delinquent"`
	Description     any               `json:"description"`
	Discount        any               `json:"discount"`
	Email           any               `json:"email"`
	InvoicePrefix   any               `json:"invoice_prefix"`
	InvoiceSettings map[string]any    `json:"invoice_settings"`
	Livemode        bool              `json:"livemode"`
	Metadata        map[string]string `json:"metadata"`
	Name            any               `json:"name"`
	NextInvoice     int64             `json:"next_invoice_sequence"`
	Phone           any               `json:"phone"`
	Locales         []any             `json:"preferred_locales"`
	Shipping        any               `json:"shipping"`
	TaxExempt       string            `json:"tax_exempt"`
	TestClock       any               `json:"test_clock"`
}

func customerWireOf(c *customer) *customerWire {
	return &customerWire{ID: c.ID, Object: "customer", Created: c.Created, Description: null(c.Description), Email: null(c.Email), Name: null(c.Name), Phone: null(c.Phone),
		Metadata: metadataOf(c.Metadata), NextInvoice: 1, Locales: []any{}, TaxExempt: "none",
		InvoiceSettings: map[string]any{"custom_fields": nil, "default_payment_method": nil, "footer": nil, "rendering_options": nil}}
}
