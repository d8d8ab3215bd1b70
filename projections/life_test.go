package projections_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// life is a random history of shops, decided by the real deciders and written to
// a real log: what people ask, what the processor answers, and time that passes.
type life struct {
	t     *rapid.T
	kicau *command.Commands
	log   command.Log
	id    uuid.UUID // of the log
	now   time.Time
	n     int // ids given so far

	shops, offers, orders []uuid.UUID
	strays                []uuid.UUID // orders that stock was held for and that never came
}

// platform is the account at the processor.
const platform = "acct_platform"

// live tells a life that has just begun: two shops and two offers. Its log is
// closed at the end.
func live(t *rapid.T, dir string, tell func(*life)) {
	dir, err := os.MkdirTemp(dir, "log")
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Options{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir) // a log takes its space ahead, and lives are many
	defer n.Close()
	l := &life{t: t, kicau: command.New(n.Log(), domain.Events), log: n.Log(), id: n.ID(), now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	l.onboard("acct_shop")
	l.onboard("")
	l.tweet()
	l.tweet()
	tell(l)
}

// events that came after a position.
func (l *life) events(after event.Position) []event.Recorded {
	var events []event.Recorded
	for rec, err := range l.log.ReadAll(context.Background(), command.Forwards, command.ReadFrom{After: after}, command.Filter{}, 0) {
		l.ok(err)
		events = append(events, rec)
	}
	return events
}

func (l *life) newID() uuid.UUID {
	l.n++
	return uuid.UUID{0: 0xAA, 14: byte(l.n >> 8), 15: byte(l.n)}
}

func (l *life) by() command.By {
	return command.By{Command: l.newID(), Actor: "somebody", At: l.now}
}

func (l *life) ok(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// said is fine when it was done or refused.
func (l *life) said(_ command.Result, err error) {
	l.t.Helper()
	if err != nil && refusal.From(err) == nil {
		l.t.Fatal(err)
	}
}

func (l *life) step() {
	steps := map[string]func(){
		"tweet": l.tweet, "place": l.place, "pay": l.pay, "ship": l.ship, "refund": l.refund, "stock": l.settleStock,
		"offer": l.changeOffer, "shop": l.changeShop, "cancel": l.cancel, "expire": l.expire, "news": l.news,
		"hold": l.strayHold, "abandon": l.abandon, "wait": l.wait,
	}
	names := []string{"place", "place", "place", "pay", "pay", "pay", "pay", "pay", "pay", "ship", "ship", "ship", "refund", "refund",
		"stock", "stock", "wait", "wait", "cancel", "expire", "news", "offer", "shop", "tweet", "hold", "abandon"}
	steps[rapid.SampledFrom(names).Draw(l.t, "step")]()
}

func one[T any](l *life, of []T, what string) T {
	return of[rapid.IntRange(0, len(of)-1).Draw(l.t, what)]
}

func (l *life) wait() {
	l.now = l.now.Add(one(l, []time.Duration{time.Second, time.Minute, command.DefaultStockHold, 73 * time.Hour, 7 * 24 * time.Hour}, "wait"))
}

func (l *life) onboard(account string) {
	id := l.newID()
	l.shops = append(l.shops, id)
	_, err := l.kicau.Shop(context.Background(), l.by(), id, shop.Onboard{At: l.now, Terms: shop.Onboarded{
		Name: fmt.Sprintf("Shop & <Sons> №%d", len(l.shops)), Currency: "GBP", Account: account, HoldHours: 72, Shipping: 350,
		Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}}, Fees: shop.Fees{BasisPoints: one(l, []money.BasisPoints{0, 900, 10000}, "fee")}}})
	l.ok(err)
}

func (l *life) changeShop() {
	id := one(l, l.shops, "shop")
	if rapid.IntRange(0, 2).Draw(l.t, "pay otherwise") == 0 {
		l.said(l.kicau.Shop(context.Background(), l.by(), id, shop.ChangeSettlement{At: l.now, Settlement: shop.Settlement{ValidFrom: l.now.Add(1),
			HoldHours: rapid.Int64Range(0, 96).Draw(l.t, "hold"), ReserveBasisPoints: one(l, []money.BasisPoints{0, 1000, 10000}, "reserve"), ReserveDays: 3}}))
		return
	}
	if rapid.Bool().Draw(l.t, "adjust") {
		l.said(l.kicau.Shop(context.Background(), l.by(), id, shop.Adjust{At: l.now, Shop: id, Adjustment: l.newID(), Kind: "bank charge",
			Amount: money.Minor(rapid.Int64Range(-500, 500).Draw(l.t, "amount"))}))
		return
	}
	l.said(l.kicau.Shop(context.Background(), l.by(), id, shop.ChangeFees{At: l.now, Fees: shop.Fees{ValidFrom: l.now, BasisPoints: 500, Fixed: 20}}))
}

