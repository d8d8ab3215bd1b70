// Package shop is a partner shop: who sells, on what terms, and what else was
// settled with it than orders.
//
// Its laws: a shop is onboarded once; a fee schedule holds from a date and is
// never changed backwards, so what an order was charged can be said for ever.
package shop

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Category is the first part of a shop's stream, "shop-<uuid>".
const Category = "shop"

// Stream of a shop.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Events.

// Fees is a fee schedule: what the platform takes of an order's goods.
type Fees struct {
	ValidFrom   time.Time         `json:"validFrom"` // UTC
	BasisPoints money.BasisPoints `json:"basisPoints"`
	Fixed       money.Minor       `json:"fixed"` // per order, in the shop's currency
}

// Tax is the rate that a shop's sales into a jurisdiction bear.
type Tax struct {
	Jurisdiction string            `json:"jurisdiction"` // ISO 3166 code or a name the shop uses
	BasisPoints  money.BasisPoints `json:"basisPoints"`
}

// Onboarded: a shop became a partner.
type Onboarded struct {
	Name     string         `json:"name"`
	Handle   string         `json:"handle,omitempty"` // of the shop's public account
	Currency money.Currency `json:"currency"`         // what it sells in
	// Account is the shop's connected account at the payment processor, where
	// its money is transferred; empty: the shop is settled outside Kicau.
	Account string `json:"account,omitempty"`
	// Platform is the platform's account at the processor that Account is
	// connected to; only it can pay the shop. Empty: whichever asks first.
	Platform string `json:"platform,omitempty"`
	// HoldHours is how long captured money is held before it is transferred.
	HoldHours int64       `json:"holdHours"`
	Shipping  money.Minor `json:"shipping"` // flat, per order
	Taxes     []Tax       `json:"taxes,omitempty"`
	Fees      Fees        `json:"fees"`
}

// FeesChanged: another fee schedule holds from a date on.
type FeesChanged struct {
	Fees Fees `json:"fees"`
}

// Adjusted: something was settled with the shop that is no order: a bank
// charge, a marketplace's fee, a bad debt.
type Adjusted struct {
	Adjustment uuid.UUID      `json:"adjustment"`
	Shop       uuid.UUID      `json:"shop"`
	Kind       string         `json:"kind"`
	Currency   money.Currency `json:"currency"`
	Amount     money.Minor    `json:"amount"` // positive: owed to the shop
	Reason     string         `json:"reason"`
}

func (Onboarded) EventType() string   { return "ShopOnboarded" }
func (FeesChanged) EventType() string { return "ShopFeesChanged" }
func (Adjusted) EventType() string    { return "ShopAdjusted" }

// Events of a shop's stream.
var Events = []event.Type{event.Of[Onboarded](), event.Of[FeesChanged](), event.Of[Adjusted]()}

// State.

// State of a shop.
type State struct {
	Exists   bool
	Terms    Onboarded
	Fees     []Fees // by ValidFrom, oldest first
	Adjusted map[uuid.UUID]Adjusted
}

func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case Onboarded:
		s.Exists, s.Terms, s.Fees = true, e, []Fees{e.Fees}
	case FeesChanged:
		s.Fees = append(s.Fees, e.Fees)
	case Adjusted:
		if s.Adjusted == nil {
			s.Adjusted = map[uuid.UUID]Adjusted{}
		}
		s.Adjusted[e.Adjustment] = e
	}
	return s
}

// FeesAt is the schedule that holds at a time; before the first one, the first.
func (s State) FeesAt(at time.Time) Fees {
	fees := s.Fees[0]
	for _, f := range s.Fees[1:] {
		if !f.ValidFrom.After(at) {
			fees = f
		}
	}
	return fees
}

// TaxIn is the rate for a jurisdiction, zero where the shop names none.
func (s State) TaxIn(jurisdiction string) money.BasisPoints {
	for _, t := range s.Terms.Taxes {
		if t.Jurisdiction == jurisdiction {
			return t.BasisPoints
		}
	}
	return 0
}

// Decisions.

// Command to a shop: Onboard, ChangeFees or Adjust.
type Command interface{ command() }

// Onboard a shop.
type Onboard struct {
	At    time.Time
	Terms Onboarded // Fees.ValidFrom is set to At
}

// ChangeFees from a date on that lies after every date named before.
type ChangeFees struct {
	At   time.Time
	Fees Fees
}

// Adjust what is owed to the shop.
type Adjust struct {
	At         time.Time
	Shop       uuid.UUID
	Adjustment uuid.UUID
	Kind       string
	Amount     money.Minor
	Reason     string
}

func (Onboard) command()    {}
func (ChangeFees) command() {}
func (Adjust) command()     {}

