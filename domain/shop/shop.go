// Package shop is a partner shop: who sells, on what terms, and what else was
// settled with it than orders.
//
// Its laws: a shop is onboarded once; a fee schedule holds from a date and is
// never changed backwards, so what an order was charged can be said for ever.
package shop

import (
	"encoding/json"
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
	Fixed       money.Minor       `json:"fixed"`             // per order, in the shop's currency
	Minimum     money.Minor       `json:"minimum,omitempty"` // per order
	Cap         money.Minor       `json:"cap,omitempty"`     // per order; 0: none
}

// Settlement is how the shop is paid. What an order froze stays.
type Settlement struct {
	ValidFrom time.Time `json:"validFrom"` // UTC
	// HoldHours is how long captured money is held before it is transferred.
	HoldHours int64 `json:"holdHours"`
	// ReserveBasisPoints of what is transferred are kept for ReserveDays more, a
	// rolling reserve against refunds and disputes.
	ReserveBasisPoints money.BasisPoints `json:"reserveBasisPoints,omitempty"`
	ReserveDays        int64             `json:"reserveDays,omitempty"`
	// Principal: the platform controls the goods before they are sold and books
	// the whole price as its revenue (ASC 606-10-55-36 to 40).
	Principal bool `json:"principal,omitempty"`
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
	// Netted with the shop's next releases, as its account at the processor is how
	// it is settled; otherwise it is settled outside Kicau.
	Netted bool `json:"netted,omitempty"`
}

// SettlementChanged: the shop is paid in another way from a date on.
type SettlementChanged struct {
	Settlement Settlement `json:"settlement"`
}

func (Onboarded) EventType() string         { return "ShopOnboarded" }
func (FeesChanged) EventType() string       { return "ShopFeesChanged" }
func (SettlementChanged) EventType() string { return "ShopSettlementChanged" }
func (Adjusted) EventType() string          { return "ShopAdjusted" }

// Events of a shop's stream.
var Events = slices.Concat([]event.Type{event.Of[Onboarded](added), event.Of[FeesChanged](added), event.Of[SettlementChanged](), event.Of[Adjusted](added), event.Of[PaidOutside]()}, debtEvents)

// added upcasts to a version that only added fields whose zero value says what
// was true before.
func added(body json.RawMessage) (json.RawMessage, error) { return body, nil }

// State.

// State of a shop.
type State struct {
	Exists   bool
	Terms    Onboarded
	Fees     []Fees // by ValidFrom, oldest first
	Adjusted map[uuid.UUID]Adjusted
	Settled  []Settlement // by ValidFrom, oldest first
	Paid     map[uuid.UUID]PaidOutside
	Debts
}

func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case Onboarded:
		s.Exists, s.Terms, s.Fees = true, e, []Fees{e.Fees}
		s.Settled = []Settlement{{ValidFrom: e.Fees.ValidFrom, HoldHours: e.HoldHours}}
	case FeesChanged:
		s.Fees = append(s.Fees, e.Fees)
	case Adjusted:
		if s.Adjusted == nil {
			s.Adjusted = map[uuid.UUID]Adjusted{}
		}
		s.Adjusted[e.Adjustment] = e
		s.Debts = s.Debts.evolve(e)
	case PaidOutside:
		s.Paid = with(s.Paid, e.Payment, e)
	case SettlementChanged:
		s.Settled = append(s.Settled, e.Settlement)
	default:
		s.Debts = s.Debts.evolve(e)
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

