package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/shop"
)

// Every command, with every field that it has, and the events that it becomes.
func TestEveryCommand(t *testing.T) {
	s := newScene(t)
	s.accepts(t,
		line(0, "onboard-shop", "shop", "potter", "name", "Potter", "handle", "@potter", "currency", "KWD", "feeBasisPoints", 250, "feeFixed", "0.005", "shipping", 1.5,
			"taxes", list(`{"jurisdiction":"KW","basisPoints":500}`), "holdHours", 48),
		line(1, "change-fees", "shop", "potter", "feeBasisPoints", 300, "feeFixed", "0.010", "validFrom", at(60)),
		line(2, "adjust-shop", "shop", "potter", "adjustment", "a", "kind", "bank charge", "amount", "-2.125", "reason", "returned"),
		line(3, "tweet-offer", "offer", "mug", "shop", "potter", "text", "Mugs!", "sku", "M-1", "title", "Mug", "description", "Blue", "photo", "https://example.com/m.jpg",
			"currency", "KWD", "price", "12.345", "stock", 3, "limitPerBuyer", 3, "opensAt", at(3), "closesAt", at(50), "related", []string{"jug"}),
		line(4, "reprice", "offer", "mug", "price", 10),
		line(5, "restock", "offer", "mug", "restock", "r", "add", 2),
		line(6, "place-order", "order", "first", "buyer", "ann", "jurisdiction", "KW", "shipping", 0.5, "processor", "market",
			"lines", list(`{"offer":"mug","quantity":2,"price":"9.5"}`)),
		line(7, "place-order", "order", "second", "buyer", "bob", "lines", list(ask("mug", 1))),
		line(8, "ship-order", "order", "first", "units", list(`{"line":1,"quantity":2}`), "carrier", "Post", "tracking", "RM1"),
		line(9, "cancel-order", "order", "second", "reason", "changed my mind"),
		line(10, "refund-order", "order", "first", "refund", "f1", "units", list(`{"line":1,"quantity":1}`), "keepShipping", true, "reason", "chipped"),
		line(11, "refund-order", "order", "first", "refund", "f2", "amount", "0.105"),
		line(12, "refund-order", "order", "first", "refund", "f3"),
		line(13, "withdraw", "offer", "mug", "reason", "kiln broke"),
	)
	equal(t, "events of the shop", s.types(t, stream("shop", "potter")), "ShopOnboarded ShopFeesChanged ShopAdjusted")
	equal(t, "events of the offer", s.types(t, stream("offer", "mug")),
		"OfferTweeted OfferRepriced OfferRestocked OfferStockHeld OfferStockSold OfferStockHeld OfferStockSold OfferStockReleased OfferWithdrawn")
	equal(t, "events of the first order", s.types(t, stream("order", "first")),
		"OrderPlaced PaymentAuthorised OrderShipped PaymentCaptured OrderRefundAgreed PaymentRefunded OrderRefundAgreed PaymentRefunded OrderRefundAgreed PaymentRefunded")
	equal(t, "events of the second order", s.types(t, stream("order", "second")), "OrderPlaced PaymentAuthorised OrderCancelled PaymentVoided")

	var refunds []money.Minor
	for _, e := range s.events(t) {
		if e.Actor != "import" || e.OccurredAt.Before(t0) || e.OccurredAt.After(t0.Add(13*60e9)) {
			t.Errorf("%s is by %s at %s", e.Type, e.Actor, e.OccurredAt)
		}
		switch b := e.Body.(type) {
		case shop.Onboarded:
			equal(t, "terms", b, shop.Onboarded{Name: "Potter", Handle: "@potter", Currency: "KWD", HoldHours: 48, Shipping: 1500,
				Taxes: []shop.Tax{{Jurisdiction: "KW", BasisPoints: 500}}, Fees: shop.Fees{ValidFrom: t0, BasisPoints: 250, Fixed: 5}})
		case shop.FeesChanged:
			equal(t, "fees", b.Fees, shop.Fees{ValidFrom: t0.Add(60 * 60e9), BasisPoints: 300, Fixed: 10})
		case shop.Adjusted:
			equal(t, "adjustment", b, shop.Adjusted{Adjustment: id("adjustment", "a"), Shop: id("shop", "potter"), Kind: "bank charge", Currency: "KWD", Amount: -2125, Reason: "returned"})
		case offer.Tweeted:
			opens, closes, stock := t0.Add(3*60e9), t0.Add(50*60e9), int64(3)
			equal(t, "offer", b, offer.Tweeted{Shop: id("shop", "potter"), ShopName: "Potter", Tweet: "Mugs!", SKU: "M-1", Title: "Mug", Description: "Blue",
				Photo: "https://example.com/m.jpg", Currency: "KWD", Price: 12345, Stock: &stock, LimitPerBuyer: 3, OpensAt: &opens, ClosesAt: &closes, Related: []uuid.UUID{id("offer", "jug")}})
		case order.Placed:
			if b.Order == id("order", "first") {
				equal(t, "allocation", b.Allocation, order.Allocation{Goods: 19000, Shipping: 500, Tax: 975, Fee: 480})
				equal(t, "who and where", []string{b.Processor, b.Jurisdiction, b.Reference}, []string{"market", "KW", "first"})
			} else {
				equal(t, "allocation", b.Allocation, order.Allocation{Goods: 10000, Shipping: 1500, Fee: 255})
				equal(t, "who and where", []string{b.Processor, b.Jurisdiction, b.Reference}, []string{"outside", "", "second"})
			}
		case order.Shipped:
			equal(t, "shipment", []string{b.Carrier, b.Tracking}, []string{"Post", "RM1"})
		case order.Refunded:
			refunds = append(refunds, b.Amount)
		}
	}
	// One mug with its tax but without that of its shipping (9.500 + 0.474), an
	// amount, and what was left of 20.475.
	equal(t, "refunds", refunds, []money.Minor{9974, 105, 10396})
}

