package sandbox

import (
	"net/http"
	"time"
)

// Statuses of a payout.
const (
	payoutPending = "pending"
	payoutPaid    = "paid"
)

// payoutTime is how long a payout takes to the bank.
const payoutTime = 48 * time.Hour

// bankAccounts are the account of the book that payouts go to.
const bankAccounts = "bank accounts"

// createPayout: POST /v1/payouts, of the platform's balance, or with the
// Stripe-Account header of a connected account's.
func createPayout(p *params, _ string) op {
	currency := p.currency()
	p.required("amount")
	amount, _ := p.positive("amount")
	p.text("description", maxDescription)
	metadata, _ := p.metadata()
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		has := t.book.available[currency]
		if t.account != t.header.Account {
			has = t.book.balance[purse{t.account, currency}]
		}
		if amount > has {
			return nil, refuse("balance_insufficient", "You have insufficient funds in your Stripe account for this payout: %s are available.", display(has, currency)).on("amount")
		}
		po := payout{ID: t.newID("po"), Created: t.now.Unix(), Account: t.account, Amount: amount, Currency: currency, Status: payoutPending,
			Arrival: t.now.Add(payoutTime).Unix(), Metadata: changed(nil, metadata, false)}
		if t.account == t.header.Account {
			po.Txn = t.book1(txn{Type: "payout", Category: "payout", Amount: -amount, Other: bankAccounts,
				Currency: currency, Source: po.ID, Description: "STRIPE PAYOUT", AvailableOn: t.now.Unix()})
		}
		t.put(entry{Payout: &po})
		t.emit("payout.created", t.payoutWire(&po, nil))
		return t.payoutWire(&po, e), nil
	}
}

// applyPayout posts what leaves a connected account; the platform's own payouts
// have a balance transaction.
func (st *state) applyPayout(p *payout) {
	if st.payouts.get(p.ID) == nil && p.Txn == "" {
		st.book.balance[purse{p.Account, p.Currency}] -= p.Amount
		st.book.balance[purse{bankAccounts, p.Currency}] += p.Amount
	}
	st.payouts.put(p.ID, p)
	if p.Status == payoutPending {
		st.alarms.set(p.Arrival, p.ID)
	}
}

func (t *tx) endPayout(p payout, status string) {
	p.Status = status
	t.put(entry{Payout: &p})
	t.emit("payout."+status, t.payoutWire(&p, nil))
}

// retrievePayout: GET /v1/payouts/{id}
func retrievePayout(p *params, id string) op {
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		po := t.payouts.get(id)
		if po == nil || po.Account != t.account {
			return nil, noSuch(http.StatusNotFound, "payout", id, "payout")
		}
		return t.payoutWire(po, e), nil
	}
}

// listPayouts: GET /v1/payouts
func listPayouts(p *params, _ string) op {
	pg := p.paging("payout")
	status := p.word("status")
	return func(t *tx) (any, *apiError) {
		return page(&t.payouts, t.payouts.rowsWhere("account", t.account), pg, "/v1/payouts",
			func(po *payout) bool { return status == "" || po.Status == status },
			func(po *payout) int64 { return po.Created },
			func(po *payout) any { return t.payoutWire(po, pg.expand) })
	}
}

type payoutWire struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Amount      int64             `json:"amount"`
	Arrival     int64             `json:"arrival_date"`
	Automatic   bool              `json:"automatic"`
	Txn         any               `json:"balance_transaction"`
	Created     int64             `json:"created"`
	Currency    string            `json:"currency"`
	Description any               `json:"description"`
	Destination any               `json:"destination"`
	FailTxn     any               `json:"failure_balance_transaction"`
	FailCode    any               `json:"failure_code"`
	FailMessage any               `json:"failure_message"`
	Livemode    bool              `json:"livemode"`
	Metadata    map[string]string `json:"metadata"`
	Method      string            `json:"method"`
	Original    any               `json:"original_payout"`
	Reconciled  string            `json:"reconciliation_status"`
	ReversedBy  any               `json:"reversed_by"`
	SourceType  string            `json:"source_type"`
	Descriptor  any               `json:"statement_descriptor"`
	Status      string            `json:"status"`
	Type        string            `json:"type"`
}

func (st *state) payoutWire(p *payout, e expansion) *payoutWire {
	return &payoutWire{ID: p.ID, Object: "payout", Amount: p.Amount, Arrival: p.Arrival, Txn: st.ref(e, "balance_transaction", p.Txn), Created: p.Created,
		Currency: p.Currency, Metadata: metadataOf(p.Metadata), Method: "standard", Reconciled: "not_applicable", SourceType: "card",
		Status: p.Status, Type: "bank_account"}
}
