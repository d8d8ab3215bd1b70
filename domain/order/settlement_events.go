package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
)

// The shop's money. Its share of an order is payable from the capture on, is
// released when the hold is over, less what is reserved and what the shop owes,
// and transferred. What the shop owes is taken back from its transfers.
// Amounts are minor units of the order's currency.

// Taken says where a shop's part of money that goes back comes from.
type Taken struct {
	FromPayable money.Minor `json:"fromPayable"` // was still owed to it
	FromReserve money.Minor `json:"fromReserve,omitempty"`
	// FromReceivable was paid to it already: now the shop owes it.
	FromReceivable money.Minor `json:"fromReceivable"`
}

// Restored says where a shop's part of money that came back goes.
type Restored struct {
	ToReceivable money.Minor `json:"toReceivable,omitempty"` // it owes less
	ToPayable    money.Minor `json:"toPayable,omitempty"`    // it is owed more
}

// NettingRequested: the hold is over and the shop owes, or is owed, something
// besides this order. Its stream is to give up to UpTo of its debts in favour of
// the release with the number.
type NettingRequested struct {
	Number int         `json:"number"` // of this order's releases, from 1
	UpTo   money.Minor `json:"upTo"`
}

// Released: the hold is over. Of what was payable, Netted paid what the shop
// owed, Reserved is kept for longer, and the rest is to be transferred.
type Released struct {
	Shop     uuid.UUID      `json:"shop"`
	Currency money.Currency `json:"currency"`
	Payable  money.Minor    `json:"payable"`
	Netted   money.Minor    `json:"netted,omitempty"`
	// Debt is what the shop's stream gave up in favour of this release: what other
	// orders left, or, below zero, what the shop is owed besides them. What Netted
	// does not pay of it (a refund came first) the shop owes of this order from now
	// on.
	Debt         money.Minor `json:"debt,omitempty"`
	Reserved     money.Minor `json:"reserved,omitempty"`
	ReserveUntil *time.Time  `json:"reserveUntil,omitempty"`
}

// Available is what may be transferred.
func (r Released) Available() money.Minor { return r.Payable - r.Netted - r.Reserved }

// ReserveReleased: the time of the reserve is over.
type ReserveReleased struct {
	Shop     uuid.UUID      `json:"shop"`
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
}

// SettlementRequested: what is available is to be transferred, less what the
// shop came to owe of this order in the meantime.
type SettlementRequested struct {
	Key         string      `json:"key"`
	Destination string      `json:"destination"`
	Charge      string      `json:"charge"` // that pays it; empty: the platform's balance does
	Amount      money.Minor `json:"amount"`
	// Payable: before there was a release of its own, a transfer took what was
	// payable at once.
	Payable   money.Minor `json:"payable"`
	Available money.Minor `json:"available,omitempty"`
	Netted    money.Minor `json:"netted"`
	At        time.Time   `json:"at"` // when it was decided: keys live for a day
}

// Settled: the shop has its money. Amount is Payable + Available − Netted.
type Settled struct {
	Transfer    string         `json:"transfer,omitempty"` // empty: all of it was netted
	Transaction string         `json:"transaction,omitempty"`
	Shop        uuid.UUID      `json:"shop"`
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
	Payable     money.Minor    `json:"payable"`
	Available   money.Minor    `json:"available,omitempty"`
	Netted      money.Minor    `json:"netted"`
}

// SettlementFailed: the transfer was refused; it is tried again later.
type SettlementFailed struct {
	Code    string    `json:"code"`
	Reason  string    `json:"reason"`
	RetryAt time.Time `json:"retryAt"`
}

// ReversalRequested: what the shop owes is to be taken back from a transfer.
type ReversalRequested struct {
	Key      string      `json:"key"`
	Transfer string      `json:"transfer"`
	Amount   money.Minor `json:"amount"`
	At       time.Time   `json:"at"` // when it was decided: keys live for a day
}

// Reversed: it was.
type Reversed struct {
	Transfer    string         `json:"transfer"`
	Reversal    string         `json:"reversal"`
	Transaction string         `json:"transaction,omitempty"`
	Shop        uuid.UUID      `json:"shop"`
	Currency    money.Currency `json:"currency"`
	Amount      money.Minor    `json:"amount"`
}

// DebtCarried: what the shop owes could not be taken back. It is carried to the
// shop, to be netted against what it sells later; this order is rid of it.
type DebtCarried struct {
	Number   int            `json:"number"` // of this order, from 1
	Shop     uuid.UUID      `json:"shop"`
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
	Code     string         `json:"code"` // why not
	Reason   string         `json:"reason"`
}

func (NettingRequested) EventType() string    { return "SettlementNettingRequested" }
func (Released) EventType() string            { return "SettlementReleased" }
func (ReserveReleased) EventType() string     { return "SettlementReserveReleased" }
func (SettlementRequested) EventType() string { return "SettlementRequested" }
func (Settled) EventType() string             { return "SettlementPaid" }
func (SettlementFailed) EventType() string    { return "SettlementFailed" }
func (ReversalRequested) EventType() string   { return "SettlementReversalRequested" }
func (Reversed) EventType() string            { return "SettlementReversed" }
func (DebtCarried) EventType() string         { return "SettlementDebtCarried" }

var settlementEvents = []event.Type{
	event.Of[NettingRequested](), event.Of[Released](), event.Of[ReserveReleased](), event.Of[SettlementRequested](added), event.Of[Settled](added), event.Of[SettlementFailed](),
	event.Of[ReversalRequested](), event.Of[Reversed](), event.Of[DebtCarried](),
}
