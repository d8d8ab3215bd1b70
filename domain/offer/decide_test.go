package offer_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	opens  = noon.Add(1 * time.Hour)
	closes = noon.Add(2 * time.Hour)
	until  = noon.Add(15 * time.Minute) // when a hold expires

	potter = uuid.UUID{0: 5}
	ann    = uuid.UUID{0: 0xa}
	bob    = uuid.UUID{0: 0xb}
	first  = uuid.UUID{0: 1} // orders
	second = uuid.UUID{0: 2}
)

// mug is an offer of ten mugs, at most three a buyer, with one thing changed.
func mug(change func(*offer.Tweeted)) offer.Tweeted {
	ten := int64(10)
	t := offer.Tweeted{
		Shop: potter, ShopName: "Potter", Tweet: "Ten mugs, reply to buy", SKU: "MUG-1", Title: "Mug", Description: "Blue",
		Photo: "https://example.com/mug.jpg", Currency: "GBP", Price: 1250, Stock: &ten, LimitPerBuyer: 3,
		Related: []uuid.UUID{{7}},
	}
	if change != nil {
		change(&t)
	}
	return t
}

func units(n int64) *int64 { return &n }

func tweet(change func(*offer.Tweeted)) offer.Tweet {
	return offer.Tweet{At: noon, Terms: mug(change), ShopCurrency: "GBP"}
}

func hold(order, buyer uuid.UUID, n int64) offer.HoldStock {
	return offer.HoldStock{At: noon, Order: order, Buyer: buyer, Quantity: n, ExpiresAt: until}
}

func held(order, buyer uuid.UUID, n int64) offer.StockHeld {
	return offer.StockHeld{Order: order, Buyer: buyer, Quantity: n, ExpiresAt: until}
}

// story is one line of a table: what is asked, and what comes of it. Neither
// events nor a refusal: nothing.
type story struct {
	name string
	when offer.Command
	then event.Data
	no   *refusal.Refusal
}

func tell(t *testing.T, given []event.Data, stories []story) {
	t.Helper()
	for _, s := range stories {
		t.Run(s.name, func(t *testing.T) {
			told := decidertest.For(t, offer.Decider).Given(given...).When(s.when)
			switch {
			case s.no != nil:
				told.ThenRefused(s.no)
			case s.then != nil:
				told.Then(s.then)
			default:
				told.ThenNothing()
			}
		})
	}
}

