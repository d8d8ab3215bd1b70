package order_test

import (
	"testing"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/privacy"
)

// give asks for the first refund, with one thing changed.
func give(change func(*order.GiveBack)) order.GiveBack {
	g := giveAll
	change(&g)
	return g
}

func giveUnits(pairs ...int64) order.GiveBack {
	return give(func(g *order.GiveBack) { g.Units = units(pairs...) })
}

func giveAmount(m money.Minor) order.GiveBack {
	return give(func(g *order.GiveBack) { g.Amount = m })
}

// agreed is the first refund, for these units (or none), of this much.
func agreed(of order.Allocation, pairs ...int64) order.RefundAgreed {
	return order.RefundAgreed{Refund: refund, Units: units(pairs...), Allocation: of, Reason: "broken"}
}

// rest is a refund of all that was left.
func rest(r order.RefundAgreed) order.RefundAgreed { r.Rest = true; return r }

func again(r order.RefundAgreed) order.RefundAgreed { r.Refund = second; return r }

func andAgain(g order.GiveBack) order.GiveBack { g.Refund = second; return g }

var (
	refundAsked  = order.RefundRequested{Key: "k:3", Refund: refund, Intent: "pi_1", Amount: 1320, At: noon}
	refundFailed = order.RefundFailed{Refund: refund, Code: "expired_or_canceled_card"}
)

// refunded is the first refund given, before the shop was settled with.
func refunded(r order.RefundAgreed) order.Refunded {
	return order.Refunded{Refund: r.Refund, Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: r.Total(), Allocation: r.Allocation, Taken: order.Taken{FromPayable: r.ShopShare()}}
}

func TestCaptured(t *testing.T) {
	everything := agreed(of(3500, 350, 770, 335), 1, 3, 2, 1)
	keeping := func(g order.GiveBack) order.GiveBack { g.KeepShipping = true; return g }
	for name, so := range map[string][]event.Data{
		"captured":             charged(),
		"settled":              charged(settled),
		"settlement requested": charged(order.SettlementRequested{Key: "k:3", Destination: "acct_shop", Amount: 3515, Payable: 3515, At: noon}),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"refund all", giveAll, rest(everything), nil},
				{"refund all by name", giveUnits(2, 1, 1, 3), everything, nil},
				{"refund all as an amount", giveAmount(4620), agreed(of(3500, 350, 770, 335)), nil},
				{"refund a mug", giveUnits(1, 1), agreed(of(1000, 100, 220, 95), 1, 1), nil},
				{"refund two mugs", giveUnits(1, 2), agreed(of(2000, 200, 440, 191), 1, 2), nil},
				{"refund the tea", giveUnits(2, 1), agreed(of(500, 50, 110, 48), 2, 1), nil},
				{"refund 10.00", giveAmount(1000), agreed(of(757, 76, 167, 72)), nil},
				{"refund the least", giveAmount(1), agreed(of(1, 0, 0, 0)), nil},
				{"refund more than was captured", giveAmount(4621), nil, order.ErrOverCaptured},
				{"refund less than nothing", giveAmount(-1), nil, order.ErrRefundNothing},
				{"refund units and an amount", give(func(g *order.GiveBack) { g.Units, g.Amount = units(1, 1), 1000 }), nil, order.ErrUnitsOrAmount},
				{"refund more mugs than were shipped", giveUnits(1, 4), nil, order.ErrMoreThanBought},
				{"refund no mugs", giveUnits(1, 0), nil, order.ErrQuantity},
				{"refund a line that is not there", giveUnits(3, 1), nil, order.ErrNoSuchLine},
				{"refund a line twice", giveUnits(1, 1, 1, 1), nil, order.ErrNoSuchLine},
				{"refund with a card number", give(func(g *order.GiveBack) { g.Reason = card }), nil, privacy.ErrCardNumber},

				{"refund a mug but not its shipping", keeping(giveUnits(1, 1)), agreed(of(1000, 0, 200, 95), 1, 1), nil},
				{"refund all but the shipping", keeping(giveAll), rest(agreed(of(3500, 0, 700, 335), 1, 3, 2, 1)), nil},
				{"refund 10.00, none of it shipping", keeping(giveAmount(1000)), agreed(of(833, 0, 167, 79)), nil},
				{"refund all but the shipping as an amount", keeping(giveAmount(4200)), agreed(of(3500, 0, 700, 335)), nil},
				{"refund more than there is without shipping", keeping(giveAmount(4201)), nil, order.ErrOverCaptured},

				{"ship again", shipAll, nil, nil},
				{"ship in part", order.Ship{At: noon, Units: units(1, 1)}, nil, order.ErrShippedBefore},
				{"cancel", cancel, nil, order.ErrShipped},
				{"expire", muchLater, nil, nil},
			})
		})
	}
}

