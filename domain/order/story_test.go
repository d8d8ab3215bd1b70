package order_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

var (
	noon      = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	heldUntil = noon.Add(15 * time.Minute)
	authEnds  = noon.AddDate(0, 0, 7)
	givenUp   = authEnds.Add(-order.AuthorisationMargin)

	id     = uuid.UUID{0: 1}
	potter = uuid.UUID{0: 5}
	ann    = uuid.UUID{0: 0xa}
	mugs   = uuid.UUID{0: 0x11}
	tea    = uuid.UUID{0: 0x12}
	refund = uuid.UUID{0: 0x21}
	second = uuid.UUID{0: 0x22}
)

// place asks for three mugs at 10.00 and a box of tea at 5.00, with one thing
// changed.
func place(change func(*order.Place)) order.Place {
	p := order.Place{
		At: noon, Order: id, Shop: potter, Buyer: ann,
		Lines: []order.Ask{
			{Offer: mugs, Quantity: 3, Shop: potter, Title: "Mug", Price: 1000},
			{Offer: tea, Quantity: 1, Shop: potter, Title: "Tea", Price: 500},
		},
		Terms: order.Terms{Currency: "GBP", FeeBasisPoints: 900, FeeFixed: 20, TaxBasisPoints: 2000, Shipping: 350,
			HoldHours: 72, Destination: "acct_shop", Platform: "acct"},
		Jurisdiction: "GB", Processor: order.Stripe, PaymentMethod: "pm_1", Held: []uuid.UUID{mugs}, HoldUntil: heldUntil,
		Contact: &privacy.Sealed{Subject: ann, Key: "k1"}, Reference: "A-17",
	}
	if change != nil {
		change(&p)
	}
	return p
}

// placed is what comes of it: 35.00 of goods, 3.50 to ship them, 7.70 of tax on
// both, and 3.35 of the goods for the platform.
func placed(change func(*order.Placed)) order.Placed {
	p := order.Placed{
		Order: id, Shop: potter, Buyer: ann, Currency: "GBP",
		Lines: []order.Line{
			{No: 1, Offer: mugs, Title: "Mug", Quantity: 3, UnitPrice: 1000, Allocation: of(3000, 300, 660, 287)},
			{No: 2, Offer: tea, Title: "Tea", Quantity: 1, UnitPrice: 500, Allocation: of(500, 50, 110, 48)},
		},
		Allocation:     of(3500, 350, 770, 335),
		FeeBasisPoints: 900, FeeFixed: 20, TaxBasisPoints: 2000, Jurisdiction: "GB", HoldHours: 72, Destination: "acct_shop", Platform: "acct",
		Processor: order.Stripe, PaymentMethod: "pm_1", Held: []uuid.UUID{mugs}, StockHeldUntil: heldUntil,
		Contact: &privacy.Sealed{Subject: ann, Key: "k1"}, Reference: "A-17",
	}
	if change != nil {
		change(&p)
	}
	return p
}

func of(goods, shipping, tax, fee money.Minor) order.Allocation {
	return order.Allocation{Goods: goods, Shipping: shipping, Tax: tax, Fee: fee}
}

// What happened so far, step by step. The keys and ids of the processor matter
// to package payment alone.
var (
	asked      = order.AuthorisationRequested{Key: "k:1", Account: "acct", Amount: 4620, PaymentMethod: "pm_1", At: noon}
	unknown    = order.OutcomeUnknown{Step: order.Authorise, Key: "k:1", Tries: 1, RetryAt: noon.Add(5 * time.Second)}
	action     = order.ActionRequired{Intent: "pi_1", Action: "authenticate"}
	authorised = order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 4620, Currency: "GBP", ExpiresAt: &authEnds}
	declined   = order.Declined{Intent: "pi_1", Code: "card_declined"}
	shippedAll = order.Shipped{
		Units:  []order.Units{{Line: 1, Quantity: 3}, {Line: 2, Quantity: 1}},
		Offers: []order.OfferUnits{{Offer: mugs, Quantity: 3}, {Offer: tea, Quantity: 1}}, Allocation: of(3500, 350, 770, 335)}
	captureAsked  = order.CaptureRequested{Key: "k:2", Intent: "pi_1", Amount: 4620, At: noon}
	captureFailed = order.CaptureFailed{Intent: "pi_1", Code: "charge_expired_for_capture"}
	captured      = order.Captured{Intent: "pi_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 4620, Authorised: 4620, Allocation: of(3500, 350, 770, 335), SettleAfter: noon.Add(72 * time.Hour)}
	settled = order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 3515, Payable: 3515}
)

func given(events ...event.Data) []event.Data {
	return append([]event.Data{placed(nil)}, events...)
}

func paid(events ...event.Data) []event.Data { return append(given(asked, authorised), events...) }
func sent(events ...event.Data) []event.Data { return append(paid(shippedAll), events...) }
func charged(events ...event.Data) []event.Data {
	return append(sent(captureAsked, captured), events...)
}

// story is one line of a table: what is asked, and what comes of it. Neither
// events nor a refusal: nothing.
type story struct {
	name string
	when order.Command
	then event.Data
	no   *refusal.Refusal
}

func tell(t *testing.T, given []event.Data, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			told := decidertest.For(t, order.Decider).Given(given...).When(s.when)
			switch {
			case s.no != nil:
				told.ThenRefused(s.no)
			case s.then != nil:
				told.Then(s.then)
			default:
				told.ThenNothing()
			}
		})
	}
}

func units(pairs ...int64) []order.Units {
	var u []order.Units
	for i := 0; i < len(pairs); i += 2 {
		u = append(u, order.Units{Line: int(pairs[i]), Quantity: pairs[i+1]})
	}
	return u
}

func minor(m money.Minor) *money.Minor { return &m }

// What is asked in every state.
var (
	shipAll   = order.Ship{At: noon}
	cancel    = order.Cancel{At: noon, Reason: "changed my mind"}
	cancelled = order.Cancelled{Reason: "changed my mind"}
	giveAll   = order.GiveBack{At: noon, Refund: refund, Reason: "broken"}
	tooEarly  = order.Expire{At: noon}                  // before any deadline
	unpaid    = order.Expire{At: heldUntil}             // when the hold of the stock ends
	unshipped = order.Expire{At: givenUp}               // when the authorisation is given up
	muchLater = order.Expire{At: noon.AddDate(1, 0, 0)} // after every deadline
)
