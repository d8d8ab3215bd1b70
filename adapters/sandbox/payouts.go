package sandbox

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Statuses of a payout.
const (
	payoutPending  = "pending"
	payoutPaid     = "paid"
	payoutFailed   = "failed"
	payoutCanceled = "canceled"
)

// When payouts are made.
const (
	manually = "manual"
	daily    = "daily"
)

// payoutTime is how long a payout takes to the bank, returnTime how long a bank
// takes to send back what it had accepted.
const (
	payoutTime = 48 * time.Hour
	returnTime = 72 * time.Hour
)

// bankAccounts are the account of the book that payouts go to.
const bankAccounts = "bank accounts"

// ownerOf is an account as the book has it.
func (st *state) ownerOf(account string) string {
	if account == st.header.Account {
		return platform
	}
	return account
}

// createPayout: POST /v1/payouts, of the platform's balance, or with the
// Stripe-Account header of a connected account's.
func createPayout(p *params, _ string) op {
	currency := p.currency()
	p.required("amount")
	amount, _ := p.positive("amount")
	if e := checkStep(amount, payoutStepOf(currency), currency, "amount"); e != nil {
		p.fail(e)
	}
	p.text("description", maxDescription)
	p.text("statement_descriptor", maxDescriptor)
	p.choice("method", "standard", "standard")
	p.choice("source_type", "card", "card")
	to := p.word("destination")
	metadata, _ := p.metadata()
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		owner := t.ownerOf(t.account)
		if has := t.book.available[purse{owner, currency}]; amount > has {
			return nil, refuse("balance_insufficient", "You have insufficient funds in your Stripe account for this payout: %s are available.", display(has, currency)).on("amount")
		}
		b := t.bankFor(t.account, currency)
		if to != "" {
			if b = t.banks.get(to); b == nil || b.Account != t.account || b.Deleted || b.Currency != currency {
				return nil, noSuch(http.StatusBadRequest, "external account", to, "destination")
			}
		}
		if b != nil && b.Errored {
			return nil, refuse("payouts_not_allowed", "Payouts to %s have failed: add another external account.", b.ID).on("destination")
		}
		po := t.payOut(t.account, currency, amount, b, false)
		po.Metadata = changed(nil, metadata, false)
		t.put(entry{Payout: &po})
		t.emitOf(po.Account, "payout.created", t.payoutWire(&po, nil))
		return t.payoutWire(&po, e), nil
	}
}

// payOut takes a payout's money out of a balance. A bank of "" always accepts.
func (t *tx) payOut(account, currency string, amount int64, b *bank, auto bool) payout {
	po := payout{ID: t.newID("po"), Created: t.now.Unix(), Account: account, Amount: amount, Currency: currency, Status: payoutPending,
		Arrival: t.now.Add(payoutTime).Unix(), Auto: auto}
	if b != nil {
		po.Bank = b.ID
		if b.Fails != "" {
			po.FailsAt = po.Arrival
			if b.Late {
				po.FailsAt = t.now.Add(payoutTime + returnTime).Unix()
			}
		}
	}
	po.Txn = t.bookPayout(po, txn{Type: "payout", Category: "payout", Amount: -amount, Description: "STRIPE PAYOUT"})
	return po
}

// bookPayout records a movement between a payout's account and its bank.
func (t *tx) bookPayout(po payout, b txn) string {
	if po.Account != t.header.Account {
		b.Account = po.Account
	}
	b.Other, b.Currency, b.Source, b.AvailableOn = bankAccounts, po.Currency, po.ID, t.now.Unix()
	return t.book1(b)
}

// applyPayout sets the alarm. In old journals a connected account's payout has
// no transaction: then it is posted here.
func (st *state) applyPayout(p *payout) {
	if st.payouts.get(p.ID) == nil && p.Txn == "" {
		st.book.balance[purse{p.Account, p.Currency}] -= p.Amount
		st.book.available[purse{p.Account, p.Currency}] -= p.Amount
		st.book.balance[purse{bankAccounts, p.Currency}] += p.Amount
	}
	st.payouts.put(p.ID, p)
	if at := p.dueAt(); at != 0 {
		st.alarms.set(at, p.ID)
	}
}

