package payment_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/oracle"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
	"kicau/domain/shop"
	"kicau/projections/deadline"
)

// TestExplore lives short random histories of one or two orders of a shop: people
// ask, the saga goes on, calls are done, refused or lost, the processor does as it
// likes and its news are heard at any time, stale or fresh. Then everything comes to
// rest, and what must be true then is checked. KICAU_EXPLORE says how many
// histories, KICAU_EXPLORE_FROM from which seed on.
func TestExplore(t *testing.T) {
	env := func(name string, or int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
			return n
		}
		return or
	}
	seeds, from := env("KICAU_EXPLORE", 1000), env("KICAU_EXPLORE_FROM", 1)
	for seed := from; seed < from+seeds; seed++ {
		steps := make([]uint64, env("KICAU_EXPLORE_STEPS", 60))
		for i := range steps {
			steps[i] = uint64(i + 1)
		}
		if w := live(uint64(seed), steps); w.broken != "" {
			w = shrink(w, uint64(seed), steps)
			t.Errorf("seed %d: %s\n%s", seed, w.broken, strings.Join(w.story, "\n"))
		}
	}
}

// shrink a history that breaks a law to one that breaks the same with fewer steps.
func shrink(w *world, seed uint64, steps []uint64) *world {
	law, _, _ := strings.Cut(w.broken, ":")
	for size := len(steps) / 2; size > 0; size /= 2 {
		for at := 0; at+size <= len(steps); {
			fewer := slices.Delete(slices.Clone(steps), at, at+size)
			if x := live(seed, fewer); strings.HasPrefix(x.broken, law+":") {
				w, steps = x, fewer
			} else {
				at += size
			}
		}
	}
	return w
}

type world struct {
	*rand.Rand // of the present step, so that a history can do without any other step
	now        time.Time
	oracle     *oracle.Oracle
	next       map[string]uint64
	shop       shop.State
	sales      []*sale
	strict     bool // banks ask back no more than is left
	calm       bool // nothing goes wrong any more
	story      []string
	broken     string
}

// sale is an order, what it did, and what the processor knows of it.
type sale struct {
	id     uuid.UUID
	s      order.State
	log    []event.Data
	bank   *bank
	row    deadline.Row
	answer *payment.Record // of the open call, on its way
	read   []payment.Seen  // and not heard yet
}

// live a history: the seed says how the world is, and each step what happens then.
func live(seed uint64, steps []uint64) (w *world) {
	w = &world{Rand: rand.New(rand.NewPCG(seed, 0)), now: noon, oracle: oracle.New(), next: map[string]uint64{}}
	defer func() {
		if cause := recover(); cause != nil {
			w.breaks("nothing panics", "%v", cause)
		}
	}()
	w.begin()
	for _, step := range steps {
		w.Rand = rand.New(rand.NewPCG(seed, step))
		if w.happen(w.sales[w.IntN(len(w.sales))]); w.broken != "" {
			return w
		}
	}
	w.Rand = rand.New(rand.NewPCG(seed, 0))
	w.rest()
	return w
}

func (w *world) breaks(law, format string, args ...any) {
	if w.broken == "" {
		w.broken = law + ": " + fmt.Sprintf(format, args...)
	}
}

func (w *world) tell(format string, args ...any) {
	w.story = append(w.story, w.now.Format("2 Jan 15:04 ")+fmt.Sprintf(format, args...))
}

func (w *world) append(stream string, events ...event.Data) {
	for _, e := range events {
		w.tell("    %s %+v", e.EventType(), e)
		rec := event.Recorded{Stream: stream, Type: e.EventType(), Revision: w.next[stream], RecordedAt: w.now}
		w.next[stream]++
		ev := event.Event{Recorded: rec, Meta: event.Meta{OccurredAt: w.now}, Body: e}
		w.oracle.Appended(ev)
		for _, x := range w.sales {
			if stream == order.Stream(x.id) {
				x.row = deadline.Projection.Fold(x.row, x.id.String(), ev)
			}
		}
		if b := w.oracle.Breaches(); len(b) > 0 {
			w.breaks(b[0].Law, "%s", b[0].Text)
		}
	}
}

