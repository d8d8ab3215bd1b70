package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
)

// bank is an external account: where payouts go. Of its number only what it does
// and the last four digits are kept.
type bank struct {
	ID          string
	Created     int64
	Account     string
	Country     string
	Currency    string
	Last4       string
	Routing     string `json:",omitempty"`
	Fingerprint string
	Fails       string `json:",omitempty"` // failure_code of every payout to it
	Late        bool   `json:",omitempty"` // the bank sends them back after they were paid
	Default     bool   `json:",omitempty"`
	Errored     bool   `json:",omitempty"` // a payout to it has failed: no more are sent
	Deleted     bool   `json:",omitempty"`
	Metadata    map[string]string
}

// testBanks are the account numbers of https://stripe.com/docs/connect/testing
// and why payouts to them fail; "" means that they do not.
var testBanks = map[string]string{
	"000123456789": "", "000111111116": "no_account", "000111111113": "account_closed",
	"000222222227": "insufficient_funds", "000333333335": "debit_not_authorized", "000444444440": "invalid_currency",
}

// createBank: POST /v1/accounts/{id}/external_accounts, test numbers only.
func createBank(p *params, account string) op {
	outer := "external_account" // as client libraries send it; bank_account is how Stripe describes it
	if _, given := p.values["bank_account[account_number]"]; given {
		outer = "bank_account"
	}
	in := func(name string) string { return outer + "[" + name + "]" }
	if kind := p.required(in("object")); kind != "" && kind != "bank_account" {
		p.fail(refuse("", "This sandbox pays out to bank accounts only.").on(in("object")))
	}
	number := strings.ReplaceAll(p.required(in("account_number")), " ", "")
	b := bank{Account: account, Country: strings.ToUpper(p.required(in("country"))), Currency: strings.ToLower(p.word(in("currency"))), Routing: p.word(in("routing_number"))}
	p.text(in("account_holder_name"), maxText)
	p.choice(in("account_holder_type"), "", "company", "individual")
	standard, _ := p.boolean("default_for_currency")
	metadata, _ := p.metadata()
	fails, known := testBanks[number]
	if !known { // blanks alone are no number either
		p.fail(refuse("account_number_invalid", "The bank account number provided is invalid: this sandbox knows the US test accounts of https://stripe.com/docs/connect/testing only.").on(in("account_number")))
	}
	return func(t *tx) (any, *apiError) {
		a := t.accounts.get(account)
		if a == nil {
			return nil, noAccount(account)
		}
		b := b
		sum := sha256.Sum256([]byte(b.Routing + "/" + number))
		b.ID, b.Created, b.Last4, b.Fingerprint, b.Fails = t.newID("ba"), t.now.Unix(), number[len(number)-4:], hex.EncodeToString(sum[:8]), fails
		b.Late = fails == "account_closed"
		if b.Currency == "" {
			b.Currency = a.Currency
		}
		b.Metadata = changed(nil, metadata, false)
		was := t.bankFor(account, b.Currency)
		b.Default = was == nil || standard
		if b.Default && was != nil {
			old := *was
			old.Default = false
			t.put(entry{Bank: &old})
		}
		t.put(entry{Bank: &b})
		t.emitOf(b.Account, "account.external_account.created", bankWireOf(&b))
		return bankWireOf(&b), nil
	}
}

// bankFor is the account's bank for a currency; nil: it has none.
func (st *state) bankFor(account, currency string) *bank {
	for b := range st.banks.where("account", account) {
		if b.Default && !b.Deleted && b.Currency == currency {
			return b
		}
	}
	return nil
}

// bankAt is the bank of a request's path.
func (t *tx) bankAt(account, id string) (*bank, *apiError) {
	if b := t.banks.get(id); b != nil && b.Account == account && !b.Deleted {
		return b, nil
	}
	return nil, noSuch(http.StatusNotFound, "external account", id, "id")
}

// retrieveBank: GET /v1/accounts/{id}/external_accounts/{bank}
func retrieveBank(p *params, account string) op {
	return func(t *tx) (any, *apiError) {
		b, err := t.bankAt(account, p.sub)
		if err != nil {
			return nil, err
		}
		return bankWireOf(b), nil
	}
}

// deleteBank: DELETE /v1/accounts/{id}/external_accounts/{bank}
func deleteBank(p *params, account string) op {
	return func(t *tx) (any, *apiError) {
		old, err := t.bankAt(account, p.sub)
		if err != nil {
			return nil, err
		}
		if old.Default && t.needed(old) {
			return nil, refuse("", "You cannot delete the default external account for your default currency, or while there are others in its currency: first make another the default for %s, by adding it with default_for_currency=true.", old.Currency)
		}
		b := *old
		b.Deleted, b.Default = true, false
		t.put(entry{Bank: &b})
		t.emitOf(b.Account, "account.external_account.deleted", bankWireOf(&b))
		return deletedWire{b.ID, "bank_account", true}, nil
	}
}

// needed tells whether an account must have a default in the currency of a bank:
// it is the account's own, or that of other banks.
func (st *state) needed(b *bank) bool {
	if a := st.accounts.get(b.Account); a != nil && a.Currency == b.Currency {
		return true
	}
	for other := range st.banks.where("account", b.Account) {
		if other.ID != b.ID && !other.Deleted && other.Currency == b.Currency {
			return true
		}
	}
	return false
}

// listBanks: GET /v1/accounts/{id}/external_accounts
func listBanks(p *params, account string) op {
	pg := p.paging("external_account")
	p.choice("object", "bank_account", "bank_account")
	return func(t *tx) (any, *apiError) {
		if t.accounts.get(account) == nil {
			return nil, noAccount(account)
		}
		return page(&t.banks, t.banks.rowsWhere("account", account), pg, "/v1/accounts/"+account+"/external_accounts",
			func(b *bank) bool { return !b.Deleted },
			func(b *bank) int64 { return b.Created },
			func(b *bank) any { return bankWireOf(b) })
	}
}

type bankWire struct {
	ID          string            `json:"id"`
	Object      string            `json:"object"`
	Account     string            `json:"account"`
	Holder      any               `json:"account_holder_name"`
	HolderType  any               `json:"account_holder_type"`
	AccountType any               `json:"account_type"`
	Methods     []string          `json:"available_payout_methods"`
	BankName    string            `json:"bank_name"`
	Country     string            `json:"country"`
	Currency    string            `json:"currency"`
	Customer    any               `json:"customer"`
	Default     bool              `json:"default_for_currency"`
	Fingerprint string            `json:"fingerprint"`
	Last4       string            `json:"last4"`
	Metadata    map[string]string `json:"metadata"`
	Routing     any               `json:"routing_number"`
	Status      string            `json:"status"`
}

func bankWireOf(b *bank) *bankWire {
	w := &bankWire{ID: b.ID, Object: "bank_account", Account: b.Account, Methods: []string{"standard"}, BankName: "STRIPE TEST BANK",
		Country: b.Country, Currency: b.Currency, Default: b.Default, Fingerprint: b.Fingerprint, Last4: b.Last4, Metadata: metadataOf(b.Metadata), Routing: null(b.Routing), Status: "new"}
	if b.Errored {
		w.Status = "errored"
	}
	return w
}
