package oracle

import (
	"bytes"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// Rest checks what must be true once nobody asks any more, nothing fails and all
// deadlines have passed: every order has come to an end, and its money with it.
func (o *Oracle) Rest(now time.Time) {
	for _, id := range o.sequence {
		o.orderAtRest(o.orders[id], now)
	}
	for _, id := range inOrder(o.offers) {
		p := o.offers[id]
		for _, of := range inOrder(p.holds) {
			h := p.holds[of]
			if s := o.Order(of); !h.gone && s.Standing != order.Dispatch && !waits(*s) {
				o.breach("every hold ends", "offer-"+id.String(), "%d units are held for order %s, which is %q", h.quantity, of, s.Standing)
			} else if _, taken := s.Units(id); !h.gone && h.quantity != taken {
				o.breach("every hold ends", "offer-"+id.String(), "%d units are kept for order %s, which took %d", h.quantity, of, taken)
			}
		}
	}
	for _, id := range inOrder(o.shops) {
		o.shopAtRest(id)
	}
	currencies := map[money.Currency]bool{}
	for _, w := range o.orders {
		currencies[w.state.Placed.Currency] = true
	}
	for _, c := range slices.Sorted(maps.Keys(currencies)) {
		for _, a := range []ledger.Account{ledger.DisputedFunds, ledger.RefundsPending, ledger.ShopDisputed, ledger.MemoAuthorised} {
			left := o.books.Total(c, a)
			for _, id := range o.sequence {
				if s := o.orders[id].state; a == ledger.MemoAuthorised && s.Placed.Currency == c && waits(s) {
					left -= s.Payment.Authorised
				}
			}
			if left != 0 {
				o.breach("nothing is left in between", string(c), "%s is %d", a, left)
			}
		}
	}
}

// shopAtRest: every debt has come from the order that left it to the shop's
// stream, from there to the release that pays it, and is in the books once.
func (o *Oracle) shopAtRest(id uuid.UUID) {
	s, stream := o.shops[id], shop.Stream(id)
	var carried money.Minor
	for _, n := range s.Carried {
		carried -= n
	}
	owed := -s.Owed
	for _, a := range s.Adjusted {
		if !a.Netted {
			owed += a.Amount
		}
	}
	for _, p := range s.Paid {
		owed -= p.Amount
	}
	for _, of := range o.sequence {
		w := o.orders[of]
		p := w.state.Payment
		for _, d := range p.Debts {
			if d.Shop == id {
				carried += d.Amount
			}
		}
		if w.state.Placed.Shop != id {
			continue
		}
		owed += p.Payable + p.Available + p.Reserve.Total() - p.Receivable
		had := append(w.releases, 0) // the next one has nothing before it comes
		for n, debt := range had {
			if gave := s.NettedFor(of, n+1); gave != debt {
				o.breach("debts are conserved", stream, "%d given up for release %d of order %s, which had %d", gave, n+1, of, debt)
			}
		}
	}
	if carried != 0 {
		o.breach("debts are conserved", stream, "orders carried %d more than the shop was told of", carried)
	}
	if booked := o.books.OwedTo(id, s.Terms.Currency); booked != owed {
		o.breach("what a shop is owed is in the books", stream, "%d in the books, %d by its orders, its debts and what was adjusted", booked, owed)
	}
}

// inOrder are the keys of a map, so that the same log gives the same report.
func inOrder[V any](m map[uuid.UUID]V) []uuid.UUID {
	return slices.SortedFunc(maps.Keys(m), func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
}

func (o *Oracle) orderAtRest(w *watched, now time.Time) {
	s, p := w.state, w.state.Payment
	stream := order.Stream(w.id)
	wrong := func(format string, args ...any) { o.breach("every order comes to an end", stream, format, args...) }
	switch {
	case s.Standing == order.Forgotten:
		return
	case p.Pending != nil:
		wrong("the call %s is still open after %d tries", p.Pending.Key, p.Pending.Tries)
		return
	case waits(s):
		return
	case s.Standing == order.Open:
		wrong("it is still open")
	case s.Standing == order.Dispatch && !p.IsCaptured && !p.Failed:
		wrong("it was shipped and not captured")
	case s.Standing.Over() && p.Intent != "" && !p.Voided && !p.IsCaptured && !p.Failed:
		wrong("it is %s and still holds %s", s.Standing, p.Intent)
	case len(p.Former) > 0:
		wrong("%d replaced intents are not given up", len(p.Former))
	}
	for _, r := range s.Refunds {
		if r.Status != order.Given && r.Status != order.Refused {
			wrong("refund %s is still %s", r.ID, r.Status)
		}
	}
	for _, d := range s.Disputes {
		if d.Open() {
			wrong("dispute %s is undecided", d.ID)
		}
	}
	if p.Unearned > 0 && !gaveUp(s) {
		wrong("%d was taken and never earned", p.Unearned)
	}
	if s.Placed.Destination != "" && !s.Placed.Outside() && (p.Payable != 0 || p.Available != 0 || len(p.Reserve) > 0 || p.Receivable != 0) {
		wrong("its shop is not settled with: payable %d, available %d, reserve %d, receivable %d", p.Payable, p.Available, p.Reserve.Total(), p.Receivable)
	}
	if !payment.AtRest(s, now) {
		wrong("there is still something to do about its money")
	}
}

// waits: an order that somebody else took the money for waits for its shop, for
// ever if need be.
func waits(s order.State) bool { return s.Standing == order.Open && s.Placed.Outside() }

// gaveUp: sending money back was refused so often that somebody has to look.
func gaveUp(s order.State) bool {
	n := 0
	for _, r := range s.Refunds {
		if r.Unearned > 0 && r.Status == order.Refused {
			n++
		}
	}
	return n >= payment.MaxReturns
}
