package shop_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/shop"
)

var (
	anOrder = uuid.UUID{0: 0x31}
	another = uuid.UUID{0: 0x32}
	writing = uuid.UUID{0: 0x33}
)

// How a shop is paid changes from a date on, and never backwards.
func TestChangeSettlement(t *testing.T) {
	onboarded := []event.Data{terms(nil)}
	pays := shop.Settlement{ValidFrom: later, HoldHours: 24, ReserveBasisPoints: 1000, ReserveDays: 30, Principal: true}
	change := func(f func(*shop.Settlement)) shop.ChangeSettlement {
		c := shop.ChangeSettlement{At: noon, Settlement: pays}
		if f != nil {
			f(&c.Settlement)
		}
		return c
	}
	changed := shop.SettlementChanged{Settlement: pays}
	tell(t, onboarded, []story{
		{"from later on", change(nil), changed, nil},
		{"a longer hold than ninety days", change(func(s *shop.Settlement) { s.HoldHours = shop.MaxHoldHours + 1 }), nil, shop.ErrHoldRange},
		{"more than all in reserve", change(func(s *shop.Settlement) { s.ReserveBasisPoints = 10001 }), nil, shop.ErrReserveRange},
		{"a reserve for ever", change(func(s *shop.Settlement) { s.ReserveDays = shop.MaxReserveDays + 1 }), nil, shop.ErrReserveRange},
		{"from yesterday on", change(func(s *shop.Settlement) { s.ValidFrom = noon.Add(-time.Hour) }), nil, shop.ErrTermsBackwards},
	})
	tell(t, append(onboarded, changed), []story{
		{"said again", change(nil), nil, nil},
		{"before the last one", change(func(s *shop.Settlement) { s.ValidFrom, s.HoldHours = later.Add(-1), 1 }), nil, shop.ErrTermsBackwards},
	})
	tell(t, nil, []story{{"of nobody", change(nil), nil, shop.ErrNotOnboarded}})

	s := decider.Fold(shop.Decider, append(onboarded, changed)...)
	if got := s.SettlementAt(later.Add(-1)); got.HoldHours != 72 || got.ReserveDays != 0 {
		t.Errorf("before it changes: %+v", got)
	}
	if got := s.SettlementAt(later); got != pays {
		t.Errorf("after it changed: %+v", got)
	}
}

func TestFeeBounds(t *testing.T) {
	fees := shop.Fees{ValidFrom: later, BasisPoints: 900, Minimum: 50, Cap: 500}
	capBelow := fees
	capBelow.Cap = 49
	tell(t, []event.Data{terms(nil)}, []story{
		{"a floor and a ceiling", shop.ChangeFees{At: noon, Fees: fees}, shop.FeesChanged{Fees: fees}, nil},
		{"a ceiling below the floor", shop.ChangeFees{At: noon, Fees: capBelow}, nil, shop.ErrFeeRange},
	})
}

