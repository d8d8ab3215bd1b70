package domain_test

import (
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// books are the books of one order and what an auditor counts beside them, from
// the events alone.
type books struct {
	t        *rapid.T
	l        *life
	balances map[ledger.Account]money.Minor // debits positive

	total, authorised          money.Minor
	captured, agreed, refunded order.Allocation
	processorFee, settled      money.Minor
	captures                   int
	agreements                 map[uuid.UUID]order.Allocation
	given                      map[uuid.UUID]bool
	open                       string // key of the open call
	asked                      map[string]bool
}

func audit(l *life) *books {
	b := &books{t: l.t, l: l, balances: map[ledger.Account]money.Minor{}, agreements: map[uuid.UUID]order.Allocation{},
		given: map[uuid.UUID]bool{}, asked: map[string]bool{}}
	l.each = func(e event.Data) {
		b.post(e)
		b.count(e)
		b.calls(e)
		b.check(e)
	}
	return b
}

// post writes an entry: balanced by itself, in one currency.
func (b *books) post(e event.Data) {
	entry, posts := ledger.Post(e)
	if !posts {
		return
	}
	if entry.Currency != b.l.s.Placed.Currency {
		b.t.Fatalf("%s posts %s, the order is in %s", e.EventType(), entry.Currency, b.l.s.Placed.Currency)
	}
	var sum, memo money.Minor
	for _, p := range entry.Postings {
		b.balances[p.Account] += p.Amount
		if p.Account.Memo() {
			memo += p.Amount
		} else {
			sum += p.Amount
		}
	}
	if sum != 0 || memo != 0 {
		b.t.Fatalf("%s is out of balance by %d, memo by %d", e.EventType(), sum, memo)
	}
}

// count is what the auditor writes down.
func (b *books) count(e event.Data) {
	switch e := e.(type) {
	case order.Placed:
		b.total = e.Total()
	case order.Authorised:
		b.authorised += e.Amount
	case order.Captured:
		b.captures++
		b.captured, b.processorFee = e.Allocation, e.ProcessorFee
		if e.Amount != e.Total() || e.Authorised != b.authorised {
			b.t.Fatalf("captured %d of %d, made of %+v; authorised was %d", e.Amount, e.Authorised, e.Allocation, b.authorised)
		}
	case order.RefundAgreed:
		if _, twice := b.agreements[e.Refund]; twice {
			b.t.Fatalf("refund %s was agreed twice", e.Refund)
		}
		b.agreements[e.Refund] = e.Allocation
		b.agreed = b.agreed.Plus(e.Allocation)
	case order.RefundFailed:
		b.agreed = b.agreed.Minus(b.agreements[e.Refund])
	case order.Refunded:
		if b.given[e.Refund] || b.agreements[e.Refund] != e.Allocation || e.Amount != e.Total() {
			b.t.Fatalf("refund %s: agreed %+v, given %+v, before: %v", e.Refund, b.agreements[e.Refund], e.Allocation, b.given[e.Refund])
		}
		b.given[e.Refund] = true
		b.refunded = b.refunded.Plus(e.Allocation)
	case order.Settled:
		b.settled += e.Amount
	}
}

// calls checks that intentions come before outcomes, one at a time, each under
// a key of its own.
func (b *books) calls(e event.Data) {
	due, isOpen := payment.Due(b.l.s)
	switch {
	case isOpen && due.Key != b.open:
		if b.open != "" || b.asked[due.Key] {
			b.t.Fatalf("%s opens %q while %q is open; used before: %v", e.EventType(), due.Key, b.open, b.asked[due.Key])
		}
		b.asked[due.Key] = true
	case !isOpen && b.open == "" && !b.l.s.Placed.Outside():
		switch e.(type) {
		case order.Captured, order.CaptureFailed, order.Refunded, order.RefundFailed, order.Settled, order.SettlementFailed:
			if _, lapsed := e.(order.CaptureFailed); !lapsed || !b.l.s.Payment.Voided {
				b.t.Fatalf("%s came of no call", e.EventType())
			}
		}
	}
	b.open = due.Key
}

// check is the law at this prefix of the log.
func (b *books) check(e event.Data) {
	must := func(ok bool, law string) {
		if !ok {
			b.t.Fatalf("after %s: %s\nbooks %v\nauthorised %d of %d, captured %+v, agreed %+v, refunded %+v, settled %d",
				e.EventType(), law, b.balances, b.authorised, b.total, b.captured, b.agreed, b.refunded, b.settled)
		}
	}
	var trial, memo money.Minor
	for a, n := range b.balances {
		if a.Memo() {
			memo += n
		} else {
			trial += n
		}
	}
	must(trial == 0 && memo == 0, "the trial balance is zero")
	must(b.captures <= 1, "an order is captured once")
	must(b.authorised <= b.total, "authorised ≤ total")
	must(b.captured.Total() <= b.authorised, "captured ≤ authorised")
	must(within(b.agreed, b.captured), "what was agreed to give back is part of what was captured")
	must(within(b.refunded, b.captured), "refunded ≤ captured")
	p := b.l.s.Payment
	payable, receivable := -b.balances[ledger.ShopPayable], b.balances[ledger.ShopReceivable]
	must(payable >= 0 && receivable >= 0, "payable and receivable are never negative")
	must(payable == p.Payable && receivable == p.Receivable && p.Settled == b.settled, "the books and the saga know the same of the shop")
	must(payable-receivable == b.captured.ShopShare()-b.refunded.ShopShare()-b.settled, "the shop is owed its share, less what it was paid")
	must(b.balances[ledger.MemoAuthorised] >= 0, "no more is given up than was authorised")
	must(-b.balances[ledger.TaxPayable] == b.captured.Tax-b.refunded.Tax, "tax is kept of what was sold")
	must(-b.balances[ledger.PlatformFees]-b.balances[ledger.FeesRefunded] == b.captured.Fee-b.refunded.Fee, "the fee is of what was sold")
	cash := b.balances[ledger.StripeBalance] + b.balances[ledger.OutsideProcessors]
	must(cash == b.captured.Total()-b.processorFee-b.refunded.Total()-b.settled, "cash is what came in less what went out")
}

// within tells whether a is part of b in every component, and what stays still
// has no more fee than goods.
func within(a, b order.Allocation) bool {
	rest := b.Minus(a)
	return min(a.Goods, a.Shipping, a.Tax, a.Fee, rest.Goods, rest.Shipping, rest.Tax, rest.Fee) >= 0 && rest.Fee <= rest.Goods
}

func TestBooks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &life{t: t, at: noon}
		b := audit(l)
		l.live()
		if !l.end() {
			t.Fatalf("the order never comes to rest: %s, %+v", l.s.Standing, l.s.Payment)
		}
		b.finished()
	})
}