func TestNotTweeted(t *testing.T) {
	same := func(change func(*offer.Tweeted)) story {
		return story{when: tweet(change), then: mug(change)}
	}
	named := func(name string, s story) story { s.name = name; return s }
	tell(t, nil, []story{
		named("tweet", same(nil)),
		named("tweet, for nothing", same(func(o *offer.Tweeted) { o.Price = 0 })),
		named("tweet, for the largest amount", same(func(o *offer.Tweeted) { o.Price = money.Max })),
		named("tweet, without limit", same(func(o *offer.Tweeted) { o.Stock, o.LimitPerBuyer = nil, 0 })),
		named("tweet, sold out from the start", same(func(o *offer.Tweeted) { o.Stock = units(0) })),
		named("tweet, a billion", same(func(o *offer.Tweeted) { o.Stock = units(offer.MaxUnits) })),
		named("tweet, for a while", same(func(o *offer.Tweeted) { o.OpensAt, o.ClosesAt = &opens, &closes })),
		named("tweet, until it closes", same(func(o *offer.Tweeted) { o.ClosesAt = &closes })),
		{"tweet without a title", tweet(func(o *offer.Tweeted) { o.Title = "" }), nil, offer.ErrNoTitle},
		{"tweet with a book as title", tweet(func(o *offer.Tweeted) { o.Title = strings.Repeat("x", offer.MaxTitle+1) }), nil, offer.ErrTitleTooLong},
		{"tweet in no currency", tweet(func(o *offer.Tweeted) { o.Currency = "XXZ" }), nil, money.ErrUnknownCurrency},
		{"tweet in another currency than the shop's", tweet(func(o *offer.Tweeted) { o.Currency = "EUR" }), nil, offer.ErrOtherCurrency},
		{"tweet below nothing", tweet(func(o *offer.Tweeted) { o.Price = -1 }), nil, offer.ErrPriceRange},
		{"tweet beyond all amounts", tweet(func(o *offer.Tweeted) { o.Price = money.Max + 1 }), nil, money.ErrOverflow},
		{"tweet less than no stock", tweet(func(o *offer.Tweeted) { o.Stock = units(-1) }), nil, offer.ErrStockRange},
		{"tweet more than a billion", tweet(func(o *offer.Tweeted) { o.Stock = units(offer.MaxUnits + 1) }), nil, offer.ErrStockRange},
		{"tweet a limit below nothing", tweet(func(o *offer.Tweeted) { o.LimitPerBuyer = -1 }), nil, offer.ErrLimitRange},
		{"tweet, closing before it opens", tweet(func(o *offer.Tweeted) { o.OpensAt, o.ClosesAt = &closes, &opens }), nil, offer.ErrWindow},
		{"tweet, closing when it opens", tweet(func(o *offer.Tweeted) { o.OpensAt, o.ClosesAt = &opens, &opens }), nil, offer.ErrWindow},
		{"tweet a card number", tweet(func(o *offer.Tweeted) { o.Tweet = "card 4242 4242 4242 4242" }), nil, privacy.ErrCardNumber},
		{"tweet a card number as title", tweet(func(o *offer.Tweeted) { o.Title = "4242424242424242" }), nil, privacy.ErrCardNumber},
		{"tweet a card number as description", tweet(func(o *offer.Tweeted) { o.Description = "4242-4242-4242-4242" }), nil, privacy.ErrCardNumber},
		{"reprice", offer.Reprice{At: noon, Price: 1}, nil, offer.ErrNotTweeted},
		{"restock", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 1}, nil, offer.ErrNotTweeted},
		{"withdraw", offer.Withdraw{At: noon}, nil, offer.ErrNotTweeted},
		{"hold", hold(first, ann, 1), nil, offer.ErrNotTweeted},
		{"release", offer.ReleaseStock{At: noon, Order: first}, nil, offer.ErrNotTweeted},
		{"sell", offer.SellStock{At: noon, Order: first}, nil, offer.ErrNotTweeted},
	})
}

