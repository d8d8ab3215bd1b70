package history

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/shop"
)

func (im *Importer) tweetOffer(l Line) (Item, error) {
	if err := named("offer", l.Offer); err != nil {
		return Item{}, err
	}
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	offerID, shopID := id("offer", l.Offer), id("shop", l.Shop)
	a := im.ask(l, offerID.String())
	return Item{
		Writes: []string{offer.Stream(offerID)}, Reads: []string{shop.Stream(shopID)},
		Run: im.runs(func(ctx context.Context) error {
			if err := im.exists(ctx, a, shop.Stream(shopID), shop.ErrNotOnboarded.About("shop %s", shopID)); err != nil {
				return err
			}
			past, err := im.past(ctx, a, offer.Stream(offerID))
			if err != nil {
				return err
			}
			terms, err := im.tweeted(ctx, l, shopID)
			if err != nil {
				return err
			}
			if _, err = im.may(past).Tweet(ctx, a.By, offerID, terms); err == nil {
				_, err = im.terms(ctx, offerID) // remembered for its orders
			}
			return err
		}),
	}, nil
}

func (im *Importer) tweeted(ctx context.Context, l Line, shopID uuid.UUID) (terms offer.Tweeted, err error) {
	c, err := im.currencyOf(ctx, shopID)
	if err != nil {
		return terms, err
	}
	if l.Currency != "" {
		if c, err = money.ParseCurrency(l.Currency); err != nil {
			return terms, err
		}
	}
	price, err := amountIn(c, "price", l.Price)
	if err != nil {
		return terms, err
	}
	terms = offer.Tweeted{Shop: shopID, Tweet: l.Text, SKU: l.SKU, Title: l.Title, Description: l.Description, Photo: l.Photo,
		Currency: c, Price: price, Stock: l.Stock, LimitPerBuyer: l.LimitPerBuyer, OpensAt: l.OpensAt, ClosesAt: l.ClosesAt}
	for _, r := range l.Related {
		terms.Related = append(terms.Related, id("offer", r))
	}
	return terms, nil
}

// offerItem is a command to an offer.
func (im *Importer) offerItem(l Line, name string, run func(ctx context.Context, a asked, offerID uuid.UUID, c *command.Commands) error) (Item, error) {
	if err := named("offer", l.Offer); err != nil {
		return Item{}, err
	}
	offerID := id("offer", l.Offer)
	a := im.ask(l, offerID.String()+name)
	return Item{Writes: []string{offer.Stream(offerID)}, Run: im.runs(func(ctx context.Context) error {
		if err := im.exists(ctx, a, offer.Stream(offerID), offer.ErrNotTweeted.About("offer %s", offerID)); err != nil {
			return err
		}
		past, err := im.past(ctx, a, offer.Stream(offerID))
		if err != nil {
			return err
		}
		return run(ctx, a, offerID, im.may(past))
	})}, nil
}

// reprice is the one command whose repetition an offer cannot know from its
// state: prices come and go.
func (im *Importer) reprice(l Line) (Item, error) {
	return im.offerItem(l, fmt.Sprintf("%s %s", l.At.Format(time.RFC3339Nano), l.Price), func(ctx context.Context, a asked, offerID uuid.UUID, c *command.Commands) error {
		terms, err := im.terms(ctx, offerID)
		if err != nil {
			return err
		}
		price, err := amountIn(terms.Currency, "price", l.Price)
		if err != nil {
			return err
		}
		if c == im.repeats {
			was, err := im.wasPriced(ctx, a, offerID, price)
			if err == nil && !was {
				err = ErrLogHasLater
			}
			return err
		}
		_, err = c.Offer(ctx, a.By, offerID, offer.Reprice{At: l.At, Price: price})
		return err
	})
}

func (im *Importer) restock(l Line) (Item, error) {
	if err := named("restock", l.Restock); err != nil {
		return Item{}, err
	}
	return im.offerItem(l, l.Restock, func(ctx context.Context, a asked, offerID uuid.UUID, c *command.Commands) error {
		_, err := c.Offer(ctx, a.By, offerID, offer.Restock{At: l.At, Restock: id("restock", l.Restock), Add: l.Add})
		return err
	})
}

func (im *Importer) withdraw(l Line) (Item, error) {
	return im.offerItem(l, "", func(ctx context.Context, a asked, offerID uuid.UUID, c *command.Commands) error {
		_, err := c.Offer(ctx, a.By, offerID, offer.Withdraw{At: l.At, Reason: l.Reason})
		return err
	})
}
