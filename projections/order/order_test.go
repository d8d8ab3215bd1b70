package order_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	view "kicau/projections/order"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	bought = uuid.UUID{0: 4}
	potter = uuid.UUID{0: 1}
	ann    = uuid.UUID{0: 9}
	mugs   = uuid.UUID{0: 2}
	first  = uuid.UUID{0: 7}
	second = uuid.UUID{0: 8}
)

// row is what events of the order make of its row, each a minute after the one
// before.
func row(events ...event.Data) (r view.Row) {
	for i, d := range events {
		e := event.Event{Recorded: event.Recorded{Stream: order.Stream(bought)}, Meta: event.Meta{OccurredAt: noon.Add(time.Duration(i) * time.Minute)}, Body: d}
		for _, key := range view.Projection.Keys(e) {
			r = view.Projection.Fold(r, key, e)
		}
	}
	return r
}

func of(goods, shipping, tax, fee money.Minor) order.Allocation {
	return order.Allocation{Goods: goods, Shipping: shipping, Tax: tax, Fee: fee}
}

// The life of an order, event by event.
var (
	placed = order.Placed{Order: bought, Shop: potter, Buyer: ann, Currency: "GBP", Processor: order.Stripe, Reference: "A-17",
		Lines:      []order.Line{{No: 1, Offer: mugs, Title: "Mug", Quantity: 3, UnitPrice: 1000}},
		Allocation: of(3000, 350, 670, 270)}
	asked      = order.AuthorisationRequested{}
	unknown    = order.OutcomeUnknown{Step: order.Authorise}
	action     = order.ActionRequired{Intent: "pi_1", Action: "authenticate"}
	authorised = order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 4020, Brand: "visa", Last4: "4242"}
	declined   = order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}
	again      = order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds", Next: order.OtherCard}
	until      = order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 4020, ExpiresAt: &noon}
	cancelled  = order.Cancelled{}
	expired    = order.Expired{Cause: order.Unpaid}
	shipped    = order.Shipped{Units: []order.Units{{Line: 1, Quantity: 2}}, Carrier: "post", Tracking: "T1"}
	captured   = order.Captured{Charge: "ch_1", Amount: 2680, ProcessorFee: 60}
	failed     = order.CaptureFailed{Code: "charge_expired_for_capture"}
	agreed     = order.RefundAgreed{Refund: first, Units: []order.Units{{Line: 1, Quantity: 1}}, Allocation: of(1000, 117, 223, 90)}
	refunded   = order.Refunded{Refund: first, Amount: 1340}
	refused    = order.RefundFailed{Refund: first, Code: "charge_disputed"}
	agreedRest = order.RefundAgreed{Refund: second, Allocation: of(1000, 117, 223, 90)}
	rest       = order.Refunded{Refund: second, Amount: 1340}
	settled    = order.Settled{Amount: 2054}
)

func TestPlaced(t *testing.T) {
	want := view.Row{Order: bought.String(), Reference: "A-17", Shop: potter.String(), Buyer: ann.String(), Status: view.Placed, Currency: "GBP",
		Total: 4020, Goods: 3000, Shipping: 350, Tax: 670, Fee: 270, Processor: order.Stripe,
		Lines:    []view.Line{{No: 1, Offer: mugs.String(), Title: "Mug", Quantity: 3, UnitPrice: 1000}},
		PlacedAt: "2026-11-23T12:00:00.000000000Z", UpdatedAt: "2026-11-23T12:00:00.000000000Z"}
	if d := cmp.Diff(want, row(placed)); d != "" {
		t.Errorf("other row than expected (-want +got):\n%s", d)
	}
}

