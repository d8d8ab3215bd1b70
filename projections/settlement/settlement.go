// Package settlement is the books as read models: the journal, one row an
// entry, and the balances, one row an account, shop and currency. What is
// posted is said in domain/ledger; here it is only added up.
package settlement

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/projections"
)

// Entry is a row of the journal. The key is its place in the log, so key order
// is log order.
type Entry struct {
	Event    string           `json:"event"` // id of the event that caused it
	Type     string           `json:"type"`
	Stream   string           `json:"stream"`
	At       string           `json:"at"`
	Currency money.Currency   `json:"currency"`
	Text     string           `json:"text"`
	Postings []ledger.Posting `json:"postings"`
}

// Journal is every entry.
var Journal = projections.Projection[Entry]{
	Name:    "journal",
	Version: 1,
	Handles: ledger.Handles,
	Keys:    journalKeys,
	Begins:  func(event.Event) bool { return true }, // an entry is a row of its own
	Fold:    foldEntry,
	Indexes: [][]string{{"stream"}, {"at"}},
}

func journalKeys(e event.Event) []string {
	if _, posts := ledger.Post(e.Body); !posts {
		return nil
	}
	return []string{fmt.Sprintf("%020d-%s", e.Position.Commit, e.ID)}
}

func foldEntry(_ Entry, _ string, e event.Event) Entry {
	entry, _ := ledger.Post(e.Body)
	return Entry{e.ID.String(), e.Type, e.Stream, projections.Time(e.OccurredAt), entry.Currency, entry.Text, entry.Postings}
}

// Balance is an account of a shop in a currency, in minor units.
type Balance struct {
	Account  ledger.Account `json:"account"`
	Shop     string         `json:"shop"` // empty: no shop's
	Currency money.Currency `json:"currency"`
	Debits   money.Minor    `json:"debits"`
	Credits  money.Minor    `json:"credits"`
	Balance  money.Minor    `json:"balance"` // debits less credits
	Entries  int64          `json:"entries"`
}

// Balances of the accounts. The key is currency, account and shop.
var Balances = projections.Projection[Balance]{
	Name:    "balances",
	Version: 1,
	Handles: ledger.Handles,
	Keys:    balanceKeys,
	Fold:    foldBalance,
	Indexes: [][]string{{"currency", "account"}, {"shop"}},
}

func balanceKeys(e event.Event) []string {
	entry, posts := ledger.Post(e.Body)
	if !posts {
		return nil
	}
	keys := make([]string, 0, len(entry.Postings))
	for _, p := range entry.Postings {
		if k := balanceKey(entry.Currency, p); !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys
}

func balanceKey(c money.Currency, p ledger.Posting) string {
	return string(c) + "|" + string(p.Account) + "|" + shopOf(p)
}

func shopOf(p ledger.Posting) string {
	if p.Account.Memo() {
		return ""
	}
	return p.Shop.String()
}

func foldBalance(b Balance, key string, e event.Event) Balance {
	entry, _ := ledger.Post(e.Body)
	for _, p := range entry.Postings {
		if balanceKey(entry.Currency, p) != key {
			continue
		}
		b = b.plus(entry.Currency, p)
	}
	return b
}

func (b Balance) plus(c money.Currency, p ledger.Posting) Balance {
	b.Account, b.Shop, b.Currency = p.Account, shopOf(p), c
	if p.Amount > 0 {
		b.Debits += p.Amount
	} else {
		b.Credits -= p.Amount
	}
	b.Balance += p.Amount
	b.Entries++
	return b
}

// Books is all balances, and what they add up to: zero in every currency, or
// the books are wrong.
type Books struct {
	TrialBalance map[money.Currency]money.Minor `json:"trialBalance"`
	Accounts     []Balance                      `json:"accounts"`
}

// Read the books from a store.
func Read(ctx context.Context, s projections.Store) (Books, error) {
	books := Books{TrialBalance: map[money.Currency]money.Minor{}, Accounts: []Balance{}}
	for row, err := range s.Dump(ctx, Balances.Table()) {
		if err != nil {
			return books, err
		}
		var b Balance
		if err := json.Unmarshal(row.Data, &b); err != nil {
			return books, fmt.Errorf("balance %q: %w", row.Key, err)
		}
		books.add(b)
	}
	return books, nil
}

func (b *Books) add(x Balance) {
	b.Accounts = append(b.Accounts, x)
	if x.Account.Memo() {
		x.Balance = 0 // no part of it; yet a currency with nothing else balances, too
	}
	b.TrialBalance[x.Currency] += x.Balance
}
