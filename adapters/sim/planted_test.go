package sim

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// A simulator that finds nothing proves nothing. Each of these bugs is planted
// into what runs, and has to be found within so many seeds.
const seedsToFind = 60

// moneyBug changes what is decided about the money of orders.
func moneyBug(change func(s order.State, c payment.Command, decided []event.Data) []event.Data) plant {
	return plant{decide: func(d command.Deciders) command.Deciders {
		right := d.Money.Decide
		d.Money.Decide = func(s order.State, c payment.Command) ([]event.Data, error) {
			decided, err := right(s, c)
			if err != nil {
				return nil, err
			}
			return change(s, c, decided), nil
		}
		return d
	}}
}

// eachMoney changes or drops (nil) single events about the money of orders.
func eachMoney(change func(s order.State, e event.Data) event.Data) plant {
	return moneyBug(func(s order.State, _ payment.Command, decided []event.Data) []event.Data {
		return each(s, decided, change)
	})
}

func each[S any](s S, decided []event.Data, change func(S, event.Data) event.Data) (out []event.Data) {
	for _, e := range decided {
		if e = change(s, e); e != nil {
			out = append(out, e)
		}
	}
	return out
}

func orderBug(decide func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error)) plant {
	return plant{decide: func(d command.Deciders) command.Deciders { d.Order.Decide = around(d.Order, decide); return d }}
}

func offerBug(decide func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error)) plant {
	return plant{decide: func(d command.Deciders) command.Deciders { d.Offer.Decide = around(d.Offer, decide); return d }}
}

func shopBug(decide func(right func(shop.State, shop.Command) ([]event.Data, error), s shop.State, c shop.Command) ([]event.Data, error)) plant {
	return plant{decide: func(d command.Deciders) command.Deciders { d.Shop.Decide = around(d.Shop, decide); return d }}
}

func around[S, C any](d decider.Decider[S, C], decide func(func(S, C) ([]event.Data, error), S, C) ([]event.Data, error)) func(S, C) ([]event.Data, error) {
	right := d.Decide
	return func(s S, c C) ([]event.Data, error) { return decide(right, s, c) }
}

// client is a client of the processor with a bug in it.
type client struct {
	command.Payments
	w       *world
	perform func(c client, ctx context.Context, e payment.Effect) payment.Outcome
	read    func(payment.Seen) payment.Seen
	calls   *int
}

func (c client) Perform(ctx context.Context, e payment.Effect) payment.Outcome {
	*c.calls++
	if c.perform == nil {
		return c.Payments.Perform(ctx, e)
	}
	return c.perform(c, ctx, e)
}

func (c client) Read(ctx context.Context, intent string) (uuid.UUID, payment.Seen) {
	id, seen := c.Payments.Read(ctx, intent)
	if c.read != nil {
		seen = c.read(seen)
	}
	return id, seen
}

func clientBug(perform func(c client, ctx context.Context, e payment.Effect) payment.Outcome) plant {
	return plant{perform: func(w *world, p command.Payments) command.Payments { return client{p, w, perform, nil, new(int)} }}
}

func outcomeBug(change func(e payment.Effect, o payment.Outcome) payment.Outcome) plant {
	return clientBug(func(c client, ctx context.Context, e payment.Effect) payment.Outcome {
		return change(e, c.Payments.Perform(ctx, e))
	})
}

func readBug(change func(payment.Seen) payment.Seen) plant {
	return plant{perform: func(w *world, p command.Payments) command.Payments { return client{p, w, nil, change, new(int)} }}
}

// tape is a log with a bug in it.
type tape struct {
	command.Log
	append func(l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error)
}

func (t tape) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	return t.append(t.Log, ctx, stream, expect, events)
}

func logBug(append func(w *world, l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error)) plant {
	return plant{wrapLog: func(w *world, l command.Log) command.Log {
		return tape{l, func(l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
			return append(w, l, ctx, stream, expect, events)
		}}
	}}
}

// twice makes a call of the step a second time under another key.
func twice(step order.Step) plant {
	return clientBug(func(c client, ctx context.Context, e payment.Effect) payment.Outcome {
		o := c.Payments.Perform(ctx, e)
		if e.Step == step {
			e.Key += ":2"
			c.Payments.Perform(ctx, e)
		}
		return o
	})
}

