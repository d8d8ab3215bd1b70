// Package domain is the business of Kicau, pure: no I/O, no clock, no
// randomness, no goroutine. Time and ids come in with the commands.
//
// A tour, bottom-up:
//
//   - money: integer minor units of ISO 4217 currencies, splits that add up;
//   - refusal: what a business "no" looks like;
//   - privacy: sealed personal data, and the refusal of card numbers;
//   - event: the envelope of a fact, its JSON, and how old versions are read;
//   - decider: a state is a fold of events, a decision turns a state and a
//     command into more events (decidertest: given, when, then);
//   - shop, offer, order, buyer: the aggregates. Each reads in one order:
//     stream, events, state and evolve, decisions. None imports another;
//   - payment: the process manager of an order's money. It folds the events of
//     order and decides what to ask of the processor, and what answers mean;
//   - payout: money on its way to a bank;
//   - reconcile: the books against what the processor says;
//   - ledger: events to balanced postings;
//   - oracle: what must be true of all of it after every event.
//
// The life of a purchase, as the log tells it:
//
//	shop-…   ShopOnboarded
//	offer-…  OfferTweeted
//	offer-…  OfferStockHeld                 set aside before money is asked for
//	order-…  OrderPlaced                    prices, fee and tax frozen
//	order-…  PaymentAuthorisationRequested  written before the call
//	order-…  PaymentAuthorised              what came of it
//	offer-…  OfferStockSold
//	order-…  OrderShipped
//	order-…  PaymentCaptureRequested
//	order-…  PaymentCaptured                the sale is in the books
//	order-…  SettlementReleased             the hold is over
//	order-…  SettlementRequested
//	order-…  SettlementPaid                 the shop has its money
package domain

import (
	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// Events is every event type that Kicau reads and writes.
var Events = event.NewRegistry(shop.Events, offer.Events, order.Events, buyer.Events, payout.Events, reconcile.Events, event.Own)

// Prefixes are the stream name prefixes of Kicau's own streams. A log may hold
// others' streams besides; they are not read.
var Prefixes = []string{"shop-", "offer-", "order-", "buyer-", "payout-", "reconcile-", "kicau-"}