// finished is the law for an order about which nothing is to be done any more.
func (b *books) finished() {
	s, p := b.l.s, b.l.s.Payment
	if s.Placed.Outside() && s.Standing == order.Open {
		return // paid, and nobody has shipped it yet: that is for the shop
	}
	if s.Standing == order.Open || p.Pending != nil {
		b.t.Fatalf("finished, yet %s, and %+v is open", s.Standing, p.Pending)
	}
	if b.balances[ledger.MemoAuthorised] != 0 {
		b.t.Fatalf("finished, yet %d is authorised", b.balances[ledger.MemoAuthorised])
	}
	for _, r := range s.Refunds {
		if r.Status != order.Given && r.Status != order.Refused {
			b.t.Fatalf("finished, yet refund %s is %s", r.ID, r.Status)
		}
	}
	if pays := s.Placed.Destination != "" && !s.Placed.Outside(); pays && p.Payable > p.Receivable {
		b.t.Fatalf("finished, yet the shop is owed %d", p.Payable-p.Receivable)
	}
	if b.captured.Total() > 0 && b.refunded.Total() == b.captured.Total() && b.refunded != b.captured {
		b.t.Fatalf("refunded whole, yet %+v of %+v", b.refunded, b.captured)
	}
}

// The lives above are worth something only as long as everything happens in
// some of them.
func TestEverythingHappensInSomeLife(t *testing.T) {
	lives := rapid.Custom(func(t *rapid.T) *life { l := live(t); l.end(); return l })
	seen := map[string]int{}
	for seed := range 400 {
		l := lives.Example(seed)
		for _, e := range l.log {
			seen[e.EventType()]++
		}
		if l.s.Payment.Receivable > 0 {
			seen["a shop that owes"]++
		}
		if c := l.s.Payment.Captured; len(l.s.Refunds) > 1 && l.s.Refunded == c {
			seen["an order refunded whole in steps"]++
		}
	}
	want := []string{"a shop that owes", "an order refunded whole in steps"}
	for _, typ := range order.Events {
		want = append(want, typ.Name)
	}
	for _, what := range want {
		if seen[what] == 0 {
			t.Errorf("in 400 lives there was never %s", what)
		}
	}
}
