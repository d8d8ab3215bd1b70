package sandbox

import (
	"container/heap"
	"fmt"
	"time"
)

// txn is a balance transaction: one movement of money on the platform's
// balance. It never changes.
type txn struct {
	ID          string
	Created     int64
	AvailableOn int64
	Type        string
	Category    string // reporting_category
	Amount      int64  // gross, signed
	Fee         int64  // negative when a fee comes back
	Currency    string
	Description string `json:",omitempty"`
	Source      string
	Other       string // the account of the book that the amount comes from
}

func (t *txn) net() int64 { return t.Amount - t.Fee }

// Accounts of the book besides the connected accounts, which have their own id.
const (
	platform   = "platform"
	cards      = "cards" // the holders of the cards, all together
	stripeFees = "stripe"
)

// purse is an account of the book in one currency.
type purse struct{ account, currency string }

// book is the double-entry book of all balance transactions. Each one moves its
// amount from the other side to the platform, and its fee from the platform to
// Stripe: the sum over all accounts stays zero in every currency.
type book struct {
	balance map[purse]int64
	// available is the part of the platform's balance that it can dispose of;
	// waiting are the transactions that will become so.
	available map[string]int64
	waiting   waiting
}

func newBook() book { return book{balance: map[purse]int64{}, available: map[string]int64{}} }

func (b *book) post(t *txn) {
	b.balance[purse{platform, t.Currency}] += t.net()
	b.balance[purse{stripeFees, t.Currency}] += t.Fee
	b.balance[purse{t.Other, t.Currency}] -= t.Amount
	heap.Push(&b.waiting, t)
}

// settle makes available what has become so by now.
func (b *book) settle(now time.Time) {
	for len(b.waiting) > 0 && b.waiting[0].AvailableOn <= now.Unix() {
		t := heap.Pop(&b.waiting).(*txn)
		b.available[t.Currency] += t.net()
	}
}

// waiting is a heap of transactions by when their funds become available.
type waiting []*txn

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].AvailableOn < w[j].AvailableOn }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)        { *w = append(*w, x.(*txn)) }
func (w *waiting) Pop() any {
	last := (*w)[len(*w)-1]
	*w = (*w)[:len(*w)-1]
	return last
}

// Terms are what Stripe takes of a charge, and when it lets go of the rest.
type Terms struct {
	// FeeBasisPoints of the amount, in 1/100 %, half a minor unit rounded up,
	// and FeeFixed minor units are the fee of a charge.
	FeeBasisPoints, FeeFixed int64
	// AvailableDays is how many days the funds of a charge are pending, to the
	// start of the day (UTC); 0: they are available at once.
	AvailableDays int
}

// StandardTerms are those of a business in the United States: 2.9 % and 30
// cents, after two days (https://stripe.com/pricing, https://stripe.com/docs/payouts).
var StandardTerms = Terms{FeeBasisPoints: 290, FeeFixed: 30, AvailableDays: 2}

func (tm Terms) feeOf(amount int64) int64 {
	if amount == 0 {
		return 0
	}
	return (amount*tm.FeeBasisPoints+5000)/10_000 + tm.FeeFixed
}

func (tm Terms) availableOn(now time.Time, card *testCard) int64 {
	if card.availableAtOnce || tm.AvailableDays == 0 {
		return now.Unix()
	}
	return now.UTC().Add(time.Duration(tm.AvailableDays) * 24 * time.Hour).Truncate(24 * time.Hour).Unix()
}

// verify looks for money that came from nowhere. See [Server.Verify].
func (st *state) verify() error {
	sums := map[string]int64{} // by currency, over all accounts
	for p, amount := range st.book.balance {
		sums[p.currency] += amount
	}
	for currency, sum := range sums {
		if sum != 0 {
			return fmt.Errorf("the book does not balance in %s: its accounts sum to %d", currency, sum)
		}
	}
	nets := map[string]int64{}
	gross := map[string]int64{} // by charge: what its transactions brought in
	for t := range st.txns.all() {
		nets[t.Currency] += t.net()
		if t.Type == "refund" || t.Type == "refund_failure" {
			gross[st.refunds.get(t.Source).Charge] += t.Amount
		} else if t.Type == "charge" {
			gross[t.Source] += t.Amount
		}
	}
	for currency, net := range nets {
		if b := st.book.balance[purse{platform, currency}]; b != net {
			return fmt.Errorf("the platform's balance is %d %s, its balance transactions sum to %d", b, currency, net)
		}
	}
	for c := range st.charges.all() {
		var refunded, waits int64
		for r := range st.refunds.where("charge", c.ID) {
			if r.Status == refundWaits {
				waits += r.Amount
			}
			if r.Status != refundFails {
				refunded += r.Amount
			}
		}
		if refunded != c.RefundedSum || refunded > c.Amount {
			return fmt.Errorf("charge %s of %d says %d refunded, its refunds sum to %d", c.ID, c.Amount, c.RefundedSum, refunded)
		}
		if c.Captured && gross[c.ID] != c.Amount-c.RefundedSum+waits || !c.Captured && gross[c.ID] != 0 {
			return fmt.Errorf("charge %s (captured %t, amount %d, refunded %d) moved %d", c.ID, c.Captured, c.Amount, c.RefundedSum, gross[c.ID])
		}
	}
	return nil
}
