package offer

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/privacy"
	"kicau/domain/refusal"
)

// Command to an offer: Tweet, Reprice, Restock, Withdraw, HoldStock,
// ReleaseStock or SellStock.
type Command interface{ command() }

// Tweet an offer. ShopCurrency is what its shop sells in.
type Tweet struct {
	At           time.Time
	Terms        Tweeted
	ShopCurrency money.Currency
}

// Reprice an offer: the price of a unit from now on.
type Reprice struct {
	At    time.Time
	Price money.Minor
}

// Restock the pool.
type Restock struct {
	At      time.Time
	Restock uuid.UUID
	Add     int64
}

// Withdraw the offer.
type Withdraw struct {
	At     time.Time
	Reason string
}

// HoldStock for an order.
type HoldStock struct {
	At        time.Time
	Order     uuid.UUID
	Buyer     uuid.UUID
	Quantity  int64
	ExpiresAt time.Time
}

// ReleaseStock that an order holds or bought and will not take: all but Keep
// units. Naming what stays, not what goes, makes it safe to say twice.
type ReleaseStock struct {
	At     time.Time
	Order  uuid.UUID
	Keep   int64
	Reason string
}

// SellStock that an order holds.
type SellStock struct {
	At    time.Time
	Order uuid.UUID
}

func (Tweet) command()        {}
func (Reprice) command()      {}
func (Restock) command()      {}
func (Withdraw) command()     {}
func (HoldStock) command()    {}
func (ReleaseStock) command() {}
func (SellStock) command()    {}

// Refusals.
var (
	ErrNotTweeted    = &refusal.Refusal{Kind: refusal.Missing, Code: "offer-not-found", Field: "offer", Subject: "the offer", Reason: "does not exist"}
	ErrOtherTerms    = &refusal.Refusal{Kind: refusal.Clash, Code: "offer-tweeted-differently", Field: "offer", Subject: "the offer", Reason: "was tweeted before on other terms"}
	ErrNoTitle       = &refusal.Refusal{Kind: refusal.Invalid, Code: "offer-without-title", Field: "title", Subject: "the offer", Reason: "has no title"}
	ErrTitleTooLong  = &refusal.Refusal{Kind: refusal.Invalid, Code: "title-too-long", Field: "title", Subject: "the title", Reason: "is longer than 1000 bytes", Remedy: "shorten it; the description may say more"}
	ErrPriceRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "price-out-of-range", Field: "price", Subject: "the price", Reason: "must be at least 0"}
	ErrOtherCurrency = &refusal.Refusal{Kind: refusal.Invalid, Code: "other-currency", Field: "currency", Subject: "the offer", Reason: "is not in the currency that its shop sells in"}
	ErrStockRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "stock-out-of-range", Field: "stock", Subject: "the stock", Reason: "must be between 0 and 1000000000 units"}
	ErrLimitRange    = &refusal.Refusal{Kind: refusal.Invalid, Code: "limit-out-of-range", Field: "limitPerBuyer", Subject: "the limit per buyer", Reason: "must be at least 0 units; 0 means none"}
	ErrWindow        = &refusal.Refusal{Kind: refusal.Invalid, Code: "window-empty", Field: "closesAt", Subject: "the sale window", Reason: "closes before it opens"}
	ErrNoPool        = &refusal.Refusal{Kind: refusal.Rule, Code: "no-stock-pool", Field: "offer", Subject: "the offer", Reason: "is sold without limit, so there is nothing to restock"}
	ErrAddRange      = &refusal.Refusal{Kind: refusal.Invalid, Code: "restock-out-of-range", Field: "quantity", Subject: "the restock", Reason: "must add between 1 and 1000000000 units"}
	ErrRestockDiffer = &refusal.Refusal{Kind: refusal.Clash, Code: "restock-differs", Field: "restock", Subject: "the restock", Reason: "was made before with another quantity"}

	ErrQuantity   = &refusal.Refusal{Kind: refusal.Invalid, Code: "quantity-not-positive", Field: "quantity", Subject: "the quantity", Reason: "must be at least 1"}
	ErrWithdrawn  = &refusal.Refusal{Kind: refusal.Rule, Code: "offer-withdrawn", Field: "offer", Subject: "the offer", Reason: "has been withdrawn"}
	ErrNotOpen    = &refusal.Refusal{Kind: refusal.Rule, Code: "offer-not-open", Field: "offer", Subject: "the offer", Reason: "is not on sale yet"}
	ErrClosed     = &refusal.Refusal{Kind: refusal.Rule, Code: "offer-closed", Field: "offer", Subject: "the offer", Reason: "is closed"}
	ErrSoldOut    = &refusal.Refusal{Kind: refusal.Rule, Code: "sold-out", Field: "quantity", Subject: "the offer", Reason: "is sold out"}
	ErrOverLimit  = &refusal.Refusal{Kind: refusal.Rule, Code: "over-limit-per-buyer", Field: "quantity", Subject: "the offer", Reason: "would be over the limit per buyer"}
	ErrHoldDiffer = &refusal.Refusal{Kind: refusal.Clash, Code: "hold-differs", Field: "order", Subject: "the hold", Reason: "was made before with another quantity or buyer"}
	ErrHoldOver   = &refusal.Refusal{Kind: refusal.Rule, Code: "hold-over", Field: "order", Subject: "the hold", Reason: "has ended"}
	ErrKeep       = &refusal.Refusal{Kind: refusal.Invalid, Code: "keep-negative", Field: "keep", Subject: "the units to keep", Reason: "must be at least 0"}
	ErrNoHold     = &refusal.Refusal{Kind: refusal.Missing, Code: "no-hold", Field: "order", Subject: "the order", Reason: "holds nothing of this offer"}
)

