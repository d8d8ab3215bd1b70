package order

import (
	"slices"
	"time"

	"kicau/domain/money"
)

// Reserve is what is kept of a shop's money against refunds and disputes, what is
// kept the shortest first. A second release of an order keeps a part of its own,
// for as long, and leaves the first part's time as it is.
type Reserve []Kept

// Kept is a part of a reserve, in minor units of the order's currency.
type Kept struct {
	Amount money.Minor `json:"amount"`
	Until  time.Time   `json:"until"`
}

// Total of all parts.
func (r Reserve) Total() (sum money.Minor) {
	for _, k := range r {
		sum += k.Amount
	}
	return sum
}

// Due is what has been kept for long enough.
func (r Reserve) Due(at time.Time) (sum money.Minor) {
	for _, k := range r {
		if !at.Before(k.Until) {
			sum += k.Amount
		}
	}
	return sum
}

// With another part.
func (r Reserve) With(amount money.Minor, until time.Time) Reserve {
	if amount == 0 {
		return r
	}
	at := slices.IndexFunc(r, func(k Kept) bool { return until.Before(k.Until) })
	if at < 0 {
		at = len(r)
	}
	return slices.Insert(slices.Clone(r), at, Kept{amount, until})
}

// Without an amount, taken of what is kept the shortest first.
func (r Reserve) Without(amount money.Minor) Reserve {
	r = slices.Clone(r)
	for amount > 0 && len(r) > 0 {
		part := min(amount, r[0].Amount)
		amount -= part
		if r[0].Amount -= part; r[0].Amount == 0 {
			r = r[1:]
		}
	}
	return r
}