func (l *life) tweet() {
	id := l.newID()
	terms := offer.Tweeted{Shop: one(l, l.shops, "shop"), Tweet: "Look & <buy>!", Title: fmt.Sprintf("Thing %d", l.n), Currency: "GBP",
		Price: money.Minor(rapid.Int64Range(1, 3000).Draw(l.t, "price"))}
	switch one(l, []string{"pool", "pool", "unlimited", "a few each"}, "stock") {
	case "pool":
		stock := rapid.Int64Range(0, 6).Draw(l.t, "units")
		terms.Stock = &stock
	case "a few each":
		terms.LimitPerBuyer = 3
	}
	if len(l.offers) > 0 && rapid.Bool().Draw(l.t, "related") {
		terms.Related = []uuid.UUID{l.offers[0]}
	}
	_, err := l.kicau.Tweet(context.Background(), l.by(), id, terms)
	l.ok(err)
	l.offers = append(l.offers, id)
}

func (l *life) changeOffer() {
	l.said(l.kicau.Offer(context.Background(), l.by(), one(l, l.offers, "offer"), one(l, []offer.Command{
		offer.Reprice{At: l.now, Price: 700}, offer.Restock{At: l.now, Restock: l.newID(), Add: 2}, offer.Withdraw{At: l.now, Reason: "no more"},
	}, "change")))
}

func (l *life) place() {
	p := command.Place{Order: l.newID(), Buyer: uuid.UUID{0: 0xBB, 15: byte(rapid.IntRange(0, 2).Draw(l.t, "buyer"))},
		Jurisdiction: one(l, []string{"GB", "US"}, "jurisdiction"), Processor: one(l, []string{order.Stripe, order.Stripe, "paypal"}, "processor")}
	for range rapid.IntRange(1, 3).Draw(l.t, "lines") {
		p.Lines = append(p.Lines, command.Line{Offer: one(l, l.offers, "offer"), Quantity: rapid.Int64Range(1, 3).Draw(l.t, "quantity")})
	}
	l.said(l.kicau.Place(context.Background(), l.by(), p))
	l.orders = append(l.orders, p.Order)
}

// strayHold holds stock for an order that never comes: its process died.
func (l *life) strayHold() {
	id := l.newID()
	for range rapid.IntRange(1, 2).Draw(l.t, "offers") {
		l.said(l.kicau.Offer(context.Background(), l.by(), one(l, l.offers, "offer"),
			offer.HoldStock{At: l.now, Order: id, Quantity: 1, ExpiresAt: l.now.Add(command.DefaultStockHold)}))
	}
	l.strays = append(l.strays, id)
}

// abandon closes such an order and releases stock of it, or dies in between.
func (l *life) abandon() {
	if len(l.strays) == 0 {
		return
	}
	id := one(l, l.strays, "stray")
	l.said(l.kicau.Order(context.Background(), l.by(), id, order.Expire{At: l.now}))
	released := l.offers[:rapid.IntRange(0, len(l.offers)).Draw(l.t, "released")]
	l.ok(l.kicau.Abandon(context.Background(), l.by(), id, released))
}

// order has a step decide about one of the orders, if there are any.
func (l *life) order(cmd func(order.State) order.Command) {
	if len(l.orders) == 0 {
		return
	}
	id := one(l, l.orders, "order")
	l.said(l.kicau.Order(context.Background(), l.by(), id, cmd(l.stateOf(id))))
}

func (l *life) stateOf(id uuid.UUID) (state order.State) {
	l.ok(l.kicau.Orders.Look(context.Background(), order.Stream(id), func(s order.State) error {
		state = order.After(s)
		return nil
	}))
	return state
}

func (l *life) cancel() {
	l.order(func(order.State) order.Command { return order.Cancel{At: l.now, Reason: "changed my mind"} })
}

func (l *life) expire() {
	l.order(func(s order.State) order.Command { return order.Expire{At: l.now} })
}

func (l *life) ship() {
	l.order(func(s order.State) order.Command {
		c := order.Ship{At: l.now, Carrier: "a boy on a bicycle", Tracking: "none"}
		if len(s.Lines) > 0 && rapid.Bool().Draw(l.t, "in part") {
			line := one(l, s.Lines, "line")
			c.Units = []order.Units{{Line: line.No, Quantity: rapid.Int64Range(1, line.Quantity).Draw(l.t, "units")}}
		}
		return c
	})
}

