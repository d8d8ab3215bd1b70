package command

import (
	"time"

	"kicau/domain/buyer"
	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// Runtime is what use cases take of the machine that they run on. The zero
// Runtime is real time; a simulator has its own.
type Runtime struct {
	// Sleep pauses between two tries of an append.
	Sleep func(time.Duration)
}

func (r Runtime) orReal() Runtime {
	if r.Sleep == nil {
		r.Sleep = time.Sleep
	}
	return r
}

// Events writes events as the log keeps them and reads them back: an
// [event.Registry], or what a simulator has instead.
type Events interface {
	Encode(m event.Meta, index int, d event.Data) (event.Proposed, error)
	Decode(rec event.Recorded) (event.Event, error)
}

// Deciders are what the use cases decide with.
type Deciders struct {
	Shop  decider.Decider[shop.State, shop.Command]
	Offer decider.Decider[offer.State, offer.Command]
	Order decider.Decider[order.State, order.Command]
	Money decider.Decider[order.State, payment.Command]
	Buyer decider.Decider[buyer.State, buyer.Command]
}

// Business is how Kicau decides.
var Business = Deciders{
	Shop: shop.Decider, Offer: offer.Decider, Order: order.Decider, Money: payment.Decider, Buyer: buyer.Decider,
}

// NewWith makes the use cases over a log with deciders and a runtime of the
// caller's: a simulator's, or one with a fault planted.
func NewWith(log Log, events Events, d Deciders, r Runtime) *Commands {
	return &Commands{
		Log:    log,
		Shops:  newHandler(log, events, d.Shop, r),
		Offers: newHandler(log, events, d.Offer, r),
		Orders: newHandler(log, events, d.Order, r),
		Buyers: newHandler(log, events, d.Buyer, r),

		Payouts:         newHandler(log, events, payout.Decider, r),
		Reconciliations: newHandler(log, events, reconcile.Decider, r),

		events: events,
		decide: d,
	}
}
