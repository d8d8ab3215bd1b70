package payment_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

var (
	noon      = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	heldUntil = noon.Add(15 * time.Minute)
	authEnds  = noon.AddDate(0, 0, 7)
	settleAt  = noon.Add(72 * time.Hour)

	id     = uuid.MustParse("01000000-0000-0000-0000-000000000000")
	potter = uuid.UUID{0: 5}
	refund = uuid.UUID{0: 0x21}
	second = uuid.UUID{0: 0x22}
)

// Two accounts of the platform at the processor; a saga has one of them.
const ours, theirs = "acct_ours", "acct_theirs"

// place is an order of two mugs: 20.00, 3.00 to ship them, 4.60 of tax, 2.00 of
// the goods for the platform, so 21.00 for the shop.
func place(change func(*order.Place)) order.Place {
	p := order.Place{
		At: noon, Order: id, Shop: potter, Buyer: uuid.UUID{0: 0xa},
		Lines: []order.Ask{{Offer: uuid.UUID{0: 0x11}, Quantity: 2, Shop: potter, Title: "Mug", Price: 1000}},
		Terms: order.Terms{Currency: "GBP", FeeBasisPoints: 1000, TaxBasisPoints: 2000, Shipping: 300, HoldHours: 72,
			Destination: "acct_shop"},
		Jurisdiction: "GB", Processor: order.Stripe, PaymentMethod: "pm_1", HoldUntil: heldUntil,
	}
	if change != nil {
		change(&p)
	}
	return p
}

func of(goods, shipping, tax, fee money.Minor) order.Allocation {
	return order.Allocation{Goods: goods, Shipping: shipping, Tax: tax, Fee: fee}
}

// What the processor says.
var (
	authorised  = payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2760, ExpiresAt: &authEnds, Brand: "visa", Last4: "4242"}
	typeCard    = payment.ActionRequired{Intent: "pi_1", Action: "card"}
	confirm     = payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}
	declined    = payment.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}
	captured    = payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 2760, ProcessorFee: 59}
	voided      = payment.Voided{Intent: "pi_1"}
	refunded    = payment.Refunded{RefundID: "re_1", Transaction: "txn_2"}
	transferred = payment.Transferred{Transfer: "tr_1"}
	failed      = payment.Failed{Code: "refused", Reason: "the processor refused"}
	unknown     = payment.Unknown{Reason: "timeout"}
)

// history is what happened to an order, told by the commands and answers that
// made it happen.
type history struct {
	t   *testing.T
	at  time.Time
	log []event.Data
}

func begin(t *testing.T) *history { return &history{t: t, at: noon} }

func (h *history) state() order.State { return decider.Fold(order.Decider, h.log...) }

func (h *history) took(events []event.Data, err error) *history {
	h.t.Helper()
	if err != nil || len(events) == 0 {
		h.t.Fatalf("the history does not go on: %v, %v", events, err)
	}
	h.log = append(h.log, events...)
	return h
}

// placed, shipped, … by people.
func (h *history) by(c order.Command) *history {
	h.t.Helper()
	return h.took(order.Decider.Decide(h.state(), c))
}

func (h *history) placed() *history    { h.t.Helper(); return h.by(place(nil)) }
func (h *history) shipped() *history   { h.t.Helper(); return h.by(order.Ship{At: h.at}) }
func (h *history) cancelled() *history { h.t.Helper(); return h.by(order.Cancel{At: h.at}) }
func (h *history) expired() *history   { h.t.Helper(); return h.by(order.Expire{At: h.at}) }

func (h *history) agreed(r uuid.UUID, amount money.Minor) *history {
	h.t.Helper()
	return h.by(order.GiveBack{At: h.at, Refund: r, Amount: amount})
}

// next is what our saga does unasked.
func (h *history) next() *history {
	h.t.Helper()
	return h.took(payment.Decider.Decide(h.state(), h.advance()))
}

// answered is the outcome of the open call.
func (h *history) answered(o payment.Outcome) *history {
	h.t.Helper()
	due, open := payment.Due(h.state())
	if !open {
		h.t.Fatal("no call is open")
	}
	return h.took(payment.Decider.Decide(h.state(), payment.Record{At: h.at, Account: ours, Key: due.Key, Outcome: o}))
}

// heard is unasked news of the payment intent.
func (h *history) heard(o payment.Outcome) *history {
	h.t.Helper()
	return h.took(payment.Decider.Decide(h.state(), h.observe(o)))
}

// until lets time pass.
func (h *history) until(at time.Time) *history { h.at = at; return h }

// The way of most orders, as far as is wanted.
func requested(t *testing.T) *history { t.Helper(); return begin(t).placed().next() }
func paid(t *testing.T) *history      { t.Helper(); return requested(t).answered(authorised) }
func sent(t *testing.T) *history      { t.Helper(); return paid(t).shipped() }
func charged(t *testing.T) *history   { t.Helper(); return sent(t).next().answered(captured) }
func settled(t *testing.T) *history {
	t.Helper()
	return charged(t).until(settleAt).next().answered(transferred)
}

// when goes on with a story told by decidertest.
func (h *history) when(c payment.Command) *decidertest.Story[order.State, payment.Command] {
	return decidertest.For(h.t, payment.Decider).Given(h.log...).When(c)
}

// advance is told what it needs: no debts, and a plain story for banks.
func (h *history) advance() payment.Advance {
	return payment.Advance{At: h.at, Account: ours, Shop: &payment.ShopSays{}, Evidence: &order.Evidence{Product: "2 × Mug"}}
}

// record is the outcome of the call that is open, or of the last one.
func (h *history) record(o payment.Outcome) payment.Record {
	due, _ := payment.Due(h.state())
	return payment.Record{At: h.at, Account: ours, Key: due.Key, Outcome: o}
}

func (h *history) observe(o payment.Outcome) payment.Observe {
	return h.sees(payment.Seen{Intent: "pi_1", Outcome: o})
}

// sees what the processor shows, all of it.
func (h *history) sees(seen payment.Seen) payment.Observe {
	return payment.Observe{At: h.at, Account: ours, Seen: seen}
}

func key(step order.Step, n string) string { return "v1:" + id.String() + ":" + string(step) + ":" + n }
