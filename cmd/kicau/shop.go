package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/money"
	"kicau/domain/shop"
)

type shopCmd struct {
	Onboard onboardCmd `cmd:"" help:"Onboard a partner shop."`
	Fees    feesCmd    `cmd:"" help:"Change a shop's fee schedule from a date on."`
	Payment paymentCmd `cmd:"" help:"Change how a shop is paid from a date on: hold, reserve, agent or principal."`
	Adjust  adjustCmd  `cmd:"" help:"Credit or charge a shop for what is no order."`
	Paid    paidCmd    `cmd:"" help:"Record that a shop was paid outside: one without an account, or for sales that others took the money for."`
	Forgive forgiveCmd `cmd:"" help:"Write off a part of what a shop owes."`
	Show    showShop   `cmd:"" help:"Show a shop's terms."`
}

type onboardCmd struct {
	asking
	ID        string   `help:"UUID of the shop; the same again changes nothing. Default: a new one." placeholder:"UUID"`
	Name      string   `required:"" help:"Name of the shop."`
	Handle    string   `help:"Handle of its public account." placeholder:"@shop"`
	Currency  string   `required:"" help:"ISO 4217 code of what it sells in, such as IDR."`
	Fee       string   `default:"5%" help:"Platform fee of an order's goods."`
	FeeFixed  string   `default:"0" help:"Fixed part of the fee, an order." placeholder:"AMOUNT"`
	Shipping  string   `default:"0" help:"Flat shipping price, an order." placeholder:"AMOUNT"`
	Tax       []string `help:"Tax rate of a jurisdiction, such as ID=11%." placeholder:"WHERE=RATE"`
	HoldHours int64    `default:"168" help:"Hours that captured money is held before it is transferred."`
	Account   string   `help:"Connected account at Stripe to be paid (acct_…); 'new' makes one; empty: settled outside." placeholder:"acct_…|new"`
}

func (onboardCmd) Help() string {
	return `Example:
  kicau shop onboard --name "Toko Kopi Gayo" --handle @tokokopi --currency IDR --fee 5% --shipping 15000 --tax ID=11% --account new`
}

