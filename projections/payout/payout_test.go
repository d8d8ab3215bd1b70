package payout_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kicau/domain/event"
	"kicau/domain/payout"
	view "kicau/projections/payout"
)

func TestAPayoutAsItGoes(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	potter := event.NameID("shop", "potter")
	sent := payout.Sent{Payout: "po_1", Account: "acct_shop", Shop: potter, Currency: "GBP", Amount: 1800, SentAt: noon, ArrivesOn: noon.Add(48 * time.Hour), Automatic: true}
	want := view.Row{Payout: "po_1", Account: "acct_shop", Shop: potter.String(), Currency: "GBP", Amount: 1800, Status: payout.OnItsWay,
		SentAt: "2026-11-23T12:00:00.000000000Z", ArrivesOn: "2026-11-25T12:00:00.000000000Z", Automatic: true}
	var row view.Row
	shows := func(b event.Data, change func()) {
		t.Helper()
		change()
		e := event.Event{Body: b, Meta: event.Meta{OccurredAt: noon.Add(time.Hour)}}
		if keys := view.Projection.Keys(e); len(keys) != 1 || keys[0] != "po_1" {
			t.Errorf("%s touches %v", b.EventType(), keys)
		}
		row = view.Projection.Fold(row, "po_1", e)
		if d := cmp.Diff(want, row); d != "" {
			t.Errorf("after %s: %s", b.EventType(), d)
		}
	}
	shows(sent, func() {})
	shows(payout.Paid{Payout: "po_1"}, func() { want.Status = payout.Arrived })
	shows(payout.Failed{Payout: "po_1", Code: "account_closed", WasPaid: true}, func() {
		want.Status, want.Code, want.WasPaid = payout.Returned, "account_closed", true
	})

	// The platform's own; and of an old event that says not when it was sent.
	row, want = view.Row{}, view.Row{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 5, Status: payout.OnItsWay,
		SentAt: "2026-11-23T13:00:00.000000000Z", ArrivesOn: "2026-11-25T12:00:00.000000000Z"}
	shows(payout.Sent{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 5, ArrivesOn: noon.Add(48 * time.Hour)}, func() {})
}
