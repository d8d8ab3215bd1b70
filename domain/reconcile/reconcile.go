// Package reconcile compares the books with what the processor says it did, and
// keeps the differences until somebody has resolved them.
//
// Its laws:
//   - nothing is tolerated: a minor unit that one side has and the other has not
//     is a break;
//   - a break is an event, named by what it is about, so that the same one is
//     found once however often is looked;
//   - what cannot be read stops no run: it is a break, and read again by every run
//     until it can be;
//   - a break is over when both sides agree, or when a person says why it is
//     none; never by getting old. What a person said holds for that difference:
//     by another amount it is found again.
package reconcile

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// Category is the first part of the stream, "reconcile-<uuid>", one per account
// of the platform at the processor.
const Category = "reconcile"

// Stream of the reconciliation with an account of the platform at the processor.
func Stream(account string) string {
	return Category + "-" + event.NameID(Category, account).String()
}

// Kind of a movement: what both sides call by the same id.
type Kind string

// Kinds, and whose id names a movement of theirs.
const (
	Sale           Kind = "sale"            // charge
	Refund         Kind = "refund"          // refund
	RefundReturned Kind = "refund returned" // refund
	Dispute        Kind = "dispute"         // balance transaction
	Transfer       Kind = "transfer"        // transfer
	Reversal       Kind = "reversal"        // transfer reversal
	Payout         Kind = "payout"          // payout
	PayoutReturned Kind = "payout returned" // payout
	Fee            Kind = "fee"             // balance transaction
	Other          Kind = "other"           // balance transaction
	Payment        Kind = "payment"         // payment intent; no movement: what cannot be read
)

// Key names a movement on both sides.
type Key struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"` // the processor's id
}

// Movement of money on the platform's balance at the processor, as one side has
// it. Amounts are minor units of the currency; Net is what came (positive) or
// went, after Fee.
type Movement struct {
	Key
	Currency money.Currency
	Net, Fee money.Minor
	// What was rounded off either, where the processor counts more finely than the
	// currency: hundredths of a minor unit.
	NetRest, FeeRest int64
	At               time.Time
	Order            string // the order that it is about, as far as that side knows
	Intent           string // the processor's payment that it belongs to, where theirs says so
	Text             string // what it is, in the side's own words
}

// and is two movements that are one: of the time of the first. They are rounded
// together, the fee and what moved before it.
func (m Movement) and(o Movement) Movement {
	o.At, o.Order = m.At, cmp.Or(m.Order, o.Order)
	fee, net := m.Fee+o.Fee, m.Net+o.Net
	feeRest, netRest := m.FeeRest+o.FeeRest, m.NetRest+o.NetRest
	gross := fee + net + money.Minor(rounded(feeRest+netRest))
	o.Fee = fee + money.Minor(rounded(feeRest))
	o.Net = gross - o.Fee
	o.FeeRest, o.NetRest = feeRest-100*int64(o.Fee-fee), netRest-100*int64(o.Net-net)
	return o
}

// rounded is hundredths in whole ones, half away from zero.
func rounded(hundredths int64) int64 {
	if hundredths < 0 {
		return -rounded(-hundredths)
	}
	return (hundredths + 50) / 100
}

// Balance at the processor, in one currency.
type Balance struct {
	Currency           money.Currency
	Pending, Available money.Minor
}

// Events.

// BecameAvailable: money at the processor that was pending may be paid out now.
// Below zero, what became available was owed to it.
type BecameAvailable struct {
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
}

// Charged: the processor took a fee that no order caused; below zero, it gave
// one back.
type Charged struct {
	Transaction string         `json:"transaction"`
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
	Text        string         `json:"text"`
}

// BreakFound: the sides differ. Found again while it is open, it differs by
// another amount now.
type BreakFound struct {
	Break    uuid.UUID      `json:"break"`
	Class    Class          `json:"class"`
	Key      Key            `json:"key"`
	Currency money.Currency `json:"currency"` // none of a payment that cannot be read
	Ours     money.Minor    `json:"ours"`
	Theirs   money.Minor    `json:"theirs"`
	Since    time.Time      `json:"since"` // when the movement happened
	Order    string         `json:"order,omitempty"`
	Text     string         `json:"text"`
}

// Difference in minor units: what they have more than we.
func (b BreakFound) Difference() money.Minor { return b.Theirs - b.Ours }

// same break as another of its name: it differs by as much.
func (b BreakFound) same(o BreakFound) bool {
	return b.Currency == o.Currency && b.Difference() == o.Difference()
}

// BreakResolved: it is none any more.
type BreakResolved struct {
	Break uuid.UUID `json:"break"`
	How   string    `json:"how"` // AgreesNow, or a person's reason
}

// AgreesNow is how a break is resolved that is not found any more.
const AgreesNow = "agrees now"

