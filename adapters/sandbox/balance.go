package sandbox

import (
	"maps"
	"net/http"
	"slices"
)

// currenciesOf an account of the book, in the order of the alphabet.
func (st *state) currenciesOf(owner string) []string {
	has := map[string]bool{}
	for p := range st.book.balance {
		if p.account == owner {
			has[p.currency] = true
		}
	}
	return slices.Sorted(maps.Keys(has))
}

type balancePart struct {
	Amount      int64            `json:"amount"`
	Currency    string           `json:"currency"`
	SourceTypes map[string]int64 `json:"source_types"`
}

type balanceWire struct {
	Object    string        `json:"object"`
	Available []balancePart `json:"available"`
	Reserved  []balancePart `json:"connect_reserved,omitempty"`
	Livemode  bool          `json:"livemode"`
	Pending   []balancePart `json:"pending"`
}

// balanceWire is the balance of an account: the platform, or a connected one.
func (st *state) balanceWire(account string) *balanceWire {
	owner := st.ownerOf(account)
	currencies := st.currenciesOf(owner)
	if main := st.accounts.get(account).Currency; !slices.Contains(currencies, main) { // there is always one
		currencies = append(currencies, main)
		slices.Sort(currencies)
	}
	of := func(amount int64, currency string) balancePart {
		return balancePart{amount, currency, map[string]int64{"card": amount}}
	}
	w := &balanceWire{Object: "balance"}
	for _, currency := range currencies {
		p := purse{owner, currency}
		now := st.book.available[p]
		w.Available = append(w.Available, of(now, currency))
		w.Pending = append(w.Pending, of(st.book.balance[p]-now, currency))
		if owner == platform {
			w.Reserved = append(w.Reserved, of(0, currency))
		}
	}
	return w
}

// retrieveBalance: GET /v1/balance, with the Stripe-Account header of a connected
// account's.
func retrieveBalance(*params, string) op {
	return func(t *tx) (any, *apiError) { return t.balanceWire(t.account), nil }
}

// connected is the connected account that asks; "" is the platform.
func (t *tx) connected() string {
	if t.account == t.header.Account {
		return ""
	}
	return t.account
}

// retrieveTxn: GET /v1/balance_transactions/{id}
func retrieveTxn(p *params, id string) op {
	e := p.expand("balance_transaction")
	return func(t *tx) (any, *apiError) {
		b := t.txns.get(id)
		if b == nil || b.Account != t.connected() {
			return nil, noSuch(http.StatusNotFound, "balance transaction", id, "id")
		}
		return t.txnWire(b, e), nil
	}
}

// listTxns: GET /v1/balance_transactions
func listTxns(p *params, _ string) op {
	pg := p.paging("balance_transaction")
	kind, source, currency, of := p.word("type"), p.word("source"), p.word("currency"), p.word("payout")
	return func(t *tx) (any, *apiError) {
		owner := t.connected()
		rows := t.txns.order
		switch {
		case source != "":
			rows = t.txns.rowsWhere("source", source)
		case owner != "":
			rows = t.txns.rowsWhere("account", owner)
		}
		if of != "" {
			po, err := t.payoutAt(of)
			if err != nil {
				return nil, err
			}
			if !po.Auto {
				return nil, refuse("", "Balance transaction history can only be filtered on automatic payouts, not manual ones: %s.", of).on("payout")
			}
		}
		return page(&t.txns, rows, pg, "/v1/balance_transactions",
			func(b *txn) bool {
				return b.Account == owner && (kind == "" || b.Type == kind) && (currency == "" || b.Currency == currency) &&
					(of == "" || t.book.covered[b.ID] == of)
			},
			func(b *txn) int64 { return b.Created },
			func(b *txn) any { return t.txnWire(b, pg.expand) })
	}
}

// Available is what an account, the platform or a connected one, can dispose of
// in a currency (as Stripe writes it), in Stripe's units.
func (s *Server) Available(account, currency string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.book.available[purse{s.state.ownerOf(account), currency}]
}
