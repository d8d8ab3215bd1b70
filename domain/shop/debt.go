package shop

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// What a shop owes the platform beyond what could be taken back from its
// account: refunds and disputes of orders that it had been paid for, and what was
// adjusted. It is carried here from the order, and netted against what the shop
// sells later. Amounts are minor units of the shop's currency; below zero the
// shop is owed them, and its next release pays them.

// DebtCarried: an order left a debt.
type DebtCarried struct {
	Order  uuid.UUID   `json:"order"`
	Number int         `json:"number"` // of the order's, from 1
	Amount money.Minor `json:"amount"`
}

// DebtNetted: a release of an order's money pays a part of it or, below zero,
// pays what the shop is owed. Nothing is an answer, too.
type DebtNetted struct {
	Order   uuid.UUID   `json:"order"`
	Release int         `json:"release"` // of the order's, from 1
	Amount  money.Minor `json:"amount"`
}

// DebtWrittenOff: the platform gives a part of it up.
type DebtWrittenOff struct {
	WriteOff uuid.UUID      `json:"writeOff"`
	Shop     uuid.UUID      `json:"shop"`
	Currency money.Currency `json:"currency"`
	Amount   money.Minor    `json:"amount"`
	Reason   string         `json:"reason"`
}

func (DebtCarried) EventType() string    { return "ShopDebtCarried" }
func (DebtNetted) EventType() string     { return "ShopDebtNetted" }
func (DebtWrittenOff) EventType() string { return "ShopDebtWrittenOff" }

var debtEvents = []event.Type{event.Of[DebtCarried](), event.Of[DebtNetted](), event.Of[DebtWrittenOff]()}

// Debts of a shop.
type Debts struct {
	Owed    money.Minor // now
	Carried map[OrderStep]money.Minor
	Netted  map[OrderStep]money.Minor
	Written map[uuid.UUID]DebtWrittenOff
}

// OrderStep is the n-th debt or release of an order.
type OrderStep struct {
	Order  uuid.UUID
	Number int
}

func (d Debts) evolve(e event.Data) Debts {
	switch e := e.(type) {
	case DebtCarried:
		d.Owed += e.Amount
		d.Carried = with(d.Carried, OrderStep{e.Order, e.Number}, e.Amount)
	case DebtNetted:
		d.Owed -= e.Amount
		d.Netted = with(d.Netted, OrderStep{e.Order, e.Release}, e.Amount)
	case Adjusted:
		if e.Netted {
			d.Owed -= e.Amount
		}
	case DebtWrittenOff:
		d.Owed -= e.Amount
		d.Written = with(d.Written, e.WriteOff, e)
	}
	return d
}

func with[K comparable, V any](m map[K]V, k K, v V) map[K]V {
	if m == nil {
		return map[K]V{k: v}
	}
	m[k] = v
	return m
}

// Carry a debt that an order left.
type Carry struct {
	Order  uuid.UUID
	Number int
	Amount money.Minor
}

// Net what is owed against a release of an order, up to an amount. A release
// that asks again is given what it was given, see [State.NettedFor].
type Net struct {
	Order   uuid.UUID
	Release int
	UpTo    money.Minor
}

// WriteOff a part of what is owed.
type WriteOff struct {
	At       time.Time
	Shop     uuid.UUID
	WriteOff uuid.UUID
	Amount   money.Minor
	Reason   string
}

func (Carry) command()    {}
func (Net) command()      {}
func (WriteOff) command() {}

// Refusals about debts.
var (
	ErrNotOwed        = &refusal.Refusal{Kind: refusal.Rule, Code: "more-than-owed", Field: "amount", Subject: "the amount", Reason: "is more than the shop owes, or nothing"}
	ErrWriteOffDiffer = &refusal.Refusal{Kind: refusal.Clash, Code: "write-off-differs", Field: "writeOff", Subject: "the write-off", Reason: "was made before with another amount or reason"}
)

func decideCarry(s State, c Carry) ([]event.Data, error) {
	if _, before := s.Carried[OrderStep{c.Order, c.Number}]; before || c.Amount <= 0 {
		return nil, nil
	}
	return []event.Data{DebtCarried{c.Order, c.Number, c.Amount}}, nil
}

func decideNet(s State, c Net) ([]event.Data, error) {
	_, before := s.Netted[OrderStep{c.Order, c.Release}]
	// What the shop is owed may be more than one release can pay.
	amount := min(c.UpTo, max(s.Owed, c.UpTo-money.Max))
	amount -= amount % s.Terms.Currency.Step() // its transfer could not carry it
	if before {
		return nil, nil
	}
	// Also that it is nothing, or who asks again would be given what came since.
	return []event.Data{DebtNetted{c.Order, c.Release, amount}}, nil
}

// NettedFor is what a release of an order pays of the shop's debt.
func (s State) NettedFor(order uuid.UUID, release int) money.Minor {
	return s.Netted[OrderStep{order, release}]
}

func decideWriteOff(s State, c WriteOff) ([]event.Data, error) {
	made := DebtWrittenOff{c.WriteOff, c.Shop, s.Terms.Currency, c.Amount, c.Reason}
	if before, ok := s.Written[c.WriteOff]; ok {
		if before != made {
			return nil, ErrWriteOffDiffer.About("write-off %s", c.WriteOff)
		}
		return nil, nil
	}
	if c.Amount <= 0 || c.Amount > s.Owed {
		return nil, ErrNotOwed.Because("is not above nothing and up to the %s that the shop owes", money.Format(max(0, s.Owed), s.Terms.Currency))
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	return []event.Data{made}, nil
}