func TestOnSale(t *testing.T) {
	tell(t, []event.Data{mug(nil)}, []story{
		{"tweet again", tweet(nil), nil, nil},
		{"tweet again after the shop took another name", tweet(func(o *offer.Tweeted) { o.ShopName = "Otter" }), nil, nil},
		{"tweet by another shop", tweet(func(o *offer.Tweeted) { o.Shop = ann }), nil, offer.ErrOtherTerms},
		{"tweet another text", tweet(func(o *offer.Tweeted) { o.Tweet = "Mugs!" }), nil, offer.ErrOtherTerms},
		{"tweet another SKU", tweet(func(o *offer.Tweeted) { o.SKU = "MUG-2" }), nil, offer.ErrOtherTerms},
		{"tweet another title", tweet(func(o *offer.Tweeted) { o.Title = "Cup" }), nil, offer.ErrOtherTerms},
		{"tweet no title", tweet(func(o *offer.Tweeted) { o.Title = "" }), nil, offer.ErrOtherTerms},
		{"tweet another description", tweet(func(o *offer.Tweeted) { o.Description = "Red" }), nil, offer.ErrOtherTerms},
		{"tweet another photo", tweet(func(o *offer.Tweeted) { o.Photo = "" }), nil, offer.ErrOtherTerms},
		{"tweet another currency", tweet(func(o *offer.Tweeted) { o.Currency = "EUR" }), nil, offer.ErrOtherTerms},
		{"tweet another price", tweet(func(o *offer.Tweeted) { o.Price = 1 }), nil, offer.ErrOtherTerms},
		{"tweet another stock", tweet(func(o *offer.Tweeted) { o.Stock = units(11) }), nil, offer.ErrOtherTerms},
		{"tweet no stock", tweet(func(o *offer.Tweeted) { o.Stock = nil }), nil, offer.ErrOtherTerms},
		{"tweet another limit", tweet(func(o *offer.Tweeted) { o.LimitPerBuyer = 4 }), nil, offer.ErrOtherTerms},
		{"tweet another opening", tweet(func(o *offer.Tweeted) { o.OpensAt = &opens }), nil, offer.ErrOtherTerms},
		{"tweet another closing", tweet(func(o *offer.Tweeted) { o.ClosesAt = &closes }), nil, offer.ErrOtherTerms},
		{"tweet other relations", tweet(func(o *offer.Tweeted) { o.Related = nil }), nil, offer.ErrOtherTerms},

		{"reprice", offer.Reprice{At: noon, Price: 999}, offer.Repriced{Price: 999}, nil},
		{"reprice to nothing", offer.Reprice{At: noon, Price: 0}, offer.Repriced{Price: 0}, nil},
		{"reprice to what it costs", offer.Reprice{At: noon, Price: 1250}, nil, nil},
		{"reprice below nothing", offer.Reprice{At: noon, Price: -1}, nil, offer.ErrPriceRange},
		{"reprice beyond all amounts", offer.Reprice{At: noon, Price: money.Max + 1}, nil, money.ErrOverflow},

		{"restock", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 5}, offer.Restocked{Restock: uuid.UUID{9}, Added: 5}, nil},
		{"restock up to a billion", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: offer.MaxUnits - 10}, offer.Restocked{Restock: uuid.UUID{9}, Added: offer.MaxUnits - 10}, nil},
		{"restock beyond a billion", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: offer.MaxUnits - 9}, nil, offer.ErrAddRange},
		{"restock to wrap", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: math.MaxInt64}, nil, offer.ErrAddRange},
		{"restock nothing", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 0}, nil, offer.ErrAddRange},
		{"restock less than nothing", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: -1}, nil, offer.ErrAddRange},

		{"withdraw", offer.Withdraw{At: noon, Reason: "broken"}, offer.Withdrawn{Reason: "broken"}, nil},
		{"withdraw without a reason", offer.Withdraw{At: noon}, offer.Withdrawn{}, nil},
		{"withdraw with a card number", offer.Withdraw{At: noon, Reason: "4242424242424242"}, nil, privacy.ErrCardNumber},

		{"hold", hold(first, ann, 2), held(first, ann, 2), nil},
		{"hold up to the limit", hold(first, ann, 3), held(first, ann, 3), nil},
		{"hold over the limit", hold(first, ann, 4), nil, offer.ErrOverLimit},
		{"hold more than there are", hold(first, ann, 11), nil, offer.ErrSoldOut},
		{"hold nothing", hold(first, ann, 0), nil, offer.ErrQuantity},
		{"hold less than nothing", hold(first, ann, -1), nil, offer.ErrQuantity},
		{"release what nobody holds", offer.ReleaseStock{At: noon, Order: first}, nil, nil},
		{"release and keep less than nothing", offer.ReleaseStock{At: noon, Order: first, Keep: -1}, nil, offer.ErrKeep},
		{"sell what nobody holds", offer.SellStock{At: noon, Order: first}, nil, offer.ErrNoHold},
	})
}

func TestRepriced(t *testing.T) {
	tell(t, []event.Data{mug(nil), offer.Repriced{Price: 999}}, []story{
		{"tweet again", tweet(nil), nil, nil},
		{"reprice to the same", offer.Reprice{At: noon, Price: 999}, nil, nil},
		{"reprice back", offer.Reprice{At: noon, Price: 1250}, offer.Repriced{Price: 1250}, nil},
	})
}

