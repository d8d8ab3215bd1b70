package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/privacy"
	"kicau/projections"
	orders "kicau/projections/order"
)

type buyCmd struct {
	asking
	Offers       []string `arg:"" name:"offer" help:"UUID of an offer, or UUID=QUANTITY. All of one shop."`
	Name         string   `required:"" help:"Whom to send to."`
	Address      string   `required:"" help:"Where to send to."`
	Email        string   `help:"E-mail address of the buyer; this or the handle is needed."`
	Handle       string   `help:"Handle of the buyer." placeholder:"@buyer"`
	Jurisdiction string   `help:"Where the goods go, for the tax." placeholder:"ID"`
	Card         string   `help:"Token of a payment method, never a card number. In the sandbox pm_card_visa pays and pm_card_visa_chargeDeclined does not. Default: the card is typed on the processor's page." placeholder:"pm_…"`
	KeepCard     bool     `help:"The buyer agrees that the card is charged again without them if the delivery takes longer than the card's authorisation lasts."`
	Order        string   `help:"UUID of the order; the same again buys nothing more. Default: a new one." placeholder:"UUID"`
}

func (buyCmd) Help() string {
	return `Name and address are sealed under a key of the buyer before anything is written.

Example:
  kicau buy 0c2d…=2 --name "Ibu Sari" --address "Jalan Melati 3, Bandung" --handle @sari --card pm_card_visa`
}

