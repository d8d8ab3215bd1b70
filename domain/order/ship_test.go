package order_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/privacy"
)

// Not paid: whatever the processor is being asked, nothing is shipped.

func TestPlaced(t *testing.T) {
	tell(t, given(), []story{
		{"ship", shipAll, nil, order.ErrNotPaid},
		{"ship in part", order.Ship{At: noon, Units: units(1, 1)}, nil, order.ErrNotPaid},
		{"cancel", cancel, cancelled, nil},
		{"cancel without a reason", order.Cancel{At: noon}, order.Cancelled{}, nil},
		{"cancel with a card number", order.Cancel{At: noon, Reason: card}, nil, privacy.ErrCardNumber},
		{"refund", giveAll, nil, order.ErrNotCaptured},
		{"expire early", tooEarly, nil, nil},
		{"expire a nanosecond early", order.Expire{At: heldUntil.Add(-1)}, nil, nil},
		{"expire when the hold ends", unpaid, order.Expired{Cause: order.Unpaid}, nil},
		{"expire much later", muchLater, order.Expired{Cause: order.Unpaid}, nil},
	})
}

func TestAuthorisationRequested(t *testing.T) {
	for name, so := range map[string][]event.Data{"asked": given(asked), "unknown": given(asked, unknown)} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"ship", shipAll, nil, order.ErrNotPaid},
				{"cancel", cancel, cancelled, nil},
				{"refund", giveAll, nil, order.ErrNotCaptured},
				{"expire when the hold ends: the outcome comes first", unpaid, nil, nil},
				{"expire much later: the outcome comes first", muchLater, nil, nil},
			})
		})
	}
}

func TestActionRequired(t *testing.T) {
	tell(t, given(asked, action), []story{
		{"ship", shipAll, nil, order.ErrNotPaid},
		{"cancel", cancel, cancelled, nil},
		{"refund", giveAll, nil, order.ErrNotCaptured},
		{"expire early", tooEarly, nil, nil},
		{"expire when the hold ends", unpaid, order.Expired{Cause: order.Unpaid}, nil},
	})
}

// Paid: it may be shipped, once.

func TestAuthorised(t *testing.T) {
	tell(t, paid(), []story{
		{"ship", shipAll, shippedAll, nil},
		{"ship with a carrier", order.Ship{At: noon, Carrier: "post", Tracking: "RM1"}, order.Shipped{
			Units: shippedAll.Units, Offers: shippedAll.Offers, Carrier: "post", Tracking: "RM1", Allocation: shippedAll.Allocation}, nil},
		{"ship all by name, in any order", order.Ship{At: noon, Units: units(2, 1, 1, 3)}, shippedAll, nil},
		{"ship in part", order.Ship{At: noon, Units: units(1, 2)}, order.Shipped{
			Units: units(1, 2), Rest: units(1, 1, 2, 1), Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}},
			Allocation: of(2000, 200, 440, 191)}, nil},
		{"ship the other part", order.Ship{At: noon, Units: units(2, 1)}, order.Shipped{
			Units: units(2, 1), Rest: units(1, 3), Offers: []order.OfferUnits{{Offer: tea, Quantity: 1}},
			Allocation: of(500, 50, 110, 48)}, nil},
		{"ship a line that is not there", order.Ship{At: noon, Units: units(3, 1)}, nil, order.ErrNoSuchLine},
		{"ship line 0", order.Ship{At: noon, Units: units(0, 1)}, nil, order.ErrNoSuchLine},
		{"ship a line twice", order.Ship{At: noon, Units: units(1, 1, 1, 1)}, nil, order.ErrNoSuchLine},
		{"ship nothing of a line", order.Ship{At: noon, Units: units(1, 0)}, nil, order.ErrQuantity},
		{"ship less than nothing", order.Ship{At: noon, Units: units(1, -1)}, nil, order.ErrQuantity},
		{"ship more than was ordered", order.Ship{At: noon, Units: units(1, 4)}, nil, order.ErrMoreThanBought},
		{"ship with a book as carrier", order.Ship{At: noon, Carrier: strings.Repeat("x", order.MaxText+1)}, nil, order.ErrTextTooLong},
		{"ship with a book as tracking", order.Ship{At: noon, Tracking: strings.Repeat("x", order.MaxText+1)}, nil, order.ErrTextTooLong},
		{"ship with a card number as carrier", order.Ship{At: noon, Carrier: card}, nil, privacy.ErrCardNumber},
		{"ship with a card number as tracking", order.Ship{At: noon, Tracking: card}, nil, privacy.ErrCardNumber},
		{"cancel", cancel, cancelled, nil},
		{"refund", giveAll, nil, order.ErrNotCaptured},
		{"expire when the hold of the stock ends", unpaid, nil, nil},
		{"expire a nanosecond before the authorisation is given up", order.Expire{At: givenUp.Add(-1)}, nil, nil},
		{"expire when the authorisation is given up", unshipped, order.Expired{Cause: order.Unshipped}, nil},
		{"expire much later", muchLater, order.Expired{Cause: order.Unshipped}, nil},
	})
}

