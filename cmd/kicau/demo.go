package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
	"kicau/domain/shop"
	"kicau/projections/settlement"
)

type demoCmd struct {
	Serve            bool   `help:"Stay up and serve what was played."`
	Listen           string `default:"127.0.0.1:8080" help:"With --serve: address of pages and API; a free port when it is taken." env:"KICAU_LISTEN"`
	EventStoreListen string `name:"eventstore-listen" default:"127.0.0.1:2113" help:"With --serve: address of the event store; a free port when it is taken." env:"KICAU_EVENTSTORE_LISTEN"`
	SandboxListen    string `default:"127.0.0.1:0" help:"Address of the payment sandbox." env:"KICAU_SANDBOX_LISTEN"`
}

func (demoCmd) Help() string {
	return `Everything is real but the money: the event store writes to disk, the payments go over
HTTP to the built-in sandbox. It plays in a new directory below --data.

Examples:
  kicau demo
  kicau demo --serve
  kicau demo --eventstore esdb://127.0.0.1:2113?tls=false`
}

func (c *demoCmd) Run(ctx context.Context, g *Global) error {
	start := time.Now()
	if g.StripeKey != "" {
		return usageError{errors.New("the demo plays in the sandbox only: leave --stripe-key out")}
	}
	fresh, err := freshDir(g.Data, start)
	if err != nil {
		return err
	}
	g.Data = fresh
	n := need{engine: true, sandbox: c.SandboxListen, anyPort: true}
	if c.Serve {
		n.web, n.eventStore = c.Listen, c.EventStoreListen
		if g.EventStore != "" {
			n.eventStore = ""
		}
	}
	d, err := g.open(ctx, n)
	if err != nil {
		return err
	}
	err = c.play(ctx, g, d, start)
	if err == nil && c.Serve {
		err = d.serve(ctx, g)
	}
	return errors.Join(err, d.close())
}

// freshDir makes a directory for a run.
func freshDir(parent string, at time.Time) (string, error) {
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	name := "demo-" + at.Format("20060102-150405")
	for n := 1; ; n++ {
		dir := filepath.Join(parent, name)
		if n > 1 {
			dir += fmt.Sprintf("-%d", n)
		}
		if err := os.Mkdir(dir, 0o700); err == nil {
			return dir, nil
		} else if !errors.Is(err, os.ErrExist) {
			return "", err
		}
	}
}

func (c *demoCmd) play(ctx context.Context, g *Global, d *desk, start time.Time) error {
	head, err := headOf(ctx, d.log, viewFilter)
	if err != nil {
		return err
	}
	s := &stage{ctx: ctx, g: g, d: d, mine: map[string]bool{}, told: head, seen: currenciesOf(d.log)}
	if err := s.story(); err != nil {
		return err
	}
	if err := d.rest(ctx, s.orders...); err != nil {
		return err
	}
	s.tell()
	return s.end(start)
}

// stage is where the story plays.
type stage struct {
	ctx     context.Context
	g       *Global
	d       *desk
	orders  []uuid.UUID
	mine    map[string]bool // streams of this story
	soldOut int64
	told    event.Position // up to where the log has been told
	seen    currencies
	err     error // the first thing that went wrong; then nothing more plays
}

// narrate prints a line of the story, for people only.
func (s *stage) narrate(format string, args ...any) {
	if !s.g.json() && s.err == nil {
		fmt.Fprintf(s.g.stdout, format+"\n", args...)
	}
}

func (s *stage) check(err error) {
	if s.err == nil {
		s.err = err
	}
}

