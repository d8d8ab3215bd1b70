package timeline_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/projections/timeline"
)

var (
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	potter = uuid.UUID{0: 1}
	mugs   = uuid.UUID{0: 2}
	tea    = uuid.UUID{0: 3}
	bought = uuid.UUID{0: 4}
)

// row is what events of the mugs make of their row.
func row(events ...event.Data) (r timeline.Row) {
	for _, d := range events {
		e := event.Event{Recorded: event.Recorded{Stream: offer.Stream(mugs), Type: d.EventType()}, Meta: event.Meta{OccurredAt: noon}, Body: d}
		if _, ok := d.(order.Shipped); ok {
			e.Stream = order.Stream(bought)
		}
		for _, key := range timeline.Projection.Keys(e) {
			if key == mugs.String() {
				r = timeline.Projection.Fold(r, key, e)
			}
		}
	}
	return r
}

func TestTweeted(t *testing.T) {
	ten := int64(10)
	opens, closes := noon.Add(time.Hour), noon.Add(25*time.Hour)
	got := row(offer.Tweeted{Shop: potter, ShopName: "Potter", Tweet: "Mugs!", SKU: "M-1", Title: "Mug", Description: "Holds tea", Photo: "https://example.org/mug.jpg",
		Currency: "GBP", Price: 1250, Stock: &ten, LimitPerBuyer: 2, OpensAt: &opens, ClosesAt: &closes, Related: []uuid.UUID{tea}})
	want := timeline.Row{Offer: mugs.String(), Shop: potter.String(), ShopName: "Potter", Tweet: "Mugs!", SKU: "M-1", Title: "Mug", Description: "Holds tea",
		Photo: "https://example.org/mug.jpg", Currency: "GBP", Price: 1250, Left: &ten, LimitPerBuyer: 2, TweetedAt: "2026-11-23T11:00:00.000000000Z",
		OpensAt: "2026-11-23T12:00:00.000000000Z", ClosesAt: "2026-11-24T12:00:00.000000000Z", Related: []uuid.UUID{tea}}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("other row than expected (-want +got):\n%s", d)
	}
}

// What is left, held and sold. Rows of the table: what happened, then the stock.
func TestStock(t *testing.T) {
	three, none := int64(3), int64(0)
	var (
		pool     = offer.Tweeted{Price: 1000, Stock: &three}
		empty    = offer.Tweeted{Price: 1000, Stock: &none}
		freely   = offer.Tweeted{Price: 1000}
		limited  = offer.Tweeted{Price: 1000, LimitPerBuyer: 2}
		held     = offer.StockHeld{Order: bought, Quantity: 2}
		sold     = offer.StockSold{Order: bought, Quantity: 2}
		released = offer.StockReleased{Order: bought, Quantity: 2}
		oneBack  = offer.StockReleased{Order: bought, Quantity: 1, WasSold: true}
		restock  = offer.Restocked{Added: 5}
		shipped  = order.Shipped{Offers: []order.OfferUnits{{Offer: tea, Quantity: 7}, {Offer: mugs, Quantity: 2}}}
		others   = order.Shipped{Offers: []order.OfferUnits{{Offer: tea, Quantity: 7}}}
	)
	const unlimited = -1
	for name, c := range map[string]struct {
		events           []event.Data
		left, held, sold int64
		soldOut          bool
	}{
		"tweeted":                     {[]event.Data{pool}, 3, 0, 0, false},
		"held":                        {[]event.Data{pool, held}, 1, 2, 0, false},
		"sold":                        {[]event.Data{pool, held, sold}, 1, 0, 2, false},
		"released":                    {[]event.Data{pool, held, released}, 3, 0, 0, false},
		"sold, and one comes back":    {[]event.Data{pool, held, sold, oneBack}, 2, 0, 1, false},
		"held to the last":            {[]event.Data{pool, held, offer.StockHeld{Quantity: 1}}, 0, 3, 0, true},
		"nothing to begin with":       {[]event.Data{empty}, 0, 0, 0, true},
		"restocked":                   {[]event.Data{empty, restock}, 5, 0, 0, false},
		"shipped from a pool":         {[]event.Data{pool, held, sold, shipped}, 1, 0, 2, false}, // sold when it was paid
		"without limit":               {[]event.Data{freely}, unlimited, 0, 0, false},
		"without limit, shipped":      {[]event.Data{freely, shipped}, unlimited, 0, 2, false},
		"without limit, others' sent": {[]event.Data{freely, others}, unlimited, 0, 0, false},
		"a few each, sold":            {[]event.Data{limited, held, sold}, unlimited, 0, 2, false},
		"a few each, shipped":         {[]event.Data{limited, held, sold, shipped}, unlimited, 0, 2, false},
		"a few each, released":        {[]event.Data{limited, held, released}, unlimited, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := row(c.events...)
			left := int64(unlimited)
			if r.Left != nil {
				left = *r.Left
			}
			if left != c.left || r.Held != c.held || r.Sold != c.sold || r.SoldOut != c.soldOut {
				t.Errorf("left %d, held %d, sold %d, sold out %v; want %d, %d, %d, %v", left, r.Held, r.Sold, r.SoldOut, c.left, c.held, c.sold, c.soldOut)
			}
		})
	}
	if three != 3 || none != 0 {
		t.Error("a fold changed what an event says")
	}
}

func TestRepricedAndWithdrawn(t *testing.T) {
	r := row(offer.Tweeted{Price: 1000}, offer.Repriced{Price: 900})
	if r.Price != 900 || r.Withdrawn {
		t.Errorf("got %+v", r)
	}
	if r = row(offer.Tweeted{Price: 1000}, offer.Withdrawn{}); !r.Withdrawn {
		t.Errorf("got %+v", r)
	}
}

// An order that is shipped touches the row of each of its offers.
func TestAShipmentTouchesItsOffers(t *testing.T) {
	d := order.Shipped{Offers: []order.OfferUnits{{Offer: tea, Quantity: 7}, {Offer: mugs, Quantity: 2}}}
	keys := timeline.Projection.Keys(event.Event{Recorded: event.Recorded{Stream: order.Stream(bought)}, Body: d})
	if want := []string{tea.String(), mugs.String()}; !cmp.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}
