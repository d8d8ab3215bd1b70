package order_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/privacy"
)

const card = "4242 4242 4242 4242"

func TestNotPlaced(t *testing.T) {
	one := func(change func(*order.Ask)) func(*order.Place) {
		return func(p *order.Place) { change(&p.Lines[0]) }
	}
	tell(t, nil, []story{
		{"place", place(nil), placed(nil), nil},
		{"place at an agreed price", place(one(func(l *order.Ask) { l.Agreed = minor(900) })), placed(func(p *order.Placed) {
			p.Lines[0].UnitPrice = 900
			p.Lines[0].Allocation, p.Lines[1].Allocation = of(2700, 295, 599, 260), of(500, 55, 111, 48)
			p.Allocation = of(3200, 350, 710, 308)
		}), nil},
		{"place with the shipping agreed", place(func(p *order.Place) { p.Shipping = minor(0) }), placed(func(p *order.Placed) {
			p.Lines[0].Allocation, p.Lines[1].Allocation = of(3000, 0, 600, 287), of(500, 0, 100, 48)
			p.Allocation = of(3500, 0, 700, 335)
		}), nil},
		{"place, paid outside", place(func(p *order.Place) { p.Processor, p.PaymentMethod = "market", "" }),
			placed(func(p *order.Placed) { p.Processor, p.PaymentMethod = "market", "" }), nil},
		{"place, the card to be typed later", place(func(p *order.Place) { p.PaymentMethod = "" }), placed(func(p *order.Placed) { p.PaymentMethod = "" }), nil},

		{"place no lines", place(func(p *order.Place) { p.Lines = nil }), nil, order.ErrNoLines},
		{"place too many lines", place(func(p *order.Place) { p.Lines = make([]order.Ask, order.MaxLines+1) }), nil, order.ErrTooManyLines},
		{"place with nobody to take the payment", place(func(p *order.Place) { p.Processor = "" }), nil, order.ErrNoProcessor},
		{"place no units", place(one(func(l *order.Ask) { l.Quantity = 0 })), nil, order.ErrQuantity},
		{"place less than no units", place(one(func(l *order.Ask) { l.Quantity = -1 })), nil, order.ErrQuantity},
		{"place more than a billion units", place(one(func(l *order.Ask) { l.Quantity = order.MaxQuantity + 1 })), nil, order.ErrQuantityMax},
		{"place units to wrap, for nothing", place(one(func(l *order.Ask) { l.Quantity, l.Price = math.MaxInt64, 0 })), nil, order.ErrQuantityMax},
		{"place the offers of two shops", place(one(func(l *order.Ask) { l.Shop = ann })), nil, order.ErrMixedShops},
		{"place at an agreed price below nothing", place(one(func(l *order.Ask) { l.Agreed = minor(-1) })), nil, order.ErrPrice},
		{"place with shipping below nothing", place(func(p *order.Place) { p.Shipping = minor(-1) }), nil, order.ErrPrice},
		{"place nothing to pay", place(func(p *order.Place) { p.Lines[0].Price, p.Lines[1].Agreed, p.Shipping = 0, minor(0), minor(0) }), nil, order.ErrNothingToPay},
		{"place a card number as reference", place(func(p *order.Place) { p.Reference = card }), nil, privacy.ErrCardNumber},
		{"place a card number as payment method", place(func(p *order.Place) { p.PaymentMethod = card }), nil, privacy.ErrCardNumber},
		{"place a card number as jurisdiction", place(func(p *order.Place) { p.Jurisdiction = card }), nil, privacy.ErrCardNumber},

		{"ship", shipAll, nil, order.ErrNotPlaced},
		{"cancel", cancel, nil, order.ErrNotPlaced},
		{"refund", giveAll, nil, order.ErrNotPlaced},
		{"expire: stock was held for an order that never came", tooEarly, order.Expired{Cause: order.Abandoned}, nil},
	})
}

func TestTheLargestOrder(t *testing.T) {
	p := bought(t, place(func(p *order.Place) { p.Lines = slices.Repeat(p.Lines[1:], order.MaxLines) }))
	if len(p.Lines) != order.MaxLines {
		t.Errorf("%d lines", len(p.Lines))
	}
	p = bought(t, place(func(p *order.Place) { p.Lines[0].Quantity = order.MaxQuantity }))
	if p.Lines[0].Goods != 1000*order.MaxQuantity {
		t.Errorf("a billion mugs cost %d", p.Lines[0].Goods)
	}
}

