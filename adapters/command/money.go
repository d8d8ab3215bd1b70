package command

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// Standing of an order's money after a command.
type Standing struct {
	Result
	// Open is the call to the processor that waits to be made, when IsOpen.
	Open   payment.Effect
	IsOpen bool
	// Needs is what the next Advance has to be told, and Shop whom it is about.
	Needs payment.Needs
	Shop  uuid.UUID
	// Debts that the order has left to its shop so far.
	Debts []order.DebtCarried
	// Waits: some of what was observed cannot be in the log yet.
	Waits bool
	stock []stockChange
}

// Money decides about the money of an order.
func (c *Commands) Money(ctx context.Context, by By, id uuid.UUID, cmd payment.Command) (st Standing, err error) {
	res, err := c.Orders.Handle(ctx, order.Stream(id), by.Meta(), func(s order.State) ([]event.Data, error) {
		events, err := c.decide.Money.Decide(s, cmd)
		if err == nil {
			after := order.After(s, events...)
			st = Standing{stock: stockOf(after, by.At), Shop: after.Placed.Shop, Needs: payment.NeedsOf(after, by.At, cmd.Asker()), Debts: after.Payment.Debts}
			st.Open, st.IsOpen = payment.Due(after)
			if o, seen := cmd.(payment.Observe); seen {
				st.Waits = payment.Waits(after, o.Seen)
			}
		}
		return events, err
	})
	if err != nil {
		return Standing{}, err
	}
	st.Result = res
	return st, nil
}

// Tell finds out what an order's money needs to go on: what the shop's stream
// says of its debts, and the order's history for a bank.
func (c *Commands) Tell(ctx context.Context, by By, id uuid.UUID, st Standing) (says *payment.ShopSays, e *order.Evidence, err error) {
	switch {
	case st.Needs.Owed:
		says, err = c.owedBy(ctx, st.Shop)
	case st.Needs.Net > 0:
		says, err = c.netDebt(ctx, by, id, st)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("debt of shop %s: %w", st.Shop, err)
	}
	if st.Needs.Evidence {
		if e, err = c.evidence(ctx, id); err != nil {
			return nil, nil, err
		}
	}
	return says, e, nil
}

func (c *Commands) owedBy(ctx context.Context, id uuid.UUID) (*payment.ShopSays, error) {
	says := &payment.ShopSays{}
	err := c.Shops.Look(ctx, shop.Stream(id), func(s shop.State) error {
		says.Owed = s.Owed
		return nil
	})
	return says, err
}

// netDebt has the shop's debt give up what this release pays of it. Asked again,
// the shop's stream gives the same answer: the release has a number.
func (c *Commands) netDebt(ctx context.Context, by By, id uuid.UUID, st Standing) (*payment.ShopSays, error) {
	says := &payment.ShopSays{Release: st.Needs.Number}
	_, err := c.Shops.Handle(ctx, shop.Stream(st.Shop), by.step("net").Meta(), func(s shop.State) ([]event.Data, error) {
		events, err := c.decide.Shop.Decide(s, shop.Net{Order: id, Release: st.Needs.Number, UpTo: st.Needs.Net})
		says.Debt = s.NettedFor(id, st.Needs.Number)
		for _, e := range events {
			says.Debt = e.(shop.DebtNetted).Amount
		}
		return events, err
	})
	return says, err
}

// SettleStockOf brings the stock in line with what became of the order, as
// [Commands.SettleStock] does, without looking at the order again.
func (c *Commands) SettleStockOf(ctx context.Context, by By, id uuid.UUID, st Standing) error {
	return c.settle(ctx, by, id, st.stock)
}

// CarryDebts tells the shop's stream what an order left. Said twice, it is
// written once.
func (c *Commands) CarryDebts(ctx context.Context, by By, id uuid.UUID, st Standing) error {
	for _, d := range st.Debts {
		cmd := shop.Carry{Order: id, Number: d.Number, Amount: d.Amount}
		if _, err := c.Shop(ctx, by.step(fmt.Sprintf("carry:%d", d.Number)), d.Shop, cmd); err != nil {
			return fmt.Errorf("debt of shop %s: %w", d.Shop, err)
		}
	}
	return nil
}

// evidence is the order's history as a bank is told it.
func (c *Commands) evidence(ctx context.Context, id uuid.UUID) (*order.Evidence, error) {
	var story []payment.Happened
	for rec, err := range c.Log.ReadStream(ctx, order.Stream(id), Forwards, 0, 0) {
		if err != nil {
			return nil, fmt.Errorf("history of order %s: %w", id, err)
		}
		e, err := c.events.Decode(rec)
		if err != nil {
			return nil, fmt.Errorf("history of order %s: %w", id, err)
		}
		story = append(story, payment.Happened{At: e.OccurredAt, Event: e.Body})
	}
	told := payment.Evidence(story)
	return &told, nil
}
