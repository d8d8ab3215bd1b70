package history_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/history"
	"kicau/domain"
	"kicau/domain/offer"
)

// atOnce moves lines to one time: then the file alone says what is before what.
func atOnce(lines []string) []string {
	var same []string
	for _, l := range lines {
		_, rest, _ := strings.Cut(l, `","do"`)
		same = append(same, fmt.Sprintf(`{"at":%q,"do"`, at(0))+rest)
	}
	return same
}

// What refused a line may be gone by the end of the file. Importing the file
// again says the same all the same.
func TestRefusedStaysRefused(t *testing.T) {
	for name, c := range map[string]struct {
		lines    []string
		accepted []int64
	}{
		"sold out until there was more": {[]string{opening[0], opening[2], place(1, "a", ask("poster", 3)), place(2, "b", ask("poster", 1)),
			line(3, "restock", "offer", "poster", "restock", "r", "add", 2), place(4, "c", ask("poster", 2))}, []int64{1, 2, 3, 5, 6}},
		"sold out until an order was cancelled": {[]string{opening[0], opening[2], place(1, "a", ask("poster", 3)), place(2, "b", ask("poster", 1)),
			line(3, "cancel-order", "order", "a")}, []int64{1, 2, 3, 5}},
		"sold out until an order was shipped in part": {[]string{opening[0], opening[2], place(1, "a", ask("poster", 3)), place(2, "b", ask("poster", 1)),
			line(3, "ship-order", "order", "a", "units", list(`{"line":1,"quantity":1}`))}, []int64{1, 2, 3, 5}},
		"over the limit until an order was cancelled": {[]string{opening[0],
			line(0, "tweet-offer", "offer", "print", "shop", "potter", "title", "Print", "price", 5, "limitPerBuyer", 1),
			line(1, "place-order", "order", "a", "buyer", "ann", "lines", list(ask("print", 1))),
			line(2, "place-order", "order", "b", "buyer", "ann", "lines", list(ask("print", 1))),
			line(3, "cancel-order", "order", "a")}, []int64{1, 2, 3, 5}},
		"ordered before it was offered":    {[]string{opening[0], place(1, "a", ask("mug", 1)), line(2, "tweet-offer", "offer", "mug", "shop", "potter", "title", "Mug", "price", 5)}, []int64{1, 3}},
		"offered before there was a shop":  {[]string{opening[1], line(1, "onboard-shop", "shop", "potter", "name", "Potter", "currency", "GBP")}, []int64{2}},
		"adjusted before there was a shop": {[]string{line(0, "adjust-shop", "shop", "potter", "adjustment", "a", "amount", 1), line(0, "change-fees", "shop", "potter"), line(1, "onboard-shop", "shop", "potter", "name", "Potter", "currency", "GBP")}, []int64{3}},
		"shipped before it was ordered":    {[]string{opening[0], opening[1], line(1, "ship-order", "order", "a"), place(2, "a", ask("mug", 1))}, []int64{1, 2, 4}},
		"cancelled before it was ordered":  {[]string{opening[0], opening[1], line(1, "cancel-order", "order", "a"), place(2, "a", ask("mug", 1))}, []int64{1, 2, 4}},
		"refunded before it was shipped":   {[]string{opening[0], opening[1], place(1, "a", ask("mug", 1)), line(2, "refund-order", "order", "a", "refund", "r"), line(3, "ship-order", "order", "a")}, []int64{1, 2, 3, 5}},
		"restocked before it was offered":  {[]string{opening[0], line(1, "restock", "offer", "p", "restock", "r", "add", 2), line(2, "tweet-offer", "offer", "p", "shop", "potter", "title", "P", "price", 5, "stock", 1)}, []int64{1, 3}},
		"withdrawn before it was offered":  {[]string{opening[0], line(1, "withdraw", "offer", "p"), line(2, "tweet-offer", "offer", "p", "shop", "potter", "title", "P", "price", 5)}, []int64{1, 3}},
		"repriced before it was offered":   {[]string{opening[0], line(1, "reprice", "offer", "p", "price", 4), line(2, "tweet-offer", "offer", "p", "shop", "potter", "title", "P", "price", 5)}, []int64{1, 3}},
		"prices that come and go":          {[]string{opening[0], opening[1], line(1, "reprice", "offer", "mug", "price", "12.50"), line(2, "reprice", "offer", "mug", "price", 10), line(3, "reprice", "offer", "mug", "price", "12.50"), line(4, "reprice", "offer", "mug", "price", 10), line(5, "reprice", "offer", "mug", "price", 10)}, []int64{1, 2, 3, 4, 5, 6, 7}},
		"a price of something withdrawn":   {[]string{opening[0], opening[1], line(1, "reprice", "offer", "mug", "price", 10), line(2, "withdraw", "offer", "mug"), line(3, "reprice", "offer", "mug", "price", 11), line(4, "reprice", "offer", "mug", "price", 10)}, []int64{1, 2, 3, 4, 6}},
		"refunded in parts, then the rest": {append(slices.Clone(opening), place(1, "a", ask("poster", 2), ask("mug", 1)), line(2, "ship-order", "order", "a"), line(3, "refund-order", "order", "a", "refund", "r1", "units", list(`{"line":1,"quantity":1}`)), line(4, "refund-order", "order", "a", "refund", "r2", "amount", 3), line(5, "refund-order", "order", "a", "refund", "r3"), line(6, "refund-order", "order", "a", "refund", "r4")), []int64{1, 2, 3, 4, 5, 6, 7, 8}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, lines := range [][]string{c.lines, atOnce(c.lines)} {
				s := newScene(t)
				equal(t, "accepted lines", s.imports(t, lines...).accepted, c.accepted)
				once := content(s.records(t, nil))
				for range 2 {
					again := s.imports(t, lines...)
					equal(t, "accepted lines, again", again.accepted, c.accepted)
					equal(t, "the log, imported again", content(s.records(t, nil)), once)
				}
			}
		})
	}
}

