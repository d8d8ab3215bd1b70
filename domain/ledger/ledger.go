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
// Accounts and postings follow the agent model unless the shop's terms said
// otherwise when the order was placed: the goods are the shop's, the fee is ours
// (ASC 606-10-55-36 to 40, IFRS 15 B34 to B38). Where the platform is principal,
// the price is its revenue and the shop's share what the goods cost it. Shipping
// goes to the shop, tax is kept for the tax office.
//
// chart.go has the accounts; sale.go, settlement.go and dispute.go say what the
// events post; balance.go adds up.
package ledger

import (
	"fmt"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

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
	order.Authorised{}.EventType(), order.Voided{}.EventType(), order.Captured{}.EventType(), order.Earned{}.EventType(),
	order.Refunded{}.EventType(), order.RefundPending{}.EventType(), order.RefundReturned{}.EventType(),
	order.Released{}.EventType(), order.ReserveReleased{}.EventType(), order.Settled{}.EventType(), order.Reversed{}.EventType(),
	order.DisputeWithdrawn{}.EventType(), order.DisputeCharged{}.EventType(), order.DisputeReinstated{}.EventType(), order.DisputeClosed{}.EventType(), order.DisputeReallocated{}.EventType(),
	shop.Adjusted{}.EventType(), shop.PaidOutside{}.EventType(), shop.DebtWrittenOff{}.EventType(),
	payout.Sent{}.EventType(), payout.Paid{}.EventType(), payout.Failed{}.EventType(),
	reconcile.BecameAvailable{}.EventType(), reconcile.Charged{}.EventType(),
}

// Post gives the entry of an event; false when the event does not post.
func Post(e event.Data) (Entry, bool) {
	entry, posts := post(e)
	if !posts {
		return Entry{}, false
	}
	if entry.Postings = withoutZeros(entry.Postings); len(entry.Postings) == 0 {
		return Entry{}, false
	}
	entry.mustBalance()
	return entry, true
}

func post(e event.Data) (Entry, bool) {
	for _, of := range []func(event.Data) (Entry, bool){sale, settlement, dispute, platform} {
		if entry, posts := of(e); posts {
			return entry, true
		}
	}
	return Entry{}, false
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
