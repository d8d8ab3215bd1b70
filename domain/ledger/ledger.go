// Package ledger turns events into balanced postings: the books of the
// platform, told by the log.
//
// Its laws:
//   - every entry balances: its postings add up to zero;
//   - an entry is of one currency;
//   - an entry follows from one event alone, so the books can be made again
//     from the log at any time; whoever keeps entries keeps the event's id
//     beside them (projections/settlement does);
//   - entries are never changed: a correction is another event.
//
// Accounts and postings follow the agent model: the goods are the shop's, the
// fee is ours (ASC 606-10-55-36 to 40, IFRS 15 B34 to B38). Shipping goes to
// the shop, tax is kept for the tax office.
package ledger

import (
	"fmt"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/shop"
)

// Account of the chart.
type Account string

// The chart of accounts. Memo accounts say what is authorised; they are kept in
// balance apart and stand outside the trial balance.
const (
	StripeBalance      Account = "1020 stripe_balance"       // asset: ours at Stripe
	OutsideProcessors  Account = "1030 outside_processors"   // asset: taken for us by others
	ShopReceivable     Account = "1050 shop_receivable"      // asset: shops owe us, after refunds of settled orders
	ShopPayable        Account = "2010 shop_payable"         // liability: we owe shops
	TaxPayable         Account = "2030 tax_payable"          // liability
	PlatformFees       Account = "4010 platform_fee_revenue" // revenue
	FeesRefunded       Account = "4090 fee_revenue_refunds"  // contra revenue
	ProcessorFees      Account = "5010 processor_fees"       // expense
	Adjustments        Account = "5030 adjustments"          // expense or income from adjusting shops
	MemoAuthorised     Account = "9010 authorised"           // memo
	MemoAuthorisedBack Account = "9011 authorised_contra"    // memo
)

// Memo tells whether a stands outside the trial balance.
func (a Account) Memo() bool { return a == MemoAuthorised || a == MemoAuthorisedBack }

// Posting is one line of an entry: debits positive, credits negative.
type Posting struct {
	Account Account     `json:"account"`
	Shop    uuid.UUID   `json:"shop,omitzero"` // sub-ledger: whose business it was; memo accounts have none
	Amount  money.Minor `json:"amount"`
}

// Entry is what one event does to the books.
type Entry struct {
	Currency money.Currency `json:"currency"`
	Text     string         `json:"text"`
	Postings []Posting      `json:"postings"`
}

// Handles are the event types that post.
var Handles = []string{
	order.Authorised{}.EventType(), order.Voided{}.EventType(), order.Captured{}.EventType(),
	order.Refunded{}.EventType(), order.Settled{}.EventType(), shop.Adjusted{}.EventType(),
}

// Post gives the entry of an event; false when the event does not post.
func Post(e event.Data) (Entry, bool) {
	var entry Entry
	switch e := e.(type) {
	case order.Authorised:
		entry = Entry{e.Currency, "authorised", memo(e.Amount)}
	case order.Voided:
		entry = Entry{e.Currency, "authorisation given up", memo(-e.Released)}
	case order.Captured:
		entry = captured(e)
	case order.Refunded:
		entry = refunded(e)
	case order.Settled:
		entry = Entry{e.Currency, "settled with the shop", []Posting{
			{ShopPayable, e.Shop, e.Payable}, {ShopReceivable, e.Shop, -e.Netted}, {StripeBalance, e.Shop, -e.Amount}}}
	case shop.Adjusted:
		entry = Entry{e.Currency, "adjustment: " + e.Kind, []Posting{
			{Adjustments, e.Shop, e.Amount}, {ShopPayable, e.Shop, -e.Amount}}}
	}
	entry.Postings = withoutZeros(entry.Postings)
	if len(entry.Postings) == 0 {
		return Entry{}, false
	}
	entry.mustBalance()
	return entry, true
}

func memo(amount money.Minor) []Posting {
	return []Posting{{MemoAuthorised, uuid.Nil, amount}, {MemoAuthorisedBack, uuid.Nil, -amount}}
}

func captured(e order.Captured) Entry {
	return Entry{e.Currency, "captured", append([]Posting{
		{processorAccount(e.Processor), e.Shop, e.Amount - e.ProcessorFee},
		{ProcessorFees, e.Shop, e.ProcessorFee},
		{ShopPayable, e.Shop, -e.ShopShare()},
		{PlatformFees, e.Shop, -e.Fee},
		{TaxPayable, e.Shop, -e.Tax},
	}, memo(-e.Authorised)...)}
}

func refunded(e order.Refunded) Entry {
	return Entry{e.Currency, "refunded", []Posting{
		{ShopPayable, e.Shop, e.FromPayable},
		{ShopReceivable, e.Shop, e.FromReceivable},
		{FeesRefunded, e.Shop, e.Fee},
		{TaxPayable, e.Shop, e.Tax},
		{processorAccount(e.Processor), e.Shop, -e.Amount},
	}}
}

func processorAccount(processor string) Account {
	if processor == order.Stripe {
		return StripeBalance
	}
	return OutsideProcessors
}

func withoutZeros(postings []Posting) []Posting {
	kept := postings[:0]
	for _, p := range postings {
		if p.Amount != 0 {
			kept = append(kept, p)
		}
	}
	return kept
}

// mustBalance guards the law of double entry. An event that breaks it was not
// made by a decider of this program: the fold stops at it and it is parked.
func (e Entry) mustBalance() {
	var books, memo money.Minor
	for _, p := range e.Postings {
		if p.Account.Memo() {
			memo += p.Amount
		} else {
			books += p.Amount
		}
	}
	if books != 0 || memo != 0 {
		panic(fmt.Sprintf("ledger: entry %q is out of balance by %d (memo %d) minor units of %s", e.Text, books, memo, e.Currency))
	}
}
