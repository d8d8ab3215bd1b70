package sandbox

import (
	"cmp"
	"container/heap"
	"fmt"
	"strings"
	"time"
)

// txn is a balance transaction: one movement of money on the balance of an
// account. It never changes.
type txn struct {
	ID          string
	Account     string `json:",omitempty"` // connected account; "" is the platform
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
	transit    = "transit" // between two accounts: what one has sent has come in at the other
)

// purse is an account of the book in one currency.
type purse struct{ account, currency string }

// book is the double-entry book of all balance transactions. Each one moves its
// amount from the other side to its account, and its fee from there to Stripe:
// the sum over all accounts stays zero in every currency.
type book struct {
	balance map[purse]int64
	// available is the part of an account's balance that it can dispose of;
	// waiting are the transactions that will become so.
	available map[purse]int64
	waiting   waiting
	// settled are the transactions that have become available and that no
	// automatic payout has taken along; covered are those that one has.
	settled map[purse][]*txn
	covered map[string]string // payout by transaction
}

func newBook() book {
	return book{balance: map[purse]int64{}, available: map[purse]int64{}, settled: map[purse][]*txn{}, covered: map[string]string{}}
}

// purse is where a transaction's money is.
func (t *txn) purse() purse { return purse{cmp.Or(t.Account, platform), t.Currency} }

func (b *book) post(t *txn) {
	b.balance[t.purse()] += t.net()
	b.balance[purse{stripeFees, t.Currency}] += t.Fee
	b.balance[purse{t.Other, t.Currency}] -= t.Amount
	heap.Push(&b.waiting, t)
}

// settle makes available what has become so by now, and says whether that was
// more than what was so from the beginning.
func (b *book) settle(now time.Time) (came bool) {
	for len(b.waiting) > 0 && b.waiting[0].AvailableOn <= now.Unix() {
		t := heap.Pop(&b.waiting).(*txn)
		b.available[t.purse()] += t.net()
		if isAccount(t.Other) { // in journals of before connected accounts had transactions of their own
			b.available[purse{t.Other, t.Currency}] -= t.Amount
		}
		if b.covered[t.ID] == "" {
			b.settled[t.purse()] = append(b.settled[t.purse()], t)
		}
		came = came || t.Account == "" && t.AvailableOn > t.Created
	}
	return came
}

// cover notes that an automatic payout takes transactions along.
func (b *book) cover(c *cover) {
	for _, id := range c.Txns {
		b.covered[id] = c.Payout
	}
	b.settled[purse{c.Account, c.Currency}] = nil
}

func isAccount(id string) bool { return strings.HasPrefix(id, "acct_") }

// waiting is a heap of transactions by when their funds become available.
type waiting []*txn

func (w waiting) Len() int { return len(w) }
func (w waiting) Less(i, j int) bool {
	return w[i].AvailableOn < w[j].AvailableOn || w[i].AvailableOn == w[j].AvailableOn && w[i].ID < w[j].ID
}
func (w waiting) Swap(i, j int) { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)   { *w = append(*w, x.(*txn)) }
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
	// DailyPayouts sends the platform's available funds to its bank at every
	// midnight (UTC). Otherwise payouts are made by hand.
	DailyPayouts bool
	// HoldRefunds keeps a refund pending that the available balance does not
	// cover, until it does. Otherwise the balance becomes negative, as that of
	// a business whose bank Stripe may debit.
	HoldRefunds bool
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
	nets := map[purse]int64{}
	gross := map[string]int64{} // by charge: what its transactions brought in
	for t := range st.txns.all() {
		nets[t.purse()] += t.net()
		if isAccount(t.Other) {
			nets[purse{t.Other, t.Currency}] -= t.Amount
		}
		if t.Type == "refund" || t.Type == "refund_failure" {
			gross[st.refunds.get(t.Source).Charge] += t.Amount
		} else if t.Type == "charge" {
			gross[t.Source] += t.Amount
		}
	}
	for po := range st.payouts.all() {
		if po.Txn == "" {
			nets[purse{po.Account, po.Currency}] -= po.Amount
		}
	}
	for p, net := range nets {
		if b := st.book.balance[p]; b != net {
			return fmt.Errorf("the balance of %s is %d %s, its balance transactions sum to %d", p.account, b, p.currency, net)
		}
		if b := st.book.balance[purse{transit, p.currency}]; b != 0 {
			return fmt.Errorf("%d %s are neither with the sender nor with the receiver of a transfer", b, p.currency)
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
