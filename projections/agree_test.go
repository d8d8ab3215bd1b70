package projections_test

import (
	"cmp"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
	"kicau/projections"
	"kicau/projections/deadline"
	orderview "kicau/projections/order"
	"kicau/projections/settlement"
	"kicau/projections/timeline"
)

// rows of a view, folded in memory.
type rows[Row any] struct {
	view projections.Projection[Row]
	rows map[string]Row
}

func in[Row any](p projections.Projection[Row]) rows[Row] { return rows[Row]{p, map[string]Row{}} }

func (r rows[Row]) fold(e event.Event) {
	for _, t := range r.view.Handles {
		if t == e.Type {
			for _, k := range r.view.Keys(e) {
				r.rows[k] = r.view.Fold(r.rows[k], k, e)
			}
		}
	}
}

// After every step of a random life the views say what the deciders know.
func TestViewsAgreeWithTheDeciders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		v := &views{at: event.Position{}, timeline: in(timeline.Projection), orders: in(orderview.Projection), deadlines: in(deadline.Projection),
			journal: in(settlement.Journal), balances: in(settlement.Balances)}
		live(t, dir, func(l *life) {
			for range rapid.IntRange(1, 40).Draw(t, "steps") {
				l.step()
				v.check(l)
			}
		})
	})
}

type views struct {
	at        event.Position
	timeline  rows[timeline.Row]
	orders    rows[orderview.Row]
	deadlines rows[deadline.Row]
	journal   rows[settlement.Entry]
	balances  rows[settlement.Balance]
}

func (v *views) check(l *life) {
	for _, rec := range l.events(v.at) {
		e, err := domain.Events.Decode(rec)
		l.ok(err)
		v.timeline.fold(e)
		v.orders.fold(e)
		v.deadlines.fold(e)
		v.journal.fold(e)
		v.balances.fold(e)
		v.at = rec.Position
		v.checkBooks(l)
	}
	shipped := map[uuid.UUID]int64{}
	owed := map[ledger.Account]money.Minor{}
	for _, id := range l.orders {
		s := l.stateOf(id)
		for _, line := range s.Lines {
			shipped[line.Offer] += line.Shipped
		}
		owed[ledger.ShopPayable] -= s.Payment.Payable
		owed[ledger.ShopAvailable] -= s.Payment.Available
		owed[ledger.ShopReserve] -= s.Payment.Reserve.Total()
		owed[ledger.ShopReceivable] += s.Payment.Receivable
		if p := s.Payment; !p.Voided && !p.IsCaptured {
			owed[ledger.MemoAuthorised] += p.Authorised
		}
		v.checkOrder(l, id, s)
		v.checkDeadline(l, id, s, nil)
	}
	open := map[uuid.UUID][]uuid.UUID{} // by order: the offers whose stock it holds
	for _, id := range l.offers {
		s := l.offerOf(id)
		v.checkTimeline(l, id, s, shipped[id])
		for order, h := range s.Holds {
			if h.Ended == offer.Open {
				open[order] = append(open[order], id)
			}
		}
	}
	for _, id := range l.strays {
		v.checkDeadline(l, id, l.stateOf(id), open[id])
	}
	for _, id := range l.shops {
		l.ok(l.kicau.Shops.Look(context.Background(), shop.Stream(id), func(s shop.State) error {
			owed[ledger.ShopReceivable] += s.Owed // what orders left
			return nil
		}))
	}
	v.checkOwed(l, owed)
}

func (l *life) offerOf(id uuid.UUID) (state offer.State) {
	// A copy: the state is read while nobody else changes it.
	l.ok(l.kicau.Offers.Look(context.Background(), offer.Stream(id), func(s offer.State) error {
		state = s
		return nil
	}))
	return state
}

// checkBooks: after every single event the books balance.
func (v *views) checkBooks(l *life) {
	sum := map[money.Currency]money.Minor{}
	memo := money.Minor(0)
	for key, b := range v.balances.rows {
		if b.Debits-b.Credits != b.Balance || b.Debits < 0 || b.Credits < 0 {
			l.t.Fatalf("balance %s: %d - %d is not %d", key, b.Debits, b.Credits, b.Balance)
		}
		if b.Account.Memo() {
			memo += b.Balance
		} else {
			sum[b.Currency] += b.Balance
		}
	}
	for c, balance := range sum {
		if balance != 0 || memo != 0 {
			l.t.Fatalf("the books are out of balance by %d %s (memo %d)", balance, c, memo)
		}
	}
}

