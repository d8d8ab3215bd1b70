package sim

import (
	"encoding/json"

	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/shop"
)

func init() {
	// Every fault that can be planned is a situation, too.
	seen := map[fault]bool{}
	for _, faults := range append(faultsAt[:], []fault{outageBefore, outageAfter}) {
		for _, f := range faults {
			if !seen[f] {
				seen[f] = true
				Situations = append(Situations, string(f))
			}
		}
	}
}

func decode(rec event.Recorded) (event.Event, error) { return domain.Events.Decode(rec) }

// told is an event in the run's story.
func told(e event.Event) string {
	data, _ := json.Marshal(e.Body)
	if len(data) > 300 {
		data = append(data[:300], "…"...)
	}
	return e.Type + " " + string(data)
}

// Situations are what runs get into, by the words of [Result.Reached]: what a
// few hundred seeds have to reach, or they are not worth much.
var Situations = []string{
	"several sagas on one account", "webhooks switched off", "a sweep found what webhooks missed", "an append met a conflict",
	"a call was looked up", "an outcome was unknown: authorise", "an outcome was unknown: void", "an outcome was unknown: capture",
	"an outcome was unknown: refund", "an outcome was unknown: settle", "an outcome was unknown: reverse", "an outcome was unknown: contest",
	"an outcome was unknown: accept", "a call failed: key-expired", "a call failed: balance_insufficient",
	"a card was declined", "a declined order was paid after all", "a buyer had to act: card", "a buyer had to act: authenticate",
	"an authorisation was renewed", "a renewal was declined", "a replaced intent was given up", "an authorisation lapsed",
	"cancelled before the authorisation", "cancelled after the authorisation", "an order expired: unpaid", "an order expired: unshipped",
	"an order expired: abandoned", "paid outside", "an offer was withdrawn", "fees were changed", "shipped in part", "captured by hand", "cancelled by hand", "refunded by hand", "captured elsewhere",
	"a capture failed", "a refund was refused", "a refund came back", "a pending refund was paid", "refunded after the settlement",
	"refunded at the processor", "a credit was paid", "a reserve was kept", "a reserve was released", "a transfer was reversed", "a transfer was refused",
	"a debt was carried", "a debt was netted", "a debt was written off", "a fraud warning", "an inquiry", "an inquiry escalated",
	"several disputes of a payment", "a dispute was answered", "a dispute was conceded", "a dispute ended: won", "a dispute ended: lost",
	"a dispute ended: withdrawn", "a dispute was lost after the settlement",
}

// reach counts what a run is for: situations in which something can go wrong.
func (w *world) reach(e event.Event) {
	id, _ := orderOf(e.Stream)
	s := w.oracle.Order(id) // after the event
	switch b := e.Body.(type) {
	case order.OutcomeUnknown:
		w.sometimes("an outcome was unknown: " + string(b.Step))
	case offer.Withdrawn:
		w.sometimes("an offer was withdrawn")
	case shop.FeesChanged:
		w.sometimes("fees were changed")
	case order.Authorised:
		if s.Placed.Outside() {
			w.sometimes("paid outside")
		}
		if s.Payment.Renewals > 0 {
			w.sometimes("an authorisation was renewed")
		}
		if s.Payment.Declines > 0 {
			w.sometimes("a declined order was paid after all")
		}
	case order.Declined:
		if s.Payment.Unrenewed {
			w.sometimes("a renewal was declined")
		}
		w.sometimes("a card was declined")
	case order.ActionRequired:
		w.sometimes("a buyer had to act: " + b.Action)
	case order.Expired:
		w.sometimes("an order expired: " + b.Cause)
	case order.Cancelled:
		if s.Payment.Authorised > 0 {
			w.sometimes("cancelled after the authorisation")
		} else {
			w.sometimes("cancelled before the authorisation")
		}
	case order.Shipped:
		if len(b.Rest) > 0 {
			w.sometimes("shipped in part")
		}
	case order.Voided:
		if b.Cause == "lapsed" {
			w.sometimes("an authorisation lapsed")
		}
		if s.Payment.Intent != b.Intent {
			w.sometimes("a replaced intent was given up")
		}
	case order.Captured:
		if b.Unearned > 0 {
			w.sometimes("captured elsewhere")
		}
	case order.CaptureFailed:
		w.sometimes("a capture failed")
	case order.Refunded:
		if b.WasPending {
			w.sometimes("a pending refund was paid")
		}
		if b.FromReceivable > 0 {
			w.sometimes("refunded after the settlement")
		}
		if r := s.Refund(b.Refund); r != nil && r.Reason == "given at the processor" {
			w.sometimes("refunded at the processor")
		}
	case order.RefundFailed:
		w.sometimes("a refund was refused")
	case order.RefundReturned:
		w.sometimes("a refund came back")
	case order.Released:
		switch {
		case b.Debt > 0:
			w.sometimes("a debt was netted")
		case b.Debt < 0:
			w.sometimes("a credit was paid")
		}
		if b.Debt > b.Netted {
			w.sometimes("a release could not pay all that was given up for it")
		}
		if b.Reserved > 0 {
			w.sometimes("a reserve was kept")
		}
	case order.ReserveReleased:
		w.sometimes("a reserve was released")
	case order.Reversed:
		w.sometimes("a transfer was reversed")
	case order.DebtCarried:
		w.sometimes("a debt was carried")
	case order.FraudWarned:
		w.sometimes("a fraud warning")
	case order.DisputeOpened:
		if b.Inquiry {
			w.sometimes("an inquiry")
		}
		if len(s.Disputes) > 1 {
			w.sometimes("several disputes of a payment")
		}
	case order.DisputeEscalated:
		w.sometimes("an inquiry escalated")
	case order.DisputeReallocated:
		w.sometimes("a dispute took what a refund or another dispute gave up")
	case order.Contested:
		w.sometimes("a dispute was answered")
	case order.DisputeConceded:
		w.sometimes("a dispute was conceded")
	case order.DisputeClosed:
		w.sometimes("a dispute ended: " + string(b.Result))
		if b.Result == order.Lost && len(s.Payment.Transfers) > 0 {
			w.sometimes("a dispute was lost after the settlement")
		}
	case order.SettlementFailed:
		w.sometimes("a transfer was refused")
	case shop.DebtWrittenOff:
		w.sometimes("a debt was written off")
	}
}