// What people call the state of an order. Rows of the table: what happened, then
// what is said of it.
func TestStatus(t *testing.T) {
	for name, c := range map[string]struct {
		events  []event.Data
		status  view.Status
		problem string
	}{
		"placed":                           {[]event.Data{placed, asked}, view.Placed, ""},
		"outcome unknown":                  {[]event.Data{placed, asked, unknown}, view.Unknown, ""},
		"known in the end":                 {[]event.Data{placed, asked, unknown, authorised}, view.Authorised, ""},
		"the buyer has to act":             {[]event.Data{placed, asked, action}, view.ActionRequired, ""},
		"acted":                            {[]event.Data{placed, asked, action, authorised}, view.Authorised, ""},
		"declined":                         {[]event.Data{placed, asked, declined}, view.Declined, "insufficient_funds"},
		"declined without more":            {[]event.Data{placed, asked, order.Declined{Code: "card_declined"}}, view.Declined, "card_declined"},
		"declined, then another card":      {[]event.Data{placed, asked, again, order.MethodGiven{}, asked}, view.Placed, ""},
		"declined, then authorised":        {[]event.Data{placed, asked, again, order.MethodGiven{}, asked, authorised}, view.Authorised, ""},
		"declined, paid on the page":       {[]event.Data{placed, asked, again, authorised}, view.Authorised, ""},
		"declined, then cancelled":         {[]event.Data{placed, asked, again, cancelled}, view.Cancelled, ""},
		"declined, then expired":           {[]event.Data{placed, asked, again, expired}, view.Expired, ""},
		"not renewed":                      {[]event.Data{placed, asked, until, asked, declined}, view.Authorised, "insufficient_funds"},
		"not renewed, shipped in time":     {[]event.Data{placed, asked, until, asked, declined, shipped, captured}, view.Captured, ""},
		"captured after all":               {[]event.Data{placed, asked, authorised, shipped, failed, captured}, view.Captured, ""},
		"expired":                          {[]event.Data{placed, expired}, view.Expired, ""},
		"cancelled":                        {[]event.Data{placed, asked, authorised, cancelled}, view.Cancelled, ""},
		"cancelled, authorised too late":   {[]event.Data{placed, asked, cancelled, authorised}, view.Cancelled, ""},
		"cancelled, declined too late":     {[]event.Data{placed, asked, cancelled, declined}, view.Cancelled, "insufficient_funds"},
		"cancelled, asked to act too late": {[]event.Data{placed, asked, cancelled, action}, view.Cancelled, ""},
		"cancelled, nobody knows":          {[]event.Data{placed, asked, cancelled, unknown}, view.Cancelled, ""},
		"shipped":                          {[]event.Data{placed, asked, authorised, shipped}, view.Shipped, ""},
		"shipped, capture unknown":         {[]event.Data{placed, asked, authorised, shipped, unknown}, view.Shipped, ""},
		"captured":                         {[]event.Data{placed, asked, authorised, shipped, captured}, view.Captured, ""},
		"not captured":                     {[]event.Data{placed, asked, authorised, shipped, failed}, view.CaptureFailed, "charge_expired_for_capture"},
		"refund agreed":                    {[]event.Data{placed, asked, authorised, shipped, captured, agreed}, view.Captured, ""},
		"refunded in part":                 {[]event.Data{placed, asked, authorised, shipped, captured, agreed, refunded}, view.PartRefunded, ""},
		"refunded whole":                   {[]event.Data{placed, asked, authorised, shipped, captured, agreed, refunded, agreedRest, rest}, view.Refunded, ""},
		"not refunded":                     {[]event.Data{placed, asked, authorised, shipped, captured, agreed, refused}, view.Captured, "charge_disputed"},
		"settled":                          {[]event.Data{placed, asked, authorised, shipped, captured, settled}, view.Settled, ""},
		"refunded in part, then settled":   {[]event.Data{placed, asked, authorised, shipped, captured, agreed, refunded, settled}, view.PartRefunded, ""},
		"settled, then refunded in part":   {[]event.Data{placed, asked, authorised, shipped, captured, settled, agreed, refunded}, view.PartRefunded, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := row(c.events...)
			if r.Status != c.status || r.Problem != c.problem {
				t.Errorf("%q (%s), want %q (%s)", r.Status, r.Problem, c.status, c.problem)
			}
			if (r.Action != "") != (c.status == view.ActionRequired) {
				t.Errorf("the buyer is asked to %q", r.Action)
			}
		})
	}
}

// The money of an order. Columns: authorised, captured, refunded, settled, and
// the units of its line that were shipped and returned.
func TestMoneyAndUnits(t *testing.T) {
	sent := []event.Data{placed, asked, authorised, shipped, captured}
	for name, c := range map[string]struct {
		events                                  []event.Data
		authorised, captured, refunded, settled money.Minor
		shipped, returned                       int64
	}{
		"authorised":          {sent[:3], 4020, 0, 0, 0, 0, 0},
		"shipped":             {sent[:4], 4020, 0, 0, 0, 2, 0},
		"captured":            {sent, 4020, 2680, 0, 0, 2, 0},
		"refund agreed":       {append(sent, agreed), 4020, 2680, 0, 0, 2, 1},
		"refunded":            {append(sent, agreed, refunded), 4020, 2680, 1340, 0, 2, 1},
		"refund failed":       {append(sent, agreed, refused), 4020, 2680, 0, 0, 2, 0},
		"one failed, one not": {append(sent, agreed, agreedRest, refused, rest), 4020, 2680, 1340, 0, 2, 0},
		"settled":             {append(sent, settled), 4020, 2680, 0, 2054, 2, 0},
		"settled twice":       {append(sent, settled, order.Settled{Amount: 1}), 4020, 2680, 0, 2055, 2, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := row(c.events...)
			if r.Authorised != c.authorised || r.Captured != c.captured || r.Refunded != c.refunded || r.Settled != c.settled {
				t.Errorf("authorised %d, captured %d, refunded %d, settled %d", r.Authorised, r.Captured, r.Refunded, r.Settled)
			}
			if l := r.Lines[0]; l.Shipped != c.shipped || l.Returned != c.returned {
				t.Errorf("shipped %d, returned %d; want %d and %d", l.Shipped, l.Returned, c.shipped, c.returned)
			}
		})
	}
}

