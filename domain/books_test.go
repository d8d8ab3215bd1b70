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

	total, authorised, released money.Minor
	earned, agreed, refunded    order.Allocation
	atBank, lost                order.Allocation // of open and of lost disputes
	captured, fees, paidBack    money.Minor      // of and to the buyer, and the processor's
	unearned                    money.Minor
	withBanks, settled          money.Minor
	carried, netted             money.Minor
	captures                    int
	agreements                  map[uuid.UUID]order.RefundAgreed
	booked                      map[uuid.UUID]order.Taken
	open                        string // key of the open call
	asked                       map[string]bool
}

func audit(l *life) *books {
	b := &books{t: l.t, l: l, balances: map[ledger.Account]money.Minor{}, agreements: map[uuid.UUID]order.RefundAgreed{},
		booked: map[uuid.UUID]order.Taken{}, asked: map[string]bool{}}
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
	case order.Voided:
		b.released += e.Released
	case order.Captured:
		b.captures++
		b.captured, b.earned, b.unearned, b.fees = e.Amount, e.Allocation, e.Unearned, e.ProcessorFee
		if e.Amount != e.Total()+e.Unearned || e.Amount > e.Authorised {
			b.t.Fatalf("captured %d of %d, made of %+v and %d", e.Amount, e.Authorised, e.Allocation, e.Unearned)
		}
	case order.Earned:
		b.earned = b.earned.Plus(e.Allocation)
		b.unearned -= e.Total()
	case order.RefundAgreed:
		if _, twice := b.agreements[e.Refund]; twice {
			b.t.Fatalf("refund %s was agreed twice", e.Refund)
		}
		b.agreements[e.Refund] = e
		b.agreed = b.agreed.Plus(e.Allocation)
	case order.RefundFailed:
		b.agreed = b.agreed.Minus(b.agreements[e.Refund].Allocation)
	case order.RefundPending:
		b.refund(e.Refund, e.Allocation, e.Unearned, e.Taken)
	case order.Refunded:
		if !e.WasPending {
			b.refund(e.Refund, e.Allocation, e.Unearned, e.Taken)
		}
		b.paidBack += e.Amount
	case order.RefundReturned:
		b.agreed, b.refunded = b.agreed.Minus(e.Allocation), b.refunded.Minus(e.Allocation)
		b.unearned += e.Unearned
		if !e.WasPending {
			b.paidBack -= e.Amount
		}
	case order.Released:
		b.netted += e.Debt
	case order.DebtCarried:
		b.carried += e.Amount
	case order.Settled:
		b.settled += e.Amount
	case order.Reversed:
		b.settled -= e.Amount
	default:
		b.countDispute(e)
	}
}

func (b *books) refund(id uuid.UUID, a order.Allocation, unearned money.Minor, t order.Taken) {
	was := b.agreements[id]
	if _, twice := b.booked[id]; twice || was.Allocation != a || was.Unearned != unearned || sum(t) != a.ShopShare() {
		b.t.Fatalf("refund %s: agreed %+v, given %+v and %d, taken from %+v, before: %v", id, was, a, unearned, t, twice)
	}
	b.booked[id] = t
	b.refunded = b.refunded.Plus(a)
	b.unearned -= unearned
}

func sum(t order.Taken) money.Minor { return t.FromPayable + t.FromReserve + t.FromReceivable }

func (b *books) countDispute(e event.Data) {
	switch e := e.(type) {
	case order.DisputeWithdrawn:
		b.atBank = b.atBank.Plus(e.Allocation)
		b.withBanks += e.Amount
		b.unearned -= e.Unearned
		b.fees += e.DisputeFee
		if e.Amount != e.Total()+e.Unearned+e.Excess || e.Excess < 0 || sum(e.Taken) != e.ShopShare() {
			b.t.Fatalf("withdrawn: %+v", e)
		}
	case order.DisputeReallocated:
		if e.WasLost {
			b.lost = b.lost.Plus(e.Allocation)
		} else {
			b.atBank = b.atBank.Plus(e.Allocation)
		}
		b.unearned -= e.Unearned
		if e.Total()+e.Unearned == 0 || sum(e.Taken) != e.ShopShare() {
			b.t.Fatalf("reallocated: %+v", e)
		}
	case order.DisputeCharged:
		b.fees += e.Fee
	case order.DisputeReinstated:
		if e.WasLost {
			b.lost = b.lost.Minus(e.Allocation)
		} else {
			b.atBank = b.atBank.Minus(e.Allocation)
		}
		b.withBanks -= e.Amount
		b.unearned += e.Unearned
		b.fees -= e.DisputeFee
	case order.DisputeClosed:
		if e.Amount > 0 {
			b.atBank, b.lost = b.atBank.Minus(e.Allocation), b.lost.Plus(e.Allocation)
		}
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
		case order.RefundFailed, order.SettlementFailed, order.Reversed, order.ContestFailed:
			b.t.Fatalf("%s came of no call", e.EventType())
		}
	}
	b.open = due.Key
}