// checkOwed: what the books say of shops is what the orders say, and the journal
// adds up to the balances.
func (v *views) checkOwed(l *life, want map[ledger.Account]money.Minor) {
	for _, e := range v.journal.rows {
		if e.Text == "adjustment: bank charge" {
			for _, p := range e.Postings {
				if p.Account == ledger.ShopPayable {
					want[p.Account] += p.Amount
				}
			}
		}
	}
	got := map[ledger.Account]money.Minor{}
	for _, b := range v.balances.rows {
		got[b.Account] += b.Balance
	}
	for _, a := range []ledger.Account{ledger.ShopPayable, ledger.ShopAvailable, ledger.ShopReserve, ledger.ShopReceivable, ledger.MemoAuthorised} {
		if got[a] != want[a] {
			l.t.Fatalf("account %s stands at %d, the orders say %d", a, got[a], want[a])
		}
	}
	sums, entries := map[string]money.Minor{}, map[string]int64{}
	for _, e := range v.journal.rows {
		for _, p := range e.Postings {
			shop := p.Shop.String()
			if p.Account.Memo() {
				shop = ""
			}
			key := fmt.Sprintf("%s|%s|%s", e.Currency, p.Account, shop)
			sums[key] += p.Amount
			entries[key]++
		}
	}
	for key, b := range v.balances.rows {
		if sums[key] != b.Balance || entries[key] != b.Entries {
			l.t.Fatalf("balance %s is %d of %d entries, the journal has %d of %d", key, b.Balance, b.Entries, sums[key], entries[key])
		}
	}
	for _, id := range l.shops {
		s := settlement.Statement{Shop: id.String(), Currency: "GBP", From: "", Until: "9999"}
		books := settlement.Books{}
		for _, e := range v.journal.rows {
			s.Add(e)
		}
		for _, b := range v.balances.rows {
			books.Accounts = append(books.Accounts, b)
		}
		if err := s.TiesTo(books); err != nil {
			l.t.Fatal(err)
		}
	}
	if len(sums) != len(v.balances.rows) {
		l.t.Fatalf("%d balances, the journal has %d", len(v.balances.rows), len(sums))
	}
}

func (v *views) checkTimeline(l *life, id uuid.UUID, s offer.State, shipped int64) {
	want := timeline.Row{Price: s.Price, Withdrawn: s.Withdrawn, Sold: shipped}
	if s.Tracked() {
		want.Sold = 0
	}
	for _, h := range s.Holds {
		switch h.Ended {
		case offer.Open:
			want.Held += h.Quantity
		case offer.Sold:
			want.Sold += h.Quantity
		}
	}
	left := "any number"
	if s.Pooled() {
		left = fmt.Sprint(s.Available)
		want.SoldOut = s.Available == 0
	}
	got := v.timeline.rows[id.String()]
	gotLeft := "any number"
	if got.Left != nil {
		gotLeft = fmt.Sprint(*got.Left)
	}
	if got.Price != want.Price || got.Withdrawn != want.Withdrawn || got.Sold != want.Sold || got.Held != want.Held || got.SoldOut != want.SoldOut || gotLeft != left {
		l.t.Fatalf("offer %s: the timeline has %+v (%s left), the decider %+v (%s left)", id, got, gotLeft, want, left)
	}
}

func (v *views) checkOrder(l *life, id uuid.UUID, s order.State) {
	got, found := v.orders.rows[id.String()]
	if placed := s.Standing != order.None && s.Standing != order.Forgotten; found != placed {
		l.t.Fatalf("order %s is %q; found in the view: %v", id, s.Standing, found)
	} else if !placed {
		return
	}
	p := s.Payment
	refunded, refunds := money.Minor(0), 0
	for i, r := range s.Refunds {
		if r.Status == order.Given {
			refunded += r.Amount()
			refunds++
		}
		shown := got.Refunds[i]
		if status := r.Status; status != shown.Status && (status != order.Asked || shown.Status != order.Agreed) || shown.Amount != r.Amount() {
			l.t.Fatalf("order %s: refund %+v is shown as %+v", id, r, shown)
		}
	}
	if got.Total != s.Placed.Total() || got.Authorised != p.Authorised || got.Captured != p.Taken || got.Refunded != refunded || got.Settled != p.Settled || got.Intent != p.Intent {
		l.t.Fatalf("order %s: the view has %+v, the decider %+v", id, got, p)
	}
	for i, line := range s.Lines {
		if g := got.Lines[i]; g.Shipped != line.Shipped || g.Returned != line.Returned || g.Quantity != line.Quantity {
			l.t.Fatalf("order %s: line %+v is shown as %+v", id, line, g)
		}
	}
	want := map[order.Standing][]orderview.Status{
		order.Called: {orderview.Cancelled}, order.TimedOut: {orderview.Expired}, order.Turned: {orderview.Declined},
		order.Dispatch: {orderview.Shipped},
		order.Open:     {orderview.Placed},
	}[s.Standing]
	switch {
	case p.IsCaptured && refunded == p.Taken:
		want = []orderview.Status{orderview.Refunded}
	case p.IsCaptured && refunds > 0:
		want = []orderview.Status{orderview.PartRefunded}
	case p.IsCaptured && p.Settled > 0:
		want = []orderview.Status{orderview.Settled}
	case p.IsCaptured:
		want = []orderview.Status{orderview.Captured}
	case s.Standing == order.Open && p.Authorised > 0:
		want = []orderview.Status{orderview.Authorised}
	case s.Standing == order.Open && p.Pending != nil && p.Pending.Tries > 0:
		want = []orderview.Status{orderview.Unknown}
	case s.Standing == order.Open && p.Awaiting != "":
		want = []orderview.Status{orderview.ActionRequired}
	case s.Standing == order.Open && p.Remedy != "":
		want = []orderview.Status{orderview.TryAgain}
	case s.Standing == order.Dispatch && p.Failed:
		want = []orderview.Status{orderview.CaptureFailed}
	}
	if got.Status != want[0] {
		l.t.Fatalf("order %s: shown as %q, want %q of %s %+v", id, got.Status, want[0], s.Standing, p)
	}
	if (got.Action != "") != (got.Status == orderview.ActionRequired) {
		l.t.Fatalf("order %s: shown as %q with the action %q", id, got.Status, got.Action)
	}
}