// Whatever would be beyond the largest amount is refused before it is computed.
func TestAmountsBeyondAllAmounts(t *testing.T) {
	const most = money.Max
	ask := func(n int64, price money.Minor) order.Ask {
		return order.Ask{Offer: mugs, Quantity: n, Shop: potter, Price: price}
	}
	bare := func(change func(*order.Place)) order.Place {
		return place(func(p *order.Place) {
			p.Lines, p.Terms = []order.Ask{ask(1, most)}, order.Terms{Currency: "GBP"}
			change(p)
		})
	}
	tell(t, nil, []story{
		{"a line", bare(func(p *order.Place) { p.Lines[0] = ask(2, most/2+1) }), nil, money.ErrOverflow},
		{"a line that wraps", bare(func(p *order.Place) { p.Lines[0] = ask(order.MaxQuantity, most) }), nil, money.ErrOverflow},
		{"an agreed price", bare(func(p *order.Place) { p.Lines[0].Agreed = minor(most + 1) }), nil, money.ErrOverflow},
		{"the lines together", bare(func(p *order.Place) { p.Lines = append(p.Lines, ask(1, 1)) }), nil, money.ErrOverflow},
		{"with shipping", bare(func(p *order.Place) { p.Terms.Shipping = 1 }), nil, money.ErrOverflow},
		{"with agreed shipping", bare(func(p *order.Place) { p.Shipping = minor(1) }), nil, money.ErrOverflow},
		{"with tax", bare(func(p *order.Place) { p.Terms.TaxBasisPoints = 1 }), nil, money.ErrOverflow},
		{"a fee before it is capped", bare(func(p *order.Place) { p.Terms.FeeBasisPoints, p.Terms.FeeFixed = 10000, 1 }), nil, money.ErrOverflow},
		{"the largest order", bare(func(p *order.Place) { p.Held, p.Contact, p.Reference = nil, nil, "" }),
			placed(func(p *order.Placed) {
				p.Lines = []order.Line{{No: 1, Offer: mugs, Quantity: 1, UnitPrice: most, Allocation: of(most, 0, 0, 0)}}
				p.Allocation, p.Held, p.Contact, p.Reference = of(most, 0, 0, 0), nil, nil, ""
				p.FeeBasisPoints, p.FeeFixed, p.TaxBasisPoints, p.HoldHours, p.Destination, p.Platform = 0, 0, 0, 0, "", ""
			}), nil},
	})
}

// An order that was placed answers the same command, whatever moved since, and
// refuses another one under its id.
func placeAgain() []story {
	return []story{
		{"place again", place(nil), nil, nil},
		{"place again, later, with stock held for longer", place(func(p *order.Place) { p.At, p.HoldUntil = noon.Add(time.Hour), heldUntil.Add(time.Hour) }), nil, nil},
		{"place again after prices, titles and terms moved", place(func(p *order.Place) {
			p.Lines[0].Price, p.Lines[0].Title, p.Terms = 1, "Cup", order.Terms{Currency: "EUR"}
		}), nil, nil},
		{"place again, the contact sealed anew", place(func(p *order.Place) { p.Contact = &privacy.Sealed{Subject: ann, Key: "k2"} }), nil, nil},
		{"place for another buyer", place(func(p *order.Place) { p.Buyer = potter }), nil, order.ErrOtherContent},
		{"place at another shop", place(func(p *order.Place) { p.Shop = ann }), nil, order.ErrOtherContent},
		{"place with another processor", place(func(p *order.Place) { p.Processor = "market" }), nil, order.ErrOtherContent},
		{"place with another payment method", place(func(p *order.Place) { p.PaymentMethod = "pm_2" }), nil, order.ErrOtherContent},
		{"place with another reference", place(func(p *order.Place) { p.Reference = "" }), nil, order.ErrOtherContent},
		{"place in another jurisdiction", place(func(p *order.Place) { p.Jurisdiction = "DE" }), nil, order.ErrOtherContent},
		{"place fewer lines", place(func(p *order.Place) { p.Lines = p.Lines[:1] }), nil, order.ErrOtherContent},
		{"place no lines", place(func(p *order.Place) { p.Lines = nil }), nil, order.ErrOtherContent},
		{"place another offer", place(func(p *order.Place) { p.Lines[1].Offer = mugs }), nil, order.ErrOtherContent},
		{"place another quantity", place(func(p *order.Place) { p.Lines[1].Quantity = 2 }), nil, order.ErrOtherContent},
		{"place at another agreed price", place(func(p *order.Place) { p.Lines[1].Agreed = minor(499) }), nil, order.ErrOtherContent},
		{"place with the price agreed that it has", place(func(p *order.Place) { p.Lines[1].Agreed = minor(500) }), nil, nil},
		{"place with other shipping agreed", place(func(p *order.Place) { p.Shipping = minor(0) }), nil, order.ErrOtherContent},
		{"place with the shipping agreed that it has", place(func(p *order.Place) { p.Shipping = minor(350) }), nil, nil},
	}
}

