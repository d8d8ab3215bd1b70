package history

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/buyer"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// Importer turns input into items for [Run].
type Importer struct {
	commands *command.Commands
	vault    command.Vault
	log      *countedLog

	// orders placed in this input, with the streams of the offers whose stock
	// they may move. Only the goroutine that reads looks at it.
	orders map[uuid.UUID][]string

	mu sync.Mutex
	// free offers have neither pool nor limit, so they keep no book of their
	// orders. The log said so: an offer's terms never change.
	free map[uuid.UUID]bool
}

// MaxRemembered bounds the orders and the offers that are remembered. Forgotten
// ones are looked after with more care, which takes longer.
const MaxRemembered = 1_000_000

// NewImporter over the log of the use cases.
func NewImporter(c *command.Commands, v command.Vault) *Importer {
	log := &countedLog{Log: c.Log}
	return &Importer{commands: command.New(log, domain.Events), vault: v, log: log, orders: map[uuid.UUID][]string{}, free: map[uuid.UUID]bool{}}
}

func (im *Importer) isFree(offerID uuid.UUID) bool {
	im.mu.Lock()
	defer im.mu.Unlock()
	return im.free[offerID]
}

// terms of an offer that exists, as the log has them.
func (im *Importer) terms(ctx context.Context, offerID uuid.UUID) (terms offer.Tweeted, err error) {
	err = im.commands.Offers.Look(ctx, offer.Stream(offerID), func(s offer.State) error {
		if !s.Exists {
			return offer.ErrNotTweeted.About("offer %s", offerID)
		}
		terms = s.Terms
		im.mu.Lock()
		defer im.mu.Unlock()
		if !s.Tracked() {
			remember(im.free, offerID, true)
		}
		return nil
	})
	return terms, err
}

func remember[V any](m map[uuid.UUID]V, id uuid.UUID, v V) {
	if len(m) >= MaxRemembered {
		clear(m)
	}
	m[id] = v
}

// DefaultProcessor is who took the payments of a history that does not say.
const DefaultProcessor = "outside"

// StockHold is how long an import holds stock between the hold and the order
// that takes it: for ever. It ends with the order, or, when the import was
// killed in between, with the next run of the same import. A hold that ran out
// by the clock would have run out long ago, and the deadline that looks after it
// would close the order before it is placed.
const StockHold = 200 * 365 * 24 * time.Hour

func commandID(kind, name string) uuid.UUID { return event.NameID("command:"+kind, name) }

// id of a name: the name itself when it is a UUID.
func id(kind, name string) uuid.UUID {
	if u, err := uuid.Parse(name); err == nil {
		return u
	}
	return event.NameID(kind, name)
}

func named(field, name string) error {
	if name == "" {
		return ErrNameless.In(field)
	}
	return nil
}

// countedLog counts the events that are appended. A use case appends to several
// streams and answers for one of them.
type countedLog struct {
	command.Log
	appended atomic.Int64 // since somebody took them
}

func (l *countedLog) Append(ctx context.Context, stream string, expect command.Expect, events []event.Proposed) (command.Appended, error) {
	at, err := l.Log.Append(ctx, stream, expect, events)
	if err == nil {
		l.appended.Add(int64(len(events)))
	}
	return at, err
}

// counted makes Run of an item report events that were appended: perhaps those of
// another, whose item is not through yet. Each is reported once, and before the
// last item ends.
func (im *Importer) counted(run func(ctx context.Context) error) func(ctx context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		err := run(ctx)
		return int(im.log.appended.Swap(0)), err
	}
}

func (im *Importer) currencyOf(ctx context.Context, shopID uuid.UUID) (money.Currency, error) {
	var c money.Currency
	err := im.commands.Shops.Look(ctx, shop.Stream(shopID), func(s shop.State) error {
		if !s.Exists {
			return shop.ErrNotOnboarded.About("shop %s", shopID)
		}
		c = s.Terms.Currency
		return nil
	})
	return c, err
}

// amount parses n in the currency of a shop when the item runs.
func (im *Importer) amount(ctx context.Context, shopID uuid.UUID, field string, n json.Number) (money.Minor, error) {
	c, err := im.currencyOf(ctx, shopID)
	if err != nil {
		return 0, err
	}
	return amountIn(c, field, n)
}

func amountIn(c money.Currency, field string, n json.Number) (money.Minor, error) {
	if n == "" {
		return 0, money.ErrNotANumber.In(field).About("amount %q", "")
	}
	m, err := money.Parse(n.String(), c)
	if no := refusal.From(err); no != nil {
		err = no.In(field)
	}
	return m, err
}

func (im *Importer) onboardShop(l Line) (Item, error) {
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	c, err := money.ParseCurrency(l.Currency)
	if err != nil {
		return Item{}, err
	}
	terms := shop.Onboarded{Name: l.Name, Handle: l.Handle, Currency: c, HoldHours: l.HoldHours, Taxes: l.Taxes}
	terms.Fees.BasisPoints = l.FeeBasisPoints
	if l.FeeFixed != "" {
		if terms.Fees.Fixed, err = amountIn(c, "feeFixed", l.FeeFixed); err != nil {
			return Item{}, err
		}
	}
	if l.Shipping != nil {
		if terms.Shipping, err = amountIn(c, "shipping", *l.Shipping); err != nil {
			return Item{}, err
		}
	}
	return im.shopItem(l, id("shop", l.Shop), "", func(context.Context) (shop.Command, error) {
		return shop.Onboard{At: l.At, Terms: terms}, nil
	}), nil
}

