// Package payout is the view of payouts: one row a payout, the platform's own and
// those of shops' accounts.
package payout

import (
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/projections"

	"github.com/google/uuid"
)

// Row is a payout. Amount is in minor units of Currency; times are UTC in
// [projections.TimeLayout].
type Row struct {
	Payout    string         `json:"payout"` // the processor's id
	Account   string         `json:"account"`
	Shop      string         `json:"shop"` // empty: the platform's own
	Currency  money.Currency `json:"currency"`
	Amount    money.Minor    `json:"amount"`
	Status    payout.Status  `json:"status"`
	SentAt    string         `json:"sentAt"`
	ArrivesOn string         `json:"arrivesOn"`
	Automatic bool           `json:"automatic,omitempty"`
	Code      string         `json:"code,omitempty"`    // why it failed
	WasPaid   bool           `json:"wasPaid,omitempty"` // before it failed
}

// Statuses are all of them, as a payout goes through them.
var Statuses = []payout.Status{payout.OnItsWay, payout.Arrived, payout.Returned}

// Projection of payouts. The key is the processor's id.
var Projection = projections.Projection[Row]{
	Name:    "payouts",
	Version: 1,
	Handles: []string{payout.Sent{}.EventType(), payout.Paid{}.EventType(), payout.Failed{}.EventType()},
	Keys:    keys,
	Fold:    fold,
	Begins:  func(e event.Event) bool { _, sent := e.Body.(payout.Sent); return sent },
	Indexes: [][]string{{"sentAt"}, {"shop", "sentAt"}, {"status", "sentAt"}},
}

func keys(e event.Event) []string {
	switch b := e.Body.(type) {
	case payout.Sent:
		return []string{b.Payout}
	case payout.Paid:
		return []string{b.Payout}
	case payout.Failed:
		return []string{b.Payout}
	}
	return nil
}

func fold(r Row, _ string, e event.Event) Row {
	switch b := e.Body.(type) {
	case payout.Sent:
		sent := b.SentAt
		if sent.IsZero() {
			sent = e.OccurredAt // an old event: when it was heard of
		}
		r = Row{Payout: b.Payout, Account: b.Account, Currency: b.Currency, Amount: b.Amount, Status: payout.OnItsWay,
			SentAt: projections.Time(sent), ArrivesOn: projections.Time(b.ArrivesOn), Automatic: b.Automatic}
		if b.Shop != uuid.Nil {
			r.Shop = b.Shop.String()
		}
	case payout.Paid:
		r.Status = payout.Arrived
	case payout.Failed:
		r.Status, r.Code, r.WasPaid = payout.Returned, b.Code, b.WasPaid
	}
	return r
}