func TestRefunds(t *testing.T) {
	r := row(placed, asked, authorised, shipped, captured, agreed, agreedRest, refused, rest)
	want := []view.Refund{
		{Refund: first, Status: order.Refused, Amount: 1340, Units: []order.Units{{Line: 1, Quantity: 1}}, Code: "charge_disputed"},
		{Refund: second, Status: order.Given, Amount: 1340},
	}
	if d := cmp.Diff(want, r.Refunds); d != "" {
		t.Errorf("other refunds than expected (-want +got):\n%s", d)
	}
	r = row(placed, asked, authorised, shipped, captured, agreedRest, rest, order.RefundReturned{Refund: second, Amount: 1340, Code: "lost_or_stolen_card"})
	want = []view.Refund{{Refund: second, Status: order.Refused, Amount: 1340, Code: "lost_or_stolen_card", Returned: true}}
	if d := cmp.Diff(want, r.Refunds); d != "" || r.Refunded != 0 {
		t.Errorf("%d refunded, other refunds than expected (-want +got):\n%s", r.Refunded, d)
	}
	defer func() {
		if recover() == nil {
			t.Error("a refund that was never agreed was folded")
		}
	}()
	row(placed, refunded)
}

// A transfer that failed is told until one is made, or none is due.
func TestAFailedTransfer(t *testing.T) {
	refusedTransfer := order.SettlementFailed{Code: "resource_missing", Reason: "No such destination", RetryAt: noon}
	sent := []event.Data{placed, asked, authorised, shipped, captured, refusedTransfer}
	want := &view.Transfer{Code: "resource_missing", Reason: "No such destination", RetryAt: "2026-11-23T12:00:00.000000000Z"}
	if r := row(append(sent, agreed, refunded)...); !cmp.Equal(r.Unpaid, want) {
		t.Errorf("got %+v", r.Unpaid)
	}
	for name, after := range map[string][]event.Data{"made in the end": {settled}, "refunded whole": {agreed, refunded, agreedRest, rest}} {
		if r := row(append(sent, after...)...); r.Unpaid != nil {
			t.Errorf("%s: got %+v", name, r.Unpaid)
		}
	}
}

func TestWhatIsShown(t *testing.T) {
	r := row(placed, asked, authorised, shipped, captured)
	if r.Card != "visa •••• 4242" || r.Carrier != "post" || r.Tracking != "T1" || r.Intent != "pi_1" || r.Charge != "ch_1" || r.ProcessorFee != 60 {
		t.Errorf("got %+v", r)
	}
	if r.PlacedAt != "2026-11-23T12:00:00.000000000Z" || r.UpdatedAt != "2026-11-23T12:04:00.000000000Z" {
		t.Errorf("placed at %s, updated at %s", r.PlacedAt, r.UpdatedAt)
	}
	if r := row(placed, asked, declined); r.Intent != "pi_1" {
		t.Errorf("the intent of a declined order is %q", r.Intent)
	}
}

func TestAnOrderThatNeverWas(t *testing.T) {
	e := event.Event{Recorded: event.Recorded{Stream: order.Stream(bought)}, Body: order.Expired{Cause: order.Abandoned}}
	if keys := view.Projection.Keys(e); len(keys) != 0 {
		t.Errorf("it has the rows %v", keys)
	}
}

// A refund that failed is no problem any more once another was given; nor is evidence
// that was not taken, once the bank has decided.
func TestAProblemThatIsOver(t *testing.T) {
	third := uuid.New()
	again := order.RefundAgreed{Refund: third, Allocation: agreed.Allocation, Units: agreed.Units}
	if r := row(placed, asked, authorised, shipped, captured, agreed, refused, again, order.Refunded{Refund: third, Amount: 1340}); r.Problem != "" {
		t.Errorf("problem %q, status %s", r.Problem, r.Status)
	}
	if r := row(placed, asked, authorised, shipped, captured, agreed, refused, again); r.Problem == "" {
		t.Error("a refund that failed is no problem")
	}
	disputed := []event.Data{placed, asked, authorised, shipped, captured, order.DisputeOpened{Dispute: "dp_1"}, order.ContestFailed{Dispute: "dp_1", Code: "too-late"}}
	if r := row(disputed...); r.Problem != "too-late" {
		t.Errorf("problem %q", r.Problem)
	}
	if r := row(append(disputed, order.DisputeClosed{Dispute: "dp_1", Result: order.Lost})...); r.Problem != "" {
		t.Errorf("problem %q", r.Problem)
	}
}
