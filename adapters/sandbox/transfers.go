package sandbox

import (
	"net/http"
	"slices"
)

// createTransfer: POST /v1/transfers
func createTransfer(p *params, _ string) op {
	currency := p.currency()
	p.required("amount")
	amount, _ := p.positive("amount")
	destination := p.required("destination")
	source := p.word("source_transaction")
	group, hasGroup := p.text("transfer_group", maxText)
	description, _ := p.text("description", maxDescription)
	p.choice("source_type", "card", "card")
	metadata, _ := p.metadata()
	e := p.expand("transfer")
	return func(t *tx) (any, *apiError) {
		on, err := t.transferable(amount, currency, destination, source)
		if err != nil {
			return nil, err
		}
		tr := transfer{
			ID: t.newID("tr"), Created: t.now.Unix(), Amount: amount, Currency: currency,
			Destination: destination, Payment: t.newID("py"), Source: source, Group: group,
			Description: description, Metadata: changed(nil, metadata, false),
		}
		if source != "" && !hasGroup { // Stripe makes one from the charge's, or from its id
			tr.Group = t.charges.get(source).TransferGroup
			if tr.Group == "" {
				tr.Group = "group_" + source
			}
		}
		tr.Txn = t.book1(txn{Type: "transfer", Category: "transfer", Amount: -amount, Other: transit,
			Currency: currency, Source: tr.ID, Description: description, AvailableOn: on})
		t.book1(txn{Account: destination, Type: "payment", Category: "charge", Amount: amount, Other: transit,
			Currency: currency, Source: tr.Payment, AvailableOn: on})
		t.put(entry{Transfer: &tr})
		t.emit("transfer.created", t.transferWire(&tr, nil))
		return t.transferWire(&tr, e), nil
	}
}

// transferable refuses a transfer that cannot be made, and says when its money
// leaves: at once out of the available balance, or with the funds of the charge
// that it is bound to.
func (t *tx) transferable(amount int64, currency, destination, source string) (on int64, err *apiError) {
	to := t.accounts.get(destination)
	if to == nil {
		return 0, noSuch(http.StatusBadRequest, "destination", destination, "destination")
	}
	if destination == t.header.Account {
		return 0, refuse("", "Cannot create transfers to your own account.").on("destination")
	}
	if !slices.Contains(to.Capabilities, "transfers") {
		return 0, refuse("insufficient_capabilities_for_transfer", "Your destination account needs to have at least one of the following capabilities enabled: transfers, crypto_transfers, legacy_payments").on("destination")
	}
	if source == "" {
		if amount > t.book.available[purse{platform, currency}] {
			return 0, refuse("balance_insufficient", "You have insufficient available funds in your Stripe account. Try adding funds directly to your available balance by creating Charges using the 4000000000000077 test card. See: https://stripe.com/docs/testing#available-balance")
		}
		return t.now.Unix(), nil
	}
	c := t.charges.get(source)
	switch {
	case c == nil:
		return 0, noSuch(http.StatusBadRequest, "charge", source, "source_transaction")
	case c.Status != chargeSucceeded || !c.Captured:
		return 0, refuse("", "The source_transaction %s has not been captured: only a captured charge can be transferred.", source).on("source_transaction")
	case c.Currency != currency:
		return 0, refuse("", "The currency of source_transaction's balance transaction (%s) must be the same as the transfer currency (%s)", c.Currency, currency).on("currency")
	}
	left := c.Amount - c.RefundedSum
	for tr := range t.transfers.where("source", source) {
		left -= tr.Amount - tr.Reversed
	}
	if amount > left {
		return 0, refuse("balance_insufficient", "Transfers using this transaction as a source must not exceed the source amount of %s. (This transfer would exceed it: %s are left.)", display(c.Amount-c.RefundedSum, currency), display(left, currency)).on("amount")
	}
	return max(t.now.Unix(), t.txns.get(c.Txn).AvailableOn), nil
}

// retrieveTransfer: GET /v1/transfers/{id}
func retrieveTransfer(p *params, id string) op {
	e := p.expand("transfer")
	return func(t *tx) (any, *apiError) {
		tr := t.transfers.get(id)
		if tr == nil {
			return nil, noSuch(http.StatusNotFound, "transfer", id, "transfer")
		}
		return t.transferWire(tr, e), nil
	}
}

// listTransfers: GET /v1/transfers
func listTransfers(p *params, _ string) op {
	pg := p.paging("transfer")
	destination, group := p.word("destination"), p.word("transfer_group")
	return func(t *tx) (any, *apiError) {
		rows := t.transfers.order
		if group != "" {
			rows = t.transfers.rowsWhere("transfer_group", group)
		} else if destination != "" {
			rows = t.transfers.rowsWhere("destination", destination)
		}
		return page(&t.transfers, rows, pg, "/v1/transfers",
			func(tr *transfer) bool {
				return (destination == "" || tr.Destination == destination) && (group == "" || tr.Group == group)
			},
			func(tr *transfer) int64 { return tr.Created },
			func(tr *transfer) any { return t.transferWire(tr, pg.expand) })
	}
}
