package sandbox

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

// accountChange is what create and update have in common.
func (p *params) accountChange() func(*account) {
	email, mailed := p.text("email", maxText)
	business := p.choice("business_type", "", "company", "government_entity", "individual", "non_profit")
	every := p.choice("settings[payouts][schedule][interval]", "", manually, daily)
	asked := map[string]bool{}
	for _, c := range []string{"card_payments", "transfers"} {
		if wanted, given := p.boolean("capabilities[" + c + "][requested]"); given {
			asked[c] = wanted
		}
	}
	metadata, clear := p.metadata()
	return func(a *account) {
		if mailed {
			a.Email = email
		}
		a.BusinessType = cmp.Or(business, a.BusinessType)
		a.PayoutEvery = cmp.Or(every, a.PayoutEvery)
		var has []string
		for _, c := range []string{"card_payments", "transfers"} {
			if wanted, given := asked[c]; wanted || !given && slices.Contains(a.Capabilities, c) {
				has = append(has, c)
			}
		}
		a.Capabilities = has
		a.Metadata = changed(a.Metadata, metadata, clear)
	}
}

// createAccount: POST /v1/accounts. Nobody fills in forms here: an account is
// onboarded at once, and the capabilities it asks for are active.
func createAccount(p *params, _ string) op {
	a := account{
		Type:     p.choice("type", "", "custom", "express", "standard"),
		Country:  strings.ToUpper(p.word("country")),
		Currency: strings.ToLower(p.word("default_currency")),
	}
	if a.Type == "" {
		p.fail(missing("type"))
	}
	if a.Type == "standard" {
		a.Capabilities = []string{"card_payments", "transfers"}
	}
	change := p.accountChange()
	return func(t *tx) (any, *apiError) {
		a := a
		a.ID, a.Created = t.newID("acct"), t.now.Unix()
		a.Country, a.Currency = cmp.Or(a.Country, platformCountry), cmp.Or(a.Currency, platformCurrency)
		change(&a)
		t.put(entry{Account: &a})
		return t.accountWire(&a), nil
	}
}

// updateAccount: POST /v1/accounts/{id}
func updateAccount(p *params, id string) op {
	change := p.accountChange()
	return func(t *tx) (any, *apiError) {
		old := t.accounts.get(id)
		if old == nil {
			return nil, noAccount(id)
		}
		a := *old
		change(&a)
		t.put(entry{Account: &a})
		t.emitOf(a.ID, "account.updated", t.accountWire(&a))
		return t.accountWire(&a), nil
	}
}

// noAccount: Stripe does not tell whether an account exists that is not yours.
func noAccount(id string) *apiError {
	e := refuse("account_invalid", "The provided key does not have access to account '%s' (or that account does not exist). Application access may have been revoked.", id)
	e.Status = http.StatusForbidden
	return e
}

// The platform's own account.
const (
	platformCountry  = "US"
	platformCurrency = "usd"
)

// retrieveAccount: GET /v1/accounts/{id}
func retrieveAccount(_ *params, id string) op {
	return func(t *tx) (any, *apiError) {
		a := t.accounts.get(id)
		if a == nil {
			return nil, noAccount(id)
		}
		return t.accountWire(a), nil
	}
}

// retrieveOwnAccount: GET /v1/account
func retrieveOwnAccount(_ *params, _ string) op {
	return func(t *tx) (any, *apiError) { return t.accountWire(t.accounts.get(t.header.Account)), nil }
}

// listAccounts: GET /v1/accounts, the connected ones.
func listAccounts(p *params, _ string) op {
	pg := p.paging("account")
	return func(t *tx) (any, *apiError) {
		return page(&t.accounts, t.accounts.order, pg, "/v1/accounts",
			func(a *account) bool { return a.ID != t.header.Account },
			func(a *account) int64 { return a.Created },
			func(a *account) any { return t.accountWire(a) })
	}
}

type requirementsWire struct {
	Alternatives        []any `json:"alternatives"`
	CurrentDeadline     any   `json:"current_deadline"`
	CurrentlyDue        []any `json:"currently_due"`
	DisabledReason      any   `json:"disabled_reason"`
	Errors              []any `json:"errors"`
	EventuallyDue       []any `json:"eventually_due"`
	PastDue             []any `json:"past_due"`
	PendingVerification []any `json:"pending_verification"`
}

var nothingDue = requirementsWire{
	Alternatives: []any{}, CurrentlyDue: []any{}, Errors: []any{}, EventuallyDue: []any{}, PastDue: []any{}, PendingVerification: []any{},
}

