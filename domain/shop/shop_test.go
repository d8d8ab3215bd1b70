package shop_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	later = noon.Add(time.Hour)
	id    = uuid.UUID{0: 5}
)

// terms of a shop that was onboarded at noon, with one thing changed.
func terms(change func(*shop.Onboarded)) shop.Onboarded {
	t := shop.Onboarded{
		Name: "Potter", Handle: "@potter", Currency: "GBP", Account: "acct_1", Platform: "acct", HoldHours: 72, Shipping: 350,
		Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}, {Jurisdiction: "DE", BasisPoints: 1900}},
		Fees:  shop.Fees{ValidFrom: noon, BasisPoints: 900, Fixed: 20},
	}
	if change != nil {
		change(&t)
	}
	return t
}

func onboard(at time.Time, change func(*shop.Onboarded)) shop.Onboard {
	return shop.Onboard{At: at, Terms: terms(change)}
}

func fees(from time.Time, bp money.BasisPoints, fixed money.Minor) shop.Fees {
	return shop.Fees{ValidFrom: from, BasisPoints: bp, Fixed: fixed}
}

// story is one line of a table: what is asked, and what comes of it. Neither
// events nor a refusal: nothing.
type story struct {
	name string
	when shop.Command
	then event.Data
	no   *refusal.Refusal
}

func tell(t *testing.T, given []event.Data, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			told := decidertest.For(t, shop.Decider).Given(given...).When(s.when)
			switch {
			case s.no != nil:
				told.ThenRefused(s.no)
			case s.then != nil:
				told.Then(s.then)
			default:
				told.ThenNothing()
			}
		})
	}
}

func TestNotOnboarded(t *testing.T) {
	minimal := shop.Onboarded{Name: "P", Currency: "JPY", Fees: shop.Fees{ValidFrom: noon}}
	edges := func(o *shop.Onboarded) {
		o.Shipping, o.HoldHours, o.Fees = money.Max, shop.MaxHoldHours, shop.Fees{ValidFrom: noon, BasisPoints: 10000, Fixed: money.Max}
		o.Taxes = []shop.Tax{{Jurisdiction: "GB", BasisPoints: 10000}, {Jurisdiction: "JE", BasisPoints: 0}}
	}
	tell(t, nil, []story{
		{"onboard", onboard(noon, nil), terms(nil), nil},
		{"onboard on the most that may be asked", onboard(noon, edges), terms(edges), nil},
		{"onboard: the fees hold from now, whatever was said", onboard(noon, func(o *shop.Onboarded) { o.Fees.ValidFrom = later }), terms(nil), nil},
		{"onboard on the least terms", shop.Onboard{At: noon, Terms: minimal}, minimal, nil},
		{"onboard without a name", onboard(noon, func(o *shop.Onboarded) { o.Name = "" }), nil, shop.ErrNoName},
		{"onboard in no currency", onboard(noon, func(o *shop.Onboarded) { o.Currency = "" }), nil, money.ErrUnknownCurrency},
		{"onboard in gold", onboard(noon, func(o *shop.Onboarded) { o.Currency = "XAU" }), nil, money.ErrNoMinorUnit},
		{"onboard, the whole goods as fee", onboard(noon, func(o *shop.Onboarded) { o.Fees.BasisPoints = 10000 }), terms(func(o *shop.Onboarded) { o.Fees.BasisPoints = 10000 }), nil},
		{"onboard, more than the goods as fee", onboard(noon, func(o *shop.Onboarded) { o.Fees.BasisPoints = 10001 }), nil, shop.ErrFeeRange},
		{"onboard, a fee below nothing", onboard(noon, func(o *shop.Onboarded) { o.Fees.BasisPoints = -1 }), nil, shop.ErrFeeRange},
		{"onboard, a fixed fee below nothing", onboard(noon, func(o *shop.Onboarded) { o.Fees.Fixed = -1 }), nil, shop.ErrFeeRange},
		{"onboard, a fixed fee beyond all amounts", onboard(noon, func(o *shop.Onboarded) { o.Fees.Fixed = money.Max + 1 }), nil, shop.ErrFeeRange},
		{"onboard, shipping below nothing", onboard(noon, func(o *shop.Onboarded) { o.Shipping = -1 }), nil, shop.ErrShippingRange},
		{"onboard, shipping beyond all amounts", onboard(noon, func(o *shop.Onboarded) { o.Shipping = money.Max + 1 }), nil, shop.ErrShippingRange},
		{"onboard, held for 90 days", onboard(noon, func(o *shop.Onboarded) { o.HoldHours = shop.MaxHoldHours }), terms(func(o *shop.Onboarded) { o.HoldHours = 2160 }), nil},
		{"onboard, held for longer", onboard(noon, func(o *shop.Onboarded) { o.HoldHours = shop.MaxHoldHours + 1 }), nil, shop.ErrHoldRange},
		{"onboard, held for less than no time", onboard(noon, func(o *shop.Onboarded) { o.HoldHours = -1 }), nil, shop.ErrHoldRange},
		{"onboard, a tax below nothing", onboard(noon, func(o *shop.Onboarded) { o.Taxes[0].BasisPoints = -1 }), nil, shop.ErrTaxRange},
		{"onboard, more tax than goods", onboard(noon, func(o *shop.Onboarded) { o.Taxes[0].BasisPoints = 10001 }), nil, shop.ErrTaxRange},
		{"onboard, two taxes in one place", onboard(noon, func(o *shop.Onboarded) { o.Taxes[1].Jurisdiction = "GB" }), nil, shop.ErrTaxRange},
		{"change fees", shop.ChangeFees{At: later, Fees: fees(later, 800, 0)}, nil, shop.ErrNotOnboarded},
		{"adjust", shop.Adjust{At: later, Shop: id, Adjustment: uuid.UUID{9}, Kind: "bank", Amount: -50, Reason: "charge"}, nil, shop.ErrNotOnboarded},
	})
}

