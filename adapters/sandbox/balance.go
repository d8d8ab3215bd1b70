package sandbox

import (
	"maps"
	"net/http"
	"slices"
)

// retrieveBalance: GET /v1/balance
func retrieveBalance(*params, string) op {
	return func(t *tx) (any, *apiError) {
		totals := map[string]int64{platformCurrency: 0} // there is always one currency
		for p, amount := range t.book.balance {
			if p.account == platform {
				totals[p.currency] = amount
			}
		}
		type part struct {
			Amount      int64            `json:"amount"`
			Currency    string           `json:"currency"`
			SourceTypes map[string]int64 `json:"source_types"`
		}
		of := func(amount int64, currency string) part {
			return part{amount, currency, map[string]int64{"card": amount}}
		}
		var available, waiting, reserved []part
		for _, currency := range slices.Sorted(maps.Keys(totals)) {
			now := t.book.available[currency]
			available = append(available, of(now, currency))
			waiting = append(waiting, of(totals[currency]-now, currency))
			reserved = append(reserved, of(0, currency))
		}
		return map[string]any{
			"object": "balance", "available": available, "connect_reserved": reserved, "livemode": false, "pending": waiting,
		}, nil
	}
}

// retrieveTxn: GET /v1/balance_transactions/{id}
func retrieveTxn(p *params, id string) op {
	e := p.expand("balance_transaction")
	return func(t *tx) (any, *apiError) {
		b := t.txns.get(id)
		if b == nil {
			return nil, noSuch(http.StatusNotFound, "balance transaction", id, "id")
		}
		return t.txnWire(b, e), nil
	}
}

// listTxns: GET /v1/balance_transactions
func listTxns(p *params, _ string) op {
	pg := p.paging("balance_transaction")
	kind, source, currency := p.word("type"), p.word("source"), p.word("currency")
	return func(t *tx) (any, *apiError) {
		rows := t.txns.order
		if source != "" {
			rows = t.txns.rowsWhere("source", source)
		}
		return page(&t.txns, rows, pg, "/v1/balance_transactions",
			func(b *txn) bool {
				return (kind == "" || b.Type == kind) && (currency == "" || b.Currency == currency)
			},
			func(b *txn) int64 { return b.Created },
			func(b *txn) any { return t.txnWire(b, pg.expand) })
	}
}
