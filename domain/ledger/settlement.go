package ledger

import (
	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"

	"github.com/google/uuid"
)

// settlement posts what happens to the shop's money.
func settlement(e event.Data) (Entry, bool) {
	switch e := e.(type) {
	case order.Released:
		return Entry{e.Currency, "released after the hold", []Posting{
			{ShopPayable, e.Shop, e.Payable}, {ShopReceivable, e.Shop, -e.Netted},
			{ShopReserve, e.Shop, -e.Reserved}, {ShopAvailable, e.Shop, -e.Available()}}}, true
	case order.ReserveReleased:
		return Entry{e.Currency, "reserve released", []Posting{{ShopReserve, e.Shop, e.Amount}, {ShopAvailable, e.Shop, -e.Amount}}}, true
	case order.Settled:
		return Entry{e.Currency, "settled with the shop", []Posting{
			{ShopPayable, e.Shop, e.Payable}, {ShopAvailable, e.Shop, e.Available},
			{ShopReceivable, e.Shop, -e.Netted}, {StripeBalance, e.Shop, -e.Amount}}}, true
	case order.Reversed:
		return Entry{e.Currency, "transfer reversed", []Posting{{StripeBalance, e.Shop, e.Amount}, {ShopReceivable, e.Shop, -e.Amount}}}, true
	case shop.Adjusted:
		with := ShopPayable
		if e.Netted {
			with = ShopReceivable
		}
		return Entry{e.Currency, "adjustment: " + e.Kind, []Posting{{Adjustments, e.Shop, e.Amount}, {with, e.Shop, -e.Amount}}}, true
	case shop.PaidOutside:
		return Entry{e.Currency, "paid to the shop's bank", []Posting{{ShopPayable, e.Shop, e.Amount}, {Bank, e.Shop, -e.Amount}}}, true
	case shop.DebtWrittenOff:
		return Entry{e.Currency, "debt written off", []Posting{{Adjustments, e.Shop, e.Amount}, {ShopReceivable, e.Shop, -e.Amount}}}, true
	}
	return Entry{}, false
}

// platform posts what happens to the platform's own money at the processor.
func platform(e event.Data) (Entry, bool) {
	none := uuid.Nil
	switch e := e.(type) {
	case payout.Sent:
		return Entry{e.Currency, "paid out", []Posting{{PayoutInTransit, none, e.Amount}, {StripeAvailable, none, -e.Amount}}}, e.Shop == uuid.Nil
	case payout.Paid:
		return Entry{e.Currency, "arrived at the bank", []Posting{{Bank, none, e.Amount}, {PayoutInTransit, none, -e.Amount}}}, e.Shop == uuid.Nil
	case payout.Failed:
		from := PayoutInTransit
		if e.WasPaid {
			from = Bank
		}
		return Entry{e.Currency, "payout came back", []Posting{{StripeAvailable, none, e.Amount}, {from, none, -e.Amount}}}, e.Shop == uuid.Nil
	case reconcile.BecameAvailable:
		return Entry{e.Currency, "became available", []Posting{{StripeAvailable, none, e.Amount}, {StripeBalance, none, -e.Amount}}}, true
	case reconcile.Charged:
		return Entry{e.Currency, "charged by the processor", []Posting{{ProcessorFees, none, e.Amount}, {StripeBalance, none, -e.Amount}}}, true
	}
	return Entry{}, false
}
