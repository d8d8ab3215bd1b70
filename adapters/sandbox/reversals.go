package sandbox

import "net/http"

// createReversal: POST /v1/transfers/{id}/reversals. It needs the money to be
// there: what has left the connected account does not come back.
func createReversal(p *params, id string) op {
	amount, partial := p.positive("amount")
	p.text("description", maxDescription)
	metadata, _ := p.metadata()
	e := p.expand("transfer_reversal")
	return func(t *tx) (any, *apiError) {
		old := t.transfers.get(id)
		if old == nil {
			return nil, noSuch(http.StatusNotFound, "transfer", id, "transfer")
		}
		tr := *old
		left := tr.Amount - tr.Reversed
		if !partial {
			amount = left
		}
		if amount > left || left == 0 {
			return nil, refuse("", "The transfer reversal amount (%s) is greater than the transfer's unreversed amount (%s).", display(amount, tr.Currency), display(left, tr.Currency)).on("amount")
		}
		if t.book.balance[purse{tr.Destination, tr.Currency}] < amount { // pending funds are good for it, too
			return nil, refuse("balance_insufficient", "Account %s does not have the funds to reverse %s of transfer %s.", tr.Destination, display(amount, tr.Currency), tr.ID)
		}
		r := reversal{ID: t.newID("trr"), Created: t.now.Unix(), Amount: amount, Currency: tr.Currency, Transfer: tr.ID, Metadata: changed(nil, metadata, false)}
		r.Refund = t.newID("pyr")
		on := max(t.now.Unix(), t.txns.get(tr.Txn).AvailableOn) // what has not come in goes back when it would have
		r.Txn = t.book1(txn{Type: "transfer_refund", Category: "transfer_reversal", Amount: amount, Other: transit,
			Currency: tr.Currency, Source: r.ID, Description: "REVERSAL OF " + tr.ID, AvailableOn: on})
		t.book1(txn{Account: tr.Destination, Type: "payment_refund", Category: "refund", Amount: -amount, Other: transit,
			Currency: tr.Currency, Source: r.Refund, AvailableOn: on})
		tr.Reversed += amount
		t.put(entry{Reversal: &r})
		t.put(entry{Transfer: &tr})
		t.emit("transfer.reversed", t.transferWire(&tr, nil))
		return t.reversalWire(&r, e), nil
	}
}

// listReversals: GET /v1/transfers/{id}/reversals
func listReversals(p *params, id string) op {
	pg := p.paging("transfer_reversal")
	return func(t *tx) (any, *apiError) {
		if t.transfers.get(id) == nil {
			return nil, noSuch(http.StatusNotFound, "transfer", id, "transfer")
		}
		return page(&t.reversals, t.reversals.rowsWhere("transfer", id), pg, "/v1/transfers/"+id+"/reversals",
			func(*reversal) bool { return true },
			func(r *reversal) int64 { return r.Created },
			func(r *reversal) any { return t.reversalWire(r, pg.expand) })
	}
}

type reversalWire struct {
	ID            string            `json:"id"`
	Object        string            `json:"object"`
	Amount        int64             `json:"amount"`
	Txn           any               `json:"balance_transaction"`
	Created       int64             `json:"created"`
	Currency      string            `json:"currency"`
	PaymentRefund any               `json:"destination_payment_refund"`
	Metadata      map[string]string `json:"metadata"`
	SourceRefund  any               `json:"source_refund"`
	Transfer      any               `json:"transfer"`
}

func (st *state) reversalWire(r *reversal, e expansion) *reversalWire {
	return &reversalWire{ID: r.ID, Object: "transfer_reversal", Amount: r.Amount, Txn: st.ref(e, "balance_transaction", r.Txn),
		Created: r.Created, Currency: r.Currency, Metadata: metadataOf(r.Metadata), PaymentRefund: null(r.Refund), Transfer: st.ref(e, "transfer", r.Transfer)}
}