// A debt is carried from the order that left it, and paid by what other orders
// release.
func TestDebts(t *testing.T) {
	owes := []event.Data{terms(nil), shop.DebtCarried{Order: anOrder, Number: 1, Amount: 1000}}
	tell(t, owes[:1], []story{
		{"an order leaves one", shop.Carry{Order: anOrder, Number: 1, Amount: 1000}, owes[1], nil},
		{"nothing to net, which is an answer, too", shop.Net{Order: another, Release: 1, UpTo: 500}, shop.DebtNetted{Order: another, Release: 1}, nil},
		{"nothing to write off", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 1}, nil, shop.ErrNotOwed},
	})
	tell(t, owes, []story{
		{"said again", shop.Carry{Order: anOrder, Number: 1, Amount: 1000}, nil, nil},
		{"the order leaves a second one", shop.Carry{Order: anOrder, Number: 2, Amount: 10}, shop.DebtCarried{Order: anOrder, Number: 2, Amount: 10}, nil},
		{"a small release", shop.Net{Order: another, Release: 1, UpTo: 400}, shop.DebtNetted{Order: another, Release: 1, Amount: 400}, nil},
		{"a large release", shop.Net{Order: another, Release: 1, UpTo: 4000}, shop.DebtNetted{Order: another, Release: 1, Amount: 1000}, nil},
		{"a part is given up", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 600, Reason: "closed"},
			shop.DebtWrittenOff{WriteOff: writing, Shop: id, Currency: "GBP", Amount: 600, Reason: "closed"}, nil},
		{"more than is owed", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 1001}, nil, shop.ErrNotOwed},
	})
	paid := append(owes, shop.DebtNetted{Order: another, Release: 1, Amount: 1000})
	tell(t, paid, []story{
		{"a release asks again", shop.Net{Order: another, Release: 1, UpTo: 4000}, nil, nil},
		{"the next release", shop.Net{Order: another, Release: 2, UpTo: 4000}, shop.DebtNetted{Order: another, Release: 2}, nil},
	})
	// Two sagas ask for one release, and another order leaves a debt in between.
	tell(t, []event.Data{terms(nil), shop.DebtNetted{Order: another, Release: 1}, owes[1]}, []story{
		{"the release that was told of nothing", shop.Net{Order: another, Release: 1, UpTo: 500}, nil, nil},
	})
	if got := decider.Fold(shop.Decider, paid...).NettedFor(another, 1); got != 1000 {
		t.Errorf("the release paid %d, want 1000", got)
	}
	tell(t, append(owes, shop.Adjusted{Adjustment: writing, Shop: id, Kind: "bank", Currency: "GBP", Amount: 1300, Reason: "waived", Netted: true}), []story{
		{"a release pays what the shop is owed", shop.Net{Order: another, Release: 1, UpTo: 40}, shop.DebtNetted{Order: another, Release: 1, Amount: -300}, nil},
		{"nothing to write off", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 1}, nil, shop.ErrNotOwed},
	})
	tell(t, append(owes, shop.Adjusted{Adjustment: writing, Shop: id, Kind: "bank", Currency: "GBP", Amount: money.Max, Reason: "waived", Netted: true}), []story{
		{"more than one release can pay", shop.Net{Order: another, Release: 1, UpTo: 1500}, shop.DebtNetted{Order: another, Release: 1, Amount: 1500 - money.Max}, nil},
		{"as much as one release can pay", shop.Net{Order: another, Release: 1, UpTo: 500}, shop.DebtNetted{Order: another, Release: 1, Amount: 1000 - money.Max}, nil},
	})
	tell(t, append(owes, shop.Adjusted{Adjustment: writing, Shop: id, Kind: "bank", Currency: "GBP", Amount: 1500, Reason: "waived"}), []story{
		{"what is settled outside is netted with nothing", shop.Net{Order: another, Release: 1, UpTo: 4000}, shop.DebtNetted{Order: another, Release: 1, Amount: 1000}, nil},
	})
	off := append(owes, shop.DebtWrittenOff{WriteOff: writing, Shop: id, Currency: "GBP", Amount: 600, Reason: "closed"})
	tell(t, off, []story{
		{"written off again", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 600, Reason: "closed"}, nil, nil},
		{"written off otherwise", shop.WriteOff{At: noon, Shop: id, WriteOff: writing, Amount: 500, Reason: "closed"}, nil, shop.ErrWriteOffDiffer},
	})
}

// No debt appears or disappears: what was carried is netted, written off or owed.
func TestDebtsAreConserved(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := decider.Fold(shop.Decider, terms(nil))
		var carried, gone money.Minor
		orders := []uuid.UUID{anOrder, another, {0: 0x34}}
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			o := rapid.SampledFrom(orders).Draw(t, "order")
			n := rapid.IntRange(1, 4).Draw(t, "number")
			amount := money.Minor(rapid.Int64Range(0, 50).Draw(t, "amount"))
			c := rapid.SampledFrom([]shop.Command{shop.Adjust{Shop: id, Adjustment: uuid.UUID{14: 1, 15: byte(n)}, Amount: amount - 25}, shop.Carry{Order: o, Number: n, Amount: amount}, shop.Net{Order: o, Release: n, UpTo: amount},
				shop.WriteOff{Shop: id, WriteOff: uuid.UUID{15: byte(n)}, Amount: amount}}).Draw(t, "command")
			events, _ := shop.Decider.Decide(s, c)
			for _, e := range events {
				switch e := e.(type) {
				case shop.Adjusted:
					gone += e.Amount
				case shop.DebtCarried:
					carried += e.Amount
				case shop.DebtNetted:
					gone += e.Amount
				case shop.DebtWrittenOff:
					gone += e.Amount
				}
				s = shop.Decider.Evolve(s, e)
			}
			if s.Owed != carried-gone {
				t.Fatalf("%d were carried, %d are gone, %d are owed", carried, gone, s.Owed)
			}
		}
	})
}