func TestAuthorisedWithoutAnEnd(t *testing.T) {
	endless := authorised
	endless.ExpiresAt = nil
	tell(t, given(asked, endless), []story{
		{"expire much later", muchLater, nil, nil},
		{"ship", shipAll, shippedAll, nil},
	})
}

// A processor that holds less than it was asked for covers no whole shipment.
func TestAuthorisedInPart(t *testing.T) {
	less := authorised
	less.Amount = 2640
	tell(t, given(asked, less), []story{
		{"ship all", shipAll, nil, order.ErrNotPaid},
		{"ship what is covered", order.Ship{At: noon, Units: units(1, 2)}, order.Shipped{
			Units: units(1, 2), Rest: units(1, 1, 2, 1), Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}},
			Allocation: of(2000, 200, 440, 191)}, nil},
		{"cancel", cancel, cancelled, nil},
		{"expire when the authorisation is given up", unshipped, order.Expired{Cause: order.Unshipped}, nil},
	})
}

// Somebody captured at the processor before the shop had shipped: what is left of
// that is all a shipment can be worth.
func TestCapturedBeforeItWasShipped(t *testing.T) {
	byHand := order.Captured{Intent: "pi_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 2640, Authorised: 4620, Unearned: 2640}
	some := order.Ship{At: noon, Units: units(1, 2)}
	tell(t, paid(byHand), []story{
		{"ship all", shipAll, nil, order.ErrNotPaid},
		{"ship what was captured", some, order.Shipped{
			Units: units(1, 2), Rest: units(1, 1, 2, 1), Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}},
			Allocation: of(2000, 200, 440, 191)}, nil},
	})
	tell(t, paid(byHand, order.RefundAgreed{Refund: refund, Unearned: 2640}), []story{
		{"ship what was refunded since", some, nil, order.ErrNotPaid},
	})
}

// A capture would come too late: nobody ships for an authorisation that has ended,
// though its end was not heard of.
func TestShippedTooLate(t *testing.T) {
	late := shipAll
	late.At = *authorised.ExpiresAt
	tell(t, paid(), []story{{"ship", late, nil, order.ErrNotPaid}})
	late.At = late.At.Add(-1)
	tell(t, paid(), []story{{"ship just in time", late, shippedAll, nil}})
}

// The authorisation is gone and the order not ended yet: nothing is paid for.
func TestVoidedAndStillOpen(t *testing.T) {
	tell(t, paid(order.Voided{Intent: "pi_1", Released: 4620, Currency: "GBP", Cause: "lapsed"}), []story{
		{"ship", shipAll, nil, order.ErrNotPaid},
		{"cancel", cancel, cancelled, nil},
	})
}

func TestShipmentWorthNothing(t *testing.T) {
	gift := placed(func(p *order.Placed) {
		p.Lines[1].UnitPrice, p.Lines[1].Allocation = 0, of(0, 0, 0, 0)
		p.Allocation = p.Lines[0].Allocation
	})
	tell(t, []event.Data{gift, asked, authorised}, []story{
		{"ship the gift alone", order.Ship{At: noon, Units: units(2, 1)}, nil, order.ErrWorthNothing},
		{"ship all", shipAll, order.Shipped{Units: shippedAll.Units, Offers: shippedAll.Offers, Allocation: of(3000, 300, 660, 287)}, nil},
	})
}

func TestUnitsOfAnOfferInTwoLines(t *testing.T) {
	twice := placed(func(p *order.Placed) { p.Lines[1].Offer = mugs })
	tell(t, []event.Data{twice, asked, authorised}, []story{
		{"ship", shipAll, order.Shipped{Units: shippedAll.Units, Offers: []order.OfferUnits{{Offer: mugs, Quantity: 4}},
			Allocation: shippedAll.Allocation}, nil},
	})
}

// Shipped: one shipment closes an order.