// MaxUnits bounds a pool and a restock, MaxTitle a title, in bytes: it stands in
// every order of the offer.
const (
	MaxUnits = 1_000_000_000
	MaxTitle = 1000
)

// Decider of offers.
var Decider = decider.Decider[State, Command]{
	Initial: func() State { return State{} },
	Evolve:  evolve,
	Decide:  decide,
}

func decide(s State, c Command) ([]event.Data, error) {
	if c, ok := c.(Tweet); ok {
		return decideTweet(s, c)
	}
	if !s.Exists {
		return nil, ErrNotTweeted
	}
	switch c := c.(type) {
	case Reprice:
		return decideReprice(s, c)
	case Restock:
		return decideRestock(s, c)
	case Withdraw:
		return decideWithdraw(s, c)
	case HoldStock:
		return decideHold(s, c)
	case ReleaseStock:
		return decideRelease(s, c)
	case SellStock:
		return decideSell(s, c)
	}
	panic("offer: a command of another kind")
}

func decideTweet(s State, c Tweet) ([]event.Data, error) {
	t := c.Terms
	if s.Exists {
		if !same(s.Terms, t) {
			return nil, ErrOtherTerms.About("offer %q", s.Terms.Title)
		}
		return nil, nil
	}
	if t.Title == "" {
		return nil, ErrNoTitle
	}
	if len(t.Title) > MaxTitle {
		return nil, ErrTitleTooLong
	}
	if _, err := money.ParseCurrency(string(t.Currency)); err != nil {
		return nil, err
	}
	if t.Currency != c.ShopCurrency {
		return nil, ErrOtherCurrency.About("an offer in %s by a shop that sells in %s", t.Currency, c.ShopCurrency)
	}
	if err := priceInRange(t.Price); err != nil {
		return nil, err
	}
	if t.Stock != nil && (*t.Stock < 0 || *t.Stock > MaxUnits) {
		return nil, ErrStockRange
	}
	if t.LimitPerBuyer < 0 {
		return nil, ErrLimitRange
	}
	if t.OpensAt != nil && t.ClosesAt != nil && !t.OpensAt.Before(*t.ClosesAt) {
		return nil, ErrWindow
	}
	for _, text := range [][2]string{{"tweet", t.Tweet}, {"title", t.Title}, {"description", t.Description}} {
		if err := privacy.RefuseCardNumber(text[0], text[1]); err != nil {
			return nil, err
		}
	}
	return []event.Data{t}, nil
}

func priceInRange(p money.Minor) error {
	if p < 0 {
		return ErrPriceRange
	}
	if p > money.Max {
		return money.ErrOverflow.In("price")
	}
	return nil
}

func same(a, b Tweeted) bool {
	return a.Shop == b.Shop && a.Tweet == b.Tweet && a.SKU == b.SKU && a.Title == b.Title &&
		a.Description == b.Description && a.Photo == b.Photo && a.Currency == b.Currency && a.Price == b.Price &&
		a.LimitPerBuyer == b.LimitPerBuyer && equal(a.Stock, b.Stock, func(x, y int64) bool { return x == y }) &&
		equal(a.OpensAt, b.OpensAt, time.Time.Equal) && equal(a.ClosesAt, b.ClosesAt, time.Time.Equal) &&
		slices.Equal(a.Related, b.Related)
}

