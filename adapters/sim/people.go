package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// people are the buyers and shops of a run, and what the seed has them do.
type people struct {
	w     *world
	r     *rand.Rand
	shops []*merchant
}

type merchant struct {
	id       uuid.UUID
	currency money.Currency
	account  string
	offers   []uuid.UUID
	careless bool // pays all that it has out at once, so nothing can be taken back
}

func newPeople(w *world) *people { return &people{w: w, r: w.k.chance("people")} }

func (p *people) uuid() uuid.UUID { return newID(p.r) }

// begin: shops open, then buyers come.
func (p *people) begin() {
	for n := range 2 + p.r.IntN(3) {
		p.open(n)
	}
	p.w.k.after(time.Hour, "buyers come", func() {
		rush := pick(p.r, arrivals, arrivals, 3*time.Hour, time.Minute)
		for range p.w.o.Orders {
			p.w.k.after(between(p.r, 0, rush), "a buyer comes", p.buyer)
		}
	})
}

func (p *people) open(n int) {
	w, r := p.w, p.r
	m := &merchant{id: p.uuid(), currency: pick(r, currencies...), careless: oneIn(r, 2)}
	step := m.currency.Step()
	if !oneIn(r, 6) {
		m.account = w.processor.open()
	}
	p.shops = append(p.shops, m)
	terms := shop.Onboarded{Name: fmt.Sprintf("Shop %d", n), Currency: m.currency, Account: m.account,
		HoldHours: pick[int64](r, 0, 24, 72, 7*24), Shipping: money.Minor(pick(r, 0, 350, 499)) * step,
		Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}, {Jurisdiction: "DE", BasisPoints: 1900}},
		Fees: shop.Fees{BasisPoints: money.BasisPoints(r.IntN(1500)), Fixed: money.Minor(pick(r, 0, 25)) * step, Minimum: money.Minor(pick(r, 0, 50)) * step,
			Cap: money.Minor(pick(r, 0, 0, 900)) * step}}
	at := w.k.now
	p.ask("onboard", func(c *command.Commands, by command.By) error {
		_, err := c.Shop(context.Background(), by, m.id, shop.Onboard{At: at, Terms: terms})
		return err
	})
	settle := shop.Settlement{ValidFrom: at.Add(time.Minute), HoldHours: terms.HoldHours, Principal: oneIn(r, 3)}
	if oneIn(r, 2) {
		settle.ReserveBasisPoints, settle.ReserveDays = money.BasisPoints(pick(r, 500, 1000, 3333)), pick[int64](r, 7, 20)
	}
	p.ask("settlement terms", func(c *command.Commands, by command.By) error {
		_, err := c.Shop(context.Background(), by, m.id, shop.ChangeSettlement{At: at, Settlement: settle})
		return err
	})
	for i := range 2 + r.IntN(3) {
		p.tweet(m, i)
	}
	w.k.after(between(r, time.Hour, arrivals), "fees change", func() { p.changeTerms(m) })
	if m.careless && m.account != "" {
		p.everyDay(func() { w.processor.payOut(m.account, m.currency, p.has(m)) })
	}
	if m.account != "" {
		w.k.after(between(r, 20*24*time.Hour, 40*24*time.Hour), "a debt is written off", func() { p.writeOff(m) })
	}
}

// changeTerms of a shop: orders keep what they were placed with.
func (p *people) changeTerms(m *merchant) {
	at := p.w.k.now
	fees := shop.ChangeFees{At: at, Fees: shop.Fees{ValidFrom: at.Add(time.Hour), BasisPoints: money.BasisPoints(p.r.IntN(2000)), Fixed: 10}}
	settle := shop.ChangeSettlement{At: at, Settlement: shop.Settlement{ValidFrom: at.Add(time.Hour), HoldHours: pick[int64](p.r, 0, 48), ReserveBasisPoints: 250, ReserveDays: 3}}
	adjust := shop.Adjust{At: at, Shop: m.id, Adjustment: p.uuid(), Kind: "bank charge", Amount: money.Minor(p.r.IntN(500)) - 250, Reason: "monthly"}
	for _, cmd := range []shop.Command{fees, settle, adjust} {
		p.ask("change terms", func(c *command.Commands, by command.By) error {
			_, err := c.Shop(context.Background(), by, m.id, cmd)
			return err
		})
	}
}

func (p *people) everyDay(do func()) {
	for d := range 60 {
		p.w.k.after(time.Duration(d)*24*time.Hour, "payouts", do)
	}
}