// The price may come back at the very same time; each line counts once.
func TestPricesAtOneTime(t *testing.T) {
	s := newScene(t)
	lines := append(slices.Clone(opening), line(1, "reprice", "offer", "mug", "price", 10), line(1, "reprice", "offer", "mug", "price", 11), line(1, "reprice", "offer", "mug", "price", 10))
	s.accepts(t, lines...)
	s.accepts(t, lines...)
	equal(t, "events of the mug", s.types(t, stream("offer", "mug")), "OfferTweeted OfferRepriced OfferRepriced OfferRepriced")
	seen := map[uuid.UUID]bool{}
	for _, rec := range s.records(t, nil) {
		if seen[rec.ID] {
			t.Errorf("event %s (%s) is in the log twice", rec.ID, rec.Type)
		}
		seen[rec.ID] = true
	}
}

// A mended line is imported where nothing later was; elsewhere it needs a later
// time.
func TestMendedLines(t *testing.T) {
	s := newScene(t)
	rest := []string{line(0, "tweet-offer", "offer", "jug", "shop", "potter", "title", "Jug", "price", "ten"), // mended below
		place(1, "a", ask("jug", 1)), place(2, "b", ask("poster", 0)), place(2, "c", ask("mug", 0)), place(3, "d", ask("poster", 1), ask("mug", 1)),
		line(4, "adjust-shop", "shop", "potter", "adjustment", "x", "amount", 0), line(5, "adjust-shop", "shop", "potter", "adjustment", "y", "amount", 1)}
	equal(t, "accepted lines", s.imports(t, append(opening, rest...)...).accepted, []int64{1, 2, 3, 8, 10})

	rest[0] = line(0, "tweet-offer", "offer", "jug", "shop", "potter", "title", "Jug", "price", 10)
	rest[2], rest[3] = place(2, "b", ask("poster", 1)), place(2, "c", ask("mug", 1))
	rest[5] = line(4, "adjust-shop", "shop", "potter", "adjustment", "x", "amount", 1)
	o := s.imports(t, append(opening, rest...)...)
	equal(t, "accepted lines, mended", o.accepted, []int64{1, 2, 3, 4, 5, 7, 8, 9, 10})
	equal(t, "the code of order b", o.Rejects[0].Code, "log-has-later")

	rest[2] = place(6, "b", ask("poster", 1))
	slices.SortFunc(rest, strings.Compare) // by time
	s.accepts(t, append(opening, rest...)...)
}

// What happened since, live, does not stand in the way of a history.
func TestHistoryOfALiveShop(t *testing.T) {
	s := newScene(t)
	s.accepts(t, opening...)
	live := command.New(s.log, domain.Events)
	poster := id("offer", "poster")
	now := command.By{Command: uuid.New(), Actor: "shop", At: t0.AddDate(10, 0, 0)}
	if _, err := live.Offer(t.Context(), now, poster, offer.Restock{At: now.At, Restock: uuid.New(), Add: 5}); err != nil {
		t.Fatal(err)
	}
	s.accepts(t, place(1, "a", ask("poster", 8)))
}

// A history may come in several files, one after the other.
func TestFilesInTurn(t *testing.T) {
	s := newScene(t)
	im := s.importer()
	parts := [][]string{append(opening, place(1, "a", ask("poster", 1))), {line(1, "ship-order", "order", "a"), place(1, "b", ask("poster", 1))}, {place(1, "c", ask("poster", 1))}}
	for range 2 {
		for _, lines := range parts {
			if o := run(t.Context(), im.JSONLines(strings.NewReader(strings.Join(lines, "\n")))); o.err != nil || o.Rejected > 0 {
				t.Errorf("%+v, %v", o, o.err)
			}
		}
		im = s.importer()
	}
}

// What is of the same time and from another input was before.
func TestFilesOfOneTime(t *testing.T) {
	s := newScene(t)
	parts := [][]string{opening[:1], opening[1:], {place(0, "a", ask("poster", 1), ask("mug", 1))}, {place(0, "b", ask("poster", 2))},
		{line(0, "ship-order", "order", "a")}, {line(0, "refund-order", "order", "a", "refund", "r")}}
	for _, lines := range parts {
		s.accepts(t, lines...)
	}
	once := content(s.records(t, nil))
	for _, lines := range parts {
		s.accepts(t, lines...)
	}
	equal(t, "the log, imported again", content(s.records(t, nil)), once)
}

// A time with more lines than are read ahead.
func TestManyLinesOfOneTime(t *testing.T) {
	s := newScene(t)
	lines := slices.Clone(opening)
	for len(lines) < history.MaxAhead+100 {
		lines = append(lines, "{}")
	}
	lines = append(lines, place(0, "a", ask("poster", 1)))
	equal(t, "accepted lines", s.imports(t, lines...).accepted, []int64{1, 2, 3, int64(len(lines))})
	equal(t, "accepted lines, again", s.imports(t, lines...).accepted, []int64{1, 2, 3, int64(len(lines))})
}