func (w *world) some(of ...int64) int64     { return of[w.IntN(len(of))] }
func (w *world) in(n int) bool              { return !w.calm && w.IntN(n) == 0 }
func (w *world) tellShop(c shop.Command)    { w.shopSays(shop.Decider.Decide(w.shop, c)) }
func (w *world) minor(of int64) money.Minor { return money.Minor(of) }
func (w *world) amount(x *sale) money.Minor {
	return max(x.bank.step, x.bank.part(x.s.Placed.Total(), w.Rand))
}
func (x *sale) at(events []event.Data) *sale {
	x.log = append(x.log, events...)
	x.s = order.After(x.s, events...)
	return x
}

func (w *world) shopSays(events []event.Data, err error) {
	if err != nil {
		return // a write-off of more than is owed
	}
	w.append(shop.Stream(potter), events...)
	for _, e := range events {
		w.shop = shop.Decider.Evolve(w.shop, e)
	}
}

// begin with a shop and its orders.
func (w *world) begin() {
	terms := order.Terms{Currency: []money.Currency{"GBP", "JPY", "KWD"}[w.IntN(3)], FeeBasisPoints: money.BasisPoints(w.some(0, 1000, 1234, 10000)), FeeFixed: w.minor(w.some(0, 30)),
		TaxBasisPoints: money.BasisPoints(w.some(0, 2000, 777)), Shipping: w.minor(w.some(0, 300, 50)), HoldHours: w.some(0, 24, 72), Principal: w.IntN(4) == 0, Destination: "acct_shop"}
	if w.IntN(2) == 0 {
		terms.ReserveBasisPoints, terms.ReserveDays = money.BasisPoints(w.some(1000, 3333, 10000)), w.some(7, 30)
	}
	if w.IntN(10) == 0 {
		terms.Destination = ""
	}
	w.strict = w.IntN(3) > 0
	w.tellShop(shop.Onboard{At: w.now, Terms: shop.Onboarded{Name: "Potter", Currency: terms.Currency, Account: terms.Destination}})
	for n := range 1 + w.IntN(2) {
		x := &sale{id: uuid.UUID{0: byte(n + 1)}, bank: &bank{step: terms.Currency.Step(), overlaps: !w.strict, keys: map[string]payment.Outcome{}}}
		c := order.Place{At: w.now, Order: x.id, Shop: potter, Buyer: uuid.UUID{0: 0xa}, Terms: terms, Jurisdiction: "GB", Processor: order.Stripe, PaymentMethod: "pm_1",
			HoldUntil: w.now.Add(time.Hour), KeepCard: w.IntN(3) == 0}
		if w.IntN(6) == 0 {
			c.PaymentMethod = ""
		}
		for l := range 1 + w.IntN(3) {
			c.Lines = append(c.Lines, order.Ask{Offer: uuid.UUID{0: 0x11, 1: byte(l)}, Quantity: 1 + w.Int64N(3), Shop: potter, Title: "Mug", Price: w.minor(w.some(1000, 330, 10, 4990))})
		}
		w.sales = append(w.sales, x)
		w.people(x, c)
		w.smooth(x, w.IntN(4))
	}
}

// smooth goes some way without any trouble: authorised, shipped, captured.
func (w *world) smooth(x *sale, far int) {
	w.calm = true
	for n := range far {
		w.step(x)
		if n == 1 {
			w.ship(x)
		}
	}
	w.calm = false
}

func (w *world) ship(x *sale) {
	c := order.Ship{At: w.now}
	if w.IntN(2) == 0 {
		c.Units = w.units(x)
	}
	w.people(x, c)
}

func (w *world) units(x *sale) (units []order.Units) {
	for _, l := range x.s.Lines {
		if w.IntN(2) == 0 {
			units = append(units, order.Units{Line: l.No, Quantity: 1 + w.Int64N(l.Quantity)})
		}
	}
	return units
}

// people ask something of an order, which may be refused.
func (w *world) people(x *sale, c order.Command) {
	events, err := order.Decider.Decide(x.s, c)
	if err != nil && refusal.From(err) == nil {
		w.breaks("people are refused, never failed", "%T: %v", c, err)
	}
	if w.tell("order %d: %T %+v", x.id[0], c, c); len(events) > 0 {
		w.append(order.Stream(x.at(events).id), events...)
	}
}

// money of an order goes on.
func (w *world) money(x *sale, c payment.Command) (goesOn bool) {
	events, err := payment.Decider.Decide(x.s, c)
	if err != nil {
		w.breaks("the payment process never fails", "%T: %v", c, err)
	}
	if len(events) > 0 {
		w.tell("order %d: %T %s", x.id[0], c, told(c))
		w.append(order.Stream(x.at(events).id), events...)
	}
	return len(events) > 0
}

