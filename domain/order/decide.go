package order

import (
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Command to an order: Place, Pay, Ship, Confirm, Cancel, GiveBack, Expire,
// Answer or Concede.
type Command interface{ command() }

// Place an order. What it needs of shop and offers is given as they are now;
// the decision freezes it.
type Place struct {
	At            time.Time
	Order         uuid.UUID
	Shop          uuid.UUID
	Buyer         uuid.UUID
	Lines         []Ask
	Terms         Terms
	Jurisdiction  string
	Processor     string
	PaymentMethod string
	Held          []uuid.UUID
	HoldUntil     time.Time
	KeepCard      bool
	Contact       *privacy.Sealed
	Reference     string
	// Shipping replaces the shop's flat price when a shop agreed another.
	Shipping *money.Minor
}

// Ask is a line as it is asked for, with the facts of its offer.
type Ask struct {
	Offer    uuid.UUID
	Quantity int64
	Shop     uuid.UUID // whose offer it is
	Title    string
	Price    money.Minor  // the offer's price of a unit
	Agreed   *money.Minor // another price that the shop agreed for this order
}

// Terms of the shop that an order freezes.
type Terms struct {
	Currency           money.Currency
	FeeBasisPoints     money.BasisPoints
	FeeFixed           money.Minor
	FeeMinimum         money.Minor
	FeeCap             money.Minor // 0: none
	TaxBasisPoints     money.BasisPoints
	Shipping           money.Minor
	HoldHours          int64
	ReserveBasisPoints money.BasisPoints
	ReserveDays        int64
	Principal          bool
	Destination        string
	Platform           string
}

// Pay with another card after a decline.
type Pay struct {
	At            time.Time
	PaymentMethod string
}

// Confirm that the goods arrived.
type Confirm struct {
	At time.Time
	By string // ByBuyer or ByCarrier
}

// Who confirms a delivery.
const (
	ByBuyer   = "buyer"
	ByCarrier = "carrier"
)

// Answer a dispute now, with the shop's own words besides the order's history.
type Answer struct {
	At      time.Time
	Dispute string // empty: the one that is open
	Text    string
}

// Concede a dispute: it is not answered.
type Concede struct {
	At      time.Time
	Dispute string // empty: the one that is open
}

// Ship the order, whole (no Units) or in part.
type Ship struct {
	At       time.Time
	Units    []Units
	Carrier  string
	Tracking string
}

// Cancel the order before it is shipped.
type Cancel struct {
	At     time.Time
	Reason string
}

// GiveBack money: Units, or an Amount, or, with neither, all that is left.
type GiveBack struct {
	At     time.Time
	Refund uuid.UUID
	Units  []Units
	Amount money.Minor
	Reason string
	// KeepShipping leaves the shipping of the units, and its tax, with the shop.
	KeepShipping bool
}

// Expire says that a deadline has passed; whether it matters is decided here.
type Expire struct{ At time.Time }

func (Place) command()    {}
func (Pay) command()      {}
func (Confirm) command()  {}
func (Answer) command()   {}
func (Concede) command()  {}
func (Ship) command()     {}
func (Cancel) command()   {}
func (GiveBack) command() {}
func (Expire) command()   {}

// Causes of [Expired].
const (
	Unpaid    = "unpaid"
	Unshipped = "unshipped"
	Abandoned = "abandoned"
)

// AuthorisationMargin is how long before the end of an authorisation an
// unshipped order is given up: time enough to void it in order.
const AuthorisationMargin = 6 * time.Hour

// TakenLimit is how long after its hold money that was taken before the shipment
// waits for the goods; then it goes back.
const TakenLimit = 30 * 24 * time.Hour

// MaxLines bounds an order, MaxQuantity a line of it: what all lines ask of an
// offer together cannot wrap, even where units cost nothing.
const (
	MaxLines    = 2000
	MaxQuantity = 1_000_000_000
)

// Texts that a bank may be told (see payment.Evidence), in bytes: MaxText bounds
// a carrier and a tracking number, MaxAnswer the shop's own words about a
// dispute, of which Stripe takes 20,000 characters.
const (
	MaxText   = 1000
	MaxAnswer = 20_000
)

// Refusals.
var (
	ErrNotPlaced    = &refusal.Refusal{Kind: refusal.Missing, Code: "order-not-found", Field: "order", Subject: "the order", Reason: "does not exist"}
	ErrOtherContent = &refusal.Refusal{Kind: refusal.Clash, Code: "order-placed-differently", Field: "order", Subject: "the order", Reason: "was placed before with other content", Remedy: "use a new order id"}
	ErrNoLines      = &refusal.Refusal{Kind: refusal.Invalid, Code: "order-without-lines", Field: "lines", Subject: "the order", Reason: "has no lines"}
	ErrTooManyLines = &refusal.Refusal{Kind: refusal.Invalid, Code: "too-many-lines", Field: "lines", Subject: "the order", Reason: "has more than 2000 lines"}
	ErrQuantity     = &refusal.Refusal{Kind: refusal.Invalid, Code: "quantity-not-positive", Field: "quantity", Subject: "the quantity", Reason: "must be at least 1"}
	ErrQuantityMax  = &refusal.Refusal{Kind: refusal.Invalid, Code: "quantity-too-large", Field: "quantity", Subject: "the quantity", Reason: "must be at most 1000000000"}
	ErrTooFine      = &refusal.Refusal{Kind: refusal.Invalid, Code: "finer-than-cards", Field: "price", Subject: "the price", Reason: "has a third decimal that is not 0, and cards carry none", Remedy: "use a multiple of 0.010"}
	ErrPrice        = &refusal.Refusal{Kind: refusal.Invalid, Code: "price-out-of-range", Field: "price", Subject: "the price", Reason: "must be at least 0"}
	ErrMixedShops   = &refusal.Refusal{Kind: refusal.Invalid, Code: "mixed-shops", Field: "lines", Subject: "the order", Reason: "mixes offers of different shops", Remedy: "place one order a shop"}
	ErrNothingToPay = &refusal.Refusal{Kind: refusal.Invalid, Code: "nothing-to-pay", Field: "lines", Subject: "the order", Reason: "is worth nothing: an order costs at least one minor unit"}
	ErrNoProcessor  = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-processor", Field: "processor", Subject: "the order", Reason: "names nobody who takes the payment"}
	ErrTooLate      = &refusal.Refusal{Kind: refusal.Rule, Code: "order-abandoned", Field: "order", Subject: "the order", Reason: "expired before it was placed", Remedy: "order again"}

	ErrNothingDeclined = &refusal.Refusal{Kind: refusal.Rule, Code: "nothing-declined", Field: "order", Subject: "the order", Reason: "has no declined payment to try again", Remedy: "look at its status: it may be paid, on its way, or over"}
	ErrNoMethod        = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-payment-method", Field: "paymentMethod", Subject: "the payment", Reason: "names no payment method"}
	ErrNotShipped      = &refusal.Refusal{Kind: refusal.Rule, Code: "not-shipped", Field: "order", Subject: "the order", Reason: "was not shipped, so it cannot have arrived"}
	ErrWhoConfirms     = &refusal.Refusal{Kind: refusal.Invalid, Code: "unknown-witness", Field: "by", Subject: "the delivery", Reason: "is confirmed by the buyer or by the carrier"}
	ErrTextTooLong     = &refusal.Refusal{Kind: refusal.Invalid, Code: "text-too-long", Subject: "the text", Reason: "is longer than 1000 bytes", Remedy: "shorten it"}
	ErrAnswerTooLong   = &refusal.Refusal{Kind: refusal.Invalid, Code: "answer-too-long", Field: "text", Subject: "the answer", Reason: "is longer than 20000 bytes, and a bank is told no more", Remedy: "shorten it"}
	ErrNoDispute       = &refusal.Refusal{Kind: refusal.Missing, Code: "dispute-not-found", Field: "dispute", Subject: "the order", Reason: "has no such dispute"}
	ErrWhichDispute    = &refusal.Refusal{Kind: refusal.Invalid, Code: "several-disputes", Field: "dispute", Subject: "the order", Reason: "has several open disputes", Remedy: "name one"}
	ErrDisputeOver     = &refusal.Refusal{Kind: refusal.Rule, Code: "dispute-over", Field: "dispute", Subject: "the dispute", Reason: "is answered or decided, or cannot be answered any more"}
	ErrDisputed        = &refusal.Refusal{Kind: refusal.Rule, Code: "in-dispute", Field: "order", Subject: "the order", Reason: "is in dispute, and its money is with the bank", Remedy: "concede the dispute instead, or wait for its end"}

	ErrNotPaid        = &refusal.Refusal{Kind: refusal.Rule, Code: "not-authorised", Field: "order", Subject: "the order", Reason: "is not paid for yet, so it must not be shipped"}
	ErrOver           = &refusal.Refusal{Kind: refusal.Rule, Code: "order-over", Field: "order", Subject: "the order", Reason: "is over"}
	ErrShippedBefore  = &refusal.Refusal{Kind: refusal.Rule, Code: "already-shipped", Field: "order", Subject: "the order", Reason: "was shipped before, and one shipment closes an order"}
	ErrNoSuchLine     = &refusal.Refusal{Kind: refusal.Invalid, Code: "no-such-line", Field: "line", Subject: "the line", Reason: "is not in the order or named twice"}
	ErrMoreThanBought = &refusal.Refusal{Kind: refusal.Invalid, Code: "more-than-ordered", Field: "quantity", Subject: "the quantity", Reason: "is more than was ordered"}
	ErrWorthNothing   = &refusal.Refusal{Kind: refusal.Rule, Code: "shipment-worth-nothing", Field: "units", Subject: "the shipment", Reason: "costs nothing, so the authorisation could not be captured", Remedy: "cancel the order instead"}

	ErrShipped       = &refusal.Refusal{Kind: refusal.Rule, Code: "shipped", Field: "order", Subject: "the order", Reason: "has been shipped", Remedy: "refund it instead"}
	ErrNotCaptured   = &refusal.Refusal{Kind: refusal.Rule, Code: "nothing-captured", Field: "order", Subject: "the order", Reason: "has nothing captured to refund", Remedy: "cancel it instead, or wait for the capture"}
	ErrOverCaptured  = &refusal.Refusal{Kind: refusal.Rule, Code: "refund-above-captured", Field: "amount", Subject: "the refund", Reason: "is above what was captured and not refunded yet"}
	ErrUnitsOrAmount = &refusal.Refusal{Kind: refusal.Invalid, Code: "units-or-amount", Field: "amount", Subject: "the refund", Reason: "names units and an amount", Remedy: "give one of them, or neither for all that is left"}
	ErrRefundNothing = &refusal.Refusal{Kind: refusal.Invalid, Code: "refund-of-nothing", Field: "amount", Subject: "the refund", Reason: "is of nothing"}
	ErrRefundDiffers = &refusal.Refusal{Kind: refusal.Clash, Code: "refund-differs", Field: "refund", Subject: "the refund", Reason: "was asked for before with other content"}
	ErrRefundOver    = &refusal.Refusal{Kind: refusal.Rule, Code: "refund-failed", Field: "refund", Subject: "the refund", Reason: "was asked for before, and failed or came back", Remedy: "ask for it under another id"}
)

// Decider of what people ask of orders.
var Decider = decider.Decider[State, Command]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Command) ([]event.Data, error) {
	switch c := c.(type) {
	case Place:
		return decidePlace(s, c)
	case Expire:
		return decideExpire(s, c)
	}
	if s.Standing == None || s.Standing == Forgotten {
		return nil, ErrNotPlaced
	}
	switch c := c.(type) {
	case Pay:
		return decidePay(s, c)
	case Ship:
		return decideShip(s, c)
	case Confirm:
		return decideConfirm(s, c)
	case Answer:
		return decideAnswer(s, c)
	case Concede:
		return decideConcede(s, c)
	case Cancel:
		return decideCancel(s, c)
	case GiveBack:
		return decideGiveBack(s, c)
	}
	panic("order: a command of another kind")
}

