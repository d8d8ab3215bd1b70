// Package timeline is the offers as a reader sees them: one row an offer, newest
// first.
package timeline

import (
	"strings"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/projections"
)

// Row is an offer in the timeline. Times are UTC in [projections.TimeLayout].
type Row struct {
	Offer         string         `json:"offer"`
	Shop          string         `json:"shop"`
	ShopName      string         `json:"shopName"`
	Tweet         string         `json:"tweet"`
	SKU           string         `json:"sku,omitempty"`
	Title         string         `json:"title"`
	Description   string         `json:"description,omitempty"`
	Photo         string         `json:"photo,omitempty"`
	Currency      money.Currency `json:"currency"`
	Price         money.Minor    `json:"price"`          // minor units
	Left          *int64         `json:"left,omitempty"` // units in the pool; absent: without limit
	LimitPerBuyer int64          `json:"limitPerBuyer,omitempty"`
	Held          int64          `json:"held"` // units set aside for orders that are not paid yet
	Sold          int64          `json:"sold"` // units
	SoldOut       bool           `json:"soldOut"`
	Withdrawn     bool           `json:"withdrawn"`
	TweetedAt     string         `json:"tweetedAt"`
	OpensAt       string         `json:"opensAt,omitempty"`
	ClosesAt      string         `json:"closesAt,omitempty"`
	Related       []uuid.UUID    `json:"related,omitempty"`
}

// tracked: the offer's own stream tells what was sold of it; of others the
// shipments do.
func (r Row) tracked() bool { return r.Left != nil || r.LimitPerBuyer > 0 }

// Projection of the timeline. The key is the offer's id.
var Projection = projections.Projection[Row]{
	Name:    "timeline",
	Version: 1,
	Handles: []string{
		offer.Tweeted{}.EventType(), offer.Repriced{}.EventType(), offer.Restocked{}.EventType(), offer.Withdrawn{}.EventType(),
		offer.StockHeld{}.EventType(), offer.StockReleased{}.EventType(), offer.StockSold{}.EventType(),
		order.Shipped{}.EventType(),
	},
	Keys:   keys,
	Begins: func(e event.Event) bool { _, ok := e.Body.(offer.Tweeted); return ok },
	Fold:   fold,
	Indexes: [][]string{
		{"tweetedAt"},
		{"shop", "tweetedAt"},
	},
}

func keys(e event.Event) []string {
	shipped, ok := e.Body.(order.Shipped)
	if !ok {
		return []string{strings.TrimPrefix(e.Stream, offer.Category+"-")}
	}
	ks := make([]string, len(shipped.Offers))
	for i, u := range shipped.Offers {
		ks[i] = u.Offer.String()
	}
	return ks
}

func fold(r Row, key string, e event.Event) Row {
	switch b := e.Body.(type) {
	case offer.Tweeted:
		r = Row{
			Offer: key, Shop: b.Shop.String(), ShopName: b.ShopName, Tweet: b.Tweet, SKU: b.SKU, Title: b.Title,
			Description: b.Description, Photo: b.Photo, Currency: b.Currency, Price: b.Price,
			LimitPerBuyer: b.LimitPerBuyer, TweetedAt: projections.Time(e.OccurredAt), Related: b.Related,
		}
		if b.Stock != nil {
			left := *b.Stock
			r.Left = &left
		}
		if b.OpensAt != nil {
			r.OpensAt = projections.Time(*b.OpensAt)
		}
		if b.ClosesAt != nil {
			r.ClosesAt = projections.Time(*b.ClosesAt)
		}
	case offer.Repriced:
		r.Price = b.Price
	case offer.Restocked:
		r.add(b.Added)
	case offer.Withdrawn:
		r.Withdrawn = true
	case offer.StockHeld:
		r.add(-b.Quantity)
		r.Held += b.Quantity
	case offer.StockReleased:
		r.add(b.Quantity)
		if b.WasSold {
			r.Sold -= b.Quantity
		} else {
			r.Held -= b.Quantity
		}
	case offer.StockSold:
		r.Held -= b.Quantity
		r.Sold += b.Quantity
	case order.Shipped:
		if r.tracked() {
			break
		}
		for _, u := range b.Offers {
			if u.Offer.String() == key {
				r.Sold += u.Quantity
			}
		}
	}
	r.SoldOut = r.Left != nil && *r.Left == 0
	return r
}

func (r *Row) add(units int64) {
	if r.Left != nil {
		left := *r.Left + units
		r.Left = &left
	}
}