func TestRestocked(t *testing.T) {
	tell(t, []event.Data{mug(nil), offer.Restocked{Restock: uuid.UUID{9}, Added: 5}}, []story{
		{"tweet again", tweet(nil), nil, nil},
		{"the same delivery again", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 5}, nil, nil},
		{"the same delivery with other units", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 6}, nil, offer.ErrRestockDiffer},
		{"another delivery of the same", offer.Restock{At: noon, Restock: uuid.UUID{10}, Add: 5}, offer.Restocked{Restock: uuid.UUID{10}, Added: 5}, nil},
		{"hold more than there are now", hold(first, ann, 16), nil, offer.ErrSoldOut},
	})
}

func TestWithdrawn(t *testing.T) {
	tell(t, []event.Data{mug(nil), offer.Restocked{Restock: uuid.UUID{9}, Added: 5}, held(first, ann, 2), offer.Withdrawn{}}, []story{
		{"withdraw again", offer.Withdraw{At: noon, Reason: "really"}, nil, nil},
		{"tweet again", tweet(nil), nil, nil},
		{"reprice", offer.Reprice{At: noon, Price: 999}, nil, offer.ErrWithdrawn},
		{"reprice to what it costs", offer.Reprice{At: noon, Price: 1250}, nil, nil},
		{"restock", offer.Restock{At: noon, Restock: uuid.UUID{10}, Add: 5}, nil, offer.ErrWithdrawn},
		{"a delivery again that came before", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 5}, nil, nil},
		{"hold", hold(second, bob, 1), nil, offer.ErrWithdrawn},
		{"hold again what was held before", hold(first, ann, 2), nil, nil},
		{"sell what was held before", offer.SellStock{At: noon, Order: first}, offer.StockSold{Order: first, Quantity: 2}, nil},
		{"release what was held before", offer.ReleaseStock{At: noon, Order: first, Reason: "cancelled"}, offer.StockReleased{Order: first, Quantity: 2, Reason: "cancelled"}, nil},
	})
}

func TestSoldWithoutLimit(t *testing.T) {
	free := mug(func(o *offer.Tweeted) { o.Stock, o.LimitPerBuyer = nil, 0 })
	tell(t, []event.Data{free}, []story{
		{"restock", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 5}, nil, offer.ErrNoPool},
		{"hold", hold(first, ann, 1_000_000), held(first, ann, 1_000_000), nil},
		{"hold nothing", hold(first, ann, 0), nil, offer.ErrQuantity},
	})
}

func TestLimitedWithoutAPool(t *testing.T) {
	limited := mug(func(o *offer.Tweeted) { o.Stock = nil })
	tell(t, []event.Data{limited, held(first, ann, 1)}, []story{
		{"hold up to the limit", hold(second, ann, 2), held(second, ann, 2), nil},
		{"hold over the limit", hold(second, ann, 3), nil, offer.ErrOverLimit},
		{"hold so much that the sum wraps", hold(second, ann, math.MaxInt64), nil, offer.ErrOverLimit},
		{"another buyer", hold(second, bob, 3), held(second, bob, 3), nil},
	})
}

func TestSoldOut(t *testing.T) {
	one := mug(func(o *offer.Tweeted) { o.Stock, o.LimitPerBuyer = units(1), 0 })
	tell(t, []event.Data{one, held(first, ann, 1)}, []story{
		{"hold", hold(second, bob, 1), nil, offer.ErrSoldOut},
		{"hold again what is held", hold(first, ann, 1), nil, nil},
		{"restock", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: 1}, offer.Restocked{Restock: uuid.UUID{9}, Added: 1}, nil},
	})
	tell(t, []event.Data{one, held(first, ann, 1), offer.StockReleased{Order: first, Quantity: 1, Reason: "expired"}}, []story{
		{"hold what came back", hold(second, bob, 1), held(second, bob, 1), nil},
	})
	tell(t, []event.Data{one, held(first, ann, 1), offer.StockSold{Order: first, Quantity: 1}}, []story{
		{"hold what is sold", hold(second, bob, 1), nil, offer.ErrSoldOut},
	})
}