func (im *Importer) shopItem(l Line, shopID uuid.UUID, name string, cmd func(context.Context) (shop.Command, error)) Item {
	return Item{Writes: []string{shop.Stream(shopID)}, Run: im.counted(func(ctx context.Context) error {
		c, err := cmd(ctx)
		if err != nil {
			return err
		}
		_, err = im.commands.Shop(ctx, by(l.At, l.Do, shopID.String()+name), shopID, c)
		return err
	})}
}

func (im *Importer) changeFees(l Line) (Item, error) {
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	shopID := id("shop", l.Shop)
	from := l.At
	if l.ValidFrom != nil {
		from = l.ValidFrom.UTC()
	}
	item := im.shopItem(l, shopID, from.String(), func(ctx context.Context) (shop.Command, error) {
		fees := shop.Fees{ValidFrom: from, BasisPoints: l.FeeBasisPoints}
		var err error
		if l.FeeFixed != "" {
			fees.Fixed, err = im.amount(ctx, shopID, "feeFixed", l.FeeFixed)
		}
		return shop.ChangeFees{At: l.At, Fees: fees}, err
	})
	// Orders take their fee from the shop, and a line does not say which shop an
	// order is of.
	item.Alone = true
	return item, nil
}

func (im *Importer) adjustShop(l Line) (Item, error) {
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	if err := named("adjustment", l.Adjustment); err != nil {
		return Item{}, err
	}
	shopID := id("shop", l.Shop)
	return im.shopItem(l, shopID, l.Adjustment, func(ctx context.Context) (shop.Command, error) {
		amount, err := im.amount(ctx, shopID, "amount", l.Amount)
		return shop.Adjust{At: l.At, Shop: shopID, Adjustment: id("adjustment", l.Adjustment), Kind: l.Kind, Amount: amount, Reason: l.Reason}, err
	}), nil
}

func (im *Importer) tweetOffer(l Line) (Item, error) {
	if err := named("offer", l.Offer); err != nil {
		return Item{}, err
	}
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	offerID, shopID := id("offer", l.Offer), id("shop", l.Shop)
	return Item{
		Writes: []string{offer.Stream(offerID)}, Reads: []string{shop.Stream(shopID)},
		Run: im.counted(func(ctx context.Context) error {
			c, err := im.currencyOf(ctx, shopID)
			if err != nil {
				return err
			}
			if l.Currency != "" {
				if c, err = money.ParseCurrency(l.Currency); err != nil {
					return err
				}
			}
			price, err := amountIn(c, "price", l.Price)
			if err != nil {
				return err
			}
			terms := offer.Tweeted{Shop: shopID, Tweet: l.Text, SKU: l.SKU, Title: l.Title, Description: l.Description, Photo: l.Photo,
				Currency: c, Price: price, Stock: l.Stock, LimitPerBuyer: l.LimitPerBuyer, OpensAt: l.OpensAt, ClosesAt: l.ClosesAt}
			for _, r := range l.Related {
				terms.Related = append(terms.Related, id("offer", r))
			}
			if _, err = im.commands.Tweet(ctx, by(l.At, l.Do, offerID.String()), offerID, terms); err == nil {
				_, err = im.terms(ctx, offerID) // remembered for its orders
			}
			return err
		}),
	}, nil
}

func (im *Importer) offerItem(l Line, name string, cmd func(ctx context.Context, s offer.State) (offer.Command, error)) (Item, error) {
	if err := named("offer", l.Offer); err != nil {
		return Item{}, err
	}
	offerID := id("offer", l.Offer)
	return Item{Writes: []string{offer.Stream(offerID)}, Run: im.counted(func(ctx context.Context) error {
		_, err := im.commands.Offers.Handle(ctx, offer.Stream(offerID), by(l.At, l.Do, offerID.String()+name).Meta(), func(s offer.State) ([]event.Data, error) {
			c, err := cmd(ctx, s)
			if err != nil {
				return nil, err
			}
			return offer.Decider.Decide(s, c)
		})
		return err
	})}, nil
}

func (im *Importer) reprice(l Line) (Item, error) {
	return im.offerItem(l, l.At.String(), func(ctx context.Context, s offer.State) (offer.Command, error) {
		if !s.Exists {
			return offer.Reprice{}, nil // refused by the decider
		}
		price, err := amountIn(s.Terms.Currency, "price", l.Price)
		return offer.Reprice{At: l.At, Price: price}, err
	})
}

func (im *Importer) restock(l Line) (Item, error) {
	if err := named("restock", l.Restock); err != nil {
		return Item{}, err
	}
	return im.offerItem(l, l.Restock, func(context.Context, offer.State) (offer.Command, error) {
		return offer.Restock{At: l.At, Restock: id("restock", l.Restock), Add: l.Add}, nil
	})
}

