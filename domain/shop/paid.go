package shop

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// A shop without an account at the processor is paid outside Kicau, from the
// platform's bank, and so is any shop its share of sales that others took the money
// for. That it was is told here, so that what it is owed is right.

// PaidOutside: the platform paid the shop or, below zero, has the money back.
type PaidOutside struct {
	Payment   uuid.UUID      `json:"payment"`
	Shop      uuid.UUID      `json:"shop"`
	Currency  money.Currency `json:"currency"`
	Amount    money.Minor    `json:"amount"`
	Reference string         `json:"reference"` // by which the bank's statement knows it
}

func (PaidOutside) EventType() string { return "ShopPaidOutside" }

// RecordPayment that was made outside Kicau. Made again under its id it is made
// once.
type RecordPayment struct {
	At        time.Time
	Shop      uuid.UUID
	Payment   uuid.UUID
	Amount    money.Minor // of the shop's currency; below zero: it came back
	Reference string
	// OutsideSales: it is for sales that others took the money for. A shop with an
	// account is paid all else by transfers, which record themselves; said of one of
	// those, it would be in the books twice.
	OutsideSales bool
}

func (RecordPayment) command() {}

// Refusals about payments outside.
var (
	ErrPaidByTransfer = &refusal.Refusal{Kind: refusal.Rule, Code: "paid-by-transfer", Field: "shop", Subject: "the shop", Reason: "has an account at the processor, to which its money is transferred", Remedy: "only its share of sales that others took the money for is paid otherwise: say that it is that"}
	ErrZeroPayment    = &refusal.Refusal{Kind: refusal.Invalid, Code: "zero-payment", Field: "amount", Subject: "the payment", Reason: "is of nothing"}
	ErrNeverPaid      = &refusal.Refusal{Kind: refusal.Rule, Code: "never-paid", Field: "amount", Subject: "the payment", Reason: "is more than the shop was paid, and cannot have come back", Remedy: "look at its statement, and record first what it was paid"}
	ErrPaymentDiffers = &refusal.Refusal{Kind: refusal.Clash, Code: "payment-differs", Field: "payment", Subject: "the payment", Reason: "was recorded before with another amount or reference"}
)

func decideRecordPayment(s State, c RecordPayment) ([]event.Data, error) {
	made := PaidOutside{c.Payment, c.Shop, s.Terms.Currency, c.Amount, c.Reference}
	if before, ok := s.Paid[c.Payment]; ok {
		if before != made {
			return nil, ErrPaymentDiffers.About("payment %s", c.Payment)
		}
		return nil, nil
	}
	if s.Terms.Account != "" && !c.OutsideSales {
		return nil, ErrPaidByTransfer.About("shop %q", s.Terms.Name)
	}
	if c.Amount == 0 {
		return nil, ErrZeroPayment
	}
	if c.Amount > money.Max || c.Amount < -money.Max {
		return nil, money.ErrOverflow
	}
	if err := privacy.RefuseCardNumber("reference", c.Reference); err != nil {
		return nil, err
	}
	paid := c.Amount
	for _, p := range s.Paid {
		paid += p.Amount
	}
	if c.Amount < 0 && paid < 0 {
		return nil, ErrNeverPaid
	}
	return []event.Data{made}, nil
}