// A refund that was agreed answers the same command and refuses another one
// under its id, however far it is.
func TestRefundAgreed(t *testing.T) {
	mug := agreed(of(1000, 100, 220, 95), 1, 1)
	for name, so := range map[string][]event.Data{
		"agreed":    charged(mug),
		"requested": charged(mug, refundAsked),
		"refunded":  charged(mug, refundAsked, refunded(mug)),
	} {
		t.Run(name, func(t *testing.T) {
			tell(t, so, []story{
				{"the same again", giveUnits(1, 1), nil, nil},
				{"for another reason", give(func(g *order.GiveBack) { g.Units, g.Reason = units(1, 1), "late" }), nil, order.ErrRefundDiffers},
				{"of other units", giveUnits(1, 2), nil, order.ErrRefundDiffers},
				{"of another line", giveUnits(2, 1), nil, order.ErrRefundDiffers},
				{"of its worth as an amount", giveAmount(1320), nil, order.ErrRefundDiffers},
				{"of its worth below nothing", giveAmount(-1320), nil, order.ErrRefundDiffers},
				{"of units and an amount", give(func(g *order.GiveBack) { g.Units, g.Amount = units(1, 1), 1320 }), nil, order.ErrRefundDiffers},
				{"of everything", giveAll, nil, order.ErrRefundDiffers},
				{"without the shipping", give(func(g *order.GiveBack) { g.Units, g.KeepShipping = units(1, 1), true }), nil, order.ErrRefundDiffers},

				{"another of all the rest", andAgain(giveAll), rest(again(agreed(of(2500, 250, 550, 240), 1, 2, 2, 1))), nil},
				{"another of a mug", andAgain(giveUnits(1, 1)), again(agreed(of(1000, 100, 220, 96), 1, 1)), nil},
				{"another of all mugs", andAgain(giveUnits(1, 3)), nil, order.ErrMoreThanBought},
				{"another of an amount", andAgain(giveAmount(3300)), again(agreed(of(2500, 250, 550, 240))), nil},
				{"another of more than is left", andAgain(giveAmount(3301)), nil, order.ErrOverCaptured},
			})
		})
	}
}

func TestAnAmountAgreed(t *testing.T) {
	ten := agreed(of(757, 76, 167, 72))
	tell(t, charged(ten), []story{
		{"the same again", giveAmount(1000), nil, nil},
		{"another amount", giveAmount(1001), nil, order.ErrRefundDiffers},
		{"everything", giveAll, nil, order.ErrRefundDiffers},
		{"units", giveUnits(1, 1), nil, order.ErrRefundDiffers},
		{"units and the amount", give(func(g *order.GiveBack) { g.Units, g.Amount = units(1, 1), 1000 }), nil, order.ErrRefundDiffers},
		{"another of all the rest", andAgain(giveAll), rest(again(agreed(of(2743, 274, 603, 263), 1, 3, 2, 1))), nil},
		{"another of all mugs", andAgain(giveUnits(1, 3)), nil, order.ErrOverCaptured},
		{"another of two mugs", andAgain(giveUnits(1, 2)), again(agreed(of(2000, 200, 440, 191), 1, 2)), nil},
	})
}