func told(c payment.Command) string {
	switch c := c.(type) {
	case payment.Record:
		return fmt.Sprintf("%T%+v", c.Outcome, c.Outcome)
	case payment.Observe:
		return fmt.Sprintf("%+v", c.Seen)
	}
	return ""
}

// advance the money of an order as the saga does, with what it needs to know.
func (w *world) advance(x *sale) (goesOn bool) {
	c := payment.Advance{At: w.now, Account: ours}
	needs := payment.NeedsOf(x.s, w.now, ours)
	if needs.Owed {
		w.carry(x)
		c.Shop = &payment.ShopSays{Owed: w.shop.Owed}
	} else if needs.Net > 0 {
		w.tellShop(shop.Net{Order: x.id, Release: needs.Number, UpTo: needs.Net})
		c.Shop = &payment.ShopSays{Release: needs.Number, Debt: w.shop.NettedFor(x.id, needs.Number)}
	}
	if needs.Evidence {
		c.Evidence = &order.Evidence{Product: "mugs"}
	}
	return w.money(x, c)
}

func (w *world) carry(x *sale) {
	for _, d := range x.s.Payment.Debts {
		w.tellShop(shop.Carry{Order: x.id, Number: d.Number, Amount: d.Amount})
	}
}

// call makes the open call; its answer is on its way then, or lost.
func (w *world) call(x *sale) {
	e, open := payment.Due(x.s)
	if !open || x.answer != nil || e.Tries > 0 && w.now.Before(e.RetryAt) {
		return
	}
	w.oracle.Asked(e)
	var o payment.Outcome = payment.Unknown{Reason: "not done"}
	if !w.in(8) {
		o = x.bank.perform(e, w.now, w.Rand, w.in(12) || w.calm && e.Step == order.Reverse && w.IntN(4) == 0)
		w.tell("order %d: call %s %s: %T%+v", x.id[0], e.Step, e.Key, o, o)
		if w.in(8) {
			o = payment.Unknown{Reason: "done"}
		}
	}
	x.answer = &payment.Record{Account: ours, Key: e.Key, Outcome: o}
}

// record the answer that is on its way.
func (w *world) record(x *sale) {
	if c := x.answer; c != nil {
		x.answer = nil
		c.At = w.now
		w.money(x, *c)
	}
}

// hear what reading a payment shows. Said twice, it says nothing new.
func (w *world) hear(x *sale, seen payment.Seen) (news bool) {
	c := payment.Observe{At: w.now, Account: ours, Seen: seen}
	return w.money(x, c)
}

// happen: one thing, to one order.
func (w *world) happen(x *sale) {
	switch n := w.IntN(20); {
	case n < 5: // the saga, as far as it gets
		w.advance(x)
		w.call(x)
		if !w.in(4) {
			w.record(x)
		}
		if w.in(3) {
			x.answer = nil // the process died
		}
	case n < 6:
		w.record(x)
	case n < 7:
		w.carry(x)
	case n < 9:
		w.pass([]time.Duration{time.Second, time.Minute, time.Hour, 25 * time.Hour, 100 * time.Hour}[w.IntN(5)])
	case n < 12:
		w.news(x)
	case n < 15:
		w.ask(x)
	case n == 15 && w.IntN(4) == 0:
		w.tellShop(shop.Adjust{At: w.now, Shop: potter, Adjustment: uuid.UUID{0: 0xad, 1: byte(len(w.shop.Adjusted))}, Kind: "bank", Amount: w.minor(w.some(-700, -20, 40, 900)) * x.bank.step, Reason: "so"})
		w.tellShop(shop.WriteOff{At: w.now, Shop: potter, WriteOff: uuid.UUID{0: 0xaf, 1: byte(len(w.shop.Written))}, Amount: 10 * x.bank.step, Reason: "so"})
	default:
		w.processor(x)
	}
}

func (w *world) pass(d time.Duration) {
	w.now = w.now.Add(d)
	for _, x := range w.sales {
		for _, i := range x.bank.intents {
			if i.status == holds && !w.now.Before(i.ends) {
				i.status = gone
			}
		}
	}
}