func TestPlacedBefore(t *testing.T) {
	for name, before := range map[string][]event.Data{
		"open":      given(),
		"paid":      paid(),
		"shipped":   sent(),
		"captured":  charged(),
		"cancelled": given(cancelled),
		"declined":  given(asked, declined),
		"expired":   given(order.Expired{Cause: order.Unpaid}),
	} {
		t.Run(name, func(t *testing.T) { tell(t, before, placeAgain()) })
	}
}

// An order that was given up before it came cannot come any more.
func TestAbandoned(t *testing.T) {
	tell(t, []event.Data{order.Expired{Cause: order.Abandoned}}, []story{
		{"place", place(nil), nil, order.ErrTooLate},
		{"place something wrong", place(func(p *order.Place) { p.Lines = nil }), nil, order.ErrTooLate},
		{"ship", shipAll, nil, order.ErrNotPlaced},
		{"cancel", cancel, nil, order.ErrNotPlaced},
		{"refund", giveAll, nil, order.ErrNotPlaced},
		{"expire again", muchLater, nil, nil},
	})
}

func TestOutside(t *testing.T) {
	for processor, outside := range map[string]bool{order.Stripe: false, "market": true} {
		if got := placed(func(p *order.Placed) { p.Processor = processor }).Outside(); got != outside {
			t.Errorf("paid with %s: outside %v", processor, got)
		}
	}
}

func TestStreamsOfOrders(t *testing.T) {
	if got := order.Stream(uuid.MustParse("01000000-0000-0000-0000-000000000000")); got != "order-01000000-0000-0000-0000-000000000000" {
		t.Errorf("stream %s", got)
	}
}

// A card carries no third decimal: prices that need one are refused, and what is
// worked out needs none, to the last unit of the last line.
func TestWhatCardsCarry(t *testing.T) {
	dinars := func(change func(*order.Place)) order.Place {
		return place(func(p *order.Place) { p.Terms.Currency = "KWD"; change(p) })
	}
	tell(t, nil, []story{
		{"a price that no card carries", dinars(func(p *order.Place) { p.Lines[0].Price = 1005 }), nil, order.ErrTooFine},
		{"an agreed price that no card carries", dinars(func(p *order.Place) { p.Lines[0].Agreed = minor(905) }), nil, order.ErrTooFine},
		{"shipping that no card carries", dinars(func(p *order.Place) { p.Shipping = minor(5) }), nil, order.ErrTooFine},
	})
	for name, p := range map[string]order.Placed{
		"by card":                   bought(t, dinars(func(p *order.Place) { p.Lines[0].Quantity, p.Terms.FeeFixed = 7, 25 })),
		"in yen, which has no step": bought(t, place(func(p *order.Place) { p.Terms.Currency = "JPY" })),
	} {
		for _, l := range p.Lines {
			for n := range l.Quantity {
				a := l.Of(n, 1, p.Step())
				for _, part := range []money.Minor{a.Goods, a.Shipping, a.Tax, a.Fee} {
					if part%p.Step() != 0 {
						t.Errorf("%s: unit %d of line %d is %+v", name, n, l.No, a)
					}
				}
			}
		}
	}
	outside := bought(t, dinars(func(p *order.Place) { p.Processor, p.Lines[0].Price = "market", 1005 }))
	if outside.Lines[0].Goods != 3015 || outside.Step() != 1 {
		t.Errorf("who pays outside pays %d", outside.Lines[0].Goods)
	}
	delivered := charged()
	delivered[0] = bought(t, dinars(func(*order.Place) {}))
	tell(t, delivered, []story{{"a refund that no card carries", giveAmount(1005), nil, order.ErrTooFine}})
}