// dueAt is when something happens to a payout by itself; 0: never.
func (p *payout) dueAt() int64 {
	switch {
	case p.Status == payoutPending:
		return p.Arrival
	case p.Status == payoutPaid:
		return p.FailsAt
	}
	return 0
}

// arrive is what becomes of a payout at its bank.
func (t *tx) arrive(po payout) {
	if po.FailsAt == 0 || po.FailsAt > t.now.Unix() {
		po.Status = payoutPaid
		t.put(entry{Payout: &po})
		t.emitOf(po.Account, "payout.updated", t.payoutWire(&po, nil))
		t.emitOf(po.Account, "payout.paid", t.payoutWire(&po, nil))
		return
	}
	b := *t.banks.get(po.Bank)
	po.Status, po.Failure, po.FailsAt = payoutFailed, b.Fails, 0
	po.FailTxn = t.bookPayout(po, txn{Type: "payout_failure", Category: "payout_reversal", Amount: po.Amount, Description: "PAYOUT FAILURE"})
	b.Errored = true
	t.put(entry{Payout: &po})
	t.put(entry{Bank: &b})
	t.emitOf(po.Account, "payout.failed", t.payoutWire(&po, nil))
	t.emitOf(b.Account, "account.external_account.updated", bankWireOf(&b))
}

// cancelPayout: POST /v1/payouts/{id}/cancel
func cancelPayout(p *params, id string) op {
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		po, err := t.payoutAt(id)
		if err != nil {
			return nil, err
		}
		if po.Auto {
			return nil, refuse("", "Automatic payouts cannot be canceled: %s is one. To stop them, set the schedule of payouts to manual.", po.ID)
		}
		if po.Status != payoutPending || po.Original != "" {
			return nil, refuse("", "Payouts can only be canceled if they are pending: this one has a status of %s.", po.Status)
		}
		po.Status, po.FailsAt = payoutCanceled, 0
		po.FailTxn = t.bookPayout(po, txn{Type: "payout_cancel", Category: "payout_reversal", Amount: po.Amount, Description: "PAYOUT CANCEL"})
		t.put(entry{Payout: &po})
		t.emitOf(po.Account, "payout.canceled", t.payoutWire(&po, nil))
		return t.payoutWire(&po, e), nil
	}
}

// reversePayout: POST /v1/payouts/{id}/reverse, which asks a bank for what it got.
func reversePayout(p *params, id string) op {
	metadata, _ := p.metadata()
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		po, err := t.payoutAt(id)
		if err != nil {
			return nil, err
		}
		if po.Account == t.header.Account {
			return nil, refuse("", "Only payouts of connected accounts can be reversed, with the Stripe-Account header: %s is the platform's own.", po.ID)
		}
		if po.Status != payoutPaid || po.Reversal != "" || po.Original != "" {
			return nil, refuse("", "Only a payout that was paid and not reversed can be reversed: this one has a status of %s.", po.Status)
		}
		back := payout{ID: t.newID("po"), Created: t.now.Unix(), Account: po.Account, Amount: -po.Amount, Currency: po.Currency, Status: payoutPending,
			Arrival: t.now.Add(payoutTime).Unix(), Bank: po.Bank, Original: po.ID, Metadata: changed(nil, metadata, false)}
		back.Txn = t.bookPayout(back, txn{Type: "payout", Category: "payout_reversal", Amount: po.Amount, Description: "PAYOUT REVERSAL"})
		po.Reversal, po.FailsAt = back.ID, 0
		t.put(entry{Payout: &back})
		t.put(entry{Payout: &po})
		t.emitOf(po.Account, "payout.created", t.payoutWire(&back, nil))
		t.emitOf(po.Account, "payout.updated", t.payoutWire(&po, nil))
		return t.payoutWire(&back, e), nil
	}
}

// updatePayout: POST /v1/payouts/{id}
func updatePayout(p *params, id string) op {
	metadata, clear := p.metadata()
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		po, err := t.payoutAt(id)
		if err != nil {
			return nil, err
		}
		po.Metadata = changed(po.Metadata, metadata, clear)
		t.put(entry{Payout: &po})
		t.emitOf(po.Account, "payout.updated", t.payoutWire(&po, nil))
		return t.payoutWire(&po, e), nil
	}
}

// payoutAt is the payout of a request's path.
func (t *tx) payoutAt(id string) (payout, *apiError) {
	if po := t.payouts.get(id); po != nil && po.Account == t.account {
		return *po, nil
	}
	return payout{}, noSuch(http.StatusNotFound, "payout", id, "payout")
}