// news are heard at once, or read and heard later, or their disputes are newer than
// the rest.
func (w *world) news(x *sale) {
	if len(x.read) > 0 && w.IntN(2) == 0 {
		seen := x.read[0]
		x.read = x.read[1:]
		if i := x.bank.intent(seen.Intent); w.IntN(2) == 0 && i.status == tookIt && len(seen.Refunds) > 0 {
			seen.Disputes = x.bank.shows(i).Disputes
		}
		w.hear(x, seen)
	} else if n := len(x.bank.intents); n > 0 {
		seen := x.bank.shows(x.bank.intents[w.IntN(n)])
		if w.IntN(3) == 0 {
			x.read = append(x.read, seen)
			return
		}
		w.hear(x, seen)
		if !payment.Waits(x.s, seen) && w.hear(x, seen) && w.broken == "" {
			w.breaks("the same news say nothing new", "%+v", seen)
		}
	}
}

// ask what people ask.
func (w *world) ask(x *sale) {
	give := order.GiveBack{At: w.now, Refund: uuid.UUID{0: 0x70, 1: byte(len(x.s.Refunds)), 2: x.id[0]}, KeepShipping: w.IntN(4) == 0}
	switch w.IntN(14) {
	case 0, 1, 2, 3:
		w.ship(x)
	case 4:
		if w.IntN(2) == 0 {
			w.people(x, order.Cancel{At: w.now})
		}
	case 5:
		w.people(x, order.Pay{At: w.now, PaymentMethod: fmt.Sprintf("pm_%d", x.s.Payment.Calls+2)})
	case 6:
		give.Units = w.units(x)
		w.people(x, give)
	case 7, 8:
		give.Amount = w.amount(x)
		w.people(x, give)
	case 9:
		w.people(x, give)
	case 10:
		w.people(x, order.Expire{At: w.now})
	case 11:
		w.people(x, order.Confirm{At: w.now, By: order.ByBuyer})
	default:
		if n := len(x.s.Disputes); n > 0 {
			d := x.s.Disputes[w.IntN(n)].ID
			if w.IntN(2) == 0 {
				w.people(x, order.Answer{At: w.now, Dispute: d, Text: "sent"})
			} else {
				w.people(x, order.Concede{At: w.now, Dispute: d})
			}
		}
	}
}

// processor: what happens there unasked, by buyers, by banks and by hand.
func (w *world) processor(x *sale) {
	b := x.bank
	if len(b.intents) == 0 {
		return
	}
	i := b.intents[w.IntN(len(b.intents))]
	before := fmt.Sprintf("%+v", b.shows(i))
	defer func() {
		if after := fmt.Sprintf("%+v", b.shows(i)); after != before {
			w.tell("order %d: the processor has %s", x.id[0], after)
		}
	}()
	switch i.status {
	case needsCard, needsAction:
		switch w.IntN(4) {
		case 0, 1:
			b.hold(i, w.now)
		case 2:
			i.status, i.code = needsCard, "insufficient_funds"
		}
		return
	case holds:
		switch w.IntN(6) {
		case 0:
			i.status = gone
		case 1:
			i.capture(i.amount)
		case 2:
			i.capture(max(b.step, b.part(i.amount, w.Rand)))
		}
		return
	case gone:
		return
	}
	switch n := w.IntN(8); {
	case n < 2:
		if left := b.disputable(i); left > 0 {
			due := w.now.AddDate(0, 0, 10)
			answerable := &due
			if w.IntN(8) == 0 {
				answerable = nil
			}
			amount := left
			if w.IntN(2) == 0 {
				amount = max(b.step, b.part(left, w.Rand))
			}
			b.open(i, amount, answerable != nil && w.IntN(4) == 0, answerable)
		}
	case n < 5 && len(i.disputes) > 0:
		d := i.disputes[w.IntN(len(i.disputes))]
		if d.shown < len(d.Movements) {
			d.shown++
		} else {
			b.decide(i, d, w.Rand)
			if w.IntN(2) == 0 {
				d.shown = len(d.Movements)
			}
		}
	case n == 5:
		if left := i.taken - i.out(); left > 0 && !i.inDispute() {
			b.refund(i, max(b.step, b.part(left, w.Rand)), uuid.Nil, w.Rand)
		}
	case len(i.refunds) > 0:
		b.settleRefund(i, i.refunds[w.IntN(len(i.refunds))], w.IntN(2) == 0)
	}
}