func decidePlace(s State, c Place) ([]event.Data, error) {
	if s.Standing == Forgotten {
		return nil, ErrTooLate.About("order %s", c.Order)
	}
	if s.Standing != None {
		if !s.Placed.answers(c) {
			return nil, ErrOtherContent.About("order %s", c.Order)
		}
		return nil, nil
	}
	if len(c.Lines) == 0 {
		return nil, ErrNoLines
	}
	if len(c.Lines) > MaxLines {
		return nil, ErrTooManyLines
	}
	if c.Processor == "" {
		return nil, ErrNoProcessor
	}
	for _, l := range c.Lines {
		if l.Quantity < 1 {
			return nil, ErrQuantity.About("quantity %d", l.Quantity)
		}
		if l.Quantity > MaxQuantity {
			return nil, ErrQuantityMax.About("quantity %d", l.Quantity)
		}
		if l.Shop != c.Shop {
			return nil, ErrMixedShops
		}
		if l.Agreed != nil && *l.Agreed < 0 {
			return nil, ErrPrice
		}
	}
	for _, text := range [][2]string{{"reference", c.Reference}, {"paymentMethod", c.PaymentMethod}, {"jurisdiction", c.Jurisdiction}} {
		if err := privacy.RefuseCardNumber(text[0], text[1]); err != nil {
			return nil, err
		}
	}
	lines, whole, err := allocate(c)
	if err != nil {
		return nil, err
	}
	if whole.Total() == 0 {
		return nil, ErrNothingToPay
	}
	t := c.Terms
	return []event.Data{Placed{
		Order: c.Order, Shop: c.Shop, Buyer: c.Buyer, Currency: t.Currency, Lines: lines, Allocation: whole,
		FeeBasisPoints: t.FeeBasisPoints, FeeFixed: t.FeeFixed, FeeMinimum: t.FeeMinimum, FeeCap: t.FeeCap, TaxBasisPoints: t.TaxBasisPoints,
		Jurisdiction: c.Jurisdiction, HoldHours: t.HoldHours, ReserveBasisPoints: t.ReserveBasisPoints, ReserveDays: t.ReserveDays,
		Principal: t.Principal, Destination: t.Destination, Platform: t.Platform,
		Processor: c.Processor, PaymentMethod: c.PaymentMethod, KeepCard: c.KeepCard, Held: c.Held, StockHeldUntil: c.HoldUntil,
		Contact: c.Contact, Reference: c.Reference,
	}}, nil
}

