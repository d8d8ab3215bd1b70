package main

import (
	"context"
	"fmt"
	"slices"

	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/projections"
	payouts "kicau/projections/payout"
)

type payoutsCmd struct {
	Shop   string `help:"Payouts of this shop's account." placeholder:"UUID"`
	Status string `help:"Payouts in this status: 'on its way', paid or failed."`
	Limit  int    `default:"50" help:"Payouts to print, at most 1000."`
	After  string `help:"Go on after this cursor, which the page before ended with." placeholder:"CURSOR"`
}

func (payoutsCmd) Help() string {
	return `As 'kicau reconcile' found them, newest first. One that was paid may fail yet, within days: then
the money is back in the balance that it left, and nothing more goes to that bank account until its
owner gives another one at Stripe.

Examples:
  kicau settlement payouts --status failed
  kicau settlement payouts --shop 6a8f… --output json`
}

func (c *payoutsCmd) Run(ctx context.Context, g *Global) error {
	q := projections.Query{OrderBy: "sentAt", Desc: true, After: c.After, Limit: c.Limit}
	if err := whereID(&q, "shop", c.Shop); err != nil {
		return err
	}
	if c.Status != "" {
		if !slices.Contains(payouts.Statuses, payout.Status(c.Status)) {
			return usageError{fmt.Errorf("--status: %q is none of %q", c.Status, payouts.Statuses)}
		}
		q.Where = append(q.Where, projections.Cond{Field: "status", Op: projections.Eq, Value: c.Status})
	}
	return printRows(ctx, g, payouts.Projection, q, payoutText)
}

func payoutText(r payouts.Row) string {
	whose := "the platform's"
	if r.Shop != "" {
		whose = "shop " + r.Shop
	}
	text := fmt.Sprintf("%s  %s  %s  %s  %s", r.Payout, r.SentAt[:10], money.Format(r.Amount, r.Currency), whose, r.Status)
	switch {
	case r.Status == payout.OnItsWay:
		text += ", expected " + r.ArrivesOn[:10]
	case r.Code != "" && r.WasPaid:
		text += ": " + r.Code + ", after it had arrived"
	case r.Code != "":
		text += ": " + r.Code
	}
	return text
}
