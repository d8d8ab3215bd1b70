package sandbox

import "net/http"

// retrieveCharge: GET /v1/charges/{id}
func retrieveCharge(p *params, id string) op {
	e := p.expand("charge")
	return func(t *tx) (any, *apiError) {
		c := t.charges.get(id)
		if c == nil {
			return nil, noSuch(http.StatusNotFound, "charge", id, "id")
		}
		return t.chargeWire(c, e), nil
	}
}

// listCharges: GET /v1/charges
func listCharges(p *params, _ string) op {
	pg := p.paging("charge")
	intentID, group := p.word("payment_intent"), p.word("transfer_group")
	return func(t *tx) (any, *apiError) {
		rows := t.charges.order
		if intentID != "" {
			rows = t.charges.rowsWhere("payment_intent", intentID)
		} else if group != "" {
			rows = t.charges.rowsWhere("transfer_group", group)
		}
		return page(&t.charges, rows, pg, "/v1/charges",
			func(c *charge) bool {
				return (intentID == "" || c.Intent == intentID) && (group == "" || c.TransferGroup == group)
			},
			func(c *charge) int64 { return c.Created },
			func(c *charge) any { return t.chargeWire(c, pg.expand) })
	}
}
