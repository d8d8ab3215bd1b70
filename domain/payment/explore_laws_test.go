package payment_test

import (
	"reflect"
	"time"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/oracle"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/projections"
)

// rest: nobody asks any more, nothing fails, the processor decides all that is open,
// and everything is heard.
func (w *world) rest() {
	w.calm = true
	w.tell("— to rest —")
	for round := range 40 {
		last := round > 36
		w.pass(map[bool]time.Duration{true: 30 * time.Hour, false: 10 * 24 * time.Hour}[round < 24])
		for _, x := range w.sales {
			if round > 0 {
				w.onTime(x)
			}
			for _, i := range x.bank.intents {
				for _, r := range i.refunds {
					x.bank.settleRefund(i, r, r.Status == payment.RefundSucceeded || w.IntN(3) > 0)
				}
				for _, d := range i.disputes {
					for d.Result == "" && round > 10 {
						x.bank.decide(i, d, w.Rand)
					}
					d.shown = len(d.Movements)
				}
			}
			for n := 0; w.step(x) && w.broken == ""; n++ {
				if n > 60 {
					w.breaks("nobody acts for ever", "order %d", x.id[0])
				} else if last {
					w.breaks("rest is rest", "order %d", x.id[0])
				}
			}
		}
		if w.broken != "" {
			return
		}
	}
	w.check()
}

// onTime: of an order that came to rest, what is to be done now has a deadline.
func (w *world) onTime(x *sale) {
	ends, _ := order.Decider.Decide(x.s, order.Expire{At: w.now})
	late := len(ends) > 0 || !payment.AtRest(x.s, w.now)
	if late && (x.row.Due == "" || x.row.Due > projections.Time(w.now)) {
		w.breaks("what is to be done has a deadline", "%v %v, and the row is %+v", ends, nextOf(x.s, w.now), x.row)
	}
}

// step of an order that is looked after well.
func (w *world) step(x *sale) (goesOn bool) {
	before := len(x.log)
	w.record(x)
	for _, old := range x.read {
		w.hear(x, old)
	}
	x.read = nil
	for _, i := range x.bank.intents {
		w.hear(x, x.bank.shows(i))
	}
	w.advance(x)
	w.call(x)
	w.record(x)
	w.carry(x)
	if events, _ := order.Decider.Decide(x.s, order.Expire{At: w.now}); len(events) > 0 {
		w.people(x, order.Expire{At: w.now})
	}
	return len(x.log) > before
}

// check what must be true in the end.
func (w *world) check() {
	w.oracle.Rest(w.now)
	var balance money.Minor
	for _, x := range w.sales {
		theirs, n := x.bank.has(x.s.Payment.Intent)
		balance += n
		for _, i := range x.bank.intents {
			if seen := x.bank.shows(i); payment.Waits(x.s, seen) {
				w.breaks("nothing waits in the end", "%+v", seen)
			}
		}
		w.oracle.Agree(x.id, theirs)
		w.checkSale(x, theirs)
	}
	if ours := w.oracle.AtProcessor(w.shop.Terms.Currency); ours != balance {
		w.breaks("our balance at the processor is ours", "%d by our books, %d by theirs", ours, balance)
	}
	if b := w.oracle.Breaches(); len(b) > 0 {
		w.breaks(b[0].Law, "%s", b[0].Text)
	}
}

func (w *world) checkSale(x *sale, theirs oracle.Theirs) {
	s, p := x.s, x.s.Payment
	given := theirs.Refunded + theirs.Disputed
	if w.strict && given > theirs.Captured {
		w.breaks("the buyer has no more back than was taken", "%d of %d", given, theirs.Captured)
	}
	share, excess, netted, unasked := p.Captured.ShopShare(), money.Minor(0), money.Minor(0), money.Minor(0)
	for _, r := range s.Refunds {
		if r.Status == order.Given {
			share -= r.ShopShare()
			if r.Reason == payment.NotEarned {
				unasked += r.Amount()
			}
		}
	}
	for _, d := range s.Disputes {
		if d.Held != nil {
			share -= d.Held.ShopShare()
			excess += d.Held.Excess
		}
	}
	for _, e := range x.log {
		if r, ok := e.(order.Released); ok {
			netted += r.Debt
		}
	}
	has := theirs.Transferred + p.Payable + p.Available + p.Reserve.Total() - p.Receivable + netted
	for _, d := range p.Debts {
		has -= d.Amount
	}
	if has != share {
		w.breaks("the shop has its share", "%d, its share is %d", has, share)
	}
	left := s.Left()
	kept := theirs.Captured - given
	if left.Total()+p.Unearned != max(0, kept) || excess != max(0, -kept) {
		w.breaks("what we keep is what was sold", "%d are kept, %+v of it sold, %d not earned, %d lost beyond the sale", kept, left, p.Unearned, excess)
	}
	if left.Total() == 0 && left.Fee != 0 {
		w.breaks("no fee is left of nothing", "%d", left.Fee)
	}
	if left.Fee > left.Goods {
		w.breaks("the fee is of the goods", "%+v", left)
	}
	var sent order.Allocation
	for _, l := range s.Lines {
		sent = sent.Plus(l.Of(0, l.Shipped, s.Placed.Step()))
	}
	if p.Captured.Total() != min(sent.Total(), theirs.Captured) {
		w.breaks("what was shipped is earned", "%d was shipped, %d taken, %d earned", sent.Total(), theirs.Captured, p.Captured.Total())
	}
	if unasked > max(0, theirs.Captured-sent.Total()) {
		w.breaks("what was shipped is not sent back", "%d was sent back of %d taken and %d shipped", unasked, theirs.Captured, sent.Total())
	}
	if again := decider.Fold(payment.Decider, x.log...); !reflect.DeepEqual(again, s) {
		w.breaks("the same history gives the same state", "%+v, again %+v", s, again)
	} else if a, b := nextOf(s, w.now), nextOf(again, w.now); !reflect.DeepEqual(a, b) {
		w.breaks("the same state decides the same", "%v, again %v", a, b)
	}
}

func nextOf(s order.State, at time.Time) []event.Data {
	events, _ := payment.Decider.Decide(s, payment.Advance{At: at, Account: ours, Shop: &payment.ShopSays{}})
	return events
}