func TestEverythingAgreed(t *testing.T) {
	everything := agreed(of(3500, 350, 770, 335), 1, 3, 2, 1)
	tell(t, charged(everything), []story{
		{"the same again", giveAll, nil, nil},
		{"the same by name", giveUnits(1, 3, 2, 1), nil, nil},
		{"less than nothing", giveAmount(-1), nil, order.ErrRefundDiffers},
		{"everything but the shipping", give(func(g *order.GiveBack) { g.KeepShipping = true }), nil, order.ErrRefundDiffers},
		{"another of everything", andAgain(giveAll), nil, order.ErrRefundNothing},
		{"another of an amount", andAgain(giveAmount(1)), nil, order.ErrOverCaptured},
		{"another of a mug", andAgain(giveUnits(1, 1)), nil, order.ErrMoreThanBought},
	})
	goods := agreed(of(3500, 0, 700, 335), 1, 3, 2, 1)
	tell(t, charged(goods), []story{
		{"everything but the shipping again", give(func(g *order.GiveBack) { g.KeepShipping = true }), nil, nil},
		{"everything", giveAll, nil, order.ErrRefundDiffers},
		{"another of all the rest: the shipping", andAgain(giveAll), rest(again(agreed(of(0, 350, 70, 0)))), nil},
		{"another of everything but the shipping", andAgain(give(func(g *order.GiveBack) { g.KeepShipping = true })), nil, order.ErrRefundNothing},
	})
	mug := agreed(of(1000, 100, 220, 95), 1, 1)
	tell(t, charged(mug, again(agreed(of(2500, 250, 550, 240), 1, 2, 2, 1))), []story{
		{"all the rest again", andAgain(giveAll), nil, nil},
		{"the mug before it as all the rest", giveAll, nil, order.ErrRefundDiffers},
	})
}

// A refund that the processor refused takes nothing: it can be agreed again,
// under another id. Under its own it is not in effect, and will not be.
func TestRefundFailed(t *testing.T) {
	mug := agreed(of(1000, 100, 220, 95), 1, 1)
	tell(t, charged(mug, refundAsked, refundFailed), []story{
		{"the same again", giveUnits(1, 1), nil, order.ErrRefundOver},
		{"of other units", giveUnits(1, 2), nil, order.ErrRefundDiffers},
		{"another of the same mug", andAgain(giveUnits(1, 1)), again(agreed(of(1000, 100, 220, 95), 1, 1)), nil},
		{"another of everything", andAgain(giveAll), rest(again(agreed(of(3500, 350, 770, 335), 1, 3, 2, 1))), nil},
		{"another of all as an amount", andAgain(giveAmount(4620)), again(agreed(of(3500, 350, 770, 335))), nil},
		{"another of more than was captured", andAgain(giveAmount(4621)), nil, order.ErrOverCaptured},
	})
	// Whether everything was left when the rest was agreed depends on when the
	// refund before it failed; the same command is heard either way.
	everything := again(agreed(of(3500, 350, 770, 335), 1, 3, 2, 1))
	tell(t, charged(mug, refundAsked, refundFailed, everything), []story{
		{"everything again", andAgain(giveAll), nil, nil},
	})
	rest := again(agreed(of(2500, 250, 550, 240), 1, 2, 2, 1))
	tell(t, charged(mug, rest, refundAsked, refundFailed), []story{
		{"all the rest again", andAgain(giveAll), nil, nil},
	})
}

// The money of a shop in the state is what the events say, also where this
// program would not write them so: a settlement less what the shop owed.
func TestSettledLessWhatIsOwed(t *testing.T) {
	mug := agreed(of(1000, 100, 220, 95), 1, 1)
	owed := refunded(mug)
	owed.FromPayable, owed.FromReceivable = 0, 1005
	s := decider.Fold(order.Decider, charged(mug, refundAsked, owed,
		order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 2510, Payable: 3515, Netted: 1005})...)
	if p := s.Payment; p.Payable != 0 || p.Receivable != 0 || p.Settled != 2510 {
		t.Errorf("payable %d, receivable %d, settled %d", p.Payable, p.Receivable, p.Settled)
	}
}

// Only what was shipped was captured, so only that is given back.
func TestShippedInPartThenRefunded(t *testing.T) {
	part := order.Shipped{Units: units(1, 2), Rest: units(1, 1, 2, 1), Offers: []order.OfferUnits{{Offer: mugs, Quantity: 2}}, Allocation: of(2000, 200, 440, 191)}
	taken := captured
	taken.Amount, taken.Allocation = 2640, part.Allocation
	tell(t, paid(part, captureAsked, taken), []story{
		{"refund all", giveAll, rest(agreed(of(2000, 200, 440, 191), 1, 2)), nil},
		{"refund the mug that was not shipped", giveUnits(1, 3), nil, order.ErrMoreThanBought},
		{"refund the tea that was not shipped", giveUnits(2, 1), nil, order.ErrMoreThanBought},
		{"refund the whole order as an amount", giveAmount(4620), nil, order.ErrOverCaptured},
		{"refund what was captured as an amount", giveAmount(2640), agreed(of(2000, 200, 440, 191)), nil},
	})
}
