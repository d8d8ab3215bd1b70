package history

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/buyer"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/refusal"
)

// DefaultProcessor is who took the payments of a history that does not say.
const DefaultProcessor = "outside"

// StockHold is how long an import holds stock between the hold and the order
// that takes it: for ever. It ends with the order, or, when the import was
// killed in between, with the next run of the same import. A hold that ran out
// by the clock would have run out long ago, and the deadline that looks after it
// would close the order before it is placed.
const StockHold = 200 * 365 * 24 * time.Hour

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
	a := im.ask(l, orderID.String())
	item := Item{Writes: []string{order.Stream(orderID)}}
	for _, ol := range l.Lines {
		offerID := id("offer", ol.Offer)
		if im.isFree(offerID) {
			item.Reads = append(item.Reads, offer.Stream(offerID))
		} else {
			item.Writes = append(item.Writes, offer.Stream(offerID))
		}
	}
	// Which of the lines that place an order is accepted is not known yet.
	remember(im.orders, MaxRemembered, orderID, slices.Concat(im.orders[orderID], item.Writes[1:]))
	offers := slices.Concat(item.Writes[1:], item.Reads)
	item.Run = im.runs(func(ctx context.Context) error {
		return im.orderRun(ctx, a, orderID, offers, func(c *command.Commands) (command.Result, error) {
			place, err := im.place(ctx, orderID, l)
			if err != nil {
				return command.Result{}, err
			}
			return c.Place(ctx, a.By, place)
		})
	})
	return item, nil
}

// orderRun commands an order, and sees to it that its stock follows: an import
// that was killed in between has left that to the next.
func (im *Importer) orderRun(ctx context.Context, a asked, orderID uuid.UUID, offers []string, run func(c *command.Commands) (command.Result, error)) error {
	past, err := im.past(ctx, a, order.Stream(orderID))
	if err != nil {
		return err
	}
	pastOffers, err := im.past(ctx, a, offers...)
	if err != nil {
		return err
	}
	res, err := run(im.may(past || pastOffers))
	if errors.Is(err, command.ErrTooLarge) && !past {
		// Its stock may be held already: it is given back as a deadline would.
		_, closed := im.commands.Order(ctx, a.By, orderID, order.Expire{At: a.At})
		var held []uuid.UUID
		for _, o := range offers {
			held = append(held, uuid.MustParse(strings.TrimPrefix(o, offer.Category+"-")))
		}
		if err := errors.Join(closed, im.commands.Abandon(ctx, a.By, orderID, held)); err != nil {
			return err
		}
	}
	if err == nil && len(res.Events) == 0 && !past {
		err = im.commands.SettleStock(ctx, a.By, orderID)
	}
	return err
}

func (im *Importer) place(ctx context.Context, orderID uuid.UUID, l Line) (command.Place, error) {
	pseudonym, err := im.vault.Pseudonym(l.Buyer)
	if err != nil {
		return command.Place{}, err
	}
	p := command.Place{Order: orderID, Buyer: buyer.ID(pseudonym), Jurisdiction: l.Jurisdiction,
		Processor: cmp.Or(l.Processor, DefaultProcessor), Reference: l.Order, StockHold: StockHold}
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
	a := im.ask(l, orderID.String()+name)
	stock, known := im.orders[orderID]
	wanted := func(ctx context.Context, check bool) (wanted order.Command, err error) {
		if err := im.exists(ctx, a, order.Stream(orderID), order.ErrNotPlaced.About("order %s", orderID)); err != nil {
			return nil, err
		}
		err = im.commands.Orders.Look(ctx, order.Stream(orderID), func(s order.State) (err error) {
			if wanted, err = cmd(s); err == nil && check {
				_, err = order.Decider.Decide(s, wanted)
			}
			return err
		})
		return wanted, err
	}
	return Item{
		Writes: append([]string{order.Stream(orderID)}, stock...), Alone: !known,
		check: func(ctx context.Context) error {
			_, err := wanted(ctx, true)
			return err
		},
		Run: im.runs(func(ctx context.Context) error {
			c, err := wanted(ctx, false)
			if err != nil {
				return err
			}
			return im.orderRun(ctx, a, orderID, nil, func(may *command.Commands) (command.Result, error) {
				return may.Order(ctx, a.By, orderID, c)
			})
		}),
	}, nil
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