// What the deciders refuse, in the words of a line. The scene has a mug without
// limit, three posters, and an order of a mug that was shipped.
func TestRefusedLines(t *testing.T) {
	s := newScene(t)
	s.accepts(t, append(opening,
		line(0, "onboard-shop", "shop", "weaver", "name", "Weaver", "currency", "GBP"),
		line(0, "onboard-shop", "shop", "smith", "name", "Smith", "currency", "JPY"),
		line(0, "tweet-offer", "offer", "scarf", "shop", "weaver", "title", "Scarf", "price", 20),
		line(0, "tweet-offer", "offer", "gold", "shop", "potter", "title", "Gold", "price", "90071992547409.91"),
		line(0, "tweet-offer", "offer", "free", "shop", "potter", "title", "Free", "price", 0),
		line(0, "tweet-offer", "offer", "closed", "shop", "potter", "title", "Closed", "price", 1, "closesAt", at(1)),
		line(0, "tweet-offer", "offer", "early", "shop", "potter", "title", "Early", "price", 1, "opensAt", at(9000)),
		line(0, "tweet-offer", "offer", "gone", "shop", "potter", "title", "Gone", "price", 1),
		line(0, "withdraw", "offer", "gone"),
		line(0, "tweet-offer", "offer", "one each", "shop", "potter", "title", "One each", "price", 1, "limitPerBuyer", 1),
		line(0, "tweet-offer", "offer", "none", "shop", "potter", "title", "None", "price", 1, "stock", 0),
		place(1, "open", ask("mug", 2)),
		place(1, "done", ask("mug", 2)), line(2, "ship-order", "order", "done"),
	)...)
	priced := func(p any) string {
		return line(3, "place-order", "order", "x", "buyer", "b", "lines", list(fmt.Sprintf(`{"offer":"mug","quantity":1,"price":%v}`, p)))
	}
	for _, c := range []struct {
		code, field, line string
	}{
		{"unknown-currency", "currency", line(3, "onboard-shop", "shop", "x", "name", "X", "currency", "XYZ")},
		{"unknown-currency", "currency", line(3, "onboard-shop", "shop", "x", "name", "X", "currency", "gbp")},
		{"unknown-currency", "currency", line(3, "tweet-offer", "offer", "x", "shop", "potter", "title", "X", "price", 1, "currency", "ABC")},
		{"no-minor-unit", "currency", line(3, "onboard-shop", "shop", "x", "name", "X", "currency", "XAU")},
		{"other-currency", "currency", line(3, "tweet-offer", "offer", "x", "shop", "potter", "title", "X", "price", 1, "currency", "EUR")},
		{"shop-without-name", "name", line(3, "onboard-shop", "shop", "x", "currency", "GBP")},
		{"shop-onboarded-differently", "shop", line(3, "onboard-shop", "shop", "potter", "name", "Other", "currency", "GBP")},
		{"shop-not-onboarded", "shop", line(3, "tweet-offer", "offer", "x", "shop", "nobody", "title", "X", "price", 1)},
		{"shop-not-onboarded", "shop", line(3, "adjust-shop", "shop", "nobody", "adjustment", "a", "amount", 1)},
		{"fee-out-of-range", "fees", line(3, "change-fees", "shop", "potter", "feeBasisPoints", 10001)},
		{"fees-backwards", "validFrom", line(3, "change-fees", "shop", "potter", "feeBasisPoints", 1, "validFrom", at(2))},
		{"zero-adjustment", "amount", line(3, "adjust-shop", "shop", "potter", "adjustment", "a", "amount", 0)},
		{"not-an-amount", "amount", line(3, "adjust-shop", "shop", "potter", "adjustment", "a")},

		{"finer-than-minor-unit", "price", line(3, "tweet-offer", "offer", "x", "shop", "potter", "title", "X", "price", "1.001")},
		{"finer-than-minor-unit", "price", line(3, "tweet-offer", "offer", "x", "shop", "smith", "title", "X", "price", "1.5")},
		{"finer-than-minor-unit", "price", line(3, "reprice", "offer", "mug", "price", 0.001)},
		{"finer-than-minor-unit", "lines[0].price", priced("0.005")},
		{"finer-than-minor-unit", "shipping", line(3, "place-order", "order", "x", "buyer", "b", "shipping", 0.001, "lines", list(ask("mug", 1)))},
		{"finer-than-minor-unit", "feeFixed", line(3, "onboard-shop", "shop", "x", "name", "X", "currency", "JPY", "feeFixed", 0.5)},
		{"not-an-amount", "lines[0].price", priced("1e2")},
		{"price-out-of-range", "price", priced(-1)},
		{"price-out-of-range", "price", line(3, "reprice", "offer", "mug", "price", -1)},
		{"price-out-of-range", "shipping", line(3, "place-order", "order", "x", "buyer", "b", "shipping", -1, "lines", list(ask("mug", 1)))},
		{"amount-overflow", "price", line(3, "reprice", "offer", "mug", "price", "90071992547409.92")},
		{"amount-overflow", "amount", place(3, "x", ask("gold", 1), ask("mug", 1))},
		{"amount-overflow", "amount", place(3, "x", ask("gold", 2))},
		{"amount-overflow", "amount", place(3, "x", ask("mug", 1_000_000_000), ask("gold", 1))},
		{"quantity-too-large", "quantity", place(3, "x", ask("free", 1_000_000_001))},

		{"quantity-not-positive", "quantity", place(3, "x", ask("mug", 0))},
		{"quantity-not-positive", "quantity", place(3, "x", ask("mug", -1))},
		{"quantity-not-positive", "quantity", place(3, "x", ask("poster", -1))},
		{"quantity-not-positive", "quantity", place(3, "x", `{"offer":"mug"}`)},
		{"order-without-lines", "lines", place(3, "x")},
		{"mixed-shops", "lines", place(3, "x", ask("mug", 1), ask("scarf", 1))},
		{"mixed-shops", "lines", place(3, "x", ask("poster", 1), ask("scarf", 1))},
		{"nothing-to-pay", "lines", place(3, "x", ask("free", 1))},
		{"offer-not-found", "lines[1].offer", place(3, "x", ask("mug", 1), ask("unheard of", 1))},
		{"offer-not-found", "lines[0].offer", place(3, "x", `{"quantity":1}`)},
		{"sold-out", "quantity", place(3, "x", ask("none", 1))},
		{"sold-out", "quantity", place(3, "x", ask("poster", 4))},
		{"sold-out", "quantity", place(3, "x", ask("poster", 2), ask("poster", 2))},
		{"sold-out", "quantity", place(3, "x", ask("poster", 1), ask("none", 1))},
		{"offer-closed", "offer", place(3, "x", ask("closed", 1))},
		{"offer-not-open", "offer", place(3, "x", ask("early", 1))},
		{"offer-withdrawn", "offer", place(3, "x", ask("gone", 1))},
		{"offer-withdrawn", "offer", line(3, "reprice", "offer", "gone", "price", 2)},
		{"over-limit-per-buyer", "quantity", place(3, "x", ask("one each", 2))},
		{"order-placed-differently", "order", place(3, "done", ask("mug", 3))},
		{"offer-tweeted-differently", "offer", line(3, "tweet-offer", "offer", "mug", "shop", "potter", "title", "Jug", "price", 1)},
		{"no-stock-pool", "offer", line(3, "restock", "offer", "mug", "restock", "r", "add", 1)},
		{"restock-out-of-range", "quantity", line(3, "restock", "offer", "poster", "restock", "r", "add", -1)},
		{"restock-out-of-range", "quantity", line(3, "restock", "offer", "poster", "restock", "r")},
		{"offer-not-found", "offer", line(3, "withdraw", "offer", "unheard of")},
		{"offer-not-found", "offer", line(3, "reprice", "offer", "unheard of", "price", 1)},

		{"order-not-found", "order", line(3, "ship-order", "order", "x")},
		{"order-not-found", "order", line(3, "cancel-order", "order", "x")},
		{"order-not-found", "order", line(3, "refund-order", "order", "x", "refund", "r", "amount", 1)},
		{"already-shipped", "order", line(3, "ship-order", "order", "done", "units", list(`{"line":1,"quantity":1}`))},
		{"shipped", "order", line(3, "cancel-order", "order", "done")},
		{"more-than-ordered", "quantity", line(3, "ship-order", "order", "open", "units", list(`{"line":1,"quantity":3}`))},
		{"no-such-line", "line", line(3, "ship-order", "order", "open", "units", list(`{"line":2,"quantity":1}`))},
		{"nothing-captured", "order", line(3, "refund-order", "order", "open", "refund", "r")},
		{"refund-above-captured", "amount", line(3, "refund-order", "order", "done", "refund", "r", "amount", "25.01")},
		{"finer-than-minor-unit", "amount", line(3, "refund-order", "order", "done", "refund", "r", "amount", "0.001")},
		{"more-than-ordered", "quantity", line(3, "refund-order", "order", "done", "refund", "r", "units", list(`{"line":1,"quantity":3}`))},
		{"units-or-amount", "amount", line(3, "refund-order", "order", "done", "refund", "r", "amount", 1, "units", list(`{"line":1,"quantity":1}`))},
	} {
		t.Run(c.code, func(t *testing.T) { s.refuses(t, c.code, c.field, c.line) })
	}
	s.refuses(t, "over-limit-per-buyer", "quantity", line(3, "place-order", "order", "x", "buyer", "ann", "lines", list(ask("one each", 1))),
		line(4, "place-order", "order", "y", "buyer", "ann", "lines", list(ask("one each", 1))))
	s.refuses(t, "refund-differs", "refund", line(5, "refund-order", "order", "done", "refund", "r", "amount", 5), line(6, "refund-order", "order", "done", "refund", "r", "amount", 6))
	s.refuses(t, "refund-above-captured", "amount", line(7, "refund-order", "order", "done", "refund", "r2", "amount", "20.01"))
	o := s.imports(t, line(9, "withdraw", "offer", "mug"), line(8, "withdraw", "offer", "poster"))
	equal(t, "the code of an older line", o.Rejects[0].Code, "not-in-time-order")
	o = s.imports(t, line(10, "cancel-order", "order", "no. 7"))
	equal(t, "the reason, with the name", o.Rejects[0].Reason, fmt.Sprintf("order: order \"no. 7\" (%s): does not exist", id("order", "no. 7")))
}