func (p *people) tweet(m *merchant, n int) {
	r := p.r
	id := p.uuid()
	m.offers = append(m.offers, id)
	t := offer.Tweeted{Shop: m.id, Tweet: "Look!", Title: fmt.Sprintf("Thing %d", n), Currency: m.currency, Price: (60 + money.Minor(r.IntN(9000))) * m.currency.Step()}
	if !oneIn(r, 3) {
		stock := int64(2 + r.IntN(40))
		t.Stock = &stock
	}
	if oneIn(r, 4) {
		t.LimitPerBuyer = 5
	}
	p.ask("tweet", func(c *command.Commands, by command.By) error {
		_, err := c.Tweet(context.Background(), by, id, t)
		return err
	})
	change := func(what string, cmd func() offer.Command) {
		p.w.k.after(between(r, time.Hour, arrivals), what, func() {
			now := cmd()
			p.ask(what, func(c *command.Commands, by command.By) error {
				_, err := c.Offer(context.Background(), by, id, now)
				return err
			})
		})
	}
	if oneIn(r, 4) {
		change("reprice", func() offer.Command { return offer.Reprice{At: p.w.k.now, Price: t.Price + 10*m.currency.Step()} })
	}
	if n > 1 && oneIn(r, 4) {
		change("withdraw", func() offer.Command { return offer.Withdraw{At: p.w.k.now, Reason: "no more"} })
	}
	if t.Stock != nil && oneIn(r, 2) {
		restock := offer.Restock{Restock: p.uuid(), Add: int64(1 + r.IntN(20))}
		change("restock", func() offer.Command { restock.At = p.w.k.now; return restock })
	}
}

// people try again when no answer came: with the same command.
const maxTries = 6

// ask something of Kicau as a person does.
func (p *people) ask(what string, do func(c *command.Commands, by command.By) error) {
	p.askThen(what, do, nil)
}

func (p *people) askThen(what string, do func(c *command.Commands, by command.By) error, then func()) {
	w := p.w
	by := command.By{Command: p.uuid(), Actor: "person", At: w.k.now}
	tries := 0
	patience := 1 + p.r.IntN(maxTries)
	var ask func()
	again := func() {
		if tries++; tries < patience {
			w.k.after(between(w.k.delays, time.Second, 10*time.Minute), what+" again", ask)
		}
	}
	ask = func() {
		web := w.webs[w.k.delays.IntN(len(w.webs))]
		web.ask(&job{what: what, do: func(pr *process) error { return do(pr.commands, by) }, lost: again, done: func(err error) {
			w.failed(what, err)
			switch {
			case err == nil && then != nil:
				then()
			case err != nil && refusal.From(err) == nil:
				again()
			}
		}})
	}
	ask()
}

func (p *people) order(what string, id uuid.UUID, cmd order.Command) {
	p.ask(what, func(c *command.Commands, by command.By) error {
		_, err := c.Order(context.Background(), by, id, cmd)
		return err
	})
}

func (p *people) writeOff(m *merchant) {
	owed := p.w.oracle.Shop(m.id).Owed
	if owed <= 0 {
		return
	}
	cmd := shop.WriteOff{At: p.w.k.now, Shop: m.id, WriteOff: p.uuid(), Amount: owed / 2 / m.currency.Step() * m.currency.Step(), Reason: "small"}
	p.ask("write off", func(c *command.Commands, by command.By) error {
		_, err := c.Shop(context.Background(), by, m.id, cmd)
		return err
	})
}

// buyer comes and orders.
func (p *people) buyer() {
	r := p.r
	m := pick(r, p.shops...)
	b := &buyer{p: p, r: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())), shop: m, order: p.uuid()}
	place := command.Place{Order: b.order, Buyer: uuid.UUID{15: byte(r.IntN(40))}, Processor: order.Stripe, PaymentMethod: b.card(),
		KeepCard: oneIn(r, 4), Jurisdiction: pick(r, "", "GB", "DE"), StockHold: pick(r, 0, time.Hour, 24*time.Hour)}
	b.keeps = place.KeepCard
	if oneIn(r, 12) {
		place.PaymentMethod = ""
	}
	if oneIn(r, 9) {
		place.Processor, place.PaymentMethod, b.outside = "marketplace", "", true
	}
	for range 1 + r.IntN(2) {
		place.Lines = append(place.Lines, command.Line{Offer: pick(r, m.offers...), Quantity: int64(1 + r.IntN(4))})
	}
	p.askThen("place", func(c *command.Commands, by command.By) error {
		_, err := c.Place(context.Background(), by, place)
		return err
	}, b.waits)
	b.plans()
}

