package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/shop"
)

type paymentCmd struct {
	asking
	Shop        string    `arg:"" help:"UUID of the shop."`
	HoldHours   *int64    `help:"Hours that captured money is held before it is transferred." placeholder:"HOURS"`
	Reserve     *string   `help:"Part of what is transferred that is kept for longer." placeholder:"RATE"`
	ReserveDays *int64    `help:"Days that the reserve is kept after the hold." placeholder:"DAYS"`
	Principal   *bool     `negatable:"" help:"The platform sells the goods itself: the whole price is its revenue. --no-principal: it is an agent again."`
	From        time.Time `help:"From when on, such as 2027-01-01T00:00:00Z. Default: now."`
}

func (paymentCmd) Help() string {
	return `What is not named stays as it was last agreed. Orders keep the terms they were placed with.

Example:
  kicau shop payment 6a8f… --hold-hours 72 --reserve 10% --reserve-days 30`
}

func (c *paymentCmd) Run(ctx context.Context, g *Global) error {
	id, err := parseID("SHOP", c.Shop)
	if err != nil {
		return err
	}
	if c.HoldHours == nil && c.Reserve == nil && c.ReserveDays == nil && c.Principal == nil {
		return usageError{errors.New("nothing is to change: name --hold-hours, --reserve, --reserve-days or --principal")}
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	s, err := d.shop(ctx, id)
	if err != nil {
		return err
	}
	at := now()
	terms := s.Settled[len(s.Settled)-1]
	terms.ValidFrom = from(c.From, at)
	given(&terms.HoldHours, c.HoldHours)
	given(&terms.ReserveDays, c.ReserveDays)
	given(&terms.Principal, c.Principal)
	if c.Reserve != nil {
		if terms.ReserveBasisPoints, err = parsePercent("--reserve", *c.Reserve); err != nil {
			return err
		}
	}
	return d.shopCommand(ctx, g, c.asking, id, shop.ChangeSettlement{At: at, Settlement: terms})
}

// from is when a change holds from: a date that was named, or now.
func from(named, at time.Time) time.Time {
	if named.IsZero() {
		return at
	}
	return named.UTC()
}

// given sets what a flag names.
func given[T any](to, flag *T) {
	if flag != nil {
		*to = *flag
	}
}

type adjustCmd struct {
	asking
	Shop   string `arg:"" help:"UUID of the shop."`
	Credit string `xor:"amount" help:"How much is owed to the shop. This or --charge is needed." placeholder:"AMOUNT"`
	Charge string `xor:"amount" help:"How much the shop owes. This or --credit is needed." placeholder:"AMOUNT"`
	Kind   string `required:"" help:"What it is, in a word or two, such as 'bank charge'; statements and the ledger say it."`
	Reason string `required:"" help:"Why; no personal data."`
	ID     string `help:"UUID that names the adjustment, so that it is made once. Default: a new one." placeholder:"UUID"`
}

func (adjustCmd) Help() string {
	return `What is settled with a shop that is no order: a bank's charge, goodwill, a correction. A shop with an account at Stripe gets it, or pays it, with its next transfers; with another it is settled outside.

Example:
  kicau shop adjust 6a8f… --charge 12.50 --kind "bank charge" --reason "returned transfer of 3 March"`
}

func (c *adjustCmd) Run(ctx context.Context, g *Global) error {
	if c.Credit == "" && c.Charge == "" {
		return usageError{errors.New("nothing is adjusted: give --credit, what is owed to the shop, or --charge, what it owes")}
	}
	return settle(ctx, g, c.asking, c.Shop, c.ID, c.Credit+c.Charge, func(of, id uuid.UUID, amount money.Minor) (shop.Command, error) {
		if amount < 0 {
			return nil, usageError{fmt.Errorf("an adjustment of %s: an amount is not negative, --credit and --charge say who owes it", c.Credit+c.Charge)}
		}
		if c.Charge != "" {
			amount = -amount
		}
		return shop.Adjust{At: now(), Shop: of, Adjustment: id, Kind: c.Kind, Amount: amount, Reason: c.Reason}, nil
	})
}

// settle something with a shop: an amount in its currency, under an id that makes
// it happen once.
func settle(ctx context.Context, g *Global, a asking, shopText, idText, amountText string, what func(of, id uuid.UUID, amount money.Minor) (shop.Command, error)) error {
	of, err := parseID("SHOP", shopText)
	if err != nil {
		return err
	}
	id, err := a.idOrNew("--id", idText)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	s, err := d.shop(ctx, of)
	if err != nil {
		return err
	}
	amount, err := money.Parse(amountText, s.Terms.Currency)
	if err != nil {
		return err
	}
	c, err := what(of, id, amount)
	if err != nil {
		return err
	}
	return d.shopCommand(ctx, g, a, of, c)
}

type paidCmd struct {
	asking
	Shop   string `arg:"" help:"UUID of the shop."`
	Amount string `required:"" help:"How much it was paid." placeholder:"AMOUNT"`
	Back   bool   `help:"The bank has sent it back."`
	// What a shop with an account is paid otherwise is transferred.
	OutsideSales bool   `help:"It is for sales that others took the money for. To be said of a shop with an account at Stripe: all else is transferred, and records itself."`
	Reference    string `required:"" help:"By which the bank's statement knows it; no personal data."`
	ID           string `help:"UUID that names the payment, so that it is recorded once. Default: a new one." placeholder:"UUID"`
}

func (paidCmd) Help() string {
	return `A shop without an account at Stripe is paid from the platform's bank, outside Kicau. So is a shop with one, for its share of sales that others took the money for, such as imported ones. Recorded here, it is in the ledger and in the shop's statement as what was transferred.

Examples:
  kicau shop paid 6a8f… --amount 120.00 --reference "SEPA 4711"
  kicau shop paid 6a8f… --amount 120.00 --back --reference "SEPA 4711 returned"
  kicau shop paid 6a8f… --amount 87.50 --outside-sales --reference "SEPA 4712"`
}

func (c *paidCmd) Run(ctx context.Context, g *Global) error {
	return settle(ctx, g, c.asking, c.Shop, c.ID, c.Amount, func(of, id uuid.UUID, amount money.Minor) (shop.Command, error) {
		if amount < 0 {
			return nil, usageError{fmt.Errorf("a payment of %s: an amount is not negative; what came back is said by --back", c.Amount)}
		}
		if c.Back {
			amount = -amount
		}
		return shop.RecordPayment{At: now(), Shop: of, Payment: id, Amount: amount, Reference: c.Reference, OutsideSales: c.OutsideSales}, nil
	})
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
	return settle(ctx, g, c.asking, c.Shop, c.ID, c.Amount, func(of, id uuid.UUID, amount money.Minor) (shop.Command, error) {
		return shop.WriteOff{At: now(), Shop: of, WriteOff: id, Amount: amount, Reason: c.Reason}, nil
	})
}
