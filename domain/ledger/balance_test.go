package ledger_test

import (
	"testing"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payout"
)

var weaver = uuid.UUID{0: 6}

// What two shops are owed in two currencies is kept apart, and the sub-ledgers
// come to what the general ledger has.
func TestBalances(t *testing.T) {
	books := ledger.Balances{}
	for _, e := range []event.Data{
		captured(nil), // 21.00 for the potter
		captured(func(c *order.Captured) { c.Shop = weaver }),                                          // 21.00 for the weaver
		captured(func(c *order.Captured) { c.Shop, c.Currency, c.Jurisdiction = weaver, "EUR", "DE" }), // and 21.00 in euros
		refunded(func(r *order.Refunded) { r.FromPayable, r.FromReceivable = 0, 1050 }),                // the potter owes half of it
		payout.Sent{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 500},                     // nobody's but ours
	} {
		entry, posts := ledger.Post(e)
		if !posts {
			t.Fatalf("%T does not post", e)
		}
		books.Add(entry)
	}
	for _, c := range []struct {
		shop uuid.UUID
		in   money.Currency
		owed money.Minor
	}{{potter, "GBP", 1050}, {potter, "EUR", 0}, {weaver, "GBP", 2100}, {weaver, "EUR", 2100}, {uuid.Nil, "GBP", 0}} {
		if got := books.OwedTo(c.shop, c.in); got != c.owed {
			t.Errorf("%s is owed %s, want %s", c.shop, money.Format(got, c.in), money.Format(c.owed, c.in))
		}
	}
	for _, c := range []struct {
		in    money.Currency
		of    ledger.Account
		total money.Minor
	}{
		{"GBP", ledger.ShopPayable, -4200}, {"GBP", ledger.ShopReceivable, 1050}, {"EUR", ledger.ShopPayable, -2100},
		{"GBP", ledger.PayoutInTransit, 500}, {"EUR", ledger.PayoutInTransit, 0}, {"GBP", ledger.MemoAuthorised, -5520},
	} {
		if got := books.Total(c.in, c.of); got != c.total {
			t.Errorf("%s in %s: %d, want %d", c.of, c.in, got, c.total)
		}
	}
	for _, c := range []money.Currency{"GBP", "EUR"} {
		if got := books.Trial(c); got != 0 {
			t.Errorf("the trial balance in %s is %d", c, got)
		}
	}
}

// A trial balance that could not be wrong would say nothing.
func TestTrialBalanceOfAHalf(t *testing.T) {
	entry, _ := ledger.Post(captured(nil))
	books := ledger.Balances{}
	books.Add(ledger.Entry{Currency: entry.Currency, Postings: entry.Postings[:1]})
	if got := books.Trial("GBP"); got != 2701 {
		t.Errorf("with only the cash side posted the trial balance is %d, want 2701", got)
	}
}

// Books in which everything was undone are empty books.
func TestNothingIsLeftOfWhatWasUndone(t *testing.T) {
	books := ledger.Balances{}
	for _, e := range []event.Data{
		order.Authorised{Intent: "pi_1", Amount: 2760, Currency: "GBP"},
		order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP"},
	} {
		entry, _ := ledger.Post(e)
		books.Add(entry)
	}
	if len(books) != 0 {
		t.Errorf("left: %v", books)
	}
}