// story in one place. Nothing in it waits for a clock.
func (s *stage) story() error {
	s.narrate("● Two shops join.\n")
	kopi := s.shop("Toko Kopi Gayo", "@tokokopi", "IDR", 500, 0, "15000", shop.Tax{Jurisdiction: "ID", BasisPoints: 1100})
	mugs := s.shop("Harbour Pottery", "@harbourpots", "GBP", 800, 20, "3.50", shop.Tax{Jurisdiction: "GB", BasisPoints: 2000})

	s.narrate("\n● They tweet.\n")
	gayo := s.tweet(kopi, "Gayo, roasted this morning. As much as you like.", "Kopi Gayo 250 g", "Single origin, Takengon highlands, medium roast.", "85000", nil, 0)
	drop := s.tweet(kopi, "Five bags of wine-process Gayo. Two each. Go.", "Kopi Wine 200 g", "Fermented for forty days. There is no more until June.", "145000", ptr(int64(5)), 2, gayo)
	mug := s.tweet(mugs, "A mug that fits your hand.", "Stoneware mug", "Thrown and glazed in Whitby, 350 ml, dishwasher safe.", "18.00", ptr(int64(40)), 0)
	jug := s.tweet(mugs, "And the jug that goes with it.", "Stoneware jug", "One litre, same clay, same blue.", "34.50", ptr(int64(12)), 0, mug)

	s.narrate("\n● Readers buy from the timeline.\n")
	sari := s.buy("@sari", "ID", "pm_card_visa", line(gayo, 2))
	budi := s.buy("@budi", "ID", "pm_card_mastercard", line(drop, 2), line(gayo, 1))
	citra := s.buy("@citra", "ID", "pm_card_visa_chargeDeclined", line(drop, 2))
	s.order(citra, "@citra gives up, and others get her two bags", order.Cancel{At: now(), Reason: "card declined"})
	dewi := s.buy("@dewi", "ID", "pm_card_visa", line(drop, 2))
	eko := s.buy("@eko", "ID", "pm_card_visa", line(drop, 1))
	s.buy("@fitri", "ID", "pm_card_visa", line(drop, 1)) // sold out
	s.buy("@budi", "ID", "pm_card_visa", line(drop, 1))  // sold out, and over the limit
	george := s.buy("@george", "GB", "pm_card_amex", line(mug, 4), line(jug, 1))
	hana := s.buy("@hana", "GB", "pm_card_visa", line(mug, 2))
	ivan := s.buy("@ivan", "GB", "pm_card_visa_chargeDeclinedInsufficientFunds", line(jug, 1))
	s.order(ivan, "@ivan pays with another card", order.Pay{At: now(), PaymentMethod: "pm_card_mastercard"})
	s.buy("@june", "GB", "pm_card_visa", line(mug, 0))               // a quantity of nothing
	s.buy("@kay", "GB", "pm_card_visa", line(mug, 1), line(gayo, 1)) // two shops at once

	s.narrate("\n● One changes her mind, the others' parcels leave; what is shipped is captured and settled.\n")
	s.order(dewi, "@dewi cancels", order.Cancel{At: now(), Reason: "changed my mind"})
	s.order(sari, "Toko Kopi ships to @sari", order.Ship{At: now(), Carrier: "JNE", Tracking: "JNE-0042"})
	s.order(budi, "Toko Kopi ships to @budi", order.Ship{At: now(), Carrier: "JNE", Tracking: "JNE-0043"})
	s.order(eko, "Toko Kopi ships to @eko", order.Ship{At: now(), Carrier: "JNE", Tracking: "JNE-0044"})
	s.order(george, "Harbour Pottery ships three mugs and the jug; one mug broke in the kiln", order.Ship{At: now(), Units: []order.Units{{Line: 1, Quantity: 3}, {Line: 2, Quantity: 1}}, Carrier: "Royal Mail"})
	s.order(hana, "Harbour Pottery ships to @hana", order.Ship{At: now(), Carrier: "Royal Mail"})
	s.order(ivan, "Harbour Pottery ships to @ivan", order.Ship{At: now(), Carrier: "Royal Mail"})

	s.narrate("\n● A mug arrives chipped.\n")
	s.order(hana, "Harbour Pottery gives @hana one mug's price back", order.GiveBack{At: now(), Refund: uuid.New(), Units: []order.Units{{Line: 1, Quantity: 1}}, Reason: "chipped", KeepShipping: true})
	return s.err
}

func ptr[T any](v T) *T { return &v }

func line(id uuid.UUID, n int64) command.Line { return command.Line{Offer: id, Quantity: n} }

func (s *stage) shop(name, handle, currency string, fee money.BasisPoints, fixed money.Minor, shipping string, tax shop.Tax) uuid.UUID {
	if s.err != nil {
		return uuid.Nil
	}
	id := uuid.New()
	s.mine[shop.Stream(id)] = true
	c, err := money.ParseCurrency(currency)
	s.check(err)
	price, err := money.Parse(shipping, c)
	s.check(err)
	terms := shop.Onboarded{Name: name, Handle: handle, Currency: c, Shipping: price, Taxes: []shop.Tax{tax},
		Fees: shop.Fees{BasisPoints: fee, Fixed: fixed}}
	terms.Account, terms.Platform, err = s.d.connect(s.ctx, s.g, id, "new", name)
	s.check(err)
	_, err = s.d.commands.Shop(s.ctx, by("shop"), id, shop.Onboard{At: now(), Terms: terms})
	s.check(err)
	s.tell()
	return id
}