// retrievePayout: GET /v1/payouts/{id}
func retrievePayout(p *params, id string) op {
	e := p.expand("payout")
	return func(t *tx) (any, *apiError) {
		po, err := t.payoutAt(id)
		if err != nil {
			return nil, err
		}
		return t.payoutWire(&po, e), nil
	}
}

// listPayouts: GET /v1/payouts
func listPayouts(p *params, _ string) op {
	pg := p.paging("payout")
	status, to := p.word("status"), p.word("destination")
	return func(t *tx) (any, *apiError) {
		return page(&t.payouts, t.payouts.rowsWhere("account", t.account), pg, "/v1/payouts",
			func(po *payout) bool { return (status == "" || po.Status == status) && (to == "" || po.Bank == to) },
			func(po *payout) int64 { return po.Created },
			func(po *payout) any { return t.payoutWire(po, pg.expand) })
	}
}

// cover are the transactions that an automatic payout takes along: all that have
// become available since the last one, and its own.
type cover struct {
	Payout            string
	Account, Currency string // as the book has it
	Txns              []string
}

// covers are all of them, for a snapshot.
func (st *state) covers() (out []entry) {
	by := map[string]*cover{}
	for b := range st.txns.all() {
		id := st.book.covered[b.ID]
		if id == "" {
			continue
		}
		if by[id] == nil {
			by[id] = &cover{Payout: id, Account: b.purse().account, Currency: b.Currency}
			out = append(out, entry{Cover: by[id]})
		}
		by[id].Txns = append(by[id].Txns, b.ID)
	}
	return out
}

// payday is the next midnight (UTC), when somebody is paid every day; 0: nobody
// is.
func (st *state) payday() int64 {
	if len(st.daily) == 0 && !st.terms.DailyPayouts {
		return 0
	}
	return st.now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour).Unix()
}

// payDaily sends what is available to the banks of accounts that want it so.
func (t *tx) payDaily() {
	var due []purse
	for p, amount := range t.book.available {
		if amount >= payoutStepOf(p.currency) && (t.daily[p.account] || p.account == platform && t.terms.DailyPayouts) {
			due = append(due, p)
		}
	}
	slices.SortFunc(due, func(a, b purse) int {
		return cmp.Or(strings.Compare(a.account, b.account), strings.Compare(a.currency, b.currency))
	})
	for _, p := range due {
		account := p.account
		if account == platform {
			account = t.header.Account
		}
		amount := t.book.available[p]
		t.payAutomatically(account, p, amount-amount%payoutStepOf(p.currency)) // the rest goes with a later one
	}
}

func (t *tx) payAutomatically(account string, from purse, amount int64) {
	b := t.bankFor(account, from.currency)
	if b != nil && b.Errored {
		return // until there is another bank
	}
	c := cover{Account: from.account, Currency: from.currency}
	for _, b := range t.book.settled[from] {
		c.Txns = append(c.Txns, b.ID)
	}
	po := t.payOut(account, from.currency, amount, b, true)
	c.Payout, c.Txns = po.ID, append(c.Txns, po.Txn)
	t.put(entry{Payout: &po})
	t.put(entry{Cover: &c})
	t.emitOf(po.Account, "payout.created", t.payoutWire(&po, nil))
	t.emitOf(po.Account, "payout.reconciliation_completed", t.payoutWire(&po, nil))
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
	w := &payoutWire{ID: p.ID, Object: "payout", Amount: p.Amount, Arrival: p.Arrival, Automatic: p.Auto, Txn: st.ref(e, "balance_transaction", p.Txn), Created: p.Created,
		Currency: p.Currency, Destination: st.ref(e, "destination", p.Bank), FailTxn: st.ref(e, "failure_balance_transaction", p.FailTxn), Metadata: metadataOf(p.Metadata),
		Method: "standard", Original: null(p.Original), Reconciled: "not_applicable", ReversedBy: null(p.Reversal), SourceType: "card",
		Status: p.Status, Type: "bank_account"}
	if p.Auto {
		w.Reconciled = "completed"
	}
	if p.Failure != "" {
		w.FailCode, w.FailMessage = p.Failure, "The bank returned the payout: "+p.Failure+"."
	}
	return w
}