// RunCompleted: everything was compared.
type RunCompleted struct {
	Run     int       `json:"run"`
	Through time.Time `json:"through"` // the next run hears the news from then on
	Matched int       `json:"matched"` // movements on which both sides agree
	Open    int       `json:"open"`    // breaks
}

// Class of a break.
type Class string

// Classes.
const (
	MissingInLedger    Class = "missing in ledger"    // they have it, and no event tells of it
	MissingAtProcessor Class = "missing at processor" // an event tells of it, more than an hour ago, and they have no such thing
	AmountMismatch     Class = "amount mismatch"      // both have it, with another amount
	FeeMismatch        Class = "fee mismatch"         // both have it, with another processor's fee
	CurrencyMismatch   Class = "currency mismatch"    // both have it, in another currency
	Duplicate          Class = "duplicate"            // they have it, for an order of which another of its kind is matched: done twice
	UnknownCategory    Class = "unknown category"     // a transaction of theirs of a kind that is not known here
	Orphan             Class = "orphan"               // a charge or a transfer of theirs that names no order
	StalePending       Class = "stale pending"        // a refund that was accepted more than ten days ago and is not paid
	BalanceMismatch    Class = "balance mismatch"     // the sums differ: what our movements come to is not their balance
	Unread             Class = "unread"               // something happened to a payment of theirs, and it could not be read: what it was may be missing in events; or a payout is shown otherwise than before
)

func (BecameAvailable) EventType() string { return "ReconciliationFundsAvailable" }
func (Charged) EventType() string         { return "ReconciliationFeeCharged" }
func (BreakFound) EventType() string      { return "ReconciliationBreakFound" }
func (BreakResolved) EventType() string   { return "ReconciliationBreakResolved" }
func (RunCompleted) EventType() string    { return "ReconciliationRunCompleted" }

// Events of a reconciliation's stream.
var Events = []event.Type{event.Of[BecameAvailable](), event.Of[Charged](), event.Of[BreakFound](), event.Of[BreakResolved](), event.Of[RunCompleted]()}

// State of a reconciliation.
type State struct {
	Runs      int
	Through   time.Time
	Open      Breaks
	Resolved  map[uuid.UUID]Resolution
	found     int
	renamed   map[uuid.UUID]uuid.UUID        // breaks that were called otherwise once
	Available map[money.Currency]money.Minor // what has become so in all
	Charged   map[string]bool                // transactions
}

// Resolution of a break.
type Resolution struct {
	How   string
	Break BreakFound // as it was then
}

func evolve(s State, e event.Data) State {
	switch e := e.(type) {
	case BecameAvailable:
		if s.Available == nil {
			s.Available = map[money.Currency]money.Minor{}
		}
		s.Available[e.Currency] += e.Amount
	case Charged:
		if s.Charged == nil {
			s.Charged = map[string]bool{}
		}
		s.Charged[e.Transaction] = true
	case BreakFound:
		if name := nameOf(e.Class, e.Key); name != e.Break {
			if s.renamed == nil {
				s.renamed = map[uuid.UUID]uuid.UUID{}
			}
			s.renamed[e.Break], e.Break = name, name
		}
		delete(s.Resolved, e.Break)
		if s.Open == nil {
			s.Open = Breaks{}
		}
		s.found++
		nth := s.found
		if before, open := s.Open[e.Break]; open {
			nth = before.nth
		}
		s.Open[e.Break] = opened{e, nth}
	case BreakResolved:
		if s.Resolved == nil {
			s.Resolved = map[uuid.UUID]Resolution{}
		}
		id := s.called(e.Break)
		s.Resolved[id] = Resolution{e.How, s.Open[id].BreakFound}
		delete(s.Open, id)
	case RunCompleted:
		s.Runs, s.Through = e.Run, e.Through
	}
	return s
}

// called is what a break is called now.
func (s State) called(id uuid.UUID) uuid.UUID {
	if name, was := s.renamed[id]; was {
		return name
	}
	return id
}

// Breaks that are open, by name.
type Breaks map[uuid.UUID]opened

type opened struct {
	BreakFound
	nth int // that was found
}

// List of them, oldest first.
func (all Breaks) List() []BreakFound {
	by := slices.SortedFunc(maps.Values(all), func(a, b opened) int { return cmp.Compare(a.nth, b.nth) })
	list := make([]BreakFound, len(by))
	for i, o := range by {
		list[i] = o.BreakFound
	}
	return list
}

// OpenAfter is what is open after events that were decided on s, oldest first.
func (s State) OpenAfter(events ...event.Data) []BreakFound {
	after := State{Open: maps.Clone(s.Open), found: s.found}
	for _, e := range events {
		after = evolve(after, e)
	}
	return after.Open.List()
}
