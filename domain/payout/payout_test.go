package payout_test

import (
	"testing"
	"time"

	"kicau/domain/decider"
	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/payout"
)

var (
	sent  = payout.Sent{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 100000, SentAt: time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC), ArrivesOn: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), Transaction: "txn_1", Automatic: true}
	paid  = payout.Paid{Payout: "po_1", Currency: "GBP", Amount: 100000}
	shows = func(s payout.Status) payout.Observe { return payout.Observe{Sent: sent, Status: s} }
	bad   = payout.Observe{Sent: sent, Status: payout.Returned, Code: "account_closed", Returned: "txn_2"}
	back  = payout.Failed{Payout: "po_1", Currency: "GBP", Amount: 100000, Transaction: "txn_2", Code: "account_closed"}
)

func TestPayout(t *testing.T) {
	story := func(given ...event.Data) *decidertest.Story[payout.State, payout.Observe] {
		return decidertest.For(t, payout.Decider).Given(given...)
	}
	story().When(shows(payout.OnItsWay)).Then(sent)
	story(sent).When(shows(payout.Arrived)).Then(paid)
	story().When(shows(payout.Arrived)).Then(sent, paid) // heard of late
	story(sent).When(bad).Then(back)
	story(sent, back).When(shows(payout.Arrived)).ThenNothing()

	// The bank may send back what was said to have arrived.
	afterAll := back
	afterAll.WasPaid = true
	story(sent, paid).When(bad).Then(afterAll)
	story(sent, paid).When(shows(payout.OnItsWay)).ThenNothing() // old news

	other := shows(payout.Arrived)
	other.Sent.Amount = 99999
	story(sent).When(other).ThenRefused(payout.ErrOtherPayout)
}

// A shop's payout stays that shop's, whoever is said to have the account later:
// what was not ours to send does not arrive at our bank.
func TestAPayoutOfAShop(t *testing.T) {
	hers, next, nobodys := bad, bad, bad
	hers.Sent.Shop, next.Sent.Shop = event.NameID("shop", "potter"), event.NameID("shop", "baker")
	arrives := nobodys
	arrives.Status, arrives.Code, arrives.Returned = payout.Arrived, "", ""
	arrived, returned := paid, back
	arrived.Shop, returned.Shop = hers.Sent.Shop, hers.Sent.Shop
	story := func(given ...event.Data) *decidertest.Story[payout.State, payout.Observe] {
		return decidertest.For(t, payout.Decider).Given(given...)
	}
	story().When(hers).Then(hers.Sent, returned)
	story(hers.Sent).When(hers).Then(returned)
	story(hers.Sent).When(next).Then(returned)
	story(hers.Sent).When(nobodys).Then(returned)
	story(hers.Sent).When(arrives).Then(arrived)
	returned.WasPaid = true
	story(hers.Sent, arrived).When(hers).Then(returned)
	story(hers.Sent, arrived, returned).When(hers).ThenNothing()
}

// A payout that arrived may come back for a while; until then it is looked at.
func TestAPayoutIsOver(t *testing.T) {
	late := sent.ArrivesOn.Add(payout.ReturnsWithin)
	for _, c := range []struct {
		name  string
		given []event.Data
		at    time.Time
		over  bool
	}{
		{"on its way", []event.Data{sent}, late.Add(time.Hour), false},
		{"arrived", []event.Data{sent, paid}, late, false},
		{"arrived long ago", []event.Data{sent, paid}, late.Add(1), true},
		{"came back", []event.Data{sent, back}, sent.SentAt, true},
	} {
		if got := decider.Fold(payout.Decider, c.given...).Over(c.at); got != c.over {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
