package sandbox

import "net/http"

// What can be changed of objects that money has moved by: words about them.

// updateTransfer: POST /v1/transfers/{id}
func updateTransfer(p *params, id string) op {
	description, described := p.text("description", maxDescription)
	metadata, clear := p.metadata()
	e := p.expand("transfer")
	return func(t *tx) (any, *apiError) {
		old := t.transfers.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "transfer", id, "transfer")
		}
		tr := *old
		if described {
			tr.Description = description
		}
		tr.Metadata = changed(tr.Metadata, metadata, clear)
		t.put(entry{Transfer: &tr})
		t.emit("transfer.updated", t.transferWire(&tr, nil))
		return t.transferWire(&tr, e), nil
	}
}

// reversalAt is the reversal of a request's path.
func (t *tx) reversalAt(transfer, id string) (reversal, *apiError) {
	if r := t.reversals.get(id); r != nil && r.Transfer == transfer {
		return *r, nil
	}
	return reversal{}, noSuch(http.StatusNotFound, "transfer reversal", id, "id")
}

// retrieveReversal: GET /v1/transfers/{id}/reversals/{reversal}
func retrieveReversal(p *params, id string) op {
	e := p.expand("transfer_reversal")
	return func(t *tx) (any, *apiError) {
		r, err := t.reversalAt(id, p.sub)
		if err != nil {
			return nil, err
		}
		return t.reversalWire(&r, e), nil
	}
}

// updateReversal: POST /v1/transfers/{id}/reversals/{reversal}
func updateReversal(p *params, id string) op {
	metadata, clear := p.metadata()
	e := p.expand("transfer_reversal")
	return func(t *tx) (any, *apiError) {
		r, err := t.reversalAt(id, p.sub)
		if err != nil {
			return nil, err
		}
		r.Metadata = changed(r.Metadata, metadata, clear)
		t.put(entry{Reversal: &r})
		return t.reversalWire(&r, e), nil
	}
}

// updateCharge: POST /v1/charges/{id}
func updateCharge(p *params, id string) op {
	description, described := p.text("description", maxDescription)
	group := p.word("transfer_group")
	metadata, clear := p.metadata()
	e := p.expand("charge")
	return func(t *tx) (any, *apiError) {
		old := t.charges.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "charge", id, "id")
		}
		c := *old
		if group != "" {
			if c.TransferGroup != "" && c.TransferGroup != group {
				return nil, refuse("", "The transfer_group of a charge that has one cannot be changed.").on("transfer_group")
			}
			c.TransferGroup = group
		}
		if described {
			c.Description = description
		}
		c.Metadata = changed(c.Metadata, metadata, clear)
		t.put(entry{Charge: &c})
		t.emit("charge.updated", t.chargeWire(&c, nil))
		return t.chargeWire(&c, e), nil
	}
}

// updateRefund: POST /v1/refunds/{id}
func updateRefund(p *params, id string) op {
	metadata, clear := p.metadata()
	e := p.expand("refund")
	return func(t *tx) (any, *apiError) {
		old := t.refunds.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "refund", id, "id")
		}
		r := *old
		r.Metadata = changed(r.Metadata, metadata, clear)
		t.put(entry{Refund: &r})
		t.emit("refund.updated", t.refundWire(&r, nil))
		return t.refundWire(&r, e), nil
	}
}

// retrieveWarning: GET /v1/radar/early_fraud_warnings/{id}
func retrieveWarning(p *params, id string) op {
	e := p.expand("early_fraud_warning")
	return func(t *tx) (any, *apiError) {
		w := t.warnings.get(id)
		if w == nil {
			return nil, noSuch(http.StatusNotFound, "early fraud warning", id, "early_fraud_warning")
		}
		return t.warningWire(w, e), nil
	}
}
