package deadline_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/projections"
	"kicau/projections/deadline"
)

var (
	noon     = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	later    = noon.Add(15 * time.Minute)
	nextDay  = noon.Add(24 * time.Hour)
	nextWeek = noon.Add(7 * 24 * time.Hour)

	bought = uuid.UUID{0: 4}
	mugs   = uuid.UUID{0: 2}
	tea    = uuid.UUID{0: 3}
)

// of names the offer whose stream an event stands in.
type of struct {
	offer uuid.UUID
	event.Data
}

// row is what events make of the row of the order.
func row(t *testing.T, events []event.Data) (r deadline.Row) {
	t.Helper()
	for _, d := range events {
		e := event.Event{Recorded: event.Recorded{Stream: order.Stream(bought)}, Meta: event.Meta{OccurredAt: noon}, Body: d}
		if o, ok := d.(of); ok {
			e.Stream, e.Body = offer.Stream(o.offer), o.Data
		}
		keys := deadline.Projection.Keys(e)
		if len(keys) != 1 || keys[0] != bought.String() {
			t.Fatalf("%s touches %v", d.EventType(), keys)
		}
		r = deadline.Projection.Fold(r, keys[0], e)
	}
	return r
}

// What an order waits for. Rows of the table: what happened, then what is due.
func TestDue(t *testing.T) {
	var (
		heldMugs  = of{mugs, offer.StockHeld{Order: bought, Quantity: 1, ExpiresAt: later}}
		heldTea   = of{tea, offer.StockHeld{Order: bought, Quantity: 1, ExpiresAt: later}}
		freeMugs  = of{mugs, offer.StockReleased{Order: bought, Quantity: 1}}
		freeTea   = of{tea, offer.StockReleased{Order: bought, Quantity: 1}}
		abandoned = order.Expired{Cause: order.Abandoned}

		placed    = order.Placed{Processor: order.Stripe, Destination: "acct_shop", StockHeldUntil: later}
		settledBy = order.Placed{Processor: order.Stripe, StockHeldUntil: later} // others settle with the shop
		outside   = order.Placed{Processor: "paypal", Destination: "acct_shop", StockHeldUntil: later}

		asked    = order.AuthorisationRequested{}
		unknown  = order.OutcomeUnknown{RetryAt: nextDay}
		action   = order.ActionRequired{Action: "card"}
		paid     = order.Authorised{ExpiresAt: &nextWeek}
		paidOpen = order.Authorised{} // the processor says no end
		shipped  = order.Shipped{}
		captured = order.Captured{SettleAfter: nextDay, Allocation: order.Allocation{Goods: 1000, Shipping: 100, Fee: 100}}
		allFee   = order.Captured{SettleAfter: nextDay, Allocation: order.Allocation{Goods: 1000, Fee: 1000}}
		paidKept = order.Authorised{Intent: "pi_1", Customer: "cus_1", ExpiresAt: &nextWeek}
		weekOn   = nextWeek.AddDate(0, 0, 7)
		renewed  = order.Authorised{Intent: "pi_2", Customer: "cus_1", ExpiresAt: &weekOn}
		early    = order.Captured{SettleAfter: nextDay, Amount: 1000, Unearned: 1000}

		over          = []event.Data{heldMugs, placed, paid, order.Cancelled{}}
		sendBack      = order.RefundAgreed{Refund: tea, Unearned: 1000}
		bouncedBack   = order.RefundFailed{Refund: tea, Unearned: 1000, RetryAt: &nextDay}
		releasedLater = order.Released{Payable: 1000, Reserved: 100, ReserveUntil: &weekOn}
		released      = order.Released{Payable: 1000, Reserved: 100, ReserveUntil: &nextWeek}
		nine          = order.Settled{Amount: 900, Available: 900}
		disputed      = order.DisputeOpened{Dispute: "dp_1", EvidenceDue: &nextWeek}
		held          = order.DisputeWithdrawn{Dispute: "dp_1", Taken: order.Taken{FromPayable: 1000}}
		back          = order.Refunded{Taken: order.Taken{FromPayable: 1000}}
		back400       = order.Refunded{Taken: order.Taken{FromPayable: 400}}
		owesUs        = order.Refunded{Taken: order.Taken{FromReceivable: 1000}}
		settled       = order.Settled{Amount: 1000, Payable: 1000}
		bounced       = order.SettlementFailed{RetryAt: nextWeek}
	)
	openCall := noon.Add(deadline.OpenCall)
	toWarn, toRenew := nextWeek.Add(-payment.ExpiryWarning), nextWeek.Add(-payment.RenewalMargin)
	answerBy := nextWeek.Add(-order.EvidenceMargin)
	unshipped := nextWeek.Add(-order.AuthorisationMargin)
	none := time.Time{}
	sent := []event.Data{heldMugs, placed, asked, paid, shipped}
	for name, c := range map[string]struct {
		events []event.Data
		due    time.Time
		kind   deadline.Kind
	}{
		// Before there is an order.
		"stock is held":                       {[]event.Data{heldMugs}, later, deadline.Hold},
		"and released":                        {[]event.Data{heldMugs, freeMugs}, none, deadline.None},
		"of two offers, one is released":      {[]event.Data{heldMugs, heldTea, freeTea}, later, deadline.Hold},
		"of two offers, both are released":    {[]event.Data{heldMugs, heldTea, freeMugs, freeTea}, none, deadline.None},
		"the order was closed before it came": {[]event.Data{heldMugs, abandoned}, later, deadline.Hold},
		"closed, and released":                {[]event.Data{heldMugs, abandoned, freeMugs}, none, deadline.None},
		"held after it was closed":            {[]event.Data{abandoned, heldMugs}, later, deadline.Hold},

		// Unpaid.
		"placed":              {[]event.Data{heldMugs, placed}, later, deadline.Hold},
		"placed without hold": {[]event.Data{placed}, later, deadline.Hold},
		"asked":               {[]event.Data{placed, asked}, openCall, deadline.Call},
		"unknown":             {[]event.Data{placed, asked, unknown}, nextDay, deadline.Call},
		"the buyer has to act": {
			[]event.Data{placed, asked, action}, later, deadline.Hold},
		"declined":            {[]event.Data{placed, asked, order.Declined{}}, none, deadline.None},
		"expired":             {[]event.Data{placed, order.Expired{}}, none, deadline.None},
		"cancelled, and open": {[]event.Data{placed, asked, order.Cancelled{}}, openCall, deadline.Call},

		// Paid.
		"authorised":        {[]event.Data{placed, asked, paid}, toWarn, deadline.Warning},
		"warned of its end": {[]event.Data{placed, asked, paid, order.Expiring{}}, unshipped, deadline.Unshipped},
		"the card is kept":  {[]event.Data{placed, asked, paidKept, order.Expiring{}}, toRenew, deadline.Renewal},
		"renewed in vain":   {[]event.Data{placed, asked, paidKept, order.Expiring{}, asked, order.Declined{Intent: "pi_2"}}, unshipped, deadline.Unshipped},
		"renewed, the old one is voided": {[]event.Data{placed, asked, paidKept, order.Expiring{}, asked, renewed, order.VoidRequested{}, order.Voided{Intent: "pi_1"}},
			toWarn.AddDate(0, 0, 7), deadline.Warning},
		"another card may be tried": {[]event.Data{placed, asked, order.Declined{Intent: "pi_1", Next: order.OtherCard}}, later, deadline.Hold},
		"another card was given":    {[]event.Data{placed, asked, order.Declined{Intent: "pi_1", Next: order.OtherCard}, order.MethodGiven{}}, openCall, deadline.Call},
		"taken before the shipment": {[]event.Data{placed, asked, paid, early}, nextDay.Add(order.TakenLimit), deadline.Unshipped},
		"taken before, and shipped": {[]event.Data{placed, asked, paid, early, shipped, order.Earned{SettleAfter: nextWeek, Allocation: captured.Allocation}}, nextWeek, deadline.Settlement},
		"authorised without end":    {[]event.Data{placed, asked, paidOpen}, none, deadline.None},
		"authorised, then cancelled": {
			[]event.Data{placed, asked, paid, order.Cancelled{}}, openCall, deadline.Call},
		"to be voided":           {[]event.Data{placed, asked, paid, order.Cancelled{}, order.VoidRequested{}}, openCall, deadline.Call},
		"voided":                 {[]event.Data{placed, asked, paid, order.Cancelled{}, order.VoidRequested{}, order.Voided{}}, none, deadline.None},
		"paid outside":           {[]event.Data{heldMugs, outside, paidOpen}, none, deadline.None},
		"paid outside, captured": {[]event.Data{outside, paidOpen, shipped, captured}, none, deadline.None},

		// Shipped.
		"shipped":        {sent, openCall, deadline.Call},
		"to be refunded": {append(sent, captured, order.RefundAgreed{}), openCall, deadline.Call},
		"to be captured": {append(sent, order.CaptureRequested{}), openCall, deadline.Call},
		"not captured":   {append(sent, order.CaptureRequested{}, order.CaptureFailed{}), none, deadline.None},
		"captured":       {append(sent, order.CaptureRequested{}, captured), nextDay, deadline.Settlement},
		"captured, nobody to settle with": {
			[]event.Data{settledBy, asked, paid, shipped, order.CaptureRequested{}, captured}, none, deadline.None},
		"captured, all of it fee":        {append(sent, order.CaptureRequested{}, allFee), none, deadline.None},
		"captured, a part given back":    {append(sent, captured, order.RefundRequested{}, back400), nextDay, deadline.Settlement},
		"captured, all of it given back": {append(sent, captured, order.RefundRequested{}, back), none, deadline.None},
		"a refund is open":               {append(sent, captured, order.RefundRequested{}), openCall, deadline.Call},
		"a refund failed":                {append(sent, captured, order.RefundRequested{}, order.RefundFailed{}), nextDay, deadline.Settlement},
		"to be settled":                  {append(sent, captured, order.SettlementRequested{}), openCall, deadline.Call},
		"settled":                        {append(sent, captured, order.SettlementRequested{}, settled), none, deadline.None},
		"settled, then given back":       {append(sent, captured, settled, order.RefundRequested{}, owesUs), none, deadline.None},
		"the settlement bounced":         {append(sent, captured, order.SettlementRequested{}, bounced), nextWeek, deadline.Settlement},
		"and another part for longer":    {append(sent, captured, released, order.SettlementRequested{}, nine, releasedLater, nine), nextWeek, deadline.Reserve},
		"and the first was released":     {append(sent, captured, released, order.SettlementRequested{}, nine, releasedLater, nine, order.ReserveReleased{Amount: 100}, order.SettlementRequested{}, order.Settled{Available: 100}), weekOn, deadline.Reserve},
		"a part is in reserve":           {append(sent, captured, released, order.SettlementRequested{}, nine), nextWeek, deadline.Reserve},
		"the reserve is released":        {append(sent, captured, released, order.SettlementRequested{}, nine, order.ReserveReleased{Amount: 100}, order.SettlementRequested{}), openCall, deadline.Call},
		"the reserve was given back":     {append(sent, captured, released, nine, order.Refunded{Taken: order.Taken{FromReserve: 100}}), none, deadline.None},
		"to be taken back":               {append(sent, captured, settled, owesUs, order.ReversalRequested{}), openCall, deadline.Call},
		"taken back":                     {append(sent, captured, settled, owesUs, order.ReversalRequested{}, order.Reversed{}), none, deadline.None},
		"could not be taken back":        {append(sent, captured, settled, owesUs, order.ReversalRequested{}, order.DebtCarried{}), none, deadline.None},
		"disputed":                       {append(sent, captured, disputed, held), answerBy, deadline.Evidence},
		"to be answered":                 {append(sent, captured, disputed, held, order.DisputeAnswered{Dispute: "dp_1"}), openCall, deadline.Call},
		"answered":                       {append(sent, captured, disputed, held, order.ContestRequested{}, order.Contested{Dispute: "dp_1"}), none, deadline.None},
		"won":                            {append(sent, captured, disputed, held, order.DisputeReinstated{Restored: order.Restored{ToPayable: 1000}}, order.DisputeClosed{Dispute: "dp_1"}), nextDay, deadline.Settlement},
		"lost":                           {append(sent, captured, disputed, held, order.DisputeClosed{Dispute: "dp_1"}), none, deadline.None},
		"paid back while it is taken back from the shop": {
			append(sent, captured, settled, order.RefundPending{Refund: mugs}, order.ReversalRequested{Transfer: "tr_1"}, order.Refunded{Refund: mugs, WasPending: true}), openCall, deadline.Call},
		"another refund paid while one is open": {
			append(sent, captured, order.RefundRequested{Refund: tea}, order.Refunded{Refund: mugs, WasPending: true}), openCall, deadline.Call},
		"decided while it is taken back from the shop": {
			append(sent, captured, settled, disputed, held, order.ReversalRequested{}, order.DisputeClosed{Dispute: "dp_1"}), openCall, deadline.Call},
		"a refund came back": {append(sent, captured, settled, owesUs, order.RefundReturned{Restored: order.Restored{ToPayable: 400}}), nextDay, deadline.Settlement},
		"captured when it was over, and not taken back by the buyer's bank": {
			append(over, early, sendBack, order.RefundRequested{Refund: tea}, bouncedBack), nextDay, deadline.Return},
		"and sent again": {append(over, early, sendBack, bouncedBack, sendBack), openCall, deadline.Call},
		"and a part of it was given by hand": {
			append(over, early, sendBack, bouncedBack, order.RefundAgreed{Refund: mugs, Unearned: 400}, order.Refunded{Refund: mugs}), nextDay, deadline.Return},
		"and left to people": {
			append(over, early, sendBack, bouncedBack, sendBack, order.RefundFailed{Refund: tea, Unearned: 1000}), none, deadline.None},
		"and taken by a dispute": {
			append(over, early, sendBack, bouncedBack, order.DisputeReallocated{Dispute: "dp_1", Unearned: 1000}), none, deadline.None},
		"bounced, then given back": {
			append(sent, captured, order.SettlementRequested{}, bounced, order.RefundRequested{}, back), none, deadline.None},
	} {
		t.Run(name, func(t *testing.T) {
			r := row(t, c.events)
			want := ""
			if !c.due.IsZero() {
				want = projections.Time(c.due)
			}
			if r.Due != want || r.Kind != c.kind {
				t.Errorf("due %q (%s), want %q (%s)", r.Due, r.Kind, want, c.kind)
			}
			if r.Order != bought.String() {
				t.Errorf("the row is of order %q", r.Order)
			}
		})
	}
}

// Whose stock is held can be said while it is.
func TestOffersHeld(t *testing.T) {
	r := row(t, []event.Data{of{mugs, offer.StockHeld{Order: bought}}, of{tea, offer.StockHeld{Order: bought}}, of{mugs, offer.StockReleased{Order: bought}}})
	if len(r.Offers) != 1 || r.Offers[0] != tea {
		t.Errorf("held of %v, want tea", r.Offers)
	}
}
