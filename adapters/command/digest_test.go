package command

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/domain/shop"
)

var (
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	mug   = uuid.MustParse("0ffe0ffe-0000-4000-8000-000000000003")
	ten   = int64(10)
	dear  = money.Minor(1200)
	buys  = Place{Order: mug, Buyer: mug, Lines: []Line{{Offer: mug, Quantity: 2, Agreed: &dear}}, Jurisdiction: "GB", Processor: "stripe", PaymentMethod: "pm_1"}
	tweet = offer.Tweet{At: noon, Terms: offer.Tweeted{Shop: mug, Tweet: "Ten mugs", Title: "Mug", Currency: "GBP", Price: 1000, Stock: &ten, Related: []uuid.UUID{mug}}}
)

// Digests stand in logs: with others a command that is repeated after an upgrade
// would be taken for another one. Never change one.
func TestDigestsStay(t *testing.T) {
	for want, cmd := range map[string]any{
		"c64b59ea79d3144c390e79b66b3c21b3": buys,
		"b993e9c10f4f13c9c0750f8e74c79b85": tweet,
		"e4f255da9fd83628087497b0be82e371": order.Ship{At: noon, Units: []order.Units{{Line: 1, Quantity: 2}}, Carrier: "post"},
		"b32d666464131ccffd7e0aff6298e5d2": order.GiveBack{At: noon, Refund: mug, Amount: 100, KeepShipping: true},
		"a1986fdc9ee3d69faacab6bb3b7c0c9f": shop.ChangeFees{At: noon, Fees: shop.Fees{ValidFrom: noon.Add(time.Hour), BasisPoints: 800}},
	} {
		if got := digestOf(cmd); got != want {
			t.Errorf("%T: the digest is %s, in logs it is %s", cmd, got, want)
		}
	}
}

func TestTheSameIsAsked(t *testing.T) {
	changed := func(change func(p *Place)) Place { p := buys; change(&p); return p }
	sealed := func(s string) *privacy.Sealed { return &privacy.Sealed{Subject: mug, Ciphertext: []byte(s)} }
	later := noon.Add(time.Hour)
	jakarta := time.FixedZone("WIB", 7*3600)
	opens := func(at time.Time) offer.Tweet {
		c := tweet
		c.At, c.Terms.OpensAt = noon.Add(time.Minute), &at
		return c
	}
	for name, pair := range map[string][2]any{
		"later":                      {order.Ship{At: noon, Carrier: "post"}, order.Ship{At: later, Carrier: "post"}},
		"from now on, later":         {shop.ChangeFees{At: noon, Fees: shop.Fees{ValidFrom: noon}}, shop.ChangeFees{At: later, Fees: shop.Fees{ValidFrom: later}}},
		"sealed anew":                {changed(func(p *Place) { p.Contact = sealed("a") }), changed(func(p *Place) { p.Contact = sealed("b") })},
		"told in another time zone":  {opens(later), opens(later.In(jakarta))},
		"no lines, an empty list":    {order.Ship{}, order.Ship{Units: []order.Units(nil)}},
		"the same from other memory": {buys, changed(func(p *Place) { d := dear; p.Lines = []Line{{Offer: mug, Quantity: 2, Agreed: &d}} })},
	} {
		if digestOf(pair[0]) != digestOf(pair[1]) {
			t.Errorf("%s: taken for another command", name)
		}
	}
}

func TestSomethingElseIsAsked(t *testing.T) {
	changed := func(change func(p *Place)) Place {
		p := buys
		p.Lines = append([]Line(nil), p.Lines...)
		change(&p)
		return p
	}
	none := int64(0)
	soldOut, unlimited, at := tweet, tweet, tweet
	soldOut.Terms.Stock, unlimited.Terms.Stock = &none, nil
	closes := noon.Add(time.Hour)
	at.Terms.ClosesAt = &closes
	said := map[string]string{}
	for name, cmd := range map[string]any{
		"a purchase":        buys,
		"another buyer":     changed(func(p *Place) { p.Buyer = uuid.Nil }),
		"another quantity":  changed(func(p *Place) { p.Lines[0].Quantity = 1 }),
		"the offer's price": changed(func(p *Place) { p.Lines[0].Agreed = nil }),
		"a second line":     changed(func(p *Place) { p.Lines = append(p.Lines, Line{Offer: mug, Quantity: 2}) }),
		"another card":      changed(func(p *Place) { p.PaymentMethod = "pm_2" }),
		"free shipping":     changed(func(p *Place) { p.Shipping = new(money.Minor) }),
		"a longer hold":     changed(func(p *Place) { p.StockHold = time.Hour }),
		"text in another field": changed(func(p *Place) {
			p.Reference, p.PaymentMethod = p.PaymentMethod, ""
		}),
		"a tweet":          tweet,
		"none in stock":    soldOut,
		"without limit":    unlimited,
		"closes":           at,
		"cancel, quoted":   order.Cancel{Reason: `a",Reason:"b`},
		"cancel":           order.Cancel{Reason: "a"},
		"withdraw":         offer.Withdraw{Reason: "a"},
		"ship":             order.Ship{},
		"ship a line":      order.Ship{Units: []order.Units{{Line: 1, Quantity: 1}}},
		"give all back":    order.GiveBack{},
		"less shipping":    order.GiveBack{KeepShipping: true},
		"fees from a date": shop.ChangeFees{At: noon, Fees: shop.Fees{ValidFrom: closes}},
		"fees from now":    shop.ChangeFees{At: noon, Fees: shop.Fees{ValidFrom: noon}},
	} {
		d := digestOf(cmd)
		if other, twice := said[d]; twice {
			t.Errorf("%s and %s have the same digest", name, other)
		}
		said[d] = name
	}
}

func BenchmarkDigest(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		digestOf(buys)
	}
}