// checkDeadline: an order is due exactly when something will have to be done
// about it, and at the time from which the decider does it.
func (v *views) checkDeadline(l *life, id uuid.UUID, s order.State, held []uuid.UUID) {
	var due time.Time
	kind := deadline.None
	p := s.Payment
	switch {
	case p.Pending != nil:
		due, kind = p.Pending.RetryAt, deadline.Call
		if p.Pending.Tries == 0 {
			due = p.Pending.At.Add(deadline.OpenCall)
		}
	case (p.Payable > 0 || p.Available > 0) && s.Placed.Destination != "" && !s.Placed.Outside():
		due, kind = p.SettleAt, deadline.Settlement
	case len(p.Reserve) > 0:
		due, kind = p.Reserve[0].Until, deadline.Reserve
	case len(held) > 0: // for an order that never came
		due, kind = l.offerOf(held[0]).Holds[id].ExpiresAt, deadline.Hold
	case s.Standing == order.Open && p.Authorised > 0:
		if p.ExpiresAt != nil {
			due, kind = p.ExpiresAt.Add(-order.AuthorisationMargin), deadline.Unshipped
			if !p.Warned {
				due, kind = p.ExpiresAt.Add(-payment.ExpiryWarning), deadline.Warning
			}
		}
	case s.Standing == order.Open:
		due, kind = s.Placed.StockHeldUntil, deadline.Hold
	}
	// What the saga has to ask next, and has not asked yet, is due as a call that
	// it made and forgot would be.
	if p.Pending == nil && s.Standing != order.Open && !s.Placed.Outside() && s.Standing != order.None && s.Standing != order.Forgotten && !payment.AtRest(s, time.Time{}) {
		if got := v.deadlines.rows[id.String()]; got.Kind != deadline.Call || got.Due == "" {
			l.t.Fatalf("order %s (%s): due %q (%s) although a call has to follow: %+v", id, s.Standing, got.Due, got.Kind, p)
		}
		return
	}
	want := ""
	if kind != deadline.None {
		want = projections.Time(due)
	}
	if got := v.deadlines.rows[id.String()]; got.Kind != kind || got.Due != want {
		l.t.Fatalf("order %s (%s): due %q (%s), want %q (%s): %+v", id, s.Standing, got.Due, got.Kind, want, kind, p)
	}
	if kind == deadline.None || kind == deadline.Call || len(held) > 0 {
		return
	}
	// Never early, and not in vain.
	if acts(s, due.Add(-time.Nanosecond)) || !acts(s, due) {
		l.t.Fatalf("order %s (%s): at %s the decider has nothing to do, or had before: %+v", id, s.Standing, due, p)
	}
}

// acts tells whether a deadline that fires at a time makes something happen that
// the saga would not do at once.
func acts(s order.State, at time.Time) bool {
	events, _ := order.Decider.Decide(s, order.Expire{At: at})
	if len(events) > 0 {
		return true
	}
	s.Refunds = nil // those that were agreed come first, and at once
	events, _ = payment.Decider.Decide(s, payment.Advance{At: at, Account: cmp.Or(s.Payment.Account, platform), Shop: &payment.ShopSays{}})
	if len(events) == 0 {
		return false
	}
	switch events[0].(type) {
	case order.NettingRequested, order.Released, order.ReserveReleased, order.SettlementRequested, order.Expiring:
		return true
	}
	return false
}
