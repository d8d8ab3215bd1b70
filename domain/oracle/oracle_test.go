package oracle_test

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/oracle"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

var (
	bought = uuid.UUID{0: 1}
	other  = uuid.UUID{0: 2}
	mugs   = uuid.UUID{0: 3}
	potter = uuid.UUID{0: 4}
	monday = time.Date(2030, 1, 7, 9, 0, 0, 0, time.UTC)
	ends   = monday.AddDate(0, 0, 7)
)

// told is a log as an oracle hears it.
type told struct {
	*oracle.Oracle
	next map[string]uint64
	now  time.Time
}

func tell() *told { return &told{oracle.New(), map[string]uint64{}, monday} }

func (t *told) that(stream string, events ...event.Data) *told {
	for _, e := range events {
		rec := event.Recorded{Stream: stream, Type: e.EventType(), Revision: t.next[stream], RecordedAt: t.now}
		t.next[stream]++
		t.Appended(event.Event{Recorded: rec, Meta: event.Meta{OccurredAt: t.now}, Body: e})
	}
	return t
}

func (t *told) order(events ...event.Data) *told { return t.that(order.Stream(bought), events...) }
func (t *told) offer(events ...event.Data) *told { return t.that(offer.Stream(mugs), events...) }
func (t *told) shop(events ...event.Data) *told  { return t.that(shop.Stream(potter), events...) }
func (t *told) later(d time.Duration) *told      { t.now = t.now.Add(d); return t }

// broke checks which law was broken first; "": none.
func (t *told) broke(test *testing.T, law string) {
	test.Helper()
	first := ""
	if b := t.Breaches(); len(b) > 0 {
		first = b[0].Law
	}
	if first != law {
		test.Errorf("broken first: %q, want %q (%v)", first, law, t.Breaches())
	}
}

// Two mugs at 10.00 with a fee of 10 %.
var (
	sale   = order.Allocation{Goods: 2000, Fee: 200}
	placed = order.Placed{Order: bought, Shop: potter, Currency: "GBP", Processor: order.Stripe, Destination: "acct_potter", FeeBasisPoints: 1000, HoldHours: 24,
		Lines: []order.Line{{No: 1, Offer: mugs, Quantity: 2, UnitPrice: 1000, Allocation: sale}}, Allocation: sale, StockHeldUntil: monday.Add(time.Hour)}
	asked    = order.AuthorisationRequested{Key: "v1:a:1", Account: "acct", Amount: 2000, At: monday}
	paid     = order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2000, Currency: "GBP", ExpiresAt: &ends}
	shipped  = order.Shipped{Units: []order.Units{{Line: 1, Quantity: 2}}, Allocation: sale}
	taking   = order.CaptureRequested{Key: "v1:c:2", Intent: "pi_1", Amount: 2000, At: monday}
	captured = order.Captured{Intent: "pi_1", Charge: "ch_1", Shop: potter, Processor: order.Stripe, Currency: "GBP", Amount: 2000, Authorised: 2000, Allocation: sale,
		ProcessorFee: 88, SettleAfter: monday.Add(24 * time.Hour)}
	released = order.Released{Shop: potter, Currency: "GBP", Payable: 1800}
	paying   = order.SettlementRequested{Key: "v1:s:3", Destination: "acct_potter", Charge: "ch_1", Amount: 1800, Available: 1800, At: monday}
	settled  = order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 1800, Available: 1800}
)

func sold() *told { return tell().order(placed, asked, paid, shipped, taking, captured) }

func TestASaleThatIsRight(t *testing.T) {
	o := sold().later(25*time.Hour).order(released, paying, settled)
	o.Rest(o.now)
	o.Agree(bought, oracle.Theirs{Captured: 2000, Captures: 1, Transferred: 1800})
	o.broke(t, "")
	if at := o.AtProcessor("GBP"); at != 2000-88-1800 {
		t.Errorf("at the processor are %d, want 112", at)
	}
}

// A transfer that is refused is tried again later, and that is no hold of what is being
// released.
func TestAReleaseAfterARefusedTransfer(t *testing.T) {
	sold().later(25*time.Hour).order(order.NettingRequested{Number: 1, UpTo: 1800}, order.SettlementFailed{RetryAt: monday.Add(31 * time.Hour)}, released).broke(t, "")
}