func TestHeld(t *testing.T) {
	later := hold(first, ann, 2)
	later.At, later.ExpiresAt = noon.Add(time.Hour), until.Add(time.Hour)
	tell(t, []event.Data{mug(nil), held(first, ann, 2)}, []story{
		{"hold again", hold(first, ann, 2), nil, nil},
		{"hold again, later, for longer", later, nil, nil},
		{"hold another quantity", hold(first, ann, 1), nil, offer.ErrHoldDiffer},
		{"hold nothing", hold(first, ann, 0), nil, offer.ErrHoldDiffer},
		{"hold for another buyer", hold(first, bob, 2), nil, offer.ErrHoldDiffer},
		{"hold for another order up to the limit", hold(second, ann, 1), held(second, ann, 1), nil},
		{"hold for another order over the limit", hold(second, ann, 2), nil, offer.ErrOverLimit},
		{"sell", offer.SellStock{At: noon, Order: first}, offer.StockSold{Order: first, Quantity: 2}, nil},
		{"sell after the hold should have ended", offer.SellStock{At: until.Add(1), Order: first}, offer.StockSold{Order: first, Quantity: 2}, nil},
		{"release", offer.ReleaseStock{At: noon, Order: first, Reason: "expired"}, offer.StockReleased{Order: first, Quantity: 2, Reason: "expired"}, nil},
		{"release all but one", offer.ReleaseStock{At: noon, Order: first, Keep: 1, Reason: "not shipped"}, offer.StockReleased{Order: first, Quantity: 1, Reason: "not shipped"}, nil},
		{"release and keep all", offer.ReleaseStock{At: noon, Order: first, Keep: 2}, nil, nil},
		{"release and keep more", offer.ReleaseStock{At: noon, Order: first, Keep: 3}, nil, nil},
		{"release and keep less than nothing", offer.ReleaseStock{At: noon, Order: first, Keep: -1}, nil, offer.ErrKeep},
	})
}

func TestReleased(t *testing.T) {
	tell(t, []event.Data{mug(nil), held(first, ann, 2), offer.StockReleased{Order: first, Quantity: 2, Reason: "expired"}}, []story{
		{"release again", offer.ReleaseStock{At: noon, Order: first, Reason: "expired"}, nil, nil},
		{"sell", offer.SellStock{At: noon, Order: first}, nil, offer.ErrHoldOver},
		{"hold again", hold(first, ann, 2), nil, offer.ErrHoldOver},
		{"hold for another order, the limit is whole again", hold(second, ann, 3), held(second, ann, 3), nil},
	})
}

func TestSold(t *testing.T) {
	tell(t, []event.Data{mug(nil), held(first, ann, 2), offer.StockSold{Order: first, Quantity: 2}}, []story{
		{"sell again", offer.SellStock{At: noon, Order: first}, nil, nil},
		{"hold again", hold(first, ann, 2), nil, nil},
		{"hold another quantity", hold(first, ann, 3), nil, offer.ErrHoldDiffer},
		{"hold for another order over the limit", hold(second, ann, 2), nil, offer.ErrOverLimit},
		{"release what is not shipped", offer.ReleaseStock{At: noon, Order: first, Keep: 1, Reason: "not shipped"}, offer.StockReleased{Order: first, Quantity: 1, Reason: "not shipped", WasSold: true}, nil},
		{"release all: paid, then cancelled", offer.ReleaseStock{At: noon, Order: first, Reason: "cancelled"}, offer.StockReleased{Order: first, Quantity: 2, Reason: "cancelled", WasSold: true}, nil},
	})
}