// buyer of an order, and what happens to it.
type buyer struct {
	p     *people
	r     *rand.Rand
	shop  *merchant
	order uuid.UUID
	looks int

	outside bool // somebody else takes the money
	keeps   bool // their card may be charged again
}

// Cards by Stripe's names of its test cards.
const (
	cardGood         = "pm_card_visa"
	cardMastercard   = "pm_card_mastercard"
	cardDeclined     = "pm_card_visa_chargeDeclined"
	cardNoFunds      = "pm_card_visa_chargeDeclinedInsufficientFunds"
	cardWrongCVC     = "pm_card_chargeDeclinedIncorrectCvc"
	cardBusy         = "pm_card_chargeDeclinedProcessingError"
	cardAsks         = "pm_card_authenticationRequired"
	cardAsksDeclined = "pm_card_threeDSecureRequiredChargeDeclined"
	cardDisputes     = "pm_card_createDispute"
	cardInquires     = "pm_card_createDisputeInquiry"
	cardManyDisputes = "pm_card_createMultipleDisputes"
	cardWarns        = "pm_card_createIssuerFraudRecord"
	cardSlowRefund   = "pm_card_pendingRefund"
	cardNoRefund     = "pm_card_refundFail"
)

func (b *buyer) card() string {
	return pick(b.r, cardGood, cardGood, cardGood, cardGood, cardMastercard, cardMastercard,
		cardDeclined, cardNoFunds, cardWrongCVC, cardBusy, cardAsks, cardAsks, cardAsksDeclined,
		cardDisputes, cardDisputes, cardInquires, cardInquires, cardManyDisputes, cardWarns, cardSlowRefund, cardNoRefund)
}

func (b *buyer) later(least, most time.Duration, what string, do func()) {
	b.p.w.k.after(between(b.r, least, most), what, do)
}

func (b *buyer) state() order.State { return *b.p.w.oracle.Order(b.order) }

// plans are drawn when the buyer comes: what the shop and the buyer will do.
func (b *buyer) plans() {
	r := b.r
	if oneIn(r, 12) {
		b.later(0, 30*time.Second, "cancel", b.cancel)
	} else if oneIn(r, 10) {
		b.later(time.Minute, 3*24*time.Hour, "cancel", b.cancel)
	}
	if oneIn(r, 9) {
		b.later(time.Minute, 9*24*time.Hour, "by hand at the processor", b.byHand)
	}
	if oneIn(r, 7) && !b.outside {
		return // never shipped
	}
	late := 4 * 24 * time.Hour
	if oneIn(r, 5) {
		late = 14 * 24 * time.Hour
	}
	soon := time.Minute
	if b.keeps && oneIn(r, 2) { // a card is kept for what takes longer than its authorisation
		soon, late = 5*24*time.Hour, 14*24*time.Hour
	}
	b.later(soon, late, "ship", b.ship)
}

func (b *buyer) cancel() {
	b.p.order("cancel", b.order, order.Cancel{At: b.p.w.k.now, Reason: "changed my mind"})
}

// waits for the order's payment, and does what is asked.
func (b *buyer) waits() {
	if b.looks++; b.looks > 8 {
		return
	}
	b.later(time.Second, 5*time.Minute, "the buyer looks", func() {
		w, s := b.p.w, b.state()
		switch {
		case s.Standing != order.Open:
			return
		case s.Payment.Remedy != "" && !oneIn(b.r, 6):
			card := b.card()
			if s.Payment.Remedy == order.SameAgain && oneIn(b.r, 2) {
				card = s.Payment.Method
			}
			b.p.order("pay", b.order, order.Pay{At: w.k.now, PaymentMethod: card})
		case s.Payment.Awaiting == "authenticate":
			switch intent := s.Payment.Intent; b.r.IntN(5) {
			case 0:
				w.processor.authenticate(intent, false)
			case 1: // walks away
			case 2:
				b.p.order("pay with another card", b.order, order.Pay{At: w.k.now, PaymentMethod: b.card()})
			default:
				w.processor.authenticate(intent, true)
			}
		case s.Payment.Awaiting == "card" && !oneIn(b.r, 4):
			w.processor.typed(s.Payment.Intent, b.card())
		}
		b.waits()
	})
}

