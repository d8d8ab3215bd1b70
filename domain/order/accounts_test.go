package order_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// item is a line as it is bought: how many, at what price.
type item struct {
	quantity int64
	price    money.Minor
}

// terms of a shop in a few numbers.
type terms struct {
	shipping money.Minor
	tax, fee money.BasisPoints
	fixed    money.Minor
}

func buy(items []item, with terms) order.Place {
	p := order.Place{At: noon, Order: id, Shop: potter, Buyer: ann, Processor: order.Stripe,
		Terms: order.Terms{Currency: "GBP", Shipping: with.shipping, TaxBasisPoints: with.tax, FeeBasisPoints: with.fee, FeeFixed: with.fixed}}
	for i, it := range items {
		p.Lines = append(p.Lines, order.Ask{Offer: uuid.UUID{0: 0x11, 15: byte(i)}, Quantity: it.quantity, Shop: potter, Price: it.price})
	}
	return p
}

// bought places an order, or fails.
func bought(t testing.TB, p order.Place) order.Placed {
	t.Helper()
	events, err := order.Decider.Decide(order.Decider.Initial(), p)
	if err != nil || len(events) != 1 {
		t.Fatalf("placed %v, %v", events, err)
	}
	return events[0].(order.Placed)
}

// The allocation of shipping, tax and fee over the lines. Rows: a line each,
// then the order. Columns: goods, shipping, tax, fee. Each column adds up.
func TestAllocation(t *testing.T) {
	for _, c := range []struct {
		name  string
		items []item
		with  terms
		rows  []order.Allocation
	}{
		{"one mug: 20 % tax on goods and shipping, 9 % fee on goods, half a penny up", []item{{1, 1250}}, terms{350, 2000, 900, 0},
			[]order.Allocation{
				of(1250, 350, 320, 113),
				of(1250, 350, 320, 113)}},
		{"shipping of 1.00 over three equal lines: the first takes the odd penny", []item{{1, 500}, {1, 500}, {1, 500}}, terms{100, 0, 0, 0},
			[]order.Allocation{
				of(500, 34, 0, 0),
				of(500, 33, 0, 0),
				of(500, 33, 0, 0),
				of(1500, 100, 0, 0)}},
		{"shipping of 1.00 as 1:2:3: the odd penny to the largest remainder", []item{{1, 100}, {1, 200}, {1, 300}}, terms{100, 0, 0, 0},
			[]order.Allocation{
				of(100, 17, 0, 0),
				of(200, 33, 0, 0),
				of(300, 50, 0, 0),
				of(600, 100, 0, 0)}},
		{"a penny of tax on three pennies of goods", []item{{1, 1}, {1, 1}, {1, 1}}, terms{0, 2000, 0, 0},
			[]order.Allocation{
				of(1, 0, 1, 0),
				of(1, 0, 0, 0),
				of(1, 0, 0, 0),
				of(3, 0, 1, 0)}},
		{"tax of the whole, not the sum of taxes of the lines", []item{{1, 112}, {1, 112}}, terms{0, 2000, 0, 0},
			[]order.Allocation{
				of(112, 0, 23, 0), // 22.4 each, 44.8 together
				of(112, 0, 22, 0),
				of(224, 0, 45, 0)}},
		{"a fee in percent and a fixed part", []item{{3, 1000}, {1, 500}}, terms{350, 2000, 900, 20},
			[]order.Allocation{
				of(3000, 300, 660, 287),
				of(500, 50, 110, 48),
				of(3500, 350, 770, 335)}},
		{"a fixed fee above the goods takes the goods, never more", []item{{1, 30}, {1, 20}}, terms{350, 0, 900, 100},
			[]order.Allocation{
				of(30, 210, 0, 30),
				of(20, 140, 0, 20),
				of(50, 350, 0, 50)}},
		{"a gift in the parcel bears nothing", []item{{1, 1000}, {2, 0}}, terms{350, 2000, 900, 0},
			[]order.Allocation{
				of(1000, 350, 270, 90),
				of(0, 0, 0, 0),
				of(1000, 350, 270, 90)}},
		{"gifts alone: the first bears the shipping and its tax", []item{{1, 0}, {1, 0}}, terms{350, 2000, 900, 100},
			[]order.Allocation{
				of(0, 350, 70, 0),
				of(0, 0, 0, 0),
				of(0, 350, 70, 0)}},
		{"all that the goods bring is fee", []item{{2, 500}}, terms{0, 0, 10000, 0},
			[]order.Allocation{
				of(1000, 0, 0, 1000),
				of(1000, 0, 0, 1000)}},
		{"one minor unit", []item{{1, 1}}, terms{0, 0, 0, 0},
			[]order.Allocation{
				of(1, 0, 0, 0),
				of(1, 0, 0, 0)}},
		{"large amounts lose nothing", []item{{1, money.Max / 2}, {1, money.Max / 4}}, terms{1, 1, 3333, 0},
			[]order.Allocation{
				of(money.Max/2, 1, 450359962737, 1501049755802586),
				of(money.Max/4, 0, 225179981369, 750524877901293),
				of(money.Max/2+money.Max/4, 1, 675539944106, 2251574633703879)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := bought(t, buy(c.items, c.with))
			var rows []order.Allocation
			for _, l := range p.Lines {
				rows = append(rows, l.Allocation)
			}
			if diff := cmp.Diff(c.rows, append(rows, p.Allocation)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			addUp(t, p.Allocation, rows...)
		})
	}
}

// failer is a test or a try of a property.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

func addUp(t failer, whole order.Allocation, parts ...order.Allocation) {
	t.Helper()
	var sum order.Allocation
	for _, p := range parts {
		sum = sum.Plus(p)
	}
	if sum != whole {
		t.Errorf("the parts add up to %+v, the whole is %+v", sum, whole)
	}
}

// Partial shipments: what is captured and what is released, to the penny. The
// order is three pieces at 3.33 and two at 0.50, 1.00 to ship, 7 % tax, 10 % fee.
func TestPartialShipment(t *testing.T) {
	p := bought(t, buy([]item{{3, 333}, {2, 50}}, terms{100, 700, 1000, 0}))
	if diff := cmp.Diff([]order.Allocation{of(999, 91, 76, 100), of(100, 9, 8, 10), of(1099, 100, 84, 110)},
		[]order.Allocation{p.Lines[0].Allocation, p.Lines[1].Allocation, p.Allocation}); diff != "" {
		t.Fatalf("(-want +got):\n%s", diff)
	}
	for _, c := range []struct {
		units    []order.Units
		captured order.Allocation
		total    money.Minor
		released money.Minor
	}{
		{units(1, 1), of(333, 30, 25, 33), 388, 895},
		{units(1, 2), of(666, 60, 50, 66), 776, 507},
		{units(1, 3), of(999, 91, 76, 100), 1166, 117},
		{units(2, 1), of(50, 4, 4, 5), 58, 1225},
		{units(2, 2), of(100, 9, 8, 10), 117, 1166},
		{units(1, 1, 2, 1), of(383, 34, 29, 38), 446, 837},
		{units(1, 2, 2, 2), of(766, 69, 58, 76), 893, 390},
		{units(1, 3, 2, 2), of(1099, 100, 84, 110), 1283, 0},
		{nil, of(1099, 100, 84, 110), 1283, 0},
	} {
		t.Run(fmt.Sprint(c.units), func(t *testing.T) {
			hold := order.Authorised{Intent: "pi_1", Amount: p.Total(), Currency: "GBP"}
			s := decider.Fold(order.Decider, p, asked, hold)
			events, err := order.Decider.Decide(s, order.Ship{At: noon, Units: c.units})
			if err != nil {
				t.Fatal(err)
			}
			got := events[0].(order.Shipped)
			if got.Allocation != c.captured || got.Total() != c.total {
				t.Errorf("captured %+v, %d; want %+v, %d", got.Allocation, got.Total(), c.captured, c.total)
			}
			if rest := p.Total() - got.Total(); rest != c.released || c.captured.Goods+c.captured.Shipping+c.captured.Tax != c.total {
				t.Errorf("released %d, want %d", rest, c.released)
			}
		})
	}
}

// Refunds, one after another, each out of what the ones before it left. The
// last takes the remainder: the order comes back to the penny, and the fee too.
func TestRefundsAddUp(t *testing.T) {
	type step struct {
		ask  order.GiveBack
		want order.Allocation
	}
	var all order.GiveBack
	amount := func(m money.Minor) order.GiveBack { return order.GiveBack{Amount: m} }
	pieces := func(pairs ...int64) order.GiveBack { return order.GiveBack{Units: units(pairs...)} }
	keeping := func(g order.GiveBack) order.GiveBack { g.KeepShipping = true; return g }
	for _, c := range []struct {
		name  string
		items []item
		with  terms
		steps []step
	}{
		{"three pieces, one by one", []item{{3, 333}}, terms{100, 700, 1000, 0}, []step{
			{pieces(1, 1), of(333, 33, 25, 33)},
			{pieces(1, 1), of(333, 33, 26, 33)},
			{pieces(1, 1), of(333, 34, 26, 34)}}},
		{"three pieces, two and the rest", []item{{3, 333}}, terms{100, 700, 1000, 0}, []step{
			{pieces(1, 2), of(666, 66, 51, 66)},
			{all, of(333, 34, 26, 34)}}},
		{"amounts: in proportion, and the last takes the rest", []item{{1, 1000}}, terms{350, 2000, 900, 0}, []step{
			{amount(500), of(309, 108, 83, 27)},
			{amount(500), of(309, 108, 83, 28)}, // a tie of goods and tax: goods first
			{amount(620), of(382, 134, 104, 35)}}},
		{"an amount, a piece, and the rest", []item{{2, 500}, {1, 250}}, terms{0, 2000, 1000, 0}, []step{
			{amount(100), of(83, 0, 17, 8)},
			{pieces(1, 1), of(500, 0, 100, 50)},
			{all, of(667, 0, 133, 67)}}},
		{"a piece, an amount of all the rest", []item{{2, 500}, {1, 250}}, terms{0, 2000, 1000, 0}, []step{
			{pieces(1, 1), of(500, 0, 100, 50)},
			{amount(900), of(750, 0, 150, 75)}}},
		{"an amount took a penny of the goods of the pieces: the same worth in other parts", []item{{3, 1}}, terms{0, 3333, 0, 0}, []step{
			{amount(2), of(2, 0, 0, 0)},
			{pieces(1, 2), of(1, 0, 1, 0)}}},
		{"an amount took the penny of shipping that stood on a line: the same worth in other parts", []item{{1, 10}, {1, 10}, {1, 10}}, terms{1, 0, 0, 0}, []step{
			{amount(20), of(19, 1, 0, 0)},
			{pieces(1, 1), of(11, 0, 0, 0)}}},
		{"an amount took the penny of tax that stood on a line", []item{{1, 10}, {1, 10}, {1, 10}}, terms{0, 333, 0, 0}, []step{
			{amount(20), of(19, 0, 1, 0)},
			{pieces(1, 1), of(11, 0, 0, 0)}}},
		{"a line with the only penny of tax takes it along", []item{{1, 10}, {1, 10}, {1, 10}}, terms{0, 333, 0, 0}, []step{
			{pieces(1, 1), of(10, 0, 1, 0)},
			{all, of(20, 0, 0, 0)}}},
		{"the fee of a penny stood on the other line: it comes back with the last of the goods", []item{{1, 100}, {1, 100}}, terms{0, 2000, 50, 0}, []step{
			{amount(120), of(100, 0, 20, 0)},
			{pieces(2, 1), of(100, 0, 20, 1)}}},
		{"the fee left never exceeds the goods left", []item{{1, 2}, {1, 1}}, terms{900, 0, 10000, 0}, []step{
			{amount(900), of(3, 897, 0, 3)},
			{all, of(0, 3, 0, 0)}}},
		{"pieces without their shipping, then the shipping", []item{{2, 500}}, terms{100, 2000, 1000, 0}, []step{
			{keeping(pieces(1, 1)), of(500, 0, 100, 50)},
			{keeping(pieces(1, 1)), of(500, 0, 100, 50)},
			{all, of(0, 100, 20, 0)}}},
		{"all but the shipping, then the shipping", []item{{2, 500}, {1, 333}}, terms{100, 700, 1000, 0}, []step{
			{keeping(all), of(1333, 0, 93, 133)},
			{amount(7 + 100), of(0, 100, 7, 0)}}},
		{"a gift has nothing to give back", []item{{1, 1000}, {1, 0}}, terms{0, 0, 1000, 0}, []step{
			{pieces(1, 1, 2, 1), of(1000, 0, 0, 100)}}},
		{"penny by penny", []item{{1, 3}}, terms{2, 5000, 5000, 0}, []step{
			{amount(1), of(1, 0, 0, 0)},
			{amount(1), of(0, 0, 1, 0)},
			{amount(1), of(1, 0, 0, 1)},
			{amount(1), of(0, 1, 0, 0)},
			{amount(1), of(0, 0, 1, 0)},
			{amount(1), of(1, 0, 0, 1)},
			{amount(1), of(0, 1, 0, 0)},
			{amount(1), of(0, 0, 1, 0)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := bought(t, buy(c.items, c.with))
			log := capturedWhole(t, p)
			var given []order.Allocation
			for i, st := range c.steps {
				ask := st.ask
				ask.At, ask.Refund = noon, uuid.UUID{0: 0x30, 15: byte(i)}
				events, err := order.Decider.Decide(decider.Fold(order.Decider, log...), ask)
				if err != nil {
					t.Fatalf("refund %d: %v", i+1, err)
				}
				r := events[0].(order.RefundAgreed)
				if r.Allocation != st.want {
					t.Errorf("refund %d is of %+v, want %+v", i+1, r.Allocation, st.want)
				}
				if ask.Amount != 0 && r.Total() != ask.Amount {
					t.Errorf("refund %d gives %d, asked for %d", i+1, r.Total(), ask.Amount)
				}
				given, log = append(given, r.Allocation), append(log, r)
			}
			addUp(t, p.Allocation, given...)
		})
	}
}

// capturedWhole is the story of an order that was shipped and captured whole.
func capturedWhole(t testing.TB, p order.Placed) []event.Data {
	t.Helper()
	log := []event.Data{p, asked, order.Authorised{Intent: "pi_1", Amount: p.Total(), Currency: "GBP"}}
	events, err := order.Decider.Decide(decider.Fold(order.Decider, log...), shipAll)
	if err != nil {
		t.Fatal(err)
	}
	return append(log, events[0], captureAsked, order.Captured{Intent: "pi_1", Currency: "GBP", Amount: p.Total(), Authorised: p.Total(), Allocation: p.Allocation})
}

// Whatever is bought on whatever terms: the lines add up to the order, the fee
// is never above the goods, nothing is below nothing; so too for every part
// that is shipped and every way to give it back.
func TestEveryOrderAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		prices := rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64Range(0, 5000), rapid.Int64Range(0, 1<<40))
		items := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) item {
			return item{rapid.Int64Range(1, 7).Draw(t, "quantity"), money.Minor(prices.Draw(t, "price"))}
		}), 1, 6).Draw(t, "items")
		with := terms{money.Minor(prices.Draw(t, "shipping")), money.BasisPoints(rapid.Int64Range(0, 10000).Draw(t, "tax")),
			money.BasisPoints(rapid.Int64Range(0, 10000).Draw(t, "fee")), money.Minor(prices.Draw(t, "fixed fee"))}
		events, err := order.Decider.Decide(order.Decider.Initial(), buy(items, with))
		if errors.Is(err, order.ErrNothingToPay) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		p := events[0].(order.Placed)
		sound(t, "order", p.Allocation)
		var lines []order.Allocation
		for _, l := range p.Lines {
			sound(t, fmt.Sprintf("line %d", l.No), l.Allocation)
			if l.Goods != l.UnitPrice*money.Minor(l.Quantity) {
				t.Fatalf("%d × %d is %d", l.Quantity, l.UnitPrice, l.Goods)
			}
			lines = append(lines, l.Allocation)
			cut := rapid.Int64Range(0, l.Quantity).Draw(t, "cut")
			head, tail := l.Of(0, cut, 1), l.Of(cut, l.Quantity-cut, 1)
			sound(t, "head", head)
			sound(t, "tail", tail)
			addUp(t, l.Allocation, head, tail)
		}
		addUp(t, p.Allocation, lines...)
		giveBack(t, p)
	})
}

