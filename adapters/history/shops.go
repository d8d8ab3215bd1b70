package history

import (
	"context"

	"github.com/google/uuid"

	"kicau/domain/money"
	"kicau/domain/shop"
)

func (im *Importer) onboardShop(l Line) (Item, error) {
	c, err := money.ParseCurrency(l.Currency)
	if err != nil {
		return Item{}, err
	}
	terms := shop.Onboarded{Name: l.Name, Handle: l.Handle, Currency: c, HoldHours: l.HoldHours, Taxes: l.Taxes}
	terms.Fees.BasisPoints = l.FeeBasisPoints
	if l.FeeFixed != "" {
		if terms.Fees.Fixed, err = amountIn(c, "feeFixed", l.FeeFixed); err != nil {
			return Item{}, err
		}
	}
	if l.Shipping != nil {
		if terms.Shipping, err = amountIn(c, "shipping", *l.Shipping); err != nil {
			return Item{}, err
		}
	}
	return im.shopItem(l, "", func(context.Context, uuid.UUID) (shop.Command, error) {
		return shop.Onboard{At: l.At, Terms: terms}, nil
	})
}

// shopItem is a command to a shop. What is asked of a shop adds up in any order,
// once there is a shop.
func (im *Importer) shopItem(l Line, name string, cmd func(context.Context, uuid.UUID) (shop.Command, error)) (Item, error) {
	if err := named("shop", l.Shop); err != nil {
		return Item{}, err
	}
	shopID := id("shop", l.Shop)
	a := im.ask(l, shopID.String()+name)
	return Item{Writes: []string{shop.Stream(shopID)}, Run: im.runs(func(ctx context.Context) error {
		if err := im.exists(ctx, a, shop.Stream(shopID), shop.ErrNotOnboarded.About("shop %s", shopID)); err != nil {
			return err
		}
		c, err := cmd(ctx, shopID)
		if err != nil {
			return err
		}
		_, err = im.commands.Shop(ctx, a.By, shopID, c)
		return err
	})}, nil
}

func (im *Importer) changeFees(l Line) (Item, error) {
	from := l.At
	if l.ValidFrom != nil {
		from = l.ValidFrom.UTC()
	}
	item, err := im.shopItem(l, from.String(), func(ctx context.Context, shopID uuid.UUID) (shop.Command, error) {
		fees := shop.Fees{ValidFrom: from, BasisPoints: l.FeeBasisPoints}
		var err error
		if l.FeeFixed != "" {
			fees.Fixed, err = im.amount(ctx, shopID, "feeFixed", l.FeeFixed)
		}
		return shop.ChangeFees{At: l.At, Fees: fees}, err
	})
	// Orders take their fee from the shop, and a line does not say which shop an
	// order is of.
	item.Alone = true
	return item, err
}

func (im *Importer) adjustShop(l Line) (Item, error) {
	if err := named("adjustment", l.Adjustment); err != nil {
		return Item{}, err
	}
	return im.shopItem(l, l.Adjustment, func(ctx context.Context, shopID uuid.UUID) (shop.Command, error) {
		amount, err := im.amount(ctx, shopID, "amount", l.Amount)
		return shop.Adjust{At: l.At, Shop: shopID, Adjustment: id("adjustment", l.Adjustment), Kind: l.Kind, Amount: amount, Reason: l.Reason}, err
	})
}
