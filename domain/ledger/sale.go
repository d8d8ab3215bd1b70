package ledger

import (
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
)

// sale posts what happens to the buyer's money.
func sale(e event.Data) (Entry, bool) {
	switch e := e.(type) {
	case order.Authorised:
		return Entry{e.Currency, "authorised", memo(e.Amount)}, true
	case order.Voided:
		return Entry{e.Currency, "authorisation given up", memo(-e.Released)}, true
	case order.Captured:
		return captured(e), true
	case order.Earned:
		return Entry{e.Currency, "earned", join(
			[]Posting{{DeferredRevenue, e.Shop, e.Total()}},
			revenue(e.Shop, e.Allocation, e.Principal, ShopPayable))}, true
	case order.RefundPending:
		return Entry{e.Currency, "refund accepted", join(
			givenBack(e.Shop, e.Allocation, e.Unearned, e.Principal, e.Taken),
			[]Posting{{RefundsPending, e.Shop, -e.Amount}})}, true
	case order.Refunded:
		return refunded(e), true
	case order.RefundReturned:
		return returned(e), true
	}
	return Entry{}, false
}

func memo(amount money.Minor) []Posting {
	return []Posting{{MemoAuthorised, uuid.Nil, amount}, {MemoAuthorisedBack, uuid.Nil, -amount}}
}

func captured(e order.Captured) Entry {
	return Entry{e.Currency, "captured", join(
		[]Posting{
			{processorAccount(e.Processor), e.Shop, e.Amount - e.ProcessorFee},
			{ProcessorFees, e.Shop, e.ProcessorFee}},
		revenue(e.Shop, e.Allocation, e.Principal, ShopPayable),
		[]Posting{{DeferredRevenue, e.Shop, -e.Unearned}},
		memo(-e.Authorised))}
}

// revenue credits what an allocation earns: the shop's share to payable, tax to
// the tax office, the rest to the platform.
func revenue(who uuid.UUID, a order.Allocation, principal bool, payable Account) []Posting {
	postings := []Posting{{payable, who, -a.ShopShare()}}
	if principal {
		postings = append(postings, Posting{Sales, who, -(a.Goods + a.Shipping)}, Posting{SupplyCost, who, a.ShopShare()})
	} else {
		postings = append(postings, Posting{PlatformFees, who, -a.Fee})
	}
	return append(postings, Posting{TaxPayable, who, -a.Tax})
}

// unearn debits what an allocation had earned beyond the shop's share: the
// platform gives its part up. As principal it gets back what the goods cost.
func unearn(who uuid.UUID, a order.Allocation, principal bool) []Posting {
	tax := Posting{TaxPayable, who, a.Tax}
	if principal {
		return []Posting{{SalesRefunded, who, a.Goods + a.Shipping}, {SupplyCost, who, -a.ShopShare()}, tax}
	}
	return []Posting{{FeesRefunded, who, a.Fee}, tax}
}

// givenBack debits all that money which goes back to a buyer is taken from.
func givenBack(who uuid.UUID, a order.Allocation, unearned money.Minor, principal bool, t order.Taken) []Posting {
	return join(taken(who, t), unearn(who, a, principal), []Posting{{DeferredRevenue, who, unearned}})
}

// taken debits the shop's part.
func taken(who uuid.UUID, t order.Taken) []Posting {
	return []Posting{{ShopPayable, who, t.FromPayable}, {ShopReserve, who, t.FromReserve}, {ShopReceivable, who, t.FromReceivable}}
}

// restored credits it again.
func restored(who uuid.UUID, r order.Restored) []Posting {
	return []Posting{{ShopReceivable, who, -r.ToReceivable}, {ShopPayable, who, -r.ToPayable}}
}

func refunded(e order.Refunded) Entry {
	paid := Posting{processorAccount(e.Processor), e.Shop, -e.Amount}
	if e.WasPending {
		return Entry{e.Currency, "pending refund paid", []Posting{{RefundsPending, e.Shop, e.Amount}, paid}}
	}
	return Entry{e.Currency, "refunded", append(givenBack(e.Shop, e.Allocation, e.Unearned, e.Principal, e.Taken), paid)}
}

func returned(e order.RefundReturned) Entry {
	back := processorAccount(e.Processor)
	if e.WasPending {
		back = RefundsPending
	}
	return Entry{e.Currency, "refund came back", join(
		[]Posting{{back, e.Shop, e.Amount}},
		restored(e.Shop, e.Restored),
		negated(unearn(e.Shop, e.Allocation, e.Principal)),
		[]Posting{{DeferredRevenue, e.Shop, -e.Unearned}})}
}

func negated(postings []Posting) []Posting {
	for i := range postings {
		postings[i].Amount = -postings[i].Amount
	}
	return postings
}

func join(parts ...[]Posting) (all []Posting) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
