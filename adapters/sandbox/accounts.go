package sandbox

import (
	"net/http"
	"slices"
	"strings"
)

// createAccount: POST /v1/accounts. Nobody fills in forms here: an account is
// onboarded at once, and the capabilities it asks for are active.
func createAccount(p *params, _ string) op {
	a := account{
		Type:         p.choice("type", "", "custom", "express", "standard"),
		Country:      strings.ToUpper(p.word("country")),
		Currency:     strings.ToLower(p.word("default_currency")),
		BusinessType: p.choice("business_type", "", "company", "government_entity", "individual", "non_profit"),
	}
	if a.Type == "" {
		p.fail(missing("type"))
	}
	a.Email, _ = p.text("email", maxText)
	for _, c := range []string{"card_payments", "transfers"} {
		if asked, _ := p.boolean("capabilities[" + c + "][requested]"); asked || a.Type == "standard" {
			a.Capabilities = append(a.Capabilities, c)
		}
	}
	metadata, _ := p.metadata()
	return func(t *tx) (any, *apiError) {
		a := a
		a.ID, a.Created, a.Metadata = t.newID("acct"), t.now.Unix(), changed(nil, metadata, false)
		if a.Country == "" {
			a.Country = platformCountry
		}
		if a.Currency == "" {
			a.Currency = platformCurrency
		}
		t.put(entry{Account: &a})
		return accountWireOf(&a), nil
	}
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
			// Stripe does not tell whether an account exists that is not yours.
			e := refuse("account_invalid", "The provided key does not have access to account '%s' (or that account does not exist). Application access may have been revoked.", id)
			e.Status = http.StatusForbidden
			return nil, e
		}
		return accountWireOf(a), nil
	}
}

// retrieveOwnAccount: GET /v1/account
func retrieveOwnAccount(_ *params, _ string) op {
	return func(t *tx) (any, *apiError) { return accountWireOf(t.accounts.get(t.header.Account)), nil }
}

// listAccounts: GET /v1/accounts, the connected ones.
func listAccounts(p *params, _ string) op {
	pg := p.paging("account")
	return func(t *tx) (any, *apiError) {
		return page(&t.accounts, t.accounts.order, pg, "/v1/accounts",
			func(a *account) bool { return a.ID != t.header.Account },
			func(a *account) int64 { return a.Created },
			func(a *account) any { return accountWireOf(a) })
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
	Settings           struct{}          `json:"settings"`
	TOSAcceptance      any               `json:"tos_acceptance"`
	Type               string            `json:"type"`
}

func accountWireOf(a *account) *accountWire {
	w := &accountWire{
		ID: a.ID, Object: "account", BusinessProfile: map[string]any{"mcc": nil, "name": nil, "url": nil},
		BusinessType: null(a.BusinessType), Capabilities: map[string]string{},
		ChargesEnabled: slices.Contains(a.Capabilities, "card_payments"),
		Controller:     map[string]any{"type": "account"}, Country: a.Country, Created: a.Created,
		DefaultCurrency: a.Currency, DetailsSubmitted: true, Email: null(a.Email),
		ExternalAccounts:   newList("/v1/accounts/"+a.ID+"/external_accounts", false),
		FutureRequirements: nothingDue, Metadata: metadataOf(a.Metadata), PayoutsEnabled: true,
		Requirements: nothingDue, TOSAcceptance: map[string]any{"date": nil, "ip": nil, "user_agent": nil}, Type: a.Type,
	}
	for _, c := range a.Capabilities {
		w.Capabilities[c] = "active"
	}
	return w
}
