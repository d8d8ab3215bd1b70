package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"kicau/domain/money"
	"kicau/projections/settlement"
)

type statementCmd struct {
	Shop     string `required:"" help:"UUID of the shop." placeholder:"UUID"`
	Period   string `required:"" help:"A day, a month or a year (UTC), such as 2026-11-26, 2026-11 or 2026."`
	Currency string `help:"Currency. Default: what the shop sells in." placeholder:"CODE"`
}

func (statementCmd) Help() string {
	return `Opening balance, what was sold, refunded, lost in disputes, transferred and taken back, and the
closing balance with the accounts that it is made of. Every figure is a sum of the ledger's entries.

Example:
  kicau settlement statement --shop 6a8f… --period 2026-11`
}

func (c *statementCmd) Run(ctx context.Context, g *Global) error {
	id, err := parseID("--shop", c.Shop)
	if err != nil {
		return err
	}
	from, until, err := parsePeriod(c.Period)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	currency, err := d.currencyOfShop(ctx, id)
	if err == nil && c.Currency != "" {
		currency, err = money.ParseCurrency(c.Currency)
	}
	if err != nil {
		return err
	}
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	s, tied, err := settlement.TiedStatement(ctx, d.store, id, currency, from, until)
	if err != nil {
		return err
	}
	if err := g.say(s, "%s", statementText(s)); err != nil {
		return err
	}
	return tied
}

// parsePeriod is a day, a month or a year of UTC.
func parsePeriod(s string) (from, until time.Time, err error) {
	for _, p := range []struct {
		layout              string
		years, months, days int
	}{{"2006-01-02", 0, 0, 1}, {"2006-01", 0, 1, 0}, {"2006", 1, 0, 0}} {
		if from, err = time.Parse(p.layout, s); err == nil {
			return from, from.AddDate(p.years, p.months, p.days), nil
		}
	}
	return from, until, usageError{fmt.Errorf("--period: %q is not a day, a month or a year, such as 2026-11", s)}
}

func statementText(s settlement.Statement) string {
	var b strings.Builder
	row := func(name string, m money.Minor) {
		fmt.Fprintf(&b, "%-44s %18s\n", name, money.Format(m, s.Currency))
	}
	fmt.Fprintf(&b, "shop %s, from %s until %s\n", s.Shop, s.From[:10], s.Until[:10])
	row("owed at the beginning", s.Opening)
	row(fmt.Sprintf("sold (%d orders)", s.Sales), s.Sold)
	row("  of it paid by buyers", s.Gross)
	row("  less fees", -s.Fees)
	row("  less tax", -s.Tax)
	row("refunded", s.Refunded)
	row("lost in disputes", s.Disputed)
	row("adjusted", s.Adjusted)
	row("transferred", s.Transferred)
	row("taken back", s.TakenBack)
	row("written off", s.WrittenOff)
	row("owed at the end", s.Closing)
	for _, o := range s.Owed {
		row("  "+string(o.Account), o.Amount)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
