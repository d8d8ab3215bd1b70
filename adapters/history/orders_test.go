package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"kicau/adapters/history"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/projections/deadline"
)

// An amount of zero is no word for everything.
func TestRefundOfZero(t *testing.T) {
	s := newScene(t)
	s.accepts(t, append(opening, place(1, "first", ask("mug", 1)), line(2, "ship-order", "order", "first"))...)
	for _, zero := range []any{0, "0.00", -1} {
		s.refuses(t, "refund-of-nothing", "amount", line(3, "refund-order", "order", "first", "refund", "r", "amount", zero))
	}
	s.accepts(t, line(3, "refund-order", "order", "first", "refund", "r"))
}

// What a line says of a shop or an offer counts only if it was accepted.
func TestRefusedLinesAreNotBelieved(t *testing.T) {
	s := newScene(t)
	s.accepts(t, opening...)
	o := s.imports(t, line(1, "onboard-shop", "shop", "potter", "name", "Potter", "currency", "JPY"),
		line(1, "tweet-offer", "offer", "jug", "shop", "potter", "title", "Jug", "price", "9.99"),
		line(1, "adjust-shop", "shop", "potter", "adjustment", "a", "kind", "bank", "amount", "-0.50"))
	equal(t, "accepted lines", o.accepted, []int64{2, 3})

	for run := range 10 {
		poster := fmt.Sprint("poster ", run)
		s.accepts(t, line(2, "tweet-offer", "offer", poster, "shop", "potter", "title", "Poster", "price", 5, "stock", 3))
		lines := []string{line(2, "tweet-offer", "offer", poster, "shop", "potter", "title", "Poster", "price", 5)} // without limit
		for n := range 20 {
			lines = append(lines, place(3, fmt.Sprint(poster, n), ask(poster, 1)))
		}
		equal(t, "accepted orders", s.imports(t, lines...).accepted, []int64{2, 3, 4})
	}
}

// An order pays the fee of its time, however many lines are decided at once.
func TestFeesInOrder(t *testing.T) {
	s := newScene(t)
	lines := slices.Clone(opening)
	for n := 1; n < 100; n++ {
		lines = append(lines, line(n, "change-fees", "shop", "potter", "feeBasisPoints", n, "feeFixed", "0.01"))
		lines = append(lines, place(n, fmt.Sprint(n), ask("mug", 8))) // of 100.00 in all
	}
	s.accepts(t, lines...)
	for n := 1; n < 100; n++ {
		placed := decode(t, s.records(t, func(name string) bool { return name == stream("order", fmt.Sprint(n)) }))[0].Body.(order.Placed)
		if want := money.Minor(n + 1); placed.Fee != want {
			t.Errorf("order %d pays %d, want %d", n, placed.Fee, want)
		}
	}
}

// The stock that an interrupted import holds is not given back by the deadline
// of the hold: that would close the order before the import can place it.
func TestHoldsDoNotRunOut(t *testing.T) {
	s := newScene(t)
	lines := []string{
		`{"at":"1900-01-01T00:00:00Z","do":"onboard-shop","shop":"potter","name":"Potter","currency":"GBP"}`,
		`{"at":"1900-01-01T00:00:00Z","do":"tweet-offer","offer":"poster","shop":"potter","title":"Poster","price":5,"stock":3}`,
	}
	for n, year := range []string{"1900-01-01T00:00:00Z", "2011-01-04T10:00:00Z", "2199-12-31T23:59:59Z"} {
		lines = append(lines, fmt.Sprintf(`{"at":%q,"do":"place-order","order":"%d","buyer":"b","lines":[%s]}`, year, n, ask("poster", 1)))
	}
	s.accepts(t, lines...)
	held := 0
	for _, e := range s.events(t) {
		if b, ok := e.Body.(offer.StockHeld); ok {
			held++
			if row := deadline.Projection.Fold(deadline.Row{}, b.Order.String(), e); row.Due < "2099" {
				t.Errorf("the deadline of the hold of order %s is due at %s", b.Order, row.Due)
			}
		}
	}
	equal(t, "holds", held, 3)
}

// A line whose events the log cannot take is rejected; the next goes on.
func TestEventsTooLarge(t *testing.T) {
	s := newScene(t)
	long := strings.Repeat("m", 1000)
	asks := []string{ask("poster", 1)}
	for range order.MaxLines - 1 {
		asks = append(asks, ask("mug", 1))
	}
	lines := []string{opening[0],
		line(0, "tweet-offer", "offer", "mug", "shop", "potter", "title", long, "price", 1),
		opening[2],
		line(1, "tweet-offer", "offer", "novel", "shop", "potter", "title", "Novel", "price", 1, "text", strings.Repeat("w", history.MaxLine-200)),
		place(2, "great", asks...),
		place(3, "small", ask("poster", 3))}
	for range 2 {
		o := s.imports(t, lines...)
		equal(t, "accepted lines", o.accepted, []int64{1, 2, 3, 6})
		equal(t, "what is said of the tweet", o.Rejects[0].Code, "events-too-large")
	}
	equal(t, "events of the posters", s.types(t, stream("offer", "poster")), "OfferTweeted OfferStockHeld OfferStockReleased OfferStockHeld OfferStockSold")
	s.refuses(t, "too-many-lines", "lines", place(3, "greater", append(asks, ask("mug", 1))...))
}
