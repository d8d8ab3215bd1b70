package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/payout"
	"kicau/domain/privacy"
	"kicau/domain/reconcile"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// DefaultStockHold is how long stock is held for an order that is not paid.
const DefaultStockHold = 15 * time.Minute

// Commands are the use cases of Kicau: what people, importers and the saga can
// ask. Every error that is a refusal can be found with refusal.From.
type Commands struct {
	Log    Log
	Shops  *Handler[shop.State]
	Offers *Handler[offer.State]
	Orders *Handler[order.State]
	Buyers *Handler[buyer.State]
	// Payouts and reconciliations are told by the processor.
	Payouts         *Handler[payout.State]
	Reconciliations *Handler[reconcile.State]

	events Events
	decide Deciders
}

// New makes the use cases over a log.
func New(log Log, events *event.Registry) *Commands {
	return NewWith(log, events, Business, Runtime{})
}

// By says who commands and when it happened. Command names the command; the
// same command sent again has no further effect and is answered as the first
// time, and another one under its id is refused ([ErrCommandReused]).
type By struct {
	Command uuid.UUID
	Actor   string
	At      time.Time
	// Cause is the command or event behind this one; zero: the command itself.
	Cause uuid.UUID
	// Correlation groups all that followed from one outside request; zero: the
	// command itself.
	Correlation uuid.UUID
	// Recurring: the id says what the command is about, not which asking it was.
	// It may come with other content, and is decided anew each time.
	Recurring bool
}

// Meta is b as the events it causes carry it.
func (b By) Meta() event.Meta {
	m := event.Meta{Command: b.Command, Actor: b.Actor, OccurredAt: b.At, Causation: b.Cause, Correlation: b.Correlation}
	if m.Causation == uuid.Nil {
		m.Causation = b.Command
	}
	if m.Correlation == uuid.Nil {
		m.Correlation = b.Command
	}
	return m
}

// step is b for one of several appends of a use case.
func (b By) step(name string) By {
	c := b
	c.Command = event.NameID(name, b.Command.String())
	c.Cause = b.Command
	if c.Correlation == uuid.Nil {
		c.Correlation = b.Command
	}
	return c
}

// Shop decides a command to a shop.
func (c *Commands) Shop(ctx context.Context, by By, id uuid.UUID, cmd shop.Command) (Result, error) {
	return c.Shops.Handle(ctx, shop.Stream(id), by.asked(cmd), func(s shop.State) ([]event.Data, error) {
		return c.decide.Shop.Decide(s, cmd)
	})
}

// Tweet an offer of a shop.
func (c *Commands) Tweet(ctx context.Context, by By, id uuid.UUID, terms offer.Tweeted) (Result, error) {
	cmd := offer.Tweet{At: by.At, Terms: terms}
	meta := by.asked(cmd)
	err := c.Shops.Look(ctx, shop.Stream(terms.Shop), func(s shop.State) error {
		if !s.Exists {
			return shop.ErrNotOnboarded.About("shop %s", terms.Shop)
		}
		cmd.ShopCurrency = s.Terms.Currency
		cmd.Terms.ShopName = s.Terms.Name
		return nil
	})
	if err != nil {
		return Result{}, err
	}
	return c.offer(ctx, meta, id, cmd)
}

// Offer decides a command to an offer.
func (c *Commands) Offer(ctx context.Context, by By, id uuid.UUID, cmd offer.Command) (Result, error) {
	return c.offer(ctx, by.asked(cmd), id, cmd)
}

func (c *Commands) offer(ctx context.Context, meta event.Meta, id uuid.UUID, cmd offer.Command) (Result, error) {
	return c.Offers.Handle(ctx, offer.Stream(id), meta, func(s offer.State) ([]event.Data, error) {
		events, err := c.decide.Offer.Decide(s, cmd)
		if errors.Is(err, offer.ErrNotTweeted) {
			err = offer.ErrNotTweeted.About("offer %s", id)
		}
		return events, err
	})
}

// Place is an order as a buyer asks for it.
type Place struct {
	Order         uuid.UUID
	Buyer         uuid.UUID
	Lines         []Line
	Jurisdiction  string
	Processor     string // order.Stripe, or who takes the payment outside
	PaymentMethod string
	KeepCard      bool
	StockHold     time.Duration // zero: DefaultStockHold
	Contact       *privacy.Sealed
	Reference     string
	Shipping      *money.Minor // nil: the shop's flat price
}