// answers tells whether p is what c asks for. Prices may have moved since; only
// what the command itself says is compared.
func (p Placed) answers(c Place) bool {
	if p.Shop != c.Shop || p.Buyer != c.Buyer || p.Processor != c.Processor || p.PaymentMethod != c.PaymentMethod || p.KeepCard != c.KeepCard ||
		p.Reference != c.Reference || p.Jurisdiction != c.Jurisdiction || len(p.Lines) != len(c.Lines) {
		return false
	}
	for i, l := range c.Lines {
		if p.Lines[i].Offer != l.Offer || p.Lines[i].Quantity != l.Quantity ||
			(l.Agreed != nil && p.Lines[i].UnitPrice != *l.Agreed) {
			return false
		}
	}
	return c.Shipping == nil || *c.Shipping == p.Shipping
}

func decideExpire(s State, c Expire) ([]event.Data, error) {
	p := s.Payment
	switch {
	case s.Standing == None:
		// Stock was held for an order that never came. Saying so on the
		// order's own stream makes sure that it cannot come any more.
		return []event.Data{Expired{Abandoned}}, nil
	case s.Standing != Open || p.Pending != nil:
		return nil, nil // over or shipped; or a call is open, and its outcome comes first
	case p.Authorised == 0 && !p.IsCaptured && !c.At.Before(s.Placed.StockHeldUntil):
		return []event.Data{Expired{Unpaid}}, nil
	case p.IsCaptured && !c.At.Before(p.SettleAt.Add(TakenLimit)):
		return []event.Data{Expired{Unshipped}}, nil
	case p.Authorised > 0 && !p.IsCaptured && p.ExpiresAt != nil && !c.At.Before(p.ExpiresAt.Add(-AuthorisationMargin)):
		return []event.Data{Expired{Unshipped}}, nil
	}
	return nil, nil
}

