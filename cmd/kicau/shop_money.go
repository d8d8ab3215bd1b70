package main

import (
	"context"
	"time"

	"kicau/domain/money"
	"kicau/domain/shop"
)

type paymentCmd struct {
	asking
	Shop        string    `arg:"" help:"UUID of the shop."`
	HoldHours   int64     `default:"168" help:"Hours that captured money is held before it is transferred."`
	Reserve     string    `default:"0%" help:"Part of what is transferred that is kept for longer." placeholder:"RATE"`
	ReserveDays int64     `default:"0" help:"Days that the reserve is kept after the hold."`
	Principal   bool      `help:"The platform sells the goods itself: the whole price is its revenue."`
	From        time.Time `help:"From when on, such as 2027-01-01T00:00:00Z. Default: now."`
}

func (paymentCmd) Help() string {
	return `Orders keep the terms they were placed with.

Example:
  kicau shop payment 6a8f… --hold-hours 72 --reserve 10% --reserve-days 30`
}

func (c *paymentCmd) Run(ctx context.Context, g *Global) error {
	id, err := parseID("SHOP", c.Shop)
	if err != nil {
		return err
	}
	at := now()
	terms := shop.Settlement{ValidFrom: c.From.UTC(), HoldHours: c.HoldHours, ReserveDays: c.ReserveDays, Principal: c.Principal}
	if c.From.IsZero() {
		terms.ValidFrom = at
	}
	if terms.ReserveBasisPoints, err = parsePercent("--reserve", c.Reserve); err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	return d.shopCommand(ctx, g, c.asking, id, shop.ChangeSettlement{At: at, Settlement: terms})
}

type forgiveCmd struct {
	asking
	Shop   string `arg:"" help:"UUID of the shop."`
	Amount string `required:"" help:"How much of its debt is given up." placeholder:"AMOUNT"`
	Reason string `required:"" help:"Why."`
	ID     string `help:"UUID that names the write-off, so that it is made once. Default: a new one." placeholder:"UUID"`
}

func (forgiveCmd) Help() string {
	return `What a shop owes is netted against what it sells later; what it will never sell is written off.

Example:
  kicau shop forgive 6a8f… --amount 12.50 --reason "closed down"`
}

func (c *forgiveCmd) Run(ctx context.Context, g *Global) error {
	id, err := parseID("SHOP", c.Shop)
	if err != nil {
		return err
	}
	writeOff, err := c.idOrNew("--id", c.ID)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	currency, err := d.currencyOfShop(ctx, id)
	if err != nil {
		return err
	}
	amount, err := money.Parse(c.Amount, currency)
	if err != nil {
		return err
	}
	return d.shopCommand(ctx, g, c.asking, id, shop.WriteOff{At: now(), Shop: id, WriteOff: writeOff, Amount: amount, Reason: c.Reason})
}