// Line asks for units of an offer, at its price or at one agreed.
type Line struct {
	Offer    uuid.UUID
	Quantity int64
	Agreed   *money.Minor
}

// Place an order: check it whole, hold the stock, then append OrderPlaced.
//
// The stock is held before the order exists, so money is never asked for what
// is not there. Killed in between, the holds run out: the deadline of a hold
// whose order never came closes that order for good and releases them.
func (c *Commands) Place(ctx context.Context, by By, p Place) (Result, error) {
	cmd := order.Place{
		At: by.At, Order: p.Order, Buyer: p.Buyer, Jurisdiction: p.Jurisdiction, Processor: p.Processor,
		PaymentMethod: p.PaymentMethod, KeepCard: p.KeepCard, Contact: p.Contact, Reference: p.Reference, Shipping: p.Shipping,
	}
	hold := p.StockHold
	if hold == 0 {
		hold = DefaultStockHold
	}
	cmd.HoldUntil = by.At.Add(hold)
	meta := by.asked(p)

	wanted := map[uuid.UUID]int64{}
	for _, l := range p.Lines {
		// Clamped, so that the sum cannot wrap: the order refuses what is out of range.
		wanted[l.Offer] += min(max(l.Quantity, 0), order.MaxQuantity)
	}
	facts, err := c.offerFacts(ctx, p, wanted, by.At)
	if err != nil {
		return c.placedBefore(ctx, meta, cmd, p, err)
	}
	for _, l := range p.Lines {
		f := facts[l.Offer]
		cmd.Lines = append(cmd.Lines, order.Ask{Offer: l.Offer, Quantity: l.Quantity, Shop: f.shop, Title: f.title, Price: f.price, Agreed: l.Agreed})
	}
	for id, f := range facts {
		if f.held {
			cmd.Held = append(cmd.Held, id)
		}
	}
	slices.SortFunc(cmd.Held, func(a, b uuid.UUID) int { return slices.Compare(a[:], b[:]) })
	if len(p.Lines) > 0 {
		cmd.Shop = facts[p.Lines[0].Offer].shop
		if cmd.Terms, err = c.terms(ctx, cmd.Shop, p.Jurisdiction, by.At); err != nil {
			return c.placedBefore(ctx, meta, cmd, p, err)
		}
	}
	// Everything that can be refused without holding stock is refused here, and
	// what was placed under this command's id before is answered.
	fresh := false
	res, err := c.Orders.Handle(ctx, order.Stream(p.Order), meta, func(s order.State) ([]event.Data, error) {
		events, err := c.decide.Order.Decide(s, cmd)
		fresh = len(events) > 0
		return nil, err
	})
	if err != nil || !fresh {
		return res, err
	}
	held, err := c.holdStock(ctx, by, cmd, wanted)
	if err == nil {
		res, err = c.order(ctx, by, meta, p.Order, cmd)
	}
	// Any other error than a refusal may pass: placed again, the order finds its
	// stock held, and if nobody comes back, the deadline of the hold gives it
	// back.
	if refusal.From(err) != nil && len(held) > 0 {
		c.giveBack(ctx, by, p.Order, held)
	}
	return res, err
}

type facts struct {
	shop  uuid.UUID
	title string
	price money.Minor
	held  bool
}

