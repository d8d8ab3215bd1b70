package ledger

import (
	"kicau/domain/event"
	"kicau/domain/order"
)

// dispute posts what banks take back, and what becomes of it.
func dispute(e event.Data) (Entry, bool) {
	switch e := e.(type) {
	case order.DisputeWithdrawn:
		return Entry{e.Currency, "dispute opened", join(
			[]Posting{{DisputedFunds, e.Shop, e.Amount}, {DisputeFees, e.Shop, e.DisputeFee}, {StripeBalance, e.Shop, -e.Amount - e.DisputeFee}},
			taken(e.Shop, e.Taken),
			[]Posting{{ShopDisputed, e.Shop, -e.ShopShare()}})}, true
	case order.DisputeReallocated:
		return reallocated(e), true
	case order.DisputeCharged:
		return Entry{e.Currency, "fee for answering a dispute", []Posting{{DisputeFees, e.Shop, e.Fee}, {StripeBalance, e.Shop, -e.Fee}}}, true
	case order.DisputeReinstated:
		return reinstated(e), true
	case order.DisputeClosed:
		text := "dispute lost"
		if e.Result == order.Won {
			text = "dispute won in part"
		}
		return Entry{e.Currency, text, append(givenUp(e),
			Posting{DisputedFunds, e.Shop, -e.Amount})}, e.Result == order.Lost || e.Amount > 0
	}
	return Entry{}, false
}

// givenUp debits what a dispute costs that was lost, or won in part: the shop its
// part, the platform the rest.
func givenUp(e order.DisputeClosed) []Posting {
	return join(
		[]Posting{{ShopDisputed, e.Shop, e.ShopShare()}},
		unearn(e.Shop, e.Allocation, e.Principal),
		[]Posting{{DeferredRevenue, e.Shop, e.Unearned}, {Adjustments, e.Shop, e.Excess}})
}

// reallocated takes from the sale what the dispute had taken beyond it. While the
// dispute is open nothing had been booked of that; once it was lost, our loss was. Below
// zero, it gives the sale back what a refund needs of it.
func reallocated(e order.DisputeReallocated) Entry {
	open, lost := "disputed after all", "lost to a dispute after all"
	if e.Total()+e.Unearned < 0 {
		open, lost = "disputed beyond the sale", "lost beyond the sale"
	}
	if !e.WasLost {
		return Entry{e.Currency, open, append(taken(e.Shop, e.Taken), Posting{ShopDisputed, e.Shop, -e.ShopShare()})}
	}
	return Entry{e.Currency, lost, append(
		givenBack(e.Shop, e.Allocation, e.Unearned, e.Principal, e.Taken),
		Posting{Adjustments, e.Shop, -e.Total() - e.Unearned})}
}

// reinstated gives the shop its part back. What was in the books as lost before
// is undone.
func reinstated(e order.DisputeReinstated) Entry {
	postings := join(
		[]Posting{{StripeBalance, e.Shop, e.Amount + e.DisputeFee}, {DisputeFees, e.Shop, -e.DisputeFee}},
		restored(e.Shop, e.Restored))
	if !e.WasLost {
		return Entry{e.Currency, "dispute won", append(postings,
			Posting{ShopDisputed, e.Shop, e.ShopShare()}, Posting{DisputedFunds, e.Shop, -e.Amount})}
	}
	return Entry{e.Currency, "lost dispute won after all", join(postings,
		negated(unearn(e.Shop, e.Allocation, e.Principal)),
		[]Posting{{DeferredRevenue, e.Shop, -e.Unearned}, {Adjustments, e.Shop, -e.Excess}})}
}