func (c *buyCmd) Run(ctx context.Context, g *Global) error {
	id, err := c.idOrNew("--order", c.Order)
	if err != nil {
		return err
	}
	by, err := c.by("buyer")
	if err != nil {
		return err
	}
	p := command.Purchase{Order: id, Jurisdiction: c.Jurisdiction, PaymentMethod: c.Card, KeepCard: c.KeepCard,
		Contact: privacy.Contact{Name: c.Name, Address: c.Address, Email: c.Email, Handle: c.Handle}}
	for _, o := range c.Offers {
		line, err := parseLine(o)
		if err != nil {
			return err
		}
		p.Lines = append(p.Lines, line)
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	res, err := d.commands.Buy(ctx, d.vault, by, p)
	if err != nil {
		return err
	}
	return d.sayOrder(ctx, g, id, res)
}

func parseLine(s string) (command.Line, error) {
	name, quantity, given := strings.Cut(s, "=")
	id, err := parseID("OFFER", name)
	if err != nil || !given {
		return command.Line{Offer: id, Quantity: 1}, err
	}
	n, err := strconv.ParseInt(quantity, 10, 64)
	if err != nil {
		return command.Line{}, usageError{fmt.Errorf("OFFER: %q is not UUID=QUANTITY", s)}
	}
	return command.Line{Offer: id, Quantity: n}, nil
}

// sayOrder waits until the order is at rest and prints it, as it is by then.
func (d *desk) sayOrder(ctx context.Context, g *Global, id uuid.UUID, res command.Result) error {
	if err := d.rest(ctx, id); err != nil {
		return err
	}
	row, ok, err := projections.Get(ctx, d.store, orders.Projection, id.String())
	if err != nil {
		return err
	}
	if !ok {
		return order.ErrNotPlaced.About("order %s", id)
	}
	said := struct {
		orders.Row
		PayURL   string `json:"payUrl,omitempty"`
		Repeated bool   `json:"repeated,omitempty"`
	}{row, d.payURL(row), res.Repeated}
	text := orderText(row)
	switch {
	case said.PayURL != "":
		text += "\n  the buyer goes on at " + said.PayURL
	case d.engine != nil && d.engine.sandbox != nil && row.Status == orders.ActionRequired:
		text += "\n  the buyer goes on at /orders/" + row.Order + "/pay of `kicau serve`"
	}
	return g.say(said, "%s%s", text, repeatedText(res.Repeated))
}

// payURL is the page of the server on which the buyer pays, as the API has it;
// empty: there is nothing to pay, or no page is served on which a card is typed.
func (d *desk) payURL(r orders.Row) string {
	if d.served == nil || d.served.Sandbox == "" || !r.Payable() {
		return ""
	}
	return d.served.Web + "/orders/" + r.Order + "/pay"
}

func orderText(r orders.Row) string {
	text := fmt.Sprintf("order %s  %s  %s", r.Order, r.Status, money.Format(r.Total, r.Currency))
	if r.Remedy != "" {
		text += ": try " + string(r.Remedy)
	}
	if r.Problem != "" {
		text += " (" + r.Problem + ")"
	}
	if r.Card != "" {
		text += "  " + r.Card
	}
	for _, l := range r.Lines {
		text += fmt.Sprintf("\n  %d × %s at %s", l.Quantity, l.Title, money.Format(l.UnitPrice, r.Currency))
	}
	for _, m := range []struct {
		name   string
		amount money.Minor
	}{{"captured", r.Captured}, {"refunded", r.Refunded}, {"settled with the shop", r.Settled}} {
		if m.amount != 0 {
			text += fmt.Sprintf("\n  %s %s", m.name, money.Format(m.amount, r.Currency))
		}
	}
	if u := r.Unpaid; u != nil {
		text += fmt.Sprintf("\n  transfer to the shop failed: %s (%s); tried again at %s", u.Code, u.Reason, u.RetryAt[:16])
	}
	for _, f := range r.Refunds {
		if f.Status != order.Given {
			text += "\n  " + refundText(r, f)
		}
	}
	for _, x := range r.Disputes {
		text += "\n  dispute " + disputeText(r, x)
	}
	return text
}

// refundText is a refund that the buyer does not have: unseen, one that waits would
// be given again.
func refundText(r orders.Row, f orders.Refund) string {
	amount := money.Format(f.Amount, r.Currency)
	switch {
	case f.Status == order.Pending:
		return fmt.Sprintf("refund %s of %s is accepted by the processor and not paid yet", f.Refund, amount)
	case f.Status == order.Refused && f.Returned:
		return fmt.Sprintf("refund %s of %s came back: %s", f.Refund, amount, f.Code)
	case f.Status == order.Refused:
		return fmt.Sprintf("refund %s of %s failed: %s", f.Refund, amount, f.Code)
	}
	return fmt.Sprintf("refund %s of %s is agreed and not given yet", f.Refund, amount)
}

// orderCommand decides a command to an order and prints what became of it.
func orderCommand(ctx context.Context, g *Global, a asking, arg, actor string, make func(s order.State) (order.Command, error)) error {
	id, err := parseID("ORDER", arg)
	if err != nil {
		return err
	}
	by, err := a.by(actor)
	if err != nil {
		return err
	}
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	var cmd order.Command
	err = d.commands.Orders.Look(ctx, order.Stream(id), func(s order.State) (err error) {
		if s.Standing == order.None {
			return order.ErrNotPlaced.About("order %s", id)
		}
		cmd, err = make(s)
		return err
	})
	if err != nil {
		return err
	}
	res, err := d.commands.Order(ctx, by, id, cmd)
	if err != nil {
		return err
	}
	return d.sayOrder(ctx, g, id, res)
}

type shipCmd struct {
	asking
	Order    string   `arg:"" help:"UUID of the order."`
	Line     []string `help:"Ship only these units, such as 1=2 for two of line 1. Default: everything. What is not shipped is released." placeholder:"LINE=N"`
	Carrier  string   `help:"Who carries it."`
	Tracking string   `help:"Tracking number."`
}

func (shipCmd) Help() string {
	return "Example:\n  kicau ship 91aa… --carrier JNE --tracking JNE-0042"
}

func (c *shipCmd) Run(ctx context.Context, g *Global) error {
	units, err := parseUnits(c.Line)
	if err != nil {
		return err
	}
	return orderCommand(ctx, g, c.asking, c.Order, "shop", func(order.State) (order.Command, error) {
		return order.Ship{At: now(), Units: units, Carrier: c.Carrier, Tracking: c.Tracking}, nil
	})
}

func parseUnits(list []string) ([]order.Units, error) {
	var units []order.Units
	for _, s := range list {
		line, n, ok := strings.Cut(s, "=")
		no, err1 := strconv.Atoi(line)
		quantity, err2 := strconv.ParseInt(n, 10, 64)
		if !ok || err1 != nil || err2 != nil {
			return nil, usageError{fmt.Errorf("--line: %q is not LINE=N", s)}
		}
		units = append(units, order.Units{Line: no, Quantity: quantity})
	}
	return units, nil
}

type cancelCmd struct {
	asking
	Order  string `arg:"" help:"UUID of the order."`
	Reason string `help:"Why."`
}

func (cancelCmd) Help() string {
	return "Example:\n  kicau cancel 91aa… --reason \"changed my mind\""
}

func (c *cancelCmd) Run(ctx context.Context, g *Global) error {
	return orderCommand(ctx, g, c.asking, c.Order, "buyer", func(order.State) (order.Command, error) {
		return order.Cancel{At: now(), Reason: c.Reason}, nil
	})
}

type refundCmd struct {
	asking
	Order  string   `arg:"" help:"UUID of the order."`
	Amount string   `help:"How much. Default, without --line: all that is left." placeholder:"AMOUNT"`
	Line   []string `help:"Units to give back, such as 1=2 for two of line 1." placeholder:"LINE=N"`
	Keep   bool     `name:"keep-shipping" help:"The shop keeps the shipping."`
	Reason string   `help:"Why."`
	Refund string   `help:"UUID that names the refund, so that it is given once. Default: a new one." placeholder:"UUID"`
}

func (refundCmd) Help() string {
	return `Examples:
  kicau refund 91aa… --line 1=1 --reason "arrived broken"
  kicau refund 91aa… --amount 50000 --command-id 7d3b…  # safe to repeat: given once`
}

func (c *refundCmd) Run(ctx context.Context, g *Global) error {
	units, err := parseUnits(c.Line)
	if err != nil {
		return err
	}
	id, err := c.idOrNew("--refund", c.Refund)
	if err != nil {
		return err
	}
	return orderCommand(ctx, g, c.asking, c.Order, "shop", func(s order.State) (order.Command, error) {
		cmd := order.GiveBack{At: now(), Refund: id, Units: units, Reason: c.Reason, KeepShipping: c.Keep}
		var err error
		if c.Amount != "" {
			if cmd.Amount, err = money.Parse(c.Amount, s.Placed.Currency); err == nil && cmd.Amount <= 0 {
				err = order.ErrRefundNothing
			}
		}
		return cmd, err
	})
}
