package settlement

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/shop"
	"kicau/projections"
)

// Statement is what happened between the platform and a shop in a period, in one
// currency. Amounts are minor units, from the shop's side: what it is owed is
// positive. Every figure is a sum of postings to the ledger's accounts of the
// shop, so that
//
//	Opening + Sold + Refunded + Disputed + Adjusted + Transferred + TakenBack + WrittenOff = Closing
type Statement struct {
	Shop     string         `json:"shop"`
	Currency money.Currency `json:"currency"`
	From     string         `json:"from"`  // inclusive
	Until    string         `json:"until"` // exclusive

	Opening     money.Minor `json:"opening"`
	Sold        money.Minor `json:"sold"`        // the shop's share of what it sold
	Refunded    money.Minor `json:"refunded"`    // its share of refunds, less those that came back
	Disputed    money.Minor `json:"disputed"`    // its share of disputes that were lost
	Adjusted    money.Minor `json:"adjusted"`    // what was settled besides orders
	Transferred money.Minor `json:"transferred"` // to its account
	TakenBack   money.Minor `json:"takenBack"`   // from there
	WrittenOff  money.Minor `json:"writtenOff"`  // of what it owed
	Closing     money.Minor `json:"closing"`

	// How Sold comes about: what buyers paid, less our fee and the tax we keep.
	// They are of all sales of the period, before refunds.
	Gross money.Minor `json:"gross"`
	Fees  money.Minor `json:"fees"`
	Tax   money.Minor `json:"tax"`
	Sales int         `json:"sales"` // orders

	Owed []Part `json:"owed"` // what Closing is made of
}

// Part of what a shop is owed.
type Part struct {
	Account ledger.Account `json:"account"`
	Amount  money.Minor    `json:"amount"`
}

// line is the figure of a statement that a posting of an event of a type belongs
// to; nil: it moves what is owed from one account to another.
func (s *Statement) line(eventType string) *money.Minor {
	switch eventType {
	case order.Captured{}.EventType(), order.Earned{}.EventType():
		return &s.Sold
	case order.Refunded{}.EventType(), order.RefundPending{}.EventType(), order.RefundReturned{}.EventType():
		return &s.Refunded
	case order.DisputeWithdrawn{}.EventType(), order.DisputeReinstated{}.EventType(), order.DisputeClosed{}.EventType(),
		order.DisputeReallocated{}.EventType():
		return &s.Disputed
	case shop.Adjusted{}.EventType():
		return &s.Adjusted
	case order.Settled{}.EventType(), shop.PaidOutside{}.EventType():
		return &s.Transferred
	case order.Reversed{}.EventType():
		return &s.TakenBack
	case shop.DebtWrittenOff{}.EventType():
		return &s.WrittenOff
	}
	return nil
}

// Add an entry of the journal. What came before From is the opening balance;
// what came at or after Until does not count.
func (s *Statement) Add(e Entry) {
	if e.Currency != s.Currency || e.At >= s.Until {
		return
	}
	before := e.At < s.From
	sale := false
	for _, p := range e.Postings {
		if p.Shop.String() != s.Shop {
			continue
		}
		if slices.Contains(ledger.Owed, p.Account) {
			s.owe(e, p, before)
		}
		if line := s.line(e.Type); line == &s.Sold && !before {
			sale = s.sold(p) || sale
		}
	}
	if sale {
		s.Sales++
		s.Gross = s.Sold + s.Fees + s.Tax
	}
}

func (s *Statement) owe(e Entry, p ledger.Posting, before bool) {
	s.Closing -= p.Amount
	i := slices.IndexFunc(s.Owed, func(o Part) bool { return o.Account == p.Account })
	if i < 0 {
		i = len(s.Owed)
		s.Owed = append(s.Owed, Part{Account: p.Account})
	}
	s.Owed[i].Amount -= p.Amount
	if before {
		s.Opening -= p.Amount
	} else if line := s.line(e.Type); line != nil {
		*line -= p.Amount
	}
}

// sold tells whether the posting is of a sale: money that was taken and is not
// earned yet is none.
func (s *Statement) sold(p ledger.Posting) bool {
	switch p.Account {
	case ledger.ShopPayable: // it is in Sold already
	case ledger.PlatformFees:
		s.Fees -= p.Amount
	case ledger.Sales, ledger.SupplyCost: // as principal: what the shop did not get is our part
		s.Fees -= p.Amount
	case ledger.TaxPayable:
		s.Tax -= p.Amount
	default:
		return false
	}
	return true
}

// Ties tells whether the figures add up to the closing balance; an error would
// be a defect of the books.
func (s *Statement) Ties() error {
	sum := s.Opening + s.Sold + s.Refunded + s.Disputed + s.Adjusted + s.Transferred + s.TakenBack + s.WrittenOff
	parts := money.Minor(0)
	for _, o := range s.Owed {
		parts += o.Amount
	}
	if sum != s.Closing || parts != s.Closing {
		return fmt.Errorf("the statement of shop %s in %s does not tie: its figures come to %d, its accounts to %d, the closing balance is %d", s.Shop, s.Currency, sum, parts, s.Closing)
	}
	return nil
}