// Whatever damage is done to a file, every line is accounted for: with its
// number, as accepted or as rejected; and a line that is as it was is accepted.
func TestDamagedFiles(t *testing.T) {
	s := &scenes{scene: newScene(t)}
	files := 0
	rapid.Check(t, func(t *rapid.T) {
		files++
		s.begin(t)
		var lines []string
		sound := map[int64]bool{}
		shopName := fmt.Sprint("shop ", files)
		onboard := line(0, "onboard-shop", "shop", shopName, "name", "Potter", "currency", "GBP")
		s.accepts(t, onboard)
		for n := range rapid.IntRange(1, 30).Draw(t, "lines") {
			l := line(n, "tweet-offer", "offer", fmt.Sprint(shopName, n), "shop", shopName, "title", "Mug", "price", 1)
			switch rapid.IntRange(0, 6).Draw(t, "damage") {
			case 0: // a piece is missing
				cut := rapid.IntRange(0, len(l)-1).Draw(t, "from")
				l = l[:cut]
			case 1: // bytes changed
				b := []byte(l)
				for range rapid.IntRange(1, 4).Draw(t, "bytes") {
					b[rapid.IntRange(0, len(b)-1).Draw(t, "which")] = rapid.Byte().Draw(t, "byte")
				}
				l = string(b)
			case 2:
				l = string(rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "noise"))
			default:
				sound[int64(len(lines)+1)] = true
			}
			lines = append(lines, strings.Split(l, "\n")...) // damage may break a line
		}
		o := s.imports(t, lines...)
		told := map[int64]bool{}
		for _, r := range o.Rejects {
			told[r.Line] = true
			if r.Code == "" || r.Reason == "" {
				t.Fatalf("line %d: %+v", r.Line, r)
			}
		}
		for i, l := range lines {
			n := int64(i + 1)
			accepted := slices.Contains(o.accepted, n)
			if empty := strings.TrimSpace(l) == ""; accepted == told[n] && !empty || empty && (accepted || told[n]) {
				t.Fatalf("line %d: accepted %v, rejected %v: %q", n, accepted, told[n], l)
			}
		}
		// A changed time makes sound lines older than a line before, a changed
		// name makes another line of the same offer.
		for _, r := range o.Rejects {
			if sound[r.Line] && r.Code != "not-in-time-order" && r.Code != "offer-tweeted-differently" {
				t.Fatalf("line %d is sound and was rejected: %+v", r.Line, r)
			}
		}
	})
}