func decidePay(s State, c Pay) ([]event.Data, error) {
	p := s.Payment
	if c.PaymentMethod == "" {
		return nil, ErrNoMethod
	}
	if err := privacy.RefuseCardNumber("paymentMethod", c.PaymentMethod); err != nil {
		return nil, err
	}
	if s.Standing.Over() {
		return nil, s.over()
	}
	if p.Remedy == "" {
		if p.Method == c.PaymentMethod {
			return nil, nil // given before, and on its way
		}
		if p.Awaiting != "authenticate" { // who cannot authenticate may take another card
			return nil, s.about(ErrNothingDeclined)
		}
	}
	return []event.Data{MethodGiven{c.PaymentMethod}}, nil
}

func decideCancel(s State, c Cancel) ([]event.Data, error) {
	switch {
	case s.Standing == Called:
		return nil, nil
	case s.Standing == Dispatch:
		return nil, s.about(ErrShipped)
	case s.Standing.Over():
		return nil, s.over()
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	return []event.Data{Cancelled{c.Reason}}, nil
}

func (s *State) about(r *refusal.Refusal) *refusal.Refusal {
	return r.About("order %s", s.Placed.Order)
}

func (s *State) over() *refusal.Refusal { return s.about(ErrOver).Because("is %s", s.Standing) }
