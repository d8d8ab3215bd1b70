package main

import (
	"context"

	"kicau/domain/order"
)

type payCmd struct {
	asking
	Order string `arg:"" help:"UUID of the order."`
	Card  string `required:"" help:"Token of another payment method, never a card number." placeholder:"pm_…"`
}

func (payCmd) Help() string {
	return `After a decline the stock stays set aside for a while, and another card may be tried.

Example:
  kicau pay 91aa… --card pm_card_mastercard`
}

func (c *payCmd) Run(ctx context.Context, g *Global) error {
	return orderCommand(ctx, g, c.asking, c.Order, "buyer", func(order.State) (order.Command, error) {
		return order.Pay{At: now(), PaymentMethod: c.Card}, nil
	})
}

type deliveredCmd struct {
	asking
	Order string `arg:"" help:"UUID of the order."`
	By    string `enum:"buyer,carrier" default:"buyer" help:"Who says so: buyer or carrier."`
}

func (deliveredCmd) Help() string {
	return `It is told to the bank if the payment is ever disputed.

Example:
  kicau delivered 91aa… --by carrier`
}

func (c *deliveredCmd) Run(ctx context.Context, g *Global) error {
	return orderCommand(ctx, g, c.asking, c.Order, c.By, func(order.State) (order.Command, error) {
		return order.Confirm{At: now(), By: c.By}, nil
	})
}