func (s *stage) tweet(shopID uuid.UUID, text, title, description, price string, stock *int64, limit int64, related ...uuid.UUID) uuid.UUID {
	if s.err != nil {
		return uuid.Nil
	}
	id := uuid.New()
	s.mine[offer.Stream(id)] = true
	c, err := s.d.currencyOfShop(s.ctx, shopID)
	s.check(err)
	p, err := money.Parse(price, c)
	s.check(err)
	_, err = s.d.commands.Tweet(s.ctx, by("shop"), id, offer.Tweeted{Shop: shopID, Tweet: text, Title: title, Description: description,
		Currency: c, Price: p, Stock: stock, LimitPerBuyer: limit, Related: related})
	s.check(err)
	s.tell()
	return id
}

// buy and wait until the payment is authorised or declined.
func (s *stage) buy(handle, jurisdiction, card string, lines ...command.Line) uuid.UUID {
	if s.err != nil {
		return uuid.Nil
	}
	id := uuid.New()
	s.mine[order.Stream(id)] = true
	s.narrate("%s buys", handle)
	_, err := s.d.commands.Buy(s.ctx, s.d.vault, by("buyer"), command.Purchase{Order: id, Lines: lines, Jurisdiction: jurisdiction, PaymentMethod: card,
		Contact: privacy.Contact{Name: strings.ToUpper(handle[1:2]) + handle[2:], Handle: handle, Address: "1 Example Street"}})
	if no := refusal.From(err); no != nil {
		s.narrate("    refused: %v", no)
		if errors.Is(err, offer.ErrSoldOut) {
			s.soldOut++
		}
		return uuid.Nil
	}
	s.check(err)
	s.orders = append(s.orders, id)
	s.rest(id)
	return id
}

// rest waits until an order is at rest and its stock with it: the next one in the
// story may live off what this one gave back.
func (s *stage) rest(id uuid.UUID) {
	ctx, stop := context.WithTimeout(s.ctx, settleTimeout)
	defer stop()
	if s.err == nil {
		s.check(s.d.restOf(ctx, id))
	}
	if s.err == nil {
		s.check(s.d.sagaCaughtUp(ctx))
	}
	s.tell()
}

// order somebody's command and wait until the money has followed.
func (s *stage) order(id uuid.UUID, what string, cmd order.Command) {
	if s.err != nil {
		return
	}
	s.narrate("%s", what)
	_, err := s.d.commands.Order(s.ctx, by("shop"), id, cmd)
	s.check(err)
	s.rest(id)
}

// tell prints what the log says of this story since it was told last.
func (s *stage) tell() {
	if s.err != nil || s.g.json() {
		return
	}
	for rec, err := range s.d.log.ReadAll(s.ctx, command.Forwards, command.ReadFrom{After: s.told}, viewFilter, 0) {
		if err != nil {
			s.check(err)
			return
		}
		s.told = rec.Position
		if !s.mine[rec.Stream] {
			continue
		}
		e, err := domain.Events.Decode(rec)
		s.check(err)
		s.narrate("    %-14s %-30s %s", shortStream(rec.Stream), rec.Type, tell(e.Body, s.seen.of(s.ctx, rec)))
	}
}

// end prints the money and the summary.
func (s *stage) end(start time.Time) error {
	if err := s.d.caughtUp(s.ctx); err != nil {
		return err
	}
	books, err := settlement.Read(s.ctx, s.d.store)
	if err != nil {
		return err
	}
	sum, err := s.d.summarise(s.ctx, func(stream string) bool { return s.mine[stream] })
	if err != nil {
		return err
	}
	sum.Orders.SoldOut = s.soldOut
	sum.Seconds = time.Since(start).Seconds()
	s.narrate("\n● The money at the end.\n\n%s\n", booksText(books))
	events := 0
	for _, n := range sum.Events {
		events += n
	}
	return s.g.say(sum, "%s\n%d events, in %.1f s, kept in %s\nRead them: kicau events --data %s", sum.text(), events, sum.Seconds, s.g.Data, s.g.Data)
}