func TestOnboarded(t *testing.T) {
	bank := shop.Adjust{At: later, Shop: id, Adjustment: uuid.UUID{9}, Kind: "bank", Amount: -50, Reason: "charge"}
	with := func(change func(*shop.Adjust)) shop.Adjust { a := bank; change(&a); return a }
	tell(t, []event.Data{terms(nil)}, []story{
		{"onboard again", onboard(noon, nil), nil, nil},
		{"onboard again, later", onboard(later, nil), nil, nil},
		{"onboard under another name", onboard(noon, func(o *shop.Onboarded) { o.Name = "Otter" }), nil, shop.ErrOtherTerms},
		{"onboard with another handle", onboard(noon, func(o *shop.Onboarded) { o.Handle = "@otter" }), nil, shop.ErrOtherTerms},
		{"onboard in another currency", onboard(noon, func(o *shop.Onboarded) { o.Currency = "EUR" }), nil, shop.ErrOtherTerms},
		{"onboard with another account", onboard(noon, func(o *shop.Onboarded) { o.Account = "" }), nil, shop.ErrOtherTerms},
		{"onboard under another account of the platform", onboard(noon, func(o *shop.Onboarded) { o.Platform = "acct_2" }), nil, shop.ErrOtherTerms},
		{"onboard with another hold", onboard(noon, func(o *shop.Onboarded) { o.HoldHours = 0 }), nil, shop.ErrOtherTerms},
		{"onboard with other shipping", onboard(noon, func(o *shop.Onboarded) { o.Shipping = 0 }), nil, shop.ErrOtherTerms},
		{"onboard with other taxes", onboard(noon, func(o *shop.Onboarded) { o.Taxes = o.Taxes[:1] }), nil, shop.ErrOtherTerms},
		{"onboard with other fees", onboard(noon, func(o *shop.Onboarded) { o.Fees.Fixed = 21 }), nil, shop.ErrOtherTerms},

		{"change fees from now on", shop.ChangeFees{At: later, Fees: fees(later, 800, 0)}, shop.FeesChanged{Fees: fees(later, 800, 0)}, nil},
		{"change fees from a later date on", shop.ChangeFees{At: noon, Fees: fees(later, 800, 0)}, shop.FeesChanged{Fees: fees(later, 800, 0)}, nil},
		{"change fees to what they are", shop.ChangeFees{At: later, Fees: terms(nil).Fees}, nil, nil},
		{"change fees in the past", shop.ChangeFees{At: later.Add(1), Fees: fees(later, 800, 0)}, nil, shop.ErrFeesBackwards},
		{"change fees from the day of onboarding", shop.ChangeFees{At: noon, Fees: fees(noon, 800, 0)}, nil, shop.ErrFeesBackwards},
		{"change fees beyond the goods", shop.ChangeFees{At: later, Fees: fees(later, 10001, 0)}, nil, shop.ErrFeeRange},

		{"adjust in the shop's disfavour", bank, shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: id, Kind: "bank", Currency: "GBP", Amount: -50, Reason: "charge", Netted: true}, nil},
		{"adjust in its favour", with(func(a *shop.Adjust) { a.Amount = 50 }), shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: id, Kind: "bank", Currency: "GBP", Amount: 50, Reason: "charge", Netted: true}, nil},
		{"adjust as much as can be", with(func(a *shop.Adjust) { a.Amount = money.Max }), shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: id, Kind: "bank", Currency: "GBP", Amount: money.Max, Reason: "charge", Netted: true}, nil},
		{"adjust as much the other way", with(func(a *shop.Adjust) { a.Amount = -money.Max }), shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: id, Kind: "bank", Currency: "GBP", Amount: -money.Max, Reason: "charge", Netted: true}, nil},
		{"adjust nothing", with(func(a *shop.Adjust) { a.Amount = 0 }), nil, shop.ErrZeroAdjustment},
		{"adjust beyond all amounts", with(func(a *shop.Adjust) { a.Amount = money.Max + 1 }), nil, money.ErrOverflow},
		{"adjust below all amounts", with(func(a *shop.Adjust) { a.Amount = -money.Max - 1 }), nil, money.ErrOverflow},
		{"adjust with a card number", with(func(a *shop.Adjust) { a.Reason = "card 4242424242424242" }), nil, privacy.ErrCardNumber},
	})
}