func TestSoldAndPartlyReleased(t *testing.T) {
	tell(t, []event.Data{mug(nil), held(first, ann, 2), offer.StockSold{Order: first, Quantity: 2},
		offer.StockReleased{Order: first, Quantity: 1, Reason: "not shipped", WasSold: true}}, []story{
		{"release the same again", offer.ReleaseStock{At: noon, Order: first, Keep: 1, Reason: "not shipped"}, nil, nil},
		{"sell again", offer.SellStock{At: noon, Order: first}, nil, nil},
		{"hold for another order, one of the limit is back", hold(second, ann, 2), held(second, ann, 2), nil},
	})
}

// Nothing at all is there, and a delivery of as much as there can be comes.
func TestRestockedFromNothing(t *testing.T) {
	tell(t, []event.Data{mug(func(o *offer.Tweeted) { o.Stock = units(0) })}, []story{
		{"restock a billion", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: offer.MaxUnits}, offer.Restocked{Restock: uuid.UUID{9}, Added: offer.MaxUnits}, nil},
		{"restock more", offer.Restock{At: noon, Restock: uuid.UUID{9}, Add: offer.MaxUnits + 1}, nil, offer.ErrAddRange},
	})
}

// Stock has to be held where a purchase could exceed something.
func TestTracked(t *testing.T) {
	for _, c := range []struct {
		stock           *int64
		limit           int64
		pooled, tracked bool
	}{
		{nil, 0, false, false},
		{nil, 1, false, true},
		{units(0), 0, true, true},
		{units(10), 3, true, true},
	} {
		s := decider.Fold(offer.Decider, mug(func(o *offer.Tweeted) { o.Stock, o.LimitPerBuyer = c.stock, c.limit }))
		if s.Pooled() != c.pooled || s.Tracked() != c.tracked {
			t.Errorf("stock %v, limit %d: pooled %v, tracked %v", c.stock, c.limit, s.Pooled(), s.Tracked())
		}
	}
}

// The sale window: it opens inclusive and closes exclusive.
func TestSaleWindow(t *testing.T) {
	both := mug(func(o *offer.Tweeted) { o.OpensAt, o.ClosesAt = &opens, &closes })
	for _, c := range []struct {
		name string
		at   time.Time
		no   *refusal.Refusal
	}{
		{"a nanosecond before it opens", opens.Add(-1), offer.ErrNotOpen},
		{"when it opens", opens, nil},
		{"while it is open", opens.Add(time.Minute), nil},
		{"a nanosecond before it closes", closes.Add(-1), nil},
		{"when it closes", closes, offer.ErrClosed},
		{"afterwards", closes.Add(time.Hour), offer.ErrClosed},
	} {
		ask := hold(first, ann, 1)
		ask.At = c.at
		s := story{name: c.name, when: ask, no: c.no}
		if c.no == nil {
			s.then = held(first, ann, 1)
		}
		tell(t, []event.Data{both}, []story{s})
	}
	early, late := hold(first, ann, 1), hold(first, ann, 1)
	early.At, late.At = opens.AddDate(-1, 0, 0), closes.AddDate(1, 0, 0)
	tell(t, []event.Data{mug(func(o *offer.Tweeted) { o.ClosesAt = &closes })}, []story{
		{"nothing says when it opens", early, held(first, ann, 1), nil},
		{"but when it closes", late, nil, offer.ErrClosed},
	})
	tell(t, []event.Data{mug(func(o *offer.Tweeted) { o.OpensAt = &opens })}, []story{
		{"nothing says when it closes", late, held(first, ann, 1), nil},
		{"but when it opens", early, nil, offer.ErrNotOpen},
	})
	tell(t, []event.Data{both, held(first, ann, 1)}, []story{
		{"what is held is sold after it closed", offer.SellStock{At: closes, Order: first}, offer.StockSold{Order: first, Quantity: 1}, nil},
		{"and released", offer.ReleaseStock{At: closes, Order: first, Reason: "expired"}, offer.StockReleased{Order: first, Quantity: 1, Reason: "expired"}, nil},
	})
}