var planted = []struct {
	name string
	bug  plant
}{
	// The saga and its client.
	{"a retry has a key of its own", clientBug(func(c client, ctx context.Context, e payment.Effect) payment.Outcome {
		e.Key = fmt.Sprintf("%s:%d", e.Key, *c.calls)
		return c.Payments.Perform(ctx, e)
	})},
	{"a retry forgets how old its key is, and looks nothing up", clientBug(func(c client, ctx context.Context, e payment.Effect) payment.Outcome {
		e.Tries, e.RequestedAt = 0, c.w.k.now
		return c.Payments.Perform(ctx, e)
	})},
	{"an unknown outcome is taken for a failure", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if u, unknown := o.(payment.Unknown); unknown {
			return payment.Failed{Code: "timeout", Reason: u.Reason}
		}
		return o
	})},
	{"an unknown void is taken for done", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if _, unknown := o.(payment.Unknown); unknown && e.Step == order.Void {
			return payment.Voided{Intent: e.Intent}
		}
		return o
	})},
	{"an unknown transfer is taken for done", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if _, unknown := o.(payment.Unknown); unknown && e.Step == order.Settle {
			return payment.Transferred{Transfer: "tr_" + e.Key}
		}
		return o
	})},
	{"a refused refund is taken for done", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if _, failed := o.(payment.Failed); failed && e.Step == order.Refunding {
			return payment.Refunded{RefundID: "re_" + e.Key}
		}
		return o
	})},
	{"a reversal is not made", clientBug(func(c client, ctx context.Context, e payment.Effect) payment.Outcome {
		if e.Step == order.Reverse {
			return payment.Reversed{Reversal: "trr_" + e.Key}
		}
		return c.Payments.Perform(ctx, e)
	})},
	{"a transfer is made twice", twice(order.Settle)},
	{"a refund is made twice", twice(order.Refunding)},
	{"an authorisation is made twice", twice(order.Authorise)},
	{"the processor's fee is not booked", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if c, captured := o.(payment.Captured); captured {
			c.ProcessorFee = 0
			return c
		}
		return o
	})},
	{"a pending refund is taken for paid", outcomeBug(func(e payment.Effect, o payment.Outcome) payment.Outcome {
		if r, refunded := o.(payment.Refunded); refunded {
			r.Pending = false
			return r
		}
		return o
	})},
	{"refunds at the processor are not seen", readBug(func(s payment.Seen) payment.Seen { s.Refunds = nil; return s })},
	{"disputes are not seen", readBug(func(s payment.Seen) payment.Seen { s.Disputes = nil; return s })},
	{"what a dispute moves is not seen", readBug(func(s payment.Seen) payment.Seen {
		for i := range s.Disputes {
			if m := s.Disputes[i].Movements; len(m) > 1 {
				s.Disputes[i].Movements = m[:1]
			}
		}
		return s
	})},
	{"a refund that comes back is not seen", readBug(func(s payment.Seen) payment.Seen {
		for i := range s.Refunds {
			if s.Refunds[i].Status == payment.RefundFailed {
				s.Refunds[i].Status = payment.RefundSucceeded
			}
		}
		return s
	})},
	{"news of the intent are not seen", readBug(func(s payment.Seen) payment.Seen { s.Outcome = nil; return s })},
	{"the saga's clock is two hours ahead", plant{ahead: 2 * time.Hour}},
	{"deadlines do not fire", plant{noDeadlines: true}},
	{"what webhooks missed is not read back", plant{noSweep: true}},

	// The log.
	{"a lost append is taken for done", logBug(func(w *world, l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
		at, err := l.Append(ctx, stream, expect, events)
		if err == errCut {
			return command.Appended{Revision: uint64(int64(expect) + int64(len(events))), Position: event.At(1)}, nil
		}
		return at, err
	})},
	{"an append expects nothing", logBug(func(_ *world, l command.Log, ctx context.Context, stream string, _ command.Expect, events []event.Proposed) (command.Appended, error) {
		return l.Append(ctx, stream, command.Any, events)
	})},
	{"an append is sent again with other ids", logBug(func(w *world, l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
		at, err := l.Append(ctx, stream, expect, events)
		if err != errCut {
			return at, err
		}
		again := append([]event.Proposed(nil), events...)
		for i := range again {
			again[i].ID = newID(w.ids)
		}
		return l.Append(ctx, stream, command.Any, again)
	})},
	{"an append is torn", logBug(func(_ *world, l command.Log, ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
		return l.Append(ctx, stream, expect, events[:max(1, len(events)-1)])
	})},

	// What is decided about the money.
	{"a second capture is asked for", moneyBug(func(s order.State, c payment.Command, decided []event.Data) []event.Data {
		if p := s.Payment; len(decided) == 0 && p.IsCaptured && p.Pending == nil && s.Standing == order.Dispatch && p.Calls < 6 {
			return []event.Data{order.CaptureRequested{Key: fmt.Sprintf("v1:%s:capture:%d", s.Placed.Order, p.Calls+1), Intent: p.Intent, Amount: p.Taken, At: time.Time{}}}
		}
		return decided
	})},
	{"all that is authorised is captured, whatever was shipped", eachMoney(func(s order.State, e event.Data) event.Data {
		if c, ok := e.(order.CaptureRequested); ok {
			c.Amount = s.Payment.Authorised
			return c
		}
		return e
	})},
	{"an authorisation is not given up", eachMoney(func(s order.State, e event.Data) event.Data {
		if v, ok := e.(order.VoidRequested); ok && v.Intent == s.Payment.Intent {
			return nil
		}
		return e
	})},
	{"a replaced authorisation is not given up", eachMoney(func(s order.State, e event.Data) event.Data {
		if v, ok := e.(order.VoidRequested); ok && v.Intent != s.Payment.Intent {
			return nil
		}
		return e
	})},
	{"an authorisation is given up in the books only", eachMoney(func(s order.State, e event.Data) event.Data {
		if v, ok := e.(order.VoidRequested); ok {
			return order.Voided{Intent: v.Intent, Released: s.Payment.Authorised, Currency: s.Placed.Currency, Cause: "requested"}
		}
		return e
	})},
	{"the shop is paid before the hold is over", moneyBug(func(s order.State, c payment.Command, decided []event.Data) []event.Data {
		for i, e := range decided {
			if c, ok := e.(order.Captured); ok {
				return append(decided[:i+1:i+1], order.Released{Shop: c.Shop, Currency: c.Currency, Payable: c.ShopShare()})
			}
		}
		return decided
	})},
	{"the reserve is forgotten", eachMoney(func(_ order.State, e event.Data) event.Data {
		if r, ok := e.(order.Released); ok {
			r.Reserved, r.ReserveUntil = 0, nil
			return r
		}
		return e
	})},
	{"the reserve is never released", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.ReserveReleased); ok {
			return nil
		}
		return e
	})},
	{"netted debt is paid out all the same", eachMoney(func(_ order.State, e event.Data) event.Data {
		if r, ok := e.(order.Released); ok {
			r.Netted, r.Debt = r.Netted-min(r.Debt, r.Netted), 0
			return r
		}
		return e
	})},
	{"a credit is not paid out", eachMoney(func(_ order.State, e event.Data) event.Data {
		if r, ok := e.(order.Released); ok && r.Debt < 0 {
			r.Netted, r.Debt = r.Netted-r.Debt, 0
			return r
		}
		return e
	})},
	{"a refund is never asked of the processor", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.RefundRequested); ok {
			return nil
		}
		return e
	})},
	{"a refund takes from the shop a minor unit too many", eachMoney(func(_ order.State, e event.Data) event.Data {
		if r, ok := e.(order.Refunded); ok {
			r.FromReceivable++
			return r
		}
		return e
	})},
	{"money that nobody earned is kept", eachMoney(func(_ order.State, e event.Data) event.Data {
		if r, ok := e.(order.RefundAgreed); ok && r.Reason == payment.NotEarned {
			return nil
		}
		return e
	})},
	{"what a shop owes after a refund is not taken back", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.ReversalRequested); ok {
			return nil
		}
		return e
	})},
	{"a dispute's money is not withdrawn in the books", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.DisputeWithdrawn); ok {
			return nil
		}
		return e
	})},
	{"a dispute that was won is booked as lost", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.DisputeReinstated); ok {
			return nil
		}
		return e
	})},
	{"an outcome is not recorded", eachMoney(func(_ order.State, e event.Data) event.Data {
		if _, ok := e.(order.Settled); ok {
			return nil
		}
		return e
	})},
	{"the key is the same for every call of an order", eachMoney(func(s order.State, e event.Data) event.Data {
		if r, ok := e.(order.RefundRequested); ok {
			r.Key = "v1:" + s.Placed.Order.String()
			return r
		}
		return e
	})},

	// What is decided about orders, stock and shops.
	{"an order expires too early", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if e, ok := c.(order.Expire); ok {
			e.At = e.At.Add(48 * time.Hour)
			c = e
		}
		return right(s, c)
	})},
	{"an unpaid order never expires", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if _, ok := c.(order.Expire); ok && s.Standing == order.Open {
			return nil, nil
		}
		return right(s, c)
	})},
	{"a shipped order can be cancelled", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if _, ok := c.(order.Cancel); ok && s.Standing == order.Dispatch {
			return []event.Data{order.Cancelled{}}, nil
		}
		return right(s, c)
	})},
	{"an unpaid order can be shipped", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if _, ok := c.(order.Ship); ok {
			s.Payment.Voided = false
			s.Payment.Authorised = s.Placed.Total()
			if s.Standing == order.Called || s.Standing == order.TimedOut {
				s.Standing = order.Open
			}
		}
		return right(s, c)
	})},
	{"more is refunded than was captured", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if g, ok := c.(order.GiveBack); ok && g.Amount > 0 {
			s.Refunded = order.Allocation{}
		}
		return right(s, c)
	})},
	{"a refund asked twice is agreed twice", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if _, ok := c.(order.GiveBack); ok {
			s.Refunds = nil
		}
		return right(s, c)
	})},
	{"the lines do not add up to the order", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		events, err := right(s, c)
		return each(s, events, func(_ order.State, e event.Data) event.Data {
			if p, ok := e.(order.Placed); ok && len(p.Lines) > 1 {
				p.Lines = append([]order.Line(nil), p.Lines...)
				p.Lines[0].Shipping++
				return p
			}
			return e
		}), err
	})},
	{"the fee ignores its minimum", orderBug(func(right func(order.State, order.Command) ([]event.Data, error), s order.State, c order.Command) ([]event.Data, error) {
		if p, ok := c.(order.Place); ok {
			minimum := p.Terms.FeeMinimum
			p.Terms.FeeMinimum = 0
			events, err := right(s, p)
			return each(s, events, func(_ order.State, e event.Data) event.Data {
				if p, ok := e.(order.Placed); ok {
					p.FeeMinimum = minimum
					return p
				}
				return e
			}), err
		}
		return right(s, c)
	})},
	{"stock is oversold", offerBug(func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error) {
		if _, ok := c.(offer.HoldStock); ok {
			s.Available += 3
		}
		return right(s, c)
	})},
	{"a buyer gets more than the limit", offerBug(func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error) {
		if _, ok := c.(offer.HoldStock); ok {
			s.Terms.LimitPerBuyer *= 2
		}
		return right(s, c)
	})},
	{"a release is forgotten", offerBug(func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error) {
		if _, ok := c.(offer.ReleaseStock); ok {
			return nil, nil
		}
		return right(s, c)
	})},
	{"stock is released twice", offerBug(func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error) {
		if r, ok := c.(offer.ReleaseStock); ok {
			if h, held := s.Holds[r.Order]; held && h.Ended == offer.Released {
				return []event.Data{offer.StockReleased{Order: r.Order, Quantity: 1, Reason: r.Reason}}, nil
			}
		}
		return right(s, c)
	})},
	{"what was not shipped is not put back", offerBug(func(right func(offer.State, offer.Command) ([]event.Data, error), s offer.State, c offer.Command) ([]event.Data, error) {
		if r, ok := c.(offer.ReleaseStock); ok && r.Keep > 0 {
			return nil, nil
		}
		return right(s, c)
	})},
	{"a debt is not told to the shop", shopBug(func(right func(shop.State, shop.Command) ([]event.Data, error), s shop.State, c shop.Command) ([]event.Data, error) {
		if _, ok := c.(shop.Carry); ok {
			return nil, nil
		}
		return right(s, c)
	})},
	{"a debt is told to the shop again and again", shopBug(func(right func(shop.State, shop.Command) ([]event.Data, error), s shop.State, c shop.Command) ([]event.Data, error) {
		if k, ok := c.(shop.Carry); ok {
			return []event.Data{shop.DebtCarried{Order: k.Order, Number: k.Number, Amount: k.Amount}}, nil
		}
		return right(s, c)
	})},
	{"a release that asks again is netted again", shopBug(func(right func(shop.State, shop.Command) ([]event.Data, error), s shop.State, c shop.Command) ([]event.Data, error) {
		if n, ok := c.(shop.Net); ok && s.Owed > 0 {
			return []event.Data{shop.DebtNetted{Order: n.Order, Release: n.Release, Amount: min(n.UpTo, s.Owed)}}, nil
		}
		return right(s, c)
	})},
	{"more debt is netted than is owed", shopBug(func(right func(shop.State, shop.Command) ([]event.Data, error), s shop.State, c shop.Command) ([]event.Data, error) {
		events, err := right(s, c)
		return each(s, events, func(s shop.State, e event.Data) event.Data {
			if n, ok := e.(shop.DebtNetted); ok {
				n.Amount += money.Minor(1)
				return n
			}
			return e
		}), err
	})},
}

func TestPlantedBugsAreFound(t *testing.T) {
	if len(planted) < 30 {
		t.Errorf("only %d bugs are planted", len(planted))
	}
	only := strings.ToLower(env("PLANTED", ""))
	found := make([]string, len(planted))
	var all sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for n, p := range planted {
		if !strings.Contains(strings.ToLower(p.name), only) {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			for seed := uint64(1); seed <= seedsToFind && found[n] == ""; seed++ {
				if res := Run(Options{Seed: seed, Orders: 24, Faults: 24, plant: p.bug}); len(res.Breaches) > 0 {
					found[n] = fmt.Sprintf("| %s | %d | %s |", p.name, seed, res.Breaches[0].Law)
				}
			}
			if found[n] == "" {
				t.Errorf("%q was not found in %d seeds", p.name, seedsToFind)
			}
		})
	}
	all.Wait()
	t.Logf("the table of docs/simulation.md:\n%s", strings.Join(slices.DeleteFunc(found, func(s string) bool { return s == "" }), "\n"))
}