func TestLaws(t *testing.T) {
	stock := int64(2)
	mug := offer.Tweeted{Shop: potter, Title: "Mug", Currency: "GBP", Price: 1000, Stock: &stock}
	hold := offer.StockHeld{Order: bought, Quantity: 2, ExpiresAt: monday.Add(time.Hour)}
	for name, c := range map[string]struct {
		log *told
		law string
	}{
		"the lines are not the order":    {tell().order(with(placed, func(p *order.Placed) { p.Shipping = 1 })), "splits add up"},
		"another fee":                    {tell().order(with(placed, func(p *order.Placed) { p.Fee, p.Lines = 100, feeOf100() })), "the fee is that of the schedule"},
		"too much held":                  {tell().order(placed, asked, with(paid, func(a *order.Authorised) { a.Amount = 2001 })), "authorised ≤ order total"},
		"another call while one is open": {tell().order(placed, asked, with(asked, func(a *order.AuthorisationRequested) { a.Key = "v1:a:2" })), "one open call an order"},
		"a key again":                    {tell().order(placed, asked, paid, shipped, with(taking, func(c *order.CaptureRequested) { c.Key = asked.Key })), "a key is used for one call"},
		"shipped unpaid":                 {tell().order(placed, shipped), "nothing is shipped unpaid"},
		"more taken than shipped":        {tell().order(placed, asked, paid, shipped, with(taking, func(c *order.CaptureRequested) { c.Amount = 1999 })), "what is captured is what was shipped"},
		"captured twice":                 {sold().order(captured), "one capture an authorisation"},
		"captured too much":              {tell().order(placed, asked, paid, shipped, taking, with(captured, func(c *order.Captured) { c.Amount = 2500; c.Unearned = 500 })), "captured ≤ authorised"},
		"expired early":                  {tell().order(placed, order.Expired{Cause: order.Unpaid}), "deadlines are never early"},
		"given up early":                 {tell().order(placed, asked, paid, order.Expired{Cause: order.Unshipped}), "deadlines are never early"},
		"released early":                 {sold().order(released), "nothing is released before the hold is over"},
		"paid to somebody else":          {sold().later(25*time.Hour).order(released, with(paying, func(s *order.SettlementRequested) { s.Destination = "acct_me" })), "what is transferred is what is available"},
		"oversold":                       {tell().offer(mug, hold, with(hold, func(h *offer.StockHeld) { h.Order, h.Quantity = other, 1 })), "no oversell"},
		"released twice":                 {tell().offer(mug, hold, offer.StockReleased{Order: bought, Quantity: 2}, offer.StockReleased{Order: bought, Quantity: 2}), "a hold is released once"},
		"sold twice":                     {tell().offer(mug, hold, offer.StockSold{Order: bought, Quantity: 2}, offer.StockSold{Order: bought, Quantity: 2}), "what is sold was held"},
		"a debt out of nothing":          {tell().shop(shop.DebtNetted{Order: bought, Release: 1, Amount: 5}), "no more is netted than is owed"},
		"a credit out of nothing":        {tell().shop(shop.DebtNetted{Order: bought, Release: 1, Amount: -5}), "no more is netted than is owed"},
		"a refund agreed twice":          {sold().order(order.RefundAgreed{Refund: other}, order.RefundAgreed{Refund: other}), "a refund is agreed once"},
		"the shipped is sent back":       {sold().order(order.RefundAgreed{Refund: other, Unearned: 1}), "what was shipped is not sent back unasked"},
		"an event about nothing":         {sold().order(order.Refunded{Refund: other, Shop: potter, Currency: "GBP"}), "a refund is given once"},
	} {
		t.Run(name, func(t *testing.T) { c.log.broke(t, c.law) })
	}
}

func TestCallsThatAreWrong(t *testing.T) {
	effect := payment.Effect{Step: order.Capture, Key: taking.Key, Order: bought, Amount: 2000, Intent: "pi_1"}
	o := tell().order(placed, asked, paid, shipped)
	o.Asked(effect)
	o.broke(t, "intention before call")

	o = tell().order(placed, asked, paid, shipped, taking)
	o.Asked(effect)
	o.Asked(effect)
	o.broke(t, "")
	effect.Amount = 1
	o.Asked(effect)
	o.broke(t, "a key is never used with other parameters")
}

func TestWhatIsLeft(t *testing.T) {
	for name, c := range map[string]struct {
		log *told
		law string
	}{
		"an open order":             {tell().order(placed), "every order comes to an end"},
		"a call without an end":     {tell().order(placed, asked), "every order comes to an end"},
		"a shop that waits":         {sold().later(25 * time.Hour), "every order comes to an end"},
		"a hold that is kept":       {tell().order(placed, asked, paid, order.Cancelled{}, order.VoidRequested{Key: "v", Intent: "pi_1"}, order.Voided{Intent: "pi_1", Released: 2000, Currency: "GBP"}).offer(offer.Tweeted{}, offer.StockHeld{Order: bought, Quantity: 2}), "every hold ends"},
		"a debt nobody heard of":    {sold().later(25*time.Hour).order(released, paying, settled, order.DebtCarried{Number: 1, Shop: potter, Currency: "GBP", Amount: 0}).shop(shop.DebtCarried{Order: bought, Number: 1, Amount: 7}), "debts are conserved"},
		"adjusted for another shop": {tell().shop(shop.Onboarded{Currency: "GBP"}, shop.Adjusted{Shop: other, Kind: "bank", Currency: "GBP", Amount: 5}), "what a shop is owed is in the books"},
	} {
		t.Run(name, func(t *testing.T) {
			c.log.Rest(c.log.now)
			c.log.broke(t, c.law)
		})
	}
}

func TestTheProcessorSaysOtherwise(t *testing.T) {
	o := sold()
	o.Agree(bought, oracle.Theirs{Captured: 1999, Captures: 1})
	o.broke(t, "our books and the processor's agree")
	for law, theirs := range map[string]oracle.Theirs{
		"one capture an authorisation":         {Captures: 2},
		"captured ≤ order total":               {Captures: 1, Captured: 2001},
		"refunds and lost disputes ≤ captured": {Captures: 1, Captured: 2000, Refunded: 1500, Disputed: 501},
		"a transfer is made once":              {Captures: 1, Captured: 2000, Transferred: 1},
		"a refund is given once":               {Captures: 1, Captured: 2000, Refunded: 1},
	} {
		o := sold()
		o.Ahead(bought, theirs, false)
		o.broke(t, law)
	}
}

func with[E any](e E, change func(*E)) E { change(&e); return e }

func feeOf100() []order.Line {
	l := placed.Lines[0]
	l.Fee = 100
	return []order.Line{l}
}