// Refusals.
var (
	ErrNotOnboarded     = &refusal.Refusal{Kind: refusal.Missing, Code: "shop-not-onboarded", Field: "shop", Subject: "the shop", Reason: "is not onboarded", Remedy: "onboard it first"}
	ErrOtherTerms       = &refusal.Refusal{Kind: refusal.Clash, Code: "shop-onboarded-differently", Field: "shop", Subject: "the shop", Reason: "is already onboarded on other terms"}
	ErrNoName           = &refusal.Refusal{Kind: refusal.Invalid, Code: "shop-without-name", Field: "name", Subject: "the shop", Reason: "has no name"}
	ErrFeeRange         = &refusal.Refusal{Kind: refusal.Invalid, Code: "fee-out-of-range", Field: "fees", Subject: "the fee schedule", Reason: "must take between 0 and 10000 basis points and a fixed part of at least 0"}
	ErrTaxRange         = &refusal.Refusal{Kind: refusal.Invalid, Code: "tax-out-of-range", Field: "taxes", Subject: "the tax rate", Reason: "must lie between 0 and 10000 basis points, one a jurisdiction"}
	ErrShippingRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "shipping-out-of-range", Field: "shipping", Subject: "the shipping price", Reason: "must be at least 0"}
	ErrHoldRange        = &refusal.Refusal{Kind: refusal.Invalid, Code: "hold-out-of-range", Field: "holdHours", Subject: "the hold of payouts", Reason: "must lie between 0 and 2160 hours (90 days)"}
	ErrFeesBackwards    = &refusal.Refusal{Kind: refusal.Rule, Code: "fees-backwards", Field: "validFrom", Subject: "the fee schedule", Reason: "must hold from a date in the future of the last one and not before now", Remedy: "orders keep the fees they were placed with"}
	ErrZeroAdjustment   = &refusal.Refusal{Kind: refusal.Invalid, Code: "zero-adjustment", Field: "amount", Subject: "the adjustment", Reason: "is of nothing"}
	ErrAdjustmentDiffer = &refusal.Refusal{Kind: refusal.Clash, Code: "adjustment-differs", Field: "adjustment", Subject: "the adjustment", Reason: "was made before with another amount or reason"}
)

// MaxHoldHours bounds the hold of a shop's money: 90 days.
const MaxHoldHours = 90 * 24

// Decider of shops.
var Decider = decider.Decider[State, Command]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Command) ([]event.Data, error) {
	switch c := c.(type) {
	case Onboard:
		return decideOnboard(s, c)
	case ChangeFees:
		return decideChangeFees(s, c)
	case Adjust:
		return decideAdjust(s, c)
	}
	panic("shop: a command of another kind")
}

func decideOnboard(s State, c Onboard) ([]event.Data, error) {
	terms := c.Terms
	if s.Exists {
		terms.Fees.ValidFrom = s.Terms.Fees.ValidFrom
		if !same(s.Terms, terms) {
			return nil, ErrOtherTerms.About("shop %q", s.Terms.Name)
		}
		return nil, nil
	}
	terms.Fees.ValidFrom = c.At
	if terms.Name == "" {
		return nil, ErrNoName
	}
	if _, err := money.ParseCurrency(string(terms.Currency)); err != nil {
		return nil, err
	}
	if !inRange(terms.Fees) {
		return nil, ErrFeeRange
	}
	if terms.Shipping < 0 || terms.Shipping > money.Max {
		return nil, ErrShippingRange
	}
	if terms.HoldHours < 0 || terms.HoldHours > MaxHoldHours {
		return nil, ErrHoldRange
	}
	seen := map[string]bool{}
	for _, t := range terms.Taxes {
		if t.BasisPoints < 0 || t.BasisPoints > 10000 || seen[t.Jurisdiction] {
			return nil, ErrTaxRange.About("tax rate of %q", t.Jurisdiction)
		}
		seen[t.Jurisdiction] = true
	}
	return []event.Data{terms}, nil
}

func same(a, b Onboarded) bool {
	return a.Name == b.Name && a.Handle == b.Handle && a.Currency == b.Currency && a.Account == b.Account && a.Platform == b.Platform &&
		a.HoldHours == b.HoldHours && a.Shipping == b.Shipping && a.Fees == b.Fees && slices.Equal(a.Taxes, b.Taxes)
}

func inRange(f Fees) bool {
	return f.BasisPoints >= 0 && f.BasisPoints <= 10000 && f.Fixed >= 0 && f.Fixed <= money.Max
}

func (f Fees) equal(g Fees) bool {
	return f.ValidFrom.Equal(g.ValidFrom) && f.BasisPoints == g.BasisPoints && f.Fixed == g.Fixed
}

func decideChangeFees(s State, c ChangeFees) ([]event.Data, error) {
	if !s.Exists {
		return nil, ErrNotOnboarded
	}
	if slices.ContainsFunc(s.Fees, c.Fees.equal) {
		return nil, nil
	}
	if !inRange(c.Fees) {
		return nil, ErrFeeRange
	}
	last := s.Fees[len(s.Fees)-1]
	if !c.Fees.ValidFrom.After(last.ValidFrom) || c.Fees.ValidFrom.Before(c.At) {
		return nil, ErrFeesBackwards
	}
	return []event.Data{FeesChanged{c.Fees}}, nil
}

func decideAdjust(s State, c Adjust) ([]event.Data, error) {
	if !s.Exists {
		return nil, ErrNotOnboarded
	}
	made := Adjusted{c.Adjustment, c.Shop, c.Kind, s.Terms.Currency, c.Amount, c.Reason}
	if before, ok := s.Adjusted[c.Adjustment]; ok {
		if before != made {
			return nil, ErrAdjustmentDiffer.About("adjustment %s", c.Adjustment)
		}
		return nil, nil
	}
	if c.Amount == 0 {
		return nil, ErrZeroAdjustment
	}
	if c.Amount > money.Max || c.Amount < -money.Max {
		return nil, money.ErrOverflow
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	return []event.Data{made}, nil
}