// noProfile is of a business that nobody asked about.
var noProfile = json.RawMessage(`{"annual_revenue":null,"estimated_worker_count":null,"mcc":null,"name":null,"product_description":null,"support_address":null,"support_email":null,"support_phone":null,"support_url":null,"url":null}`)

// settingsWire are an account's settings, of which all but payouts are Stripe's
// defaults.
type settingsWire struct {
	Bacs      json.RawMessage `json:"bacs_debit_payments"`
	Branding  json.RawMessage `json:"branding"`
	Issuing   json.RawMessage `json:"card_issuing"`
	Cards     json.RawMessage `json:"card_payments"`
	Dashboard json.RawMessage `json:"dashboard"`
	Invoices  json.RawMessage `json:"invoices"`
	Payments  json.RawMessage `json:"payments"`
	Payouts   struct {
		DebitNegative bool           `json:"debit_negative_balances"`
		Schedule      map[string]any `json:"schedule"`
		Descriptor    any            `json:"statement_descriptor"`
	} `json:"payouts"`
	Sepa struct{} `json:"sepa_debit_payments"`
}

func settingsOf(a *account, tm Terms) *settingsWire {
	w := &settingsWire{
		Bacs:      json.RawMessage(`{"display_name":null,"service_user_number":null}`),
		Branding:  json.RawMessage(`{"icon":null,"logo":null,"primary_color":null,"secondary_color":null}`),
		Issuing:   json.RawMessage(`{"tos_acceptance":{"date":null,"ip":null}}`),
		Cards:     json.RawMessage(`{"decline_on":{"avs_failure":true,"cvc_failure":true},"statement_descriptor_prefix":null,"statement_descriptor_prefix_kana":null,"statement_descriptor_prefix_kanji":null}`),
		Dashboard: json.RawMessage(`{"display_name":null,"timezone":"Etc/UTC"}`),
		Invoices:  json.RawMessage(`{"default_account_tax_ids":null}`),
		Payments:  json.RawMessage(`{"statement_descriptor":null,"statement_descriptor_kana":null,"statement_descriptor_kanji":null}`),
	}
	w.Payouts.Schedule = map[string]any{"delay_days": tm.AvailableDays, "interval": cmp.Or(a.PayoutEvery, manually)}
	return w
}

type accountWire struct {
	ID                 string            `json:"id"`
	Object             string            `json:"object"`
	BusinessProfile    any               `json:"business_profile"`
	BusinessType       any               `json:"business_type"`
	Capabilities       map[string]string `json:"capabilities"`
	ChargesEnabled     bool              `json:"charges_enabled"`
	Controller         any               `json:"controller"`
	Country            string            `json:"country"`
	Created            int64             `json:"created"`
	DefaultCurrency    string            `json:"default_currency"`
	DetailsSubmitted   bool              `json:"details_submitted"`
	Email              any               `json:"email"`
	ExternalAccounts   *listWire         `json:"external_accounts"`
	FutureRequirements requirementsWire  `json:"future_requirements"`
	Metadata           map[string]string `json:"metadata"`
	PayoutsEnabled     bool              `json:"payouts_enabled"`
	Requirements       requirementsWire  `json:"requirements"`
	Settings           any               `json:"settings"`
	TOSAcceptance      any               `json:"tos_acceptance"`
	Type               string            `json:"type"`
}

func (st *state) accountWire(a *account) *accountWire {
	w := &accountWire{
		ID: a.ID, Object: "account", BusinessProfile: noProfile,
		BusinessType: null(a.BusinessType), Capabilities: map[string]string{},
		ChargesEnabled: slices.Contains(a.Capabilities, "card_payments"),
		Controller:     map[string]any{"type": "account"}, Country: a.Country, Created: a.Created,
		DefaultCurrency: a.Currency, DetailsSubmitted: true, Email: null(a.Email),
		ExternalAccounts:   newList("/v1/accounts/"+a.ID+"/external_accounts", false),
		FutureRequirements: nothingDue, Metadata: metadataOf(a.Metadata), PayoutsEnabled: true,
		Settings:     settingsOf(a, st.terms),
		Requirements: nothingDue, TOSAcceptance: map[string]any{"date": nil, "ip": nil, "user_agent": nil}, Type: a.Type,
	}
	for _, c := range a.Capabilities {
		w.Capabilities[c] = "active"
	}
	for b := range st.banks.where("account", a.ID) {
		if !b.Deleted {
			w.ExternalAccounts.Data = append(w.ExternalAccounts.Data, bankWireOf(b))
		}
	}
	return w
}