func (b *buyer) ship() {
	w, s := b.p.w, b.state()
	if (s.Standing != order.Open || s.Payment.Authorised == 0) && !oneIn(b.r, 10) { // some do not look
		if s.Standing == order.Open && b.looks < 8 {
			b.later(time.Hour, 24*time.Hour, "ship", b.ship)
		}
		return
	}
	if oneIn(b.r, 25) {
		defer b.byHand() // before the saga has captured it
	}
	cmd := order.Ship{At: w.k.now, Carrier: "Royal Mail", Tracking: "RM1"}
	if oneIn(b.r, 3) {
		for _, l := range s.Lines {
			if n := b.r.Int64N(l.Quantity + 1); n > 0 {
				cmd.Units = append(cmd.Units, order.Units{Line: l.No, Quantity: n})
			}
		}
	}
	b.p.order("ship", b.order, cmd)
	if oneIn(b.r, 2) {
		b.later(24*time.Hour, 5*24*time.Hour, "delivered", func() {
			b.p.order("confirm", b.order, order.Confirm{At: w.k.now, By: pick(b.r, order.ByBuyer, order.ByCarrier)})
		})
	}
	for range b.r.IntN(3) {
		b.later(time.Minute, 15*24*time.Hour, "refund", b.refund)
	}
	b.later(time.Hour, 12*24*time.Hour, "the shop looks at disputes", b.disputes)
	b.later(12*24*time.Hour, 24*24*time.Hour, "the shop looks at disputes", b.disputes)
}

func (b *buyer) refund() {
	w, s := b.p.w, b.state()
	if left := s.Payment.SettleAt.Sub(w.k.now); s.Payment.Payable > 0 && left > 0 && oneIn(b.r, 3) {
		b.later(left, left+20*time.Second, "refund as the hold ends", b.refund)
		return
	}
	cmd := order.GiveBack{At: w.k.now, Refund: event.NameID("refund", fmt.Sprint(b.order, b.r.IntN(3))), Reason: "returned"}
	switch b.r.IntN(3) {
	case 0:
		for _, l := range s.Lines {
			if l.Shipped > l.Returned && len(cmd.Units) == 0 {
				cmd.Units = []order.Units{{Line: l.No, Quantity: 1 + b.r.Int64N(l.Shipped-l.Returned)}}
			}
		}
		cmd.KeepShipping = oneIn(b.r, 2)
	case 1:
		cmd.Amount = money.Minor(1+b.r.IntN(3000)) * b.shop.currency.Step()
	}
	if oneIn(b.r, 12) {
		b.byHand() // at the same time: one of the two may be too much
	}
	b.p.order("refund", b.order, cmd)
	if oneIn(b.r, 3) {
		b.later(0, time.Minute, "refund asked twice", func() { b.p.order("refund", b.order, cmd) })
	}
}

func (b *buyer) disputes() {
	for _, d := range b.state().Disputes {
		if !d.Open() {
			continue
		}
		switch b.r.IntN(4) {
		case 0, 1:
			b.p.order("concede", b.order, order.Concede{At: b.p.w.k.now, Dispute: d.ID})
		case 2:
			b.p.order("answer", b.order, order.Answer{At: b.p.w.k.now, Dispute: d.ID, Text: pick(b.r, "winning_evidence", "losing_evidence", "escalate_inquiry_evidence", "it was sent")})
		}
	}
}

// byHand is what somebody does in the processor's Dashboard, past Kicau.
func (b *buyer) byHand() {
	w, s := b.p.w, b.state()
	id := s.Payment.Intent
	if id == "" {
		return
	}
	i := w.processor.look(id)
	some := func(of money.Minor) money.Minor {
		return max(1, money.Minor(b.r.Int64N(int64(of)))/b.shop.currency.Step()) * b.shop.currency.Step()
	}
	w.byHand[b.order] = true
	switch {
	case i.Status == "requires_capture" && oneIn(b.r, 2):
		w.sometimes("captured by hand")
		w.k.tell("somebody captures %s by hand", id)
		w.processor.capture(id, some(i.Amount))
	case i.Status == "requires_capture" || i.Status == "requires_action":
		w.sometimes("cancelled by hand")
		w.k.tell("somebody cancels %s by hand", id)
		w.processor.cancel(id)
	case i.Status == "succeeded":
		w.sometimes("refunded by hand")
		w.k.tell("somebody refunds %s by hand", id)
		w.processor.refund(id, some(i.Received))
	}
}

// has is what a shop's account has.
func (p *people) has(m *merchant) money.Minor { return p.w.processor.has(m.account, m.currency) }

func orderOf(stream string) (uuid.UUID, bool) {
	name, ok := cutID(stream, order.Category)
	if !ok {
		return uuid.Nil, false
	}
	id, err := uuid.Parse(name)
	return id, err == nil
}
