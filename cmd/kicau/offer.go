package main

import (
	"context"
	"time"

	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/projections/timeline"
)

type offerCmd struct {
	Tweet    tweetCmd    `cmd:"" help:"Tweet an offer of a shop."`
	Reprice  repriceCmd  `cmd:"" help:"Change the price of a unit from now on."`
	Restock  restockCmd  `cmd:"" help:"Add units to the stock pool."`
	Withdraw withdrawCmd `cmd:"" help:"Sell nothing of it any more."`
	Show     showOffer   `cmd:"" help:"Show an offer as readers see it."`
}

type tweetCmd struct {
	asking
	ID            string    `help:"UUID of the offer; the same again changes nothing. Default: a new one." placeholder:"UUID"`
	Shop          string    `required:"" help:"UUID of the shop."`
	Text          string    `required:"" help:"Text of the tweet."`
	Title         string    `required:"" help:"Name of the product."`
	Description   string    `help:"More about the product."`
	Photo         string    `help:"URL of its photo. Pages and the API show one that is https, or a path of their own; the log keeps any." placeholder:"URL"`
	SKU           string    `name:"sku" help:"The shop's own number."`
	Price         string    `required:"" help:"Price of a unit, in the shop's currency." placeholder:"AMOUNT"`
	Stock         *int64    `help:"Units there are. Default: without limit." placeholder:"N"`
	LimitPerBuyer int64     `help:"Units that one buyer may have. 0: no limit." placeholder:"N"`
	Opens         time.Time `help:"When the sale begins, such as 2026-12-01T18:00:00Z. Default: at once."`
	Closes        time.Time `help:"When the sale ends. Default: never."`
	Related       []string  `help:"UUIDs of related offers." placeholder:"UUID"`
}

func (tweetCmd) Help() string {
	return `Example:
  kicau offer tweet --shop 6a8f… --text "50 bags, today only" --title "Kopi Gayo 250 g" --price 85000 --stock 50 --limit-per-buyer 2`
}

func (c *tweetCmd) Run(ctx context.Context, g *Global) error {
	id, err := c.idOrNew("--id", c.ID)
	if err != nil {
		return err
	}
	shopID, err := parseID("--shop", c.Shop)
	if err != nil {
		return err
	}
	terms := offer.Tweeted{Shop: shopID, Tweet: c.Text, SKU: c.SKU, Title: c.Title, Description: c.Description, Photo: c.Photo,
		Stock: c.Stock, LimitPerBuyer: c.LimitPerBuyer, OpensAt: orNil(c.Opens), ClosesAt: orNil(c.Closes)}
	for _, r := range c.Related {
		related, err := parseID("--related", r)
		if err != nil {
			return err
		}
		terms.Related = append(terms.Related, related)
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	if terms.Currency, err = d.currencyOfShop(ctx, shopID); err != nil {
		return err
	}
	if terms.Price, err = money.Parse(c.Price, terms.Currency); err != nil {
		return err
	}
	by, err := c.by("shop")
	if err != nil {
		return err
	}
	res, err := d.commands.Tweet(ctx, by, id, terms)
	if err != nil {
		return err
	}
	return d.sayDecided(ctx, g, "offer", id, res)
}

func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	u := t.UTC()
	return &u
}

// offerCommand decides what make makes of the offer's state now.
func offerCommand(ctx context.Context, g *Global, a asking, arg string, make func(s offer.State) (offer.Command, error)) error {
	id, err := parseID("OFFER", arg)
	if err != nil {
		return err
	}
	by, err := a.by("shop")
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	var cmd offer.Command
	err = d.commands.Offers.Look(ctx, offer.Stream(id), func(s offer.State) (err error) {
		if !s.Exists {
			return offer.ErrNotTweeted.About("offer %s", id)
		}
		cmd, err = make(s)
		return err
	})
	if err != nil {
		return err
	}
	res, err := d.commands.Offer(ctx, by, id, cmd)
	if err != nil {
		return err
	}
	return d.sayDecided(ctx, g, "offer", id, res)
}

type repriceCmd struct {
	asking
	Offer string `arg:"" help:"UUID of the offer."`
	Price string `arg:"" help:"New price of a unit."`
}

func (repriceCmd) Help() string {
	return `Examples:
  kicau offer reprice 0c2d… 79000
  kicau offer reprice 0c2d… 79000 --command-id 7d3b…  # safe to repeat`
}

func (c *repriceCmd) Run(ctx context.Context, g *Global) error {
	return offerCommand(ctx, g, c.asking, c.Offer, func(s offer.State) (offer.Command, error) {
		price, err := money.Parse(c.Price, s.Terms.Currency)
		return offer.Reprice{At: now(), Price: price}, err
	})
}

type restockCmd struct {
	asking
	Offer   string `arg:"" help:"UUID of the offer."`
	Add     int64  `arg:"" help:"Units that came in."`
	Restock string `help:"UUID that names the delivery, so that it counts once. Default: a new one." placeholder:"UUID"`
}

func (restockCmd) Help() string { return "Example:\n  kicau offer restock 0c2d… 50" }

func (c *restockCmd) Run(ctx context.Context, g *Global) error {
	delivery, err := c.idOrNew("--restock", c.Restock)
	if err != nil {
		return err
	}
	return offerCommand(ctx, g, c.asking, c.Offer, func(offer.State) (offer.Command, error) {
		return offer.Restock{At: now(), Restock: delivery, Add: c.Add}, nil
	})
}

type withdrawCmd struct {
	asking
	Offer  string `arg:"" help:"UUID of the offer."`
	Reason string `help:"Why."`
}

func (withdrawCmd) Help() string {
	return "Example:\n  kicau offer withdraw 0c2d… --reason \"recalled\""
}

func (c *withdrawCmd) Run(ctx context.Context, g *Global) error {
	return offerCommand(ctx, g, c.asking, c.Offer, func(offer.State) (offer.Command, error) {
		return offer.Withdraw{At: now(), Reason: c.Reason}, nil
	})
}

type showOffer struct {
	Offer string `arg:"" help:"UUID of the offer."`
}

func (showOffer) Help() string { return "Example:\n  kicau offer show 0c2d… --output json" }

func (c *showOffer) Run(ctx context.Context, g *Global) error {
	id, err := parseID("OFFER", c.Offer)
	if err != nil {
		return err
	}
	return printOne(ctx, g, timeline.Projection, id, tweetText, offer.ErrNotTweeted.About("offer %s", id))
}
