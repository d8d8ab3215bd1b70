// Package reconcile compares the books with what the processor says it did, and
// keeps the differences until somebody has resolved them.
package reconcile

import (
	"kicau/domain/event"
	"kicau/domain/money"
)

// Category is the first part of the stream, "reconcile-<uuid>", one per
// account of the platform at the processor.
const Category = "reconcile"

// Stream of the reconciliation with an account of the platform at the processor.
func Stream(account string) string {
	return Category + "-" + event.NameID(Category, account).String()
}

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

func (BecameAvailable) EventType() string { return "ReconciliationFundsAvailable" }
func (Charged) EventType() string         { return "ReconciliationFeeCharged" }

// Events of a reconciliation's stream.
var Events = []event.Type{event.Of[BecameAvailable](), event.Of[Charged]()}