func (l *life) refund() {
	l.order(func(s order.State) order.Command {
		c := order.GiveBack{At: l.now, Refund: l.newID(), Reason: "broken"}
		switch one(l, []string{"all", "amount", "units"}, "of") {
		case "amount":
			c.Amount = money.Minor(rapid.Int64Range(1, 2000).Draw(l.t, "amount"))
		case "units":
			c.Units = []order.Units{{Line: 1, Quantity: 1}}
		}
		return c
	})
}

func (l *life) settleStock() {
	if len(l.orders) > 0 {
		l.ok(l.kicau.SettleStock(context.Background(), l.by(), one(l, l.orders, "order")))
	}
}

// pay takes the money of an order one step further.
func (l *life) pay() {
	if len(l.orders) == 0 {
		return
	}
	id := one(l, l.orders, "order")
	st, err := l.kicau.Money(context.Background(), l.by(), id, payment.Advance{At: l.now, Account: platform})
	if errors.Is(err, order.ErrNotPlaced) {
		return
	}
	l.ok(err)
	for st.Needs.Any() && !st.IsOpen {
		says, evidence, err := l.kicau.Tell(context.Background(), l.by(), id, st)
		l.ok(err)
		st, err = l.kicau.Money(context.Background(), l.by(), id, payment.Advance{At: l.now, Account: platform, Shop: says, Evidence: evidence})
		l.ok(err)
	}
	l.ok(l.kicau.CarryDebts(context.Background(), l.by(), id, st))
	if !st.IsOpen || rapid.IntRange(0, 9).Draw(l.t, "death") == 0 {
		return
	}
	_, err = l.kicau.Money(context.Background(), l.by(), id, payment.Record{At: l.now, Account: platform, Key: st.Open.Key, Outcome: l.outcome(st.Open)})
	l.ok(err)
}

// outcome of a call, more often good than not.
func (l *life) outcome(e payment.Effect) payment.Outcome {
	ends := l.now.AddDate(0, 0, 7)
	intent := "pi_" + e.Order.String()
	good := map[order.Step]payment.Outcome{
		order.Authorise: payment.Authorised{Intent: intent, Charge: "ch_1", Amount: e.Amount, ExpiresAt: &ends, Brand: "visa", Last4: "4242"},
		order.Void:      payment.Voided{Intent: intent},
		order.Capture:   payment.Captured{Charge: "ch_1", Amount: e.Amount, ProcessorFee: min(30, e.Amount)},
		order.Refunding: payment.Refunded{RefundID: "re_1"},
		order.Settle:    payment.Transferred{Transfer: "tr_" + e.Key},
		order.Reverse:   payment.Reversed{Reversal: "trr_" + e.Key},
	}[e.Step]
	bad := map[order.Step][]payment.Outcome{
		order.Authorise: {payment.ActionRequired{Intent: intent, Action: "card"}, payment.Declined{Intent: intent, Code: "card_declined", DeclineCode: "lost_card"},
			payment.Failed{Code: "parameter_invalid"}, payment.Voided{Intent: intent}, payment.Authorised{Intent: intent, Amount: e.Amount}},
		order.Void:      {payment.Failed{Code: "payment_intent_unexpected_state"}},
		order.Capture:   {payment.Failed{Code: "charge_expired_for_capture"}, payment.Voided{Intent: intent}},
		order.Refunding: {payment.Failed{Code: "charge_disputed"}},
		order.Settle:    {payment.Failed{Code: "account_closed"}},
		order.Reverse:   {payment.Failed{Code: "balance_insufficient"}},
	}[e.Step]
	all := slices.Concat([]payment.Outcome{good, good, good, good, payment.Unknown{Reason: "timeout"}}, bad)
	return one(l, all, "outcome")
}

// news of an intent comes unasked.
func (l *life) news() {
	if len(l.orders) == 0 {
		return
	}
	id := one(l, l.orders, "order")
	s := l.stateOf(id)
	intent := s.Payment.Intent
	_, err := l.kicau.Money(context.Background(), l.by(), id, payment.Observe{At: l.now, Account: platform, Seen: payment.Seen{Intent: intent,
		Outcome: one(l, []payment.Outcome{payment.Authorised{Intent: intent, Charge: "ch_1", Amount: s.Placed.Total()},
			payment.ActionRequired{Intent: intent, Action: "authenticate"}, payment.Voided{Intent: intent},
			payment.Declined{Intent: intent, Code: "card_declined"}}, "news")}})
	if !errors.Is(err, order.ErrNotPlaced) {
		l.ok(err)
	}
}