// check is the law at this prefix of the log.
func (b *books) check(e event.Data) {
	b.carriable(e)
	must := func(ok bool, law string) {
		if !ok {
			b.t.Fatalf("after %s: %s\nbooks %v\ncounted %+v", e.EventType(), law, b.balances, *b)
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
	must(b.authorised-b.released <= 2*b.total, "no more than twice the total is held, while a hold replaces another")
	must(b.captured <= b.total, "captured ≤ total")
	must(b.unearned >= 0, "nobody gives back what nobody took")
	must(within(b.agreed, b.earned), "what was agreed to give back is part of what was earned")
	must(within(b.refunded, b.earned), "refunded ≤ earned")
	must(within(b.refunded.Plus(b.atBank).Plus(b.lost), b.earned), "refunded and disputed ≤ earned")
	b.shops(must)
	b.platforms(must)
}

// carriable: what is asked of the processor is what cards and accounts carry.
func (b *books) carriable(e event.Data) {
	if due, open := payment.Due(b.l.s); open && due.Amount%b.l.s.Placed.Step() != 0 {
		b.t.Fatalf("after %s: %s is asked for %d, finer than %s are moved", e.EventType(), due.Step, due.Amount, due.Currency)
	}
}

// shops is what the shop is owed.
func (b *books) shops(must func(bool, string)) {
	p := b.l.s.Payment
	in := func(a ledger.Account) money.Minor { return b.balances[a] }
	must(-in(ledger.ShopPayable) == p.Payable && -in(ledger.ShopAvailable) == p.Available && -in(ledger.ShopReserve) == p.Reserve.Total() &&
		in(ledger.ShopReceivable) == p.Receivable+b.carried-b.netted && p.Settled == b.settled, "the books and the saga know the same of the shop")
	must(p.Payable >= 0 && p.Available >= 0 && p.Receivable >= 0, "nothing is owed below zero")
	must(-in(ledger.ShopDisputed) == b.atBank.ShopShare(), "the shop's part of open disputes is held")
	owed := -in(ledger.ShopPayable) - in(ledger.ShopAvailable) - in(ledger.ShopReserve) - in(ledger.ShopDisputed) - in(ledger.ShopReceivable)
	must(owed == b.earned.ShopShare()-b.refunded.ShopShare()-b.lost.ShopShare()-b.settled, "the shop is owed its share, less what it was paid")
}

// platforms is what the platform has.
func (b *books) platforms(must func(bool, string)) {
	in := func(a ledger.Account) money.Minor { return b.balances[a] }
	given := b.refunded.Plus(b.lost)
	must(in(ledger.MemoAuthorised) >= 0, "no more is given up than was authorised")
	must(-in(ledger.TaxPayable) == b.earned.Tax-given.Tax, "tax is kept of what was sold")
	must(-in(ledger.DeferredRevenue) == b.deferred(), "what was not earned is the buyer's")
	if b.l.s.Placed.Principal {
		gross := b.earned.Minus(given)
		must(-in(ledger.Sales)-in(ledger.SalesRefunded) == gross.Goods+gross.Shipping, "sales are of what was sold")
		must(in(ledger.SupplyCost) == gross.ShopShare(), "goods cost what the shop gets")
	} else {
		must(-in(ledger.PlatformFees)-in(ledger.FeesRefunded) == b.earned.Fee-given.Fee, "the fee is of what was sold")
	}
	var disputed money.Minor
	for _, d := range b.l.s.Disputes {
		if d.Held != nil && !d.GivenUp {
			disputed += d.Held.Amount
		}
	}
	must(in(ledger.DisputedFunds) == disputed, "what banks hold is theirs or ours in the end")
	pending := -in(ledger.RefundsPending)
	cash := in(ledger.StripeBalance) + in(ledger.OutsideProcessors)
	must(pending >= 0 && cash == b.captured-b.fees-b.paidBack-b.settled-b.withBanks, "cash is what came in less what went out")
}

// deferred is what was taken and not earned, with what of it is disputed.
func (b *books) deferred() money.Minor {
	n := b.unearned
	for _, d := range b.l.s.Disputes {
		if d.Held != nil && !d.GivenUp {
			n += d.Held.Unearned
		}
	}
	return n
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
			b.t.Fatalf("finished, yet refund %s is %s: %s", r.ID, r.Status, b.l.story())
		}
	}
	if pays := s.Placed.Destination != "" && !s.Placed.Outside(); pays && (p.Payable > 0 || p.Available > 0 || len(p.Reserve) > 0 || p.Receivable > 0) {
		b.t.Fatalf("finished, yet the shop is owed %+v", p)
	}
	if b.earned.Total() > 0 && b.refunded.Total() == b.earned.Total() && b.refunded != b.earned {
		b.t.Fatalf("refunded whole, yet %+v of %+v", b.refunded, b.earned)
	}
	if b.balances[ledger.RefundsPending] != 0 || b.balances[ledger.ShopDisputed] != 0 || b.balances[ledger.DisputedFunds] != 0 {
		b.t.Fatalf("finished, yet refunds or disputes are open: %v", b.balances)
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
		if len(l.s.Payment.Debts) > 0 {
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