func TestShipped(t *testing.T) {
	for name, so := range map[string][]event.Data{
		"not asked for yet":     sent(),
		"capture requested":     sent(captureAsked),
		"capture refused":       sent(captureAsked, captureFailed),
		"authorisation is gone": sent(order.Voided{Intent: "pi_1", Released: 4620, Currency: "GBP", Cause: "lapsed"}, captureFailed),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"ship again", shipAll, nil, nil},
				{"ship all by name", order.Ship{At: noon, Units: units(1, 3, 2, 1)}, nil, nil},
				{"ship in part", order.Ship{At: noon, Units: units(1, 1)}, nil, order.ErrShippedBefore},
				{"ship more than was ordered", order.Ship{At: noon, Units: units(1, 4)}, nil, order.ErrMoreThanBought},
				{"cancel", cancel, nil, order.ErrShipped},
				{"refund", giveAll, nil, order.ErrNotCaptured},
				{"expire much later", muchLater, nil, nil},
			})
		})
	}
}

func TestShippedInPart(t *testing.T) {
	part := order.Shipped{Units: units(1, 2), Rest: units(1, 1, 2, 1), Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}}, Allocation: of(2000, 200, 440, 191)}
	tell(t, paid(part), []story{
		{"ship the same again", order.Ship{At: noon, Units: units(1, 2)}, nil, nil},
		{"ship the rest", order.Ship{At: noon, Units: units(1, 1, 2, 1)}, nil, order.ErrShippedBefore},
		{"ship all", shipAll, nil, order.ErrShippedBefore},
		{"cancel the rest", cancel, nil, order.ErrShipped},
	})
}

// Over: nothing is sold any more.

func TestCancelled(t *testing.T) {
	for name, so := range map[string][]event.Data{
		"when placed":                         given(cancelled),
		"while the authorisation was open":    given(asked, cancelled),
		"then authorised":                     given(asked, cancelled, authorised),
		"then declined":                       given(asked, cancelled, declined),
		"when authorised":                     paid(cancelled),
		"when authorised, and the void asked": paid(cancelled, order.VoidRequested{Key: "k:2", Intent: "pi_1", At: noon}),
		"when authorised, and voided":         paid(cancelled, order.Voided{Intent: "pi_1", Released: 4620, Currency: "GBP", Cause: "requested"}),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"cancel again", cancel, nil, nil},
				{"cancel again for another reason", order.Cancel{At: noon, Reason: "too slow"}, nil, nil},
				{"ship", shipAll, nil, order.ErrOver},
				{"refund", giveAll, nil, order.ErrNotCaptured},
				{"expire much later", muchLater, nil, nil},
			})
		})
	}
}

func TestExpired(t *testing.T) {
	for name, so := range map[string][]event.Data{
		"unpaid":          given(order.Expired{Cause: order.Unpaid}),
		"action required": given(asked, action, order.Expired{Cause: order.Unpaid}),
		"unshipped":       paid(order.Expired{Cause: order.Unshipped}),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"cancel", cancel, nil, order.ErrOver},
				{"ship", shipAll, nil, order.ErrOver},
				{"refund", giveAll, nil, order.ErrNotCaptured},
				{"expire again", muchLater, nil, nil},
			})
		})
	}
}

func TestDeclined(t *testing.T) {
	tell(t, given(asked, declined), []story{
		{"cancel", cancel, nil, order.ErrOver},
		{"ship", shipAll, nil, order.ErrOver},
		{"refund", giveAll, nil, order.ErrNotCaptured},
		{"expire much later", muchLater, nil, nil},
	})
}

// An outcome that is not known is of the open call; of another it says nothing.
func TestUnknownOfAnotherCall(t *testing.T) {
	other := unknown
	other.Key = "k:0"
	for name, so := range map[string][]event.Data{"a call is open": given(asked), "no call is open": given()} {
		before, after := decider.Fold(order.Decider, so...), decider.Fold(order.Decider, append(so, other)...)
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
}

// What the stock of an offer is settled by.
func TestUnitsTaken(t *testing.T) {
	part := order.Shipped{Units: units(1, 2), Rest: units(1, 1, 2, 1), Allocation: of(2000, 200, 440, 191)}
	for _, c := range []struct {
		name           string
		so             []event.Data
		ordered, taken int64
	}{
		{"open", given(), 3, 3},
		{"paid", paid(), 3, 3},
		{"shipped", sent(), 3, 3},
		{"shipped in part", paid(part), 3, 2},
		{"cancelled", paid(cancelled), 3, 0},
		{"expired", given(order.Expired{Cause: order.Unpaid}), 3, 0},
		{"declined", given(asked, declined), 3, 0},
		{"abandoned", []event.Data{order.Expired{Cause: order.Abandoned}}, 0, 0},
	} {
		s := decider.Fold(order.Decider, c.so...)
		ordered, taken := s.Units(mugs)
		if ordered != c.ordered || taken != c.taken {
			t.Errorf("%s: ordered %d, takes %d; want %d and %d", c.name, ordered, taken, c.ordered, c.taken)
		}
	}
}