func equal[T any](a, b *T, eq func(T, T) bool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return eq(*a, *b)
}

func decideReprice(s State, c Reprice) ([]event.Data, error) {
	if s.Price == c.Price {
		return nil, nil
	}
	if s.Withdrawn {
		return nil, s.about(ErrWithdrawn)
	}
	if err := priceInRange(c.Price); err != nil {
		return nil, err
	}
	return []event.Data{Repriced{c.Price}}, nil
}

func decideRestock(s State, c Restock) ([]event.Data, error) {
	if before, ok := s.Restocks[c.Restock]; ok {
		if before != c.Add {
			return nil, ErrRestockDiffer.About("restock %s", c.Restock)
		}
		return nil, nil
	}
	if !s.Pooled() {
		return nil, s.about(ErrNoPool)
	}
	if s.Withdrawn {
		return nil, s.about(ErrWithdrawn)
	}
	if c.Add < 1 || c.Add > MaxUnits || s.Available+c.Add > MaxUnits {
		return nil, ErrAddRange
	}
	return []event.Data{Restocked{c.Restock, c.Add}}, nil
}

func decideWithdraw(s State, c Withdraw) ([]event.Data, error) {
	if s.Withdrawn {
		return nil, nil
	}
	if err := privacy.RefuseCardNumber("reason", c.Reason); err != nil {
		return nil, err
	}
	return []event.Data{Withdrawn{c.Reason}}, nil
}

// Sellable refuses what cannot be bought now, whatever the buyer.
func (s State) Sellable(at time.Time, quantity int64) error {
	if !s.Exists {
		return ErrNotTweeted
	}
	if quantity < 1 {
		return ErrQuantity.About("quantity %d", quantity)
	}
	if s.Withdrawn {
		return s.about(ErrWithdrawn)
	}
	if s.Terms.OpensAt != nil && at.Before(*s.Terms.OpensAt) {
		return s.about(ErrNotOpen)
	}
	if s.Terms.ClosesAt != nil && !at.Before(*s.Terms.ClosesAt) {
		return s.about(ErrClosed)
	}
	if s.Pooled() && s.Available == 0 {
		return s.about(ErrSoldOut)
	}
	if s.Pooled() && quantity > s.Available {
		return s.about(ErrSoldOut).Because("has %d left, fewer than the %d asked for", s.Available, quantity)
	}
	return nil
}

func (s State) about(r *refusal.Refusal) *refusal.Refusal { return r.About("offer %q", s.Terms.Title) }

func decideHold(s State, c HoldStock) ([]event.Data, error) {
	if h, ok := s.Holds[c.Order]; ok {
		if h.Ended == Released {
			return nil, ErrHoldOver.About("hold of order %s", c.Order)
		}
		if h.Quantity != c.Quantity || h.Buyer != c.Buyer {
			return nil, ErrHoldDiffer.About("hold of order %s", c.Order)
		}
		return nil, nil
	}
	if err := s.Sellable(c.At, c.Quantity); err != nil {
		return nil, err
	}
	// Subtracted, since adding could wrap.
	if limit := s.Terms.LimitPerBuyer; limit > 0 && c.Quantity > limit-s.Buyers[c.Buyer] {
		return nil, s.about(ErrOverLimit).Because("allows %d a buyer; this buyer has %d and asks for %d more", limit, s.Buyers[c.Buyer], c.Quantity)
	}
	return []event.Data{StockHeld{c.Order, c.Buyer, c.Quantity, c.ExpiresAt}}, nil
}

func decideRelease(s State, c ReleaseStock) ([]event.Data, error) {
	if c.Keep < 0 {
		return nil, ErrKeep.About("%d units to keep", c.Keep)
	}
	h, ok := s.Holds[c.Order]
	if !ok || h.Ended == Released {
		return nil, nil // nothing held, or released before: a release counts once
	}
	if h.Quantity <= c.Keep {
		return nil, nil
	}
	return []event.Data{StockReleased{c.Order, h.Quantity - c.Keep, c.Reason, h.Ended == Sold}}, nil
}

func decideSell(s State, c SellStock) ([]event.Data, error) {
	h, ok := s.Holds[c.Order]
	if !ok {
		return nil, ErrNoHold.About("order %s", c.Order)
	}
	switch h.Ended {
	case Sold:
		return nil, nil
	case Released:
		return nil, ErrHoldOver.About("hold of order %s", c.Order)
	}
	return []event.Data{StockSold{c.Order, h.Quantity}}, nil
}