// SettlementAt is how the shop is paid for what it sells at a time.
func (s State) SettlementAt(at time.Time) Settlement {
	terms := s.Settled[0]
	for _, t := range s.Settled[1:] {
		if !t.ValidFrom.After(at) {
			terms = t
		}
	}
	return terms
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

// Command to a shop: Onboard, ChangeFees, ChangeSettlement, Adjust,
// RecordPayment, Carry, Net or WriteOff.
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

// ChangeSettlement from a date on that lies after every date named before.
type ChangeSettlement struct {
	At         time.Time
	Settlement Settlement
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

func (Onboard) command()          {}
func (ChangeFees) command()       {}
func (ChangeSettlement) command() {}
func (Adjust) command()           {}

// Refusals.
var (
	ErrNotOnboarded     = &refusal.Refusal{Kind: refusal.Missing, Code: "shop-not-onboarded", Field: "shop", Subject: "the shop", Reason: "is not onboarded", Remedy: "onboard it first"}
	ErrOtherTerms       = &refusal.Refusal{Kind: refusal.Clash, Code: "shop-onboarded-differently", Field: "shop", Subject: "the shop", Reason: "is already onboarded on other terms"}
	ErrNoName           = &refusal.Refusal{Kind: refusal.Invalid, Code: "shop-without-name", Field: "name", Subject: "the shop", Reason: "has no name"}
	ErrFeeRange         = &refusal.Refusal{Kind: refusal.Invalid, Code: "fee-out-of-range", Field: "fees", Subject: "the fee schedule", Reason: "must take between 0 and 10000 basis points and a fixed part and a minimum of at least 0, and a cap that is 0 (none) or at least the minimum"}
	ErrTaxRange         = &refusal.Refusal{Kind: refusal.Invalid, Code: "tax-out-of-range", Field: "taxes", Subject: "the tax rate", Reason: "must lie between 0 and 10000 basis points, one a jurisdiction"}
	ErrShippingRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "shipping-out-of-range", Field: "shipping", Subject: "the shipping price", Reason: "must be at least 0"}
	ErrHoldRange        = &refusal.Refusal{Kind: refusal.Invalid, Code: "hold-out-of-range", Field: "holdHours", Subject: "the hold of payouts", Reason: "must lie between 0 and 2160 hours (90 days)"}
	ErrReserveRange     = &refusal.Refusal{Kind: refusal.Invalid, Code: "reserve-out-of-range", Field: "reserve", Subject: "the reserve", Reason: "must keep between 0 and 10000 basis points for 0 to 365 days"}
	ErrTermsBackwards   = &refusal.Refusal{Kind: refusal.Rule, Code: "settlement-backwards", Field: "validFrom", Subject: "the way of settlement", Reason: "must hold from a date in the future of the last one and not before now", Remedy: "orders keep the terms they were placed with"}
	ErrFeesBackwards    = &refusal.Refusal{Kind: refusal.Rule, Code: "fees-backwards", Field: "validFrom", Subject: "the fee schedule", Reason: "must hold from a date in the future of the last one and not before now", Remedy: "orders keep the fees they were placed with"}
	ErrZeroAdjustment   = &refusal.Refusal{Kind: refusal.Invalid, Code: "zero-adjustment", Field: "amount", Subject: "the adjustment", Reason: "is of nothing"}
	ErrAdjustmentDiffer = &refusal.Refusal{Kind: refusal.Clash, Code: "adjustment-differs", Field: "adjustment", Subject: "the adjustment", Reason: "was made before with another amount or reason"}
)

// MaxHoldHours bounds the hold of a shop's money: 90 days.
const MaxHoldHours = 90 * 24

// MaxReserveDays bounds how long a reserve is kept.
const MaxReserveDays = 365

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
	case ChangeSettlement:
		return decideChangeSettlement(s, c)
	case Adjust:
		return decideAdjust(s, c)
	}
	if !s.Exists {
		return nil, ErrNotOnboarded
	}
	switch c := c.(type) {
	case RecordPayment:
		return decideRecordPayment(s, c)
	case Carry:
		return decideCarry(s, c)
	case Net:
		return decideNet(s, c)
	case WriteOff:
		return decideWriteOff(s, c)
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
	return f.BasisPoints >= 0 && f.BasisPoints <= 10000 && f.Fixed >= 0 && f.Fixed <= money.Max &&
		f.Minimum >= 0 && f.Minimum <= money.Max && (f.Cap == 0 || f.Cap >= f.Minimum) && f.Cap <= money.Max
}

func (f Fees) equal(g Fees) bool {
	same := f.ValidFrom.Equal(g.ValidFrom)
	f.ValidFrom = g.ValidFrom
	return same && f == g
}

func decideChangeSettlement(s State, c ChangeSettlement) ([]event.Data, error) {
	if !s.Exists {
		return nil, ErrNotOnboarded
	}
	t := c.Settlement
	if slices.ContainsFunc(s.Settled, t.equal) {
		return nil, nil
	}
	if t.HoldHours < 0 || t.HoldHours > MaxHoldHours {
		return nil, ErrHoldRange
	}
	if t.ReserveBasisPoints < 0 || t.ReserveBasisPoints > 10000 || t.ReserveDays < 0 || t.ReserveDays > MaxReserveDays {
		return nil, ErrReserveRange
	}
	if last := s.Settled[len(s.Settled)-1]; !t.ValidFrom.After(last.ValidFrom) || t.ValidFrom.Before(c.At) {
		return nil, ErrTermsBackwards
	}
	return []event.Data{SettlementChanged{t}}, nil
}

func (t Settlement) equal(u Settlement) bool {
	same := t.ValidFrom.Equal(u.ValidFrom)
	t.ValidFrom = u.ValidFrom
	return same && t == u
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
	made := Adjusted{c.Adjustment, c.Shop, c.Kind, s.Terms.Currency, c.Amount, c.Reason, s.Terms.Account != ""}
	if before, ok := s.Adjusted[c.Adjustment]; ok {
		if made.Netted = before.Netted; before != made {
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
