package payout_test

import (
	"testing"
	"time"

	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/payout"
)

var (
	sent  = payout.Sent{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 100000, ArrivesOn: time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), Transaction: "txn_1", Automatic: true}
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
