package settlement_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/order"
	"kicau/domain/shop"
	"kicau/projections"
	"kicau/projections/settlement"
)

// entryOf is what the journal has of an event.
func entryOf(t *testing.T, day int, e event.Data) settlement.Entry {
	t.Helper()
	entry, posts := ledger.Post(e)
	if !posts {
		t.Fatalf("%T posts nothing", e)
	}
	return settlement.Entry{Type: e.EventType(), At: projections.Time(time.Date(2026, 11, day, 12, 0, 0, 0, time.UTC)),
		Currency: entry.Currency, Text: entry.Text, Postings: entry.Postings}
}

// A month of a shop, figure by figure. It sells for 55.20 in October and for
// 27.60 in November; October's money is transferred, a half of one order is
// refunded and taken back, and a dispute of the other is lost.
func TestStatement(t *testing.T) {
	who := uuid.UUID{0: 5}
	sale := func(factor int64) order.Captured {
		a := order.Allocation{Goods: 2000, Shipping: 300, Tax: 460, Fee: 200}
		for range factor - 1 {
			a = a.Plus(order.Allocation{Goods: 2000, Shipping: 300, Tax: 460, Fee: 200})
		}
		return order.Captured{Shop: who, Processor: order.Stripe, Currency: "GBP", Amount: a.Total(), Authorised: a.Total(), Allocation: a, ProcessorFee: 110}
	}
	half := order.Allocation{Goods: 1000, Shipping: 150, Tax: 230, Fee: 100}
	s := settlement.Statement{Shop: who.String(), Currency: "GBP", From: "2026-11-02", Until: "2026-11-30"}
	for _, e := range []settlement.Entry{
		entryOf(t, 1, sale(2)), // before the period: 42.00 of it are the shop's
		entryOf(t, 2, order.Released{Shop: who, Currency: "GBP", Payable: 4200, Reserved: 420}),
		entryOf(t, 2, order.Settled{Transfer: "tr_1", Shop: who, Currency: "GBP", Amount: 3780, Available: 3780}),
		entryOf(t, 3, sale(1)), // 21.00
		entryOf(t, 4, order.Refunded{Shop: who, Processor: order.Stripe, Currency: "GBP", Amount: 1380, Allocation: half, Taken: order.Taken{FromReserve: 420, FromReceivable: 630}}),
		entryOf(t, 5, order.Reversed{Transfer: "tr_1", Reversal: "trr_1", Shop: who, Currency: "GBP", Amount: 630}),
		entryOf(t, 6, order.DisputeWithdrawn{Shop: who, Currency: "GBP", Amount: 1380, DisputeFee: 1500, Allocation: half, Taken: order.Taken{FromPayable: 1050}}),
		entryOf(t, 7, order.DisputeClosed{Result: order.Lost, Shop: who, Currency: "GBP", Amount: 1380, Allocation: half}),
		entryOf(t, 30, sale(1)), // after it
		entryOf(t, 8, order.Captured{Shop: uuid.UUID{0: 6}, Processor: order.Stripe, Currency: "GBP", Amount: 100, Authorised: 100, Allocation: order.Allocation{Goods: 100}}),
	} {
		s.Add(e)
	}
	if err := s.Ties(); err != nil {
		t.Fatal(err)
	}
	for _, f := range []struct {
		name      string
		got, want int64
	}{
		{"opening", int64(s.Opening), 4200}, {"sold", int64(s.Sold), 2100}, {"gross", int64(s.Gross), 2760}, {"fees", int64(s.Fees), 200}, {"tax", int64(s.Tax), 460},
		{"refunded", int64(s.Refunded), -1050}, {"disputed", int64(s.Disputed), -1050}, {"transferred", int64(s.Transferred), -3780},
		{"taken back", int64(s.TakenBack), 630}, {"closing", int64(s.Closing), 1050}, {"sales", int64(s.Sales), 1},
	} {
		if f.got != f.want {
			t.Errorf("%s is %d, want %d", f.name, f.got, f.want)
		}
	}
}

// What was taken before it was shipped is one sale, when it is earned; what goes
// back unearned is none.
func TestAStatementCountsWhatWasEarned(t *testing.T) {
	who, all := uuid.UUID{0: 5}, order.Allocation{Goods: 2000, Shipping: 300, Tax: 460, Fee: 200}
	early := order.Captured{Shop: who, Processor: order.Stripe, Currency: "GBP", Amount: 2760, Authorised: 2760, Unearned: 2760, ProcessorFee: 110}
	s := settlement.Statement{Shop: who.String(), Currency: "GBP", From: "2026-11-01", Until: "2026-12-01"}
	for _, e := range []settlement.Entry{
		entryOf(t, 1, early),
		entryOf(t, 2, order.Earned{Shop: who, Processor: order.Stripe, Currency: "GBP", Allocation: all}),
		entryOf(t, 3, early),
		entryOf(t, 4, order.Refunded{Shop: who, Processor: order.Stripe, Currency: "GBP", Amount: 2760, Unearned: 2760}),
	} {
		s.Add(e)
	}
	if s.Sales != 1 || s.Sold != 2100 || s.Gross != 2760 || s.Refunded != 0 {
		t.Errorf("%d sales of %d, paid with %d, %d refunded; want 1 of 2100, paid with 2760, 0 refunded", s.Sales, s.Sold, s.Gross, s.Refunded)
	}
}

// A statement ties to the ledger account by account; one that the ledger has
// otherwise, or has not, is told.
func TestAStatementTiesToTheLedger(t *testing.T) {
	who := uuid.UUID{0: 5}
	s := settlement.Statement{Shop: who.String(), Currency: "GBP", From: "2026-11-01", Until: "2026-12-01"}
	s.Add(entryOf(t, 1, shop.Adjusted{Shop: who, Kind: "bonus", Currency: "GBP", Amount: 100}))
	payable := settlement.Balance{Account: ledger.ShopPayable, Shop: who.String(), Currency: "GBP", Balance: -100}
	reserve := settlement.Balance{Account: ledger.ShopReserve, Shop: who.String(), Currency: "GBP", Balance: -1}
	less, other, euros := payable, payable, reserve
	less.Balance, other.Shop, euros.Currency = -99, uuid.UUID{0: 6}.String(), "EUR"
	for name, c := range map[string]struct {
		accounts []settlement.Balance
		ties     bool
	}{
		"as it is":                    {[]settlement.Balance{payable, other, euros}, true},
		"another balance":             {[]settlement.Balance{less}, false},
		"an account that it has not":  {[]settlement.Balance{payable, reserve}, false},
		"an account that they lack":   {nil, false},
		"the account of another shop": {[]settlement.Balance{other}, false},
	} {
		if err := s.TiesTo(settlement.Books{Accounts: c.accounts}); (err == nil) != c.ties {
			t.Errorf("%s: %v", name, err)
		}
	}
}