func sound(t *rapid.T, what string, a order.Allocation) {
	if a.Goods < 0 || a.Shipping < 0 || a.Tax < 0 || a.Fee < 0 || a.Fee > a.Goods {
		t.Fatalf("%s is made of %+v", what, a)
	}
	if a.Total() != a.ShopShare()+a.Fee+a.Tax {
		t.Fatalf("%s: buyer pays %d; shop %d, fee %d and tax %d get it", what, a.Total(), a.ShopShare(), a.Fee, a.Tax)
	}
}

// giveBack ships a part of an order and gives it back in random steps, some of
// which fail, until nothing is left.
func giveBack(t *rapid.T, p order.Placed) {
	s := decider.Fold(order.Decider, p, asked, order.Authorised{Intent: "pi_1", Amount: p.Total(), Currency: "GBP"})
	var ship []order.Units
	for _, l := range p.Lines {
		if n := rapid.Int64Range(0, l.Quantity).Draw(t, "ship"); n > 0 {
			ship = append(ship, order.Units{Line: l.No, Quantity: n})
		}
	}
	events, err := order.Decider.Decide(s, order.Ship{At: noon, Units: ship})
	if errors.Is(err, order.ErrWorthNothing) {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	whole := events[0].(order.Shipped).Allocation
	s = order.After(s, events[0], order.Captured{Currency: "GBP", Amount: whole.Total(), Authorised: p.Total(), Allocation: whole})
	var given order.Allocation
	for i := byte(0); given.Total() < whole.Total(); i++ {
		ask := order.GiveBack{At: noon, Refund: uuid.UUID{0: 0x30, 15: i}, KeepShipping: rapid.Bool().Draw(t, "keep shipping")}
		switch rapid.IntRange(0, 3).Draw(t, "way") {
		case 0, 1:
			for _, l := range s.Lines {
				if left := l.Shipped - l.Returned; left > 0 && rapid.Bool().Draw(t, "of this line") {
					ask.Units = append(ask.Units, order.Units{Line: l.No, Quantity: rapid.Int64Range(1, left).Draw(t, "units")})
				}
			}
		case 2:
			ask.Amount = money.Minor(rapid.Int64Range(1, int64(whole.Total()-given.Total())).Draw(t, "amount"))
		}
		if i >= 20 {
			ask = order.GiveBack{At: noon, Refund: ask.Refund} // and now the rest
		}
		events, err := order.Decider.Decide(s, ask)
		if err != nil {
			if errors.Is(err, order.ErrOverCaptured) || errors.Is(err, order.ErrRefundNothing) {
				continue
			}
			t.Fatal(err)
		}
		r := events[0].(order.RefundAgreed)
		sound(t, "refund", r.Allocation)
		if ask.KeepShipping && r.Shipping != 0 {
			t.Fatalf("refund of %+v gives %d of shipping", ask, r.Shipping)
		}
		given = given.Plus(r.Allocation)
		sound(t, "rest", whole.Minus(given))
		s = order.After(s, r)
		if rapid.IntRange(0, 4).Draw(t, "fails") == 0 && i < 20 {
			s = order.After(s, order.RefundRequested{Refund: r.Refund}, order.RefundFailed{Refund: r.Refund})
			given = given.Minus(r.Allocation)
		}
	}
	addUp(t, whole, given)
}