func (im *Importer) withdraw(l Line) (Item, error) {
	return im.offerItem(l, "", func(context.Context, offer.State) (offer.Command, error) {
		return offer.Withdraw{At: l.At, Reason: l.Reason}, nil
	})
}

func (im *Importer) placeOrder(l Line) (Item, error) {
	for _, f := range [][2]string{{"order", l.Order}, {"buyer", l.Buyer}} {
		if err := named(f[0], f[1]); err != nil {
			return Item{}, err
		}
	}
	if l.Processor == order.Stripe {
		return Item{}, ErrProcessor
	}
	if len(l.Lines) > order.MaxLines {
		return Item{}, order.ErrTooManyLines
	}
	orderID := id("order", l.Order)
	item := Item{Writes: []string{order.Stream(orderID)}}
	for _, ol := range l.Lines {
		offerID := id("offer", ol.Offer)
		if im.isFree(offerID) {
			item.Reads = append(item.Reads, offer.Stream(offerID))
		} else {
			item.Writes = append(item.Writes, offer.Stream(offerID))
		}
	}
	remember(im.orders, orderID, item.Writes[1:len(item.Writes):len(item.Writes)])
	item.Run = im.counted(func(ctx context.Context) error {
		place, err := im.place(ctx, orderID, l)
		if err != nil {
			return err
		}
		_, err = im.commands.Place(ctx, by(l.At, l.Do, orderID.String()), place)
		return err
	})
	return item, nil
}

func (im *Importer) place(ctx context.Context, orderID uuid.UUID, l Line) (command.Place, error) {
	pseudonym, err := im.vault.Pseudonym(l.Buyer)
	if err != nil {
		return command.Place{}, err
	}
	p := command.Place{Order: orderID, Buyer: buyer.ID(pseudonym), Jurisdiction: l.Jurisdiction, Processor: l.Processor, Reference: l.Order, StockHold: StockHold}
	if p.Processor == "" {
		p.Processor = DefaultProcessor
	}
	var currency money.Currency
	for i, ol := range l.Lines {
		line := command.Line{Offer: id("offer", ol.Offer), Quantity: ol.Quantity}
		if !im.isFree(line.Offer) || currency == "" && (ol.Price != nil || l.Shipping != nil) {
			terms, err := im.terms(ctx, line.Offer)
			if no := refusal.From(err); no != nil {
				err = no.In(fmt.Sprintf("lines[%d].offer", i))
			}
			if err != nil {
				return p, err
			}
			currency = cmp.Or(currency, terms.Currency)
		}
		if ol.Price != nil {
			price, err := amountIn(currency, fmt.Sprintf("lines[%d].price", i), *ol.Price)
			if err != nil {
				return p, err
			}
			line.Agreed = &price
		}
		p.Lines = append(p.Lines, line)
	}
	if l.Shipping != nil && currency != "" {
		shipping, err := amountIn(currency, "shipping", *l.Shipping)
		if err != nil {
			return p, err
		}
		p.Shipping = &shipping
	}
	return p, nil
}

// orderItem runs a command on an order and the offers whose stock it may move.
func (im *Importer) orderItem(l Line, name string, cmd func(s order.State) (order.Command, error)) (Item, error) {
	if err := named("order", l.Order); err != nil {
		return Item{}, err
	}
	orderID := id("order", l.Order)
	stock, known := im.orders[orderID]
	return Item{Writes: append([]string{order.Stream(orderID)}, stock...), Alone: !known, Run: im.counted(func(ctx context.Context) error {
		var c order.Command
		err := im.commands.Orders.Look(ctx, order.Stream(orderID), func(s order.State) (err error) {
			c, err = cmd(s)
			return err
		})
		if err != nil {
			return err
		}
		_, err = im.commands.Order(ctx, by(l.At, l.Do, orderID.String()+name), orderID, c)
		return err
	})}, nil
}

func (im *Importer) shipOrder(l Line) (Item, error) {
	return im.orderItem(l, "", func(order.State) (order.Command, error) {
		return order.Ship{At: l.At, Units: l.Units, Carrier: l.Carrier, Tracking: l.Tracking}, nil
	})
}

func (im *Importer) cancelOrder(l Line) (Item, error) {
	return im.orderItem(l, "", func(order.State) (order.Command, error) {
		return order.Cancel{At: l.At, Reason: l.Reason}, nil
	})
}

func (im *Importer) refundOrder(l Line) (Item, error) {
	if err := named("refund", l.Refund); err != nil {
		return Item{}, err
	}
	return im.orderItem(l, l.Refund, func(s order.State) (order.Command, error) {
		c := order.GiveBack{At: l.At, Refund: id("refund", l.Refund), Units: l.Units, Reason: l.Reason, KeepShipping: l.KeepShipping}
		var err error
		if l.Amount != "" && s.Placed.Currency != "" {
			c.Amount, err = amountIn(s.Placed.Currency, "amount", l.Amount)
			if err == nil && c.Amount == 0 {
				err = order.ErrRefundNothing // to the decider zero means all that is left
			}
		}
		return c, err
	})
}