func (c *onboardCmd) Run(ctx context.Context, g *Global) error {
	id, err := c.idOrNew("--id", c.ID)
	if err != nil {
		return err
	}
	terms, err := c.terms()
	if err != nil {
		return err
	}
	if rest, isAccount := strings.CutPrefix(c.Account, "acct_"); c.Account != "" && c.Account != "new" && (!isAccount || rest == "") {
		return usageError{fmt.Errorf("--account: %q is no connected account of Stripe's: give its acct_…, or 'new' to make one in the sandbox", c.Account)}
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	// Also a shop that is settled outside sells through this platform's account
	// and no other: a sandbox must never take the place of Stripe.
	if terms.Account, terms.Platform, err = d.connect(ctx, g, id, c.Account, terms.Name); err != nil {
		return err
	}
	return d.shopCommand(ctx, g, c.asking, id, shop.Onboard{At: now(), Terms: terms})
}

func (c *onboardCmd) terms() (t shop.Onboarded, err error) {
	t = shop.Onboarded{Name: c.Name, Handle: c.Handle, HoldHours: c.HoldHours}
	if t.Currency, err = money.ParseCurrency(c.Currency); err != nil {
		return t, err
	}
	if t.Fees.BasisPoints, err = parsePercent("--fee", c.Fee); err != nil {
		return t, err
	}
	if t.Fees.Fixed, err = money.Parse(c.FeeFixed, t.Currency); err != nil {
		return t, err
	}
	if t.Shipping, err = money.Parse(c.Shipping, t.Currency); err != nil {
		return t, err
	}
	for _, s := range c.Tax {
		where, rate, _ := strings.Cut(s, "=")
		bp, err := parsePercent("--tax", rate)
		if err != nil {
			return t, err
		}
		t.Taxes = append(t.Taxes, shop.Tax{Jurisdiction: where, BasisPoints: bp})
	}
	return t, nil
}

func (d *desk) shopCommand(ctx context.Context, g *Global, a asking, id uuid.UUID, cmd shop.Command) error {
	by, err := a.by("shop")
	if err != nil {
		return err
	}
	res, err := d.commands.Shop(ctx, by, id, cmd)
	if err != nil {
		return err
	}
	return d.sayDecided(ctx, g, "shop", id, res)
}

type feesCmd struct {
	asking
	Shop     string    `arg:"" help:"UUID of the shop."`
	Fee      *string   `help:"Platform fee of an order's goods, such as 4.5%." placeholder:"RATE"`
	FeeFixed *string   `help:"Fixed part of the fee, an order." placeholder:"AMOUNT"`
	FeeMin   *string   `name:"fee-min" help:"The least fee of an order." placeholder:"AMOUNT"`
	FeeCap   *string   `help:"The most fee of an order; 0: none." placeholder:"AMOUNT"`
	From     time.Time `help:"From when on, such as 2027-01-01T00:00:00Z. Default: now."`
}

func (feesCmd) Help() string {
	return `What is not named stays as it was last agreed. Orders keep the fees they were placed with.

Example:
  kicau shop fees 6a8f… --fee 4.5% --from 2027-01-01T00:00:00Z`
}

func (c *feesCmd) Run(ctx context.Context, g *Global) error {
	id, err := parseID("SHOP", c.Shop)
	if err != nil {
		return err
	}
	if c.Fee == nil && c.FeeFixed == nil && c.FeeMin == nil && c.FeeCap == nil {
		return usageError{errors.New("nothing is to change: name --fee, --fee-fixed, --fee-min or --fee-cap")}
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
	fees := s.Fees[len(s.Fees)-1]
	fees.ValidFrom = from(c.From, at)
	if c.Fee != nil {
		if fees.BasisPoints, err = parsePercent("--fee", *c.Fee); err != nil {
			return err
		}
	}
	for _, f := range []struct {
		to   *money.Minor
		text *string
	}{{&fees.Fixed, c.FeeFixed}, {&fees.Minimum, c.FeeMin}, {&fees.Cap, c.FeeCap}} {
		if f.text == nil {
			continue
		}
		if *f.to, err = money.Parse(*f.text, s.Terms.Currency); err != nil {
			return err
		}
	}
	return d.shopCommand(ctx, g, c.asking, id, shop.ChangeFees{At: at, Fees: fees})
}

// shop is on which terms a shop sells and is paid, the newest last, and what it
// owes.
func (d *desk) shop(ctx context.Context, id uuid.UUID) (terms shop.State, err error) {
	err = d.commands.Shops.Look(ctx, shop.Stream(id), func(s shop.State) error {
		if !s.Exists {
			return shop.ErrNotOnboarded.About("shop %s", id)
		}
		terms = shop.State{Exists: true, Terms: s.Terms, Fees: slices.Clone(s.Fees), Settled: slices.Clone(s.Settled), Debts: shop.Debts{Owed: s.Owed}}
		return nil
	})
	return terms, err
}

func (d *desk) currencyOfShop(ctx context.Context, id uuid.UUID) (money.Currency, error) {
	s, err := d.shop(ctx, id)
	return s.Terms.Currency, err
}

type showShop struct {
	Shop string `arg:"" help:"UUID of the shop."`
}

func (showShop) Help() string {
	return `In JSON, terms is what holds now; fees and payments list what held, holds and will hold, by date.

Example:
  kicau shop show 6a8f… --output json`
}

func (c *showShop) Run(ctx context.Context, g *Global) error {
	id, err := parseID("SHOP", c.Shop)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{})
	if err != nil {
		return err
	}
	defer d.done(g)
	var out struct {
		ID       string            `json:"id"`
		Terms    termsNow          `json:"terms"`
		Fees     []shop.Fees       `json:"fees"`
		Payments []shop.Settlement `json:"payments"`
		Owes     money.Minor       `json:"owes"`
	}
	out.ID = id.String()
	s, err := d.shop(ctx, id)
	if err != nil {
		return err
	}
	at := now()
	out.Terms, out.Fees, out.Payments, out.Owes = termsAt(s, at), s.Fees, s.Settled, s.Owed
	t := out.Terms
	text := fmt.Sprintf("%s  %s  sells in %s, pays %s, shipping %s, %s",
		id, t.Name, t.Currency, feeText(t.Fees, t.Currency), money.Format(t.Shipping, t.Currency), holdText(s.SettlementAt(at)))
	if out.Owes > 0 {
		text += ", owes " + money.Format(out.Owes, t.Currency)
	}
	for _, f := range s.Fees {
		if f.ValidFrom.After(at) {
			text += fmt.Sprintf("\n  from %s it pays %s", f.ValidFrom.Format("2006-01-02 15:04"), feeText(f, t.Currency))
		}
	}
	for _, p := range s.Settled {
		if p.ValidFrom.After(at) {
			text += fmt.Sprintf("\n  from %s %s", p.ValidFrom.Format("2006-01-02 15:04"), holdText(p))
		}
	}
	return g.say(out, "%s", text)
}

// termsNow are the terms of a shop as they hold, not as they were agreed first.
type termsNow struct {
	shop.Onboarded
	ReserveBasisPoints money.BasisPoints `json:"reserveBasisPoints,omitempty"`
	ReserveDays        int64             `json:"reserveDays,omitempty"`
	Principal          bool              `json:"principal,omitempty"`
}

func termsAt(s shop.State, at time.Time) termsNow {
	paid := s.SettlementAt(at)
	t := termsNow{s.Terms, paid.ReserveBasisPoints, paid.ReserveDays, paid.Principal}
	t.Fees, t.HoldHours = s.FeesAt(at), paid.HoldHours
	return t
}

func holdText(p shop.Settlement) string {
	text := fmt.Sprintf("money held %d h", p.HoldHours)
	if p.ReserveBasisPoints > 0 {
		text += fmt.Sprintf(", %d.%02d%% of it for %d days more", p.ReserveBasisPoints/100, p.ReserveBasisPoints%100, p.ReserveDays)
	}
	return text
}

// connect finds or makes the shop's account at the processor.
func (d *desk) connect(ctx context.Context, g *Global, shopID uuid.UUID, account, name string) (connected, platform string, err error) {
	client, sandboxed, err := d.payments(g)
	if err != nil {
		return "", "", err
	}
	if platform, err = client.Account(ctx); err != nil {
		return "", "", err
	}
	if account != "new" {
		return account, platform, connectedTo(ctx, client, account, platform)
	}
	if !sandboxed {
		return "", "", usageError{errors.New("--account new makes an account in the sandbox only: connect the shop at Stripe and give its acct_…")}
	}
	connected, err = client.CreateAccount(ctx, name, "v1:"+shopID.String()+":account")
	return connected, platform, err
}

// connectedTo refuses an account that could never be paid: every transfer to it
// would fail, long after the sale. Stripe lists the payouts of connected accounts
// only.
func connectedTo(ctx context.Context, client *stripe.Client, account, platform string) error {
	switch account {
	case "":
		return nil
	case platform:
		return usageError{fmt.Errorf("--account: %s is the platform's own account: give the shop's, which is connected to it", account)}
	}
	for _, err := range client.ConnectedPayouts(ctx, account, now()) {
		if err != nil {
			return fmt.Errorf("--account: %s cannot be read as an account connected to %s; check its name at Stripe, and whether it is still connected: %w", account, platform, err)
		}
		break
	}
	return nil
}

// payments is the processor that takes the money of this directory's orders.
func (d *desk) payments(g *Global) (client *stripe.Client, sandboxed bool, err error) {
	switch {
	case d.engine != nil:
		return d.engine.stripe, d.engine.sandbox != nil, nil
	case d.served.Sandbox != "":
		client, err = stripe.New(stripe.Options{SecretKey: sandboxKey, BaseURL: d.served.Sandbox, Now: now, Logger: g.logger()})
		return client, true, err
	case g.StripeKey == "":
		return nil, false, usageError{errors.New("the server of this directory takes payments at Stripe: give its --stripe-key")}
	}
	client, err = stripe.New(stripe.Options{SecretKey: g.StripeKey, Now: now, Logger: g.logger()})
	return client, false, err
}