func TestFeesChanged(t *testing.T) {
	first, second := fees(later, 800, 0), fees(later.Add(time.Hour), 700, 0)
	tell(t, []event.Data{terms(nil), shop.FeesChanged{Fees: first}, shop.FeesChanged{Fees: second}}, []story{
		{"the last change again", shop.ChangeFees{At: noon, Fees: second}, nil, nil},
		{"an earlier change again", shop.ChangeFees{At: noon, Fees: first}, nil, nil},
		{"an earlier change again, long after", shop.ChangeFees{At: noon.AddDate(1, 0, 0), Fees: first}, nil, nil},
		{"other fees from the same date", shop.ChangeFees{At: noon, Fees: fees(second.ValidFrom, 600, 0)}, nil, shop.ErrFeesBackwards},
		{"fees from a date between", shop.ChangeFees{At: noon, Fees: fees(later.Add(time.Minute), 600, 0)}, nil, shop.ErrFeesBackwards},
		{"onboard again", onboard(later, nil), nil, nil},
	})
}

func TestAdjusted(t *testing.T) {
	bank := shop.Adjust{At: later, Shop: id, Adjustment: uuid.UUID{9}, Kind: "bank", Amount: -50, Reason: "charge"}
	made := shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: id, Kind: "bank", Currency: "GBP", Amount: -50, Reason: "charge"}
	with := func(change func(*shop.Adjust)) shop.Adjust { a := bank; change(&a); return a }
	tell(t, []event.Data{terms(nil), made}, []story{
		{"the same again", bank, nil, nil},
		{"the same again, later", with(func(a *shop.Adjust) { a.At = later.Add(time.Hour) }), nil, nil},
		{"another amount", with(func(a *shop.Adjust) { a.Amount = -51 }), nil, shop.ErrAdjustmentDiffer},
		{"no amount", with(func(a *shop.Adjust) { a.Amount = 0 }), nil, shop.ErrAdjustmentDiffer},
		{"another reason", with(func(a *shop.Adjust) { a.Reason = "fine" }), nil, shop.ErrAdjustmentDiffer},
		{"another kind", with(func(a *shop.Adjust) { a.Kind = "market" }), nil, shop.ErrAdjustmentDiffer},
		{"another shop", with(func(a *shop.Adjust) { a.Shop = uuid.UUID{6} }), nil, shop.ErrAdjustmentDiffer},
		{"another adjustment of the same", with(func(a *shop.Adjust) { a.Adjustment = uuid.UUID{10} }),
			shop.Adjusted{Adjustment: uuid.UUID{10}, Shop: id, Kind: "bank", Currency: "GBP", Amount: -50, Reason: "charge", Netted: true}, nil},
	})
}

// The fee that an order freezes: a schedule holds from its date, inclusive.
func TestFeesHoldFromTheirDate(t *testing.T) {
	s := decider.Fold(shop.Decider, terms(nil),
		shop.FeesChanged{Fees: fees(noon.Add(1*time.Hour), 800, 10)},
		shop.FeesChanged{Fees: fees(noon.Add(2*time.Hour), 700, 0)})
	for _, c := range []struct {
		at    time.Time
		bp    money.BasisPoints
		fixed money.Minor
	}{
		{noon.AddDate(-1, 0, 0), 900, 20}, // an import of older orders
		{noon, 900, 20},
		{noon.Add(time.Hour - 1), 900, 20},
		{noon.Add(time.Hour), 800, 10},
		{noon.Add(2*time.Hour - 1), 800, 10},
		{noon.Add(2 * time.Hour), 700, 0},
		{noon.AddDate(10, 0, 0), 700, 0},
	} {
		if f := s.FeesAt(c.at); f.BasisPoints != c.bp || f.Fixed != c.fixed {
			t.Errorf("at %s: %d basis points and %d, want %d and %d", c.at, f.BasisPoints, f.Fixed, c.bp, c.fixed)
		}
	}
}

func TestTaxIn(t *testing.T) {
	s := decider.Fold(shop.Decider, terms(nil))
	for place, want := range map[string]money.BasisPoints{"GB": 2000, "DE": 1900, "FR": 0, "": 0} {
		if got := s.TaxIn(place); got != want {
			t.Errorf("tax in %q: %d, want %d", place, got, want)
		}
	}
}