// offerFacts reads what the order freezes of its offers, and refuses early what
// cannot be bought.
func (c *Commands) offerFacts(ctx context.Context, p Place, wanted map[uuid.UUID]int64, at time.Time) (map[uuid.UUID]facts, error) {
	all := make(map[uuid.UUID]facts, len(wanted))
	for i, l := range p.Lines {
		if _, seen := all[l.Offer]; seen {
			continue
		}
		err := c.Offers.Look(ctx, offer.Stream(l.Offer), func(s offer.State) error {
			if !s.Exists {
				return offer.ErrNotTweeted.About("offer %s", l.Offer).In(fmt.Sprintf("lines[%d].offer", i))
			}
			all[l.Offer] = facts{s.Terms.Shop, s.Terms.Title, s.Price, s.Tracked()}
			if l.Quantity < 1 {
				return nil // the order refuses it by its line
			}
			_, err := c.decide.Offer.Decide(s, offer.HoldStock{At: at, Order: p.Order, Buyer: p.Buyer, Quantity: wanted[l.Offer]})
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// placedBefore answers a repeated command whose offers have sold out or closed
// since: the order that stands is the answer, if it is the same order.
func (c *Commands) placedBefore(ctx context.Context, meta event.Meta, cmd order.Place, p Place, refused error) (Result, error) {
	return c.Orders.Handle(ctx, order.Stream(p.Order), meta, func(s order.State) ([]event.Data, error) {
		if s.Standing == order.None {
			return nil, refused
		}
		again := cmd
		again.Shop, again.Lines = s.Placed.Shop, nil
		for _, l := range p.Lines {
			again.Lines = append(again.Lines, order.Ask{Offer: l.Offer, Quantity: l.Quantity, Agreed: l.Agreed})
		}
		_, err := c.decide.Order.Decide(s, again)
		return nil, err
	})
}

func (c *Commands) terms(ctx context.Context, id uuid.UUID, jurisdiction string, at time.Time) (order.Terms, error) {
	var t order.Terms
	err := c.Shops.Look(ctx, shop.Stream(id), func(s shop.State) error {
		if !s.Exists {
			return shop.ErrNotOnboarded.About("shop %s", id)
		}
		fees, pay := s.FeesAt(at), s.SettlementAt(at)
		t = order.Terms{
			Currency: s.Terms.Currency, FeeBasisPoints: fees.BasisPoints, FeeFixed: fees.Fixed,
			FeeMinimum: fees.Minimum, FeeCap: fees.Cap,
			TaxBasisPoints: s.TaxIn(jurisdiction), Shipping: s.Terms.Shipping,
			HoldHours: pay.HoldHours, ReserveBasisPoints: pay.ReserveBasisPoints, ReserveDays: pay.ReserveDays, Principal: pay.Principal,
			Destination: s.Terms.Account, Platform: s.Terms.Platform,
		}
		return nil
	})
	return t, err
}

// holdStock says of which offers stock is held when it returns.
func (c *Commands) holdStock(ctx context.Context, by By, cmd order.Place, wanted map[uuid.UUID]int64) (held []uuid.UUID, err error) {
	for _, id := range cmd.Held {
		hold := offer.HoldStock{At: by.At, Order: cmd.Order, Buyer: cmd.Buyer, Quantity: wanted[id], ExpiresAt: cmd.HoldUntil}
		if _, err := c.Offer(ctx, by.step("hold:"+id.String()), id, hold); err != nil {
			return held, err
		}
		held = append(held, id)
	}
	return held, nil
}

// giveBack releases what is held for an order that was refused. The same order
// may be on its way a second time, and may have been placed on these very holds;
// so the order is closed first, and if it stands, it keeps what is its own. What
// cannot be released now, the deadline of the hold will release.
func (c *Commands) giveBack(ctx context.Context, by By, id uuid.UUID, held []uuid.UUID) {
	if _, err := c.Order(ctx, by.step("close"), id, order.Expire{At: by.At}); err == nil {
		_ = c.Abandon(ctx, by, id, held)
	}
}

// Order decides what people ask of an order. An order paid outside is brought
// up to date about its money, and about its stock, at once.
func (c *Commands) Order(ctx context.Context, by By, id uuid.UUID, cmd order.Command) (Result, error) {
	return c.order(ctx, by, by.asked(cmd), id, cmd)
}

func (c *Commands) order(ctx context.Context, by By, meta event.Meta, id uuid.UUID, cmd order.Command) (Result, error) {
	outside := false
	res, err := c.Orders.Handle(ctx, order.Stream(id), meta, func(s order.State) ([]event.Data, error) {
		events, err := c.decide.Order.Decide(s, cmd)
		if errors.Is(err, order.ErrNotPlaced) {
			err = order.ErrNotPlaced.About("order %s", id)
		}
		if err != nil || len(events) == 0 {
			return events, err
		}
		after := order.After(s, events...)
		outside = after.Placed.Outside() && len(after.Placed.Held) > 0
		return append(events, payment.Outside(after, by.At)...), nil
	})
	if err == nil && outside {
		err = c.SettleStock(ctx, by, id)
	}
	return res, err
}

// SettleStock brings the stock that an order holds in line with what became of
// it: sold once it is paid, released once it is over. Saying it twice changes
// nothing.
func (c *Commands) SettleStock(ctx context.Context, by By, id uuid.UUID) error {
	var changes []stockChange
	err := c.Orders.Look(ctx, order.Stream(id), func(s order.State) error {
		changes = stockOf(s, by.At)
		return nil
	})
	if err != nil {
		return err
	}
	return c.settle(ctx, by, id, changes)
}

// stockChange is what has to be said to an offer whose stock an order holds.
type stockChange struct {
	offer uuid.UUID
	cmds  []offer.Command
}

func stockOf(s order.State, at time.Time) (changes []stockChange) {
	for _, held := range s.Placed.Held {
		_, taken := s.Units(held)
		ch := stockChange{offer: held}
		if s.Standing.Over() {
			ch.cmds = append(ch.cmds, offer.ReleaseStock{At: at, Order: s.Placed.Order, Reason: string(s.Standing)})
		} else if s.Payment.Authorised > 0 {
			if taken > 0 { // what is released whole cannot be sold any more
				ch.cmds = append(ch.cmds, offer.SellStock{At: at, Order: s.Placed.Order})
			}
			if s.Standing == order.Dispatch {
				ch.cmds = append(ch.cmds, offer.ReleaseStock{At: at, Order: s.Placed.Order, Keep: taken, Reason: "not shipped"})
			}
		}
		changes = append(changes, ch)
	}
	return changes
}

func (c *Commands) settle(ctx context.Context, by By, id uuid.UUID, changes []stockChange) error {
	for _, ch := range changes {
		for i, cmd := range ch.cmds {
			step := by.step(fmt.Sprintf("stock:%s:%d", ch.offer, i))
			if _, err := c.Offer(ctx, step, ch.offer, cmd); err != nil {
				return fmt.Errorf("stock of order %s: %w", id, err)
			}
		}
	}
	return nil
}

// Abandon releases, of the stock that is held of these offers, what the order
// will never take: all of it when the order was closed before it was placed; of
// one that was placed, what another try under its id held besides. It releases
// nothing of an order that may still come.
func (c *Commands) Abandon(ctx context.Context, by By, id uuid.UUID, offers []uuid.UUID) error {
	var stray []uuid.UUID
	err := c.Orders.Look(ctx, order.Stream(id), func(s order.State) error {
		for _, o := range offers {
			if s.Standing != order.None && !slices.Contains(s.Placed.Held, o) {
				stray = append(stray, o)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, o := range stray {
		if _, err := c.Offer(ctx, by.step("release:"+o.String()), o, offer.ReleaseStock{At: by.At, Order: id, Reason: order.Abandoned}); err != nil {
			return err
		}
	}
	return nil
}

// Register a buyer, once.
func (c *Commands) Register(ctx context.Context, by By, id uuid.UUID, handle *privacy.Sealed) (Result, error) {
	return c.Buyers.Handle(ctx, buyer.Stream(id), by.Meta(), func(s buyer.State) ([]event.Data, error) {
		return c.decide.Buyer.Decide(s, buyer.Register{At: by.At, Handle: handle})
	})
}

// LogID is the identity of the log, given to it the first time somebody asks.
func LogID(ctx context.Context, log Log, events *event.Registry, proposed uuid.UUID, at time.Time) (uuid.UUID, error) {
	started, err := events.Encode(event.Meta{Command: proposed, Causation: proposed, Correlation: proposed, Actor: "kicau", OccurredAt: at}, 0, event.LogStarted{Log: proposed})
	if err != nil {
		return uuid.Nil, err
	}
	for range MaxResends {
		for rec, err := range log.ReadStream(ctx, event.LogStream, Forwards, 0, 1) {
			if err != nil {
				return uuid.Nil, fmt.Errorf("read the log's identity: %w", err)
			}
			e, err := events.Decode(rec)
			if err != nil {
				return uuid.Nil, err
			}
			return e.Body.(event.LogStarted).Log, nil
		}
		if _, err := log.Append(ctx, event.LogStream, NoStream, []event.Proposed{started}); err != nil && isKnown(err) && !isConflict(err) {
			return uuid.Nil, fmt.Errorf("give the log an identity: %w", err)
		}
	}
	return uuid.Nil, fmt.Errorf("give the log an identity: %w", ErrUnknownOutcome)
}
