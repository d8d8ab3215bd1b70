package main

import (
	"context"
	"fmt"

	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/projections"
	orders "kicau/projections/order"
)

type disputeCmd struct {
	List    disputeList    `cmd:"" help:"List disputes, those to be answered first."`
	Answer  disputeAnswer  `cmd:"" help:"Answer a dispute now, with the order's history and words of your own."`
	Concede disputeConcede `cmd:"" help:"Give a dispute up: the buyer keeps the money."`
}

type disputeAnswer struct {
	asking
	Order   string `arg:"" help:"UUID of the order."`
	Dispute string `help:"The processor's id of the dispute. Default: the one that is open." placeholder:"dp_…"`
	Text    string `help:"What the shop has to say to the bank, at most 20,000 bytes. No personal data: it stands in the log for ever."`
}

func (disputeAnswer) Help() string {
	return `The order's history is told to the bank in any case: what was bought, the authorisation, the
shipment, the delivery. Who says nothing has it submitted two days before it is due.

Example:
  kicau dispute answer 91aa… --text "Signed for at the door, see the carrier's record"`
}

func (c *disputeAnswer) Run(ctx context.Context, g *Global) error {
	return orderCommand(ctx, g, c.asking, c.Order, "shop", func(order.State) (order.Command, error) {
		return order.Answer{At: now(), Dispute: c.Dispute, Text: c.Text}, nil
	})
}

type disputeConcede struct {
	asking
	Order   string `arg:"" help:"UUID of the order."`
	Dispute string `help:"The processor's id of the dispute. Default: the one that is open." placeholder:"dp_…"`
}

func (disputeConcede) Help() string { return "Example:\n  kicau dispute concede 91aa…" }

func (c *disputeConcede) Run(ctx context.Context, g *Global) error {
	return orderCommand(ctx, g, c.asking, c.Order, "shop", func(order.State) (order.Command, error) {
		return order.Concede{At: now(), Dispute: c.Dispute}, nil
	})
}

type disputeList struct {
	All bool `help:"Those that are decided, too."`
}

func (disputeList) Help() string { return "Example:\n  kicau dispute list --output json" }

// disputeLine is a dispute and the order that it is about.
type disputeLine struct {
	Order    string         `json:"order"`
	Shop     string         `json:"shop"`
	Currency money.Currency `json:"currency"`
	orders.Dispute
}

func (c *disputeList) Run(ctx context.Context, g *Global) error {
	d, err := g.open(ctx, need{engine: true})
	if err != nil {
		return err
	}
	defer d.done(g)
	if err := d.caughtUp(ctx); err != nil {
		return err
	}
	none := true
	q := projections.Query{OrderBy: "placedAt", Limit: projections.MaxQueryLimit}
	for {
		rows, next, err := projections.Rows(ctx, d.store, orders.Projection, q)
		if err != nil {
			return err
		}
		for _, r := range rows {
			for _, x := range r.Disputes {
				if c.All || x.Open() {
					none = false
					if err := g.say(disputeLine{r.Order, r.Shop, r.Currency, x}, "%s", disputeText(r, x)); err != nil {
						return err
					}
				}
			}
		}
		if q.After = next; next == "" {
			break
		}
	}
	if none && !g.json() {
		fmt.Fprintln(g.stdout, "no disputes")
	}
	return nil
}

func disputeText(r orders.Row, x orders.Dispute) string {
	text := fmt.Sprintf("%s  order %s  %s  %s  %s", x.Dispute, r.Order, x.Status, money.Format(x.Amount, r.Currency), x.Reason)
	if x.EvidenceDue != "" && (x.Status == orders.Inquiry || x.Status == orders.Chargeback) {
		text += "  to be answered by " + x.EvidenceDue[:16]
	}
	return text
}