// TiesTo tells whether the closing balance is what the ledger has, account by
// account.
func (s *Statement) TiesTo(books Books) error {
	var owed money.Minor // by the accounts that the ledger has: one that it lacks is missed here
	for _, b := range books.Accounts {
		if b.Shop != s.Shop || b.Currency != s.Currency || !slices.Contains(ledger.Owed, b.Account) {
			continue
		}
		i := slices.IndexFunc(s.Owed, func(o Part) bool { return o.Account == b.Account })
		if i < 0 && b.Balance != 0 || i >= 0 && s.Owed[i].Amount != -b.Balance {
			return fmt.Errorf("the statement of shop %s does not tie: the ledger has %d minor units of %s in %s", s.Shop, -b.Balance, s.Currency, b.Account)
		}
		owed -= b.Balance
	}
	if owed != s.Closing {
		return fmt.Errorf("the statement of shop %s in %s does not tie: it closes with %d minor units, the ledger with %d", s.Shop, s.Currency, s.Closing, owed)
	}
	return s.Ties()
}

// ReadStatement of a shop from the journal in a store.
func ReadStatement(ctx context.Context, st projections.Store, id uuid.UUID, c money.Currency, from, until time.Time) (Statement, error) {
	s := Statement{Shop: id.String(), Currency: c, From: projections.Time(from), Until: projections.Time(until), Owed: []Part{}}
	err := each(ctx, st, until, func(e Entry) { s.Add(e) })
	slices.SortFunc(s.Owed, func(a, b Part) int { return compareAccounts(a.Account, b.Account) })
	return s, err
}

// maxTies bounds how often a statement is read again that did not tie.
const maxTies = 10

// TiedStatement is a statement, and whether it ties to the ledger: tied says where it
// does not. Of a period that reaches beyond the last entry it is compared with the
// balances, which are a read model of their own. Both go on while they are read, each
// in its own time, so it has to tie to what they were before or after it; to neither
// it may when both went on, and then all is read again.
func TiedStatement(ctx context.Context, st projections.Store, id uuid.UUID, c money.Currency, from, until time.Time) (s Statement, tied, err error) {
	after, err := booksUntil(ctx, st, until)
	for range maxTies {
		if err != nil {
			return s, nil, err
		}
		before := after
		if s, err = ReadStatement(ctx, st, id, c, from, until); err != nil {
			return s, nil, err
		}
		if tied = s.TiesTo(before); tied == nil {
			break
		}
		if after, err = booksUntil(ctx, st, until); err != nil {
			return s, nil, err
		}
		if tied = s.TiesTo(after); tied == nil {
			break
		}
	}
	return s, tied, nil
}

// booksUntil are the balances or, when they go beyond a time, the journal's until then.
func booksUntil(ctx context.Context, st projections.Store, until time.Time) (Books, error) {
	q := projections.Query{OrderBy: "at", Limit: 1, Where: []projections.Cond{{Field: "at", Op: projections.Ge, Value: projections.Time(until)}}}
	later, _, err := projections.Rows(ctx, st, Journal, q)
	if err != nil {
		return Books{}, fmt.Errorf("read the journal: %w", err)
	}
	if len(later) > 0 {
		return AsOf(ctx, st, until)
	}
	return Read(ctx, st)
}

// AsOf is the books as they stood at a time: every entry before it.
func AsOf(ctx context.Context, st projections.Store, until time.Time) (Books, error) {
	books := Books{TrialBalance: map[money.Currency]money.Minor{}, Accounts: []Balance{}}
	rows := map[string]Balance{}
	err := each(ctx, st, until, func(e Entry) {
		for _, p := range e.Postings {
			key := balanceKey(e.Currency, p)
			rows[key] = rows[key].plus(e.Currency, p)
		}
	})
	if err != nil {
		return books, err
	}
	keys := make([]string, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		books.add(rows[k])
	}
	return books, nil
}

// each entry of the journal before a time, in the order they happened.
func each(ctx context.Context, st projections.Store, until time.Time, f func(Entry)) error {
	q := projections.Query{OrderBy: "at", Limit: projections.MaxQueryLimit,
		Where: []projections.Cond{{Field: "at", Op: projections.Lt, Value: projections.Time(until)}}}
	for {
		rows, next, err := projections.Rows(ctx, st, Journal, q)
		if err != nil {
			return fmt.Errorf("read the journal: %w", err)
		}
		for _, e := range rows {
			f(e)
		}
		if next == "" {
			return nil
		}
		q.After = next
	}
}

func compareAccounts(a, b ledger.Account) int {
	return slices.Index(ledger.Chart, a) - slices.Index(ledger.Chart, b)
}
