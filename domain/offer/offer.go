// Package offer is a tweeted offer: one product of one shop, at a price, from a
// pool of stock, for a while.
//
// Its laws:
//   - held + sold never exceeds what was put into the pool, at every prefix of
//     the log (no oversell);
//   - stock is held before money is asked for, and a hold ends exactly once:
//     sold or released. Of what was sold, the units that are never sent come
//     back once;
//   - an offer without a pool and without a limit per buyer keeps no book of
//     its buyers; see [State.Tracked].
package offer

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// Category is the first part of an offer's stream, "offer-<uuid>".
const Category = "offer"

// Stream of an offer.
func Stream(id uuid.UUID) string { return Category + "-" + id.String() }

// Events.

// Tweeted: a shop offers a product in a tweet.
type Tweeted struct {
	Shop        uuid.UUID      `json:"shop"`
	ShopName    string         `json:"shopName,omitempty"` // as it was then
	Tweet       string         `json:"tweet"`              // its text
	SKU         string         `json:"sku,omitempty"`
	Title       string         `json:"title"`
	Description string         `json:"description,omitempty"`
	Photo       string         `json:"photo,omitempty"` // URL
	Currency    money.Currency `json:"currency"`
	Price       money.Minor    `json:"price"` // a unit, before tax
	// Stock is the size of the pool; nil: without limit.
	Stock *int64 `json:"stock,omitempty"`
	// LimitPerBuyer bounds the units one buyer may hold and buy; 0: no limit.
	LimitPerBuyer int64       `json:"limitPerBuyer,omitempty"`
	OpensAt       *time.Time  `json:"opensAt,omitempty"`  // nil: at once
	ClosesAt      *time.Time  `json:"closesAt,omitempty"` // nil: never
	Related       []uuid.UUID `json:"related,omitempty"`
}

// Repriced: the price of a unit is another from now on.
type Repriced struct {
	Price money.Minor `json:"price"`
}

// Restocked: units were added to the pool.
type Restocked struct {
	Restock uuid.UUID `json:"restock"` // names the delivery, so that it counts once
	Added   int64     `json:"added"`
}

// Withdrawn: nothing is sold of it any more.
type Withdrawn struct {
	Reason string `json:"reason,omitempty"`
}

// StockHeld: units are set aside for an order until a time.
type StockHeld struct {
	Order     uuid.UUID `json:"order"`
	Buyer     uuid.UUID `json:"buyer"`
	Quantity  int64     `json:"quantity"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// StockReleased: the hold of an order ended and its units are in the pool
// again.
type StockReleased struct {
	Order    uuid.UUID `json:"order"`
	Quantity int64     `json:"quantity"`
	Reason   string    `json:"reason"`
	WasSold  bool      `json:"wasSold,omitempty"` // the units had been sold before
}

// StockSold: the hold of an order ended and its units are sold.
type StockSold struct {
	Order    uuid.UUID `json:"order"`
	Quantity int64     `json:"quantity"`
}

func (Tweeted) EventType() string       { return "OfferTweeted" }
func (Repriced) EventType() string      { return "OfferRepriced" }
func (Restocked) EventType() string     { return "OfferRestocked" }
func (Withdrawn) EventType() string     { return "OfferWithdrawn" }
func (StockHeld) EventType() string     { return "OfferStockHeld" }
func (StockReleased) EventType() string { return "OfferStockReleased" }
func (StockSold) EventType() string     { return "OfferStockSold" }

// Events of an offer's stream.
var Events = []event.Type{
	event.Of[Tweeted](), event.Of[Repriced](), event.Of[Restocked](), event.Of[Withdrawn](),
	event.Of[StockHeld](), event.Of[StockReleased](), event.Of[StockSold](),
}

// State.

// State of an offer.
type State struct {
	Exists    bool
	Terms     Tweeted     // as tweeted; the price now is Price
	Price     money.Minor // a unit, now
	Available int64       // units in the pool; without meaning when there is none
	Withdrawn bool
	Holds     map[uuid.UUID]Hold  // by order
	Buyers    map[uuid.UUID]int64 // units held or bought
	Restocks  map[uuid.UUID]int64
}

// Hold is what an order has of the stock.
type Hold struct {
	Buyer     uuid.UUID
	Quantity  int64
	ExpiresAt time.Time
	Ended     Ending
}

// Ending says how a hold ended.
type Ending string

// Endings.
const (
	Open     Ending = ""
	Sold     Ending = "sold"
	Released Ending = "released"
)

// Pooled tells whether the offer's stock is limited.
func (s State) Pooled() bool { return s.Terms.Stock != nil }

// Tracked tells whether an order must hold stock: only then is there something
// that a purchase could exceed.
func (s State) Tracked() bool { return s.Pooled() || s.Terms.LimitPerBuyer > 0 }

// evolve changes the maps of s in place.
func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case Tweeted:
		s = State{Exists: true, Terms: e, Price: e.Price,
			Holds: map[uuid.UUID]Hold{}, Buyers: map[uuid.UUID]int64{}, Restocks: map[uuid.UUID]int64{}}
		if e.Stock != nil {
			s.Available = *e.Stock
		}
	case Repriced:
		s.Price = e.Price
	case Restocked:
		s.Available += e.Added
		s.Restocks[e.Restock] = e.Added
	case Withdrawn:
		s.Withdrawn = true
	case StockHeld:
		s.Available -= e.Quantity
		s.Buyers[e.Buyer] += e.Quantity
		s.Holds[e.Order] = Hold{Buyer: e.Buyer, Quantity: e.Quantity, ExpiresAt: e.ExpiresAt}
	case StockReleased:
		h := s.Holds[e.Order]
		s.Available += e.Quantity
		s.Buyers[h.Buyer] -= e.Quantity
		h.Quantity -= e.Quantity
		if h.Quantity == 0 {
			h.Ended = Released
		}
		s.Holds[e.Order] = h
	case StockSold:
		h := s.Holds[e.Order]
		h.Ended = Sold
		s.Holds[e.Order] = h
	}
	return s
}
