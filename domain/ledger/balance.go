package ledger

import (
	"slices"

	"github.com/google/uuid"

	"kicau/domain/money"
)

// SubAccount is an account in a currency, of one shop: a line of the sub-ledger.
// What is nobody's business but the platform's has no shop.
type SubAccount struct {
	Currency money.Currency
	Account  Account
	Shop     uuid.UUID
}

// Balances of the sub-ledger, debits positive, minor units of each currency.
// What adds up to nothing is not in it.
type Balances map[SubAccount]money.Minor

// Add an entry.
func (b Balances) Add(e Entry) {
	for _, p := range e.Postings {
		of := SubAccount{e.Currency, p.Account, p.Shop}
		if b[of] += p.Amount; b[of] == 0 {
			delete(b, of)
		}
	}
}

// Total of an account in the general ledger: of all shops and of none.
func (b Balances) Total(c money.Currency, a Account) money.Minor {
	return b.sum(func(of SubAccount) bool { return of.Currency == c && of.Account == a })
}

// Trial is the trial balance in a currency: zero, or the books are wrong. Memo
// accounts stand outside of it.
func (b Balances) Trial(c money.Currency) money.Minor {
	return b.sum(func(of SubAccount) bool { return of.Currency == c && !of.Account.Memo() })
}

// OwedTo is what we owe a shop, below zero what it owes us: the balance of all
// its accounts that are [Owed], what is held for open disputes included.
func (b Balances) OwedTo(shop uuid.UUID, c money.Currency) money.Minor {
	return -b.sum(func(of SubAccount) bool {
		return of.Currency == c && of.Shop == shop && slices.Contains(Owed, of.Account)
	})
}

func (b Balances) sum(of func(SubAccount) bool) (total money.Minor) {
	for a, amount := range b {
		if of(a) {
			total += amount
		}
	}
	return total
}
