package order

import (
	"kicau/domain/money"
)

// allocate works out what each line is made of. Shipping and fee are shared out
// over the lines by their goods, tax by goods and shipping; every split is by
// largest remainder, so the lines add up to the order.
func allocate(c Place) ([]Line, Allocation, error) {
	lines := make([]Line, len(c.Lines))
	goods := make([]money.Minor, len(c.Lines))
	var err error
	for i, ask := range c.Lines {
		price := ask.Price
		if ask.Agreed != nil {
			price = *ask.Agreed
		}
		if goods[i], err = money.Times(price, ask.Quantity); err != nil {
			return nil, Allocation{}, err
		}
		if goods[i]%stepOf(c.Terms.Currency, c.Processor) != 0 {
			return nil, Allocation{}, ErrTooFine.About("the price of %q", ask.Title)
		}
		lines[i] = Line{No: i + 1, Offer: ask.Offer, Title: ask.Title, Quantity: ask.Quantity, UnitPrice: price}
		lines[i].Goods = goods[i]
	}
	whole, err := wholeOrder(c, goods)
	if err != nil {
		return nil, Allocation{}, err
	}
	step := stepOf(c.Terms.Currency, c.Processor)
	shipping := money.Split(whole.Shipping, goods, step)
	fee := money.Split(whole.Fee, goods, step)
	taxable := make([]money.Minor, len(goods))
	for i := range goods {
		taxable[i] = goods[i] + shipping[i]
	}
	tax := money.Split(whole.Tax, taxable, step)
	for i := range lines {
		lines[i].Shipping, lines[i].Tax, lines[i].Fee = shipping[i], tax[i], fee[i]
	}
	return lines, whole, nil
}

func wholeOrder(c Place, goods []money.Minor) (Allocation, error) {
	var a Allocation
	var err error
	step := stepOf(c.Terms.Currency, c.Processor)
	if a.Goods, err = money.Sum(goods...); err != nil {
		return a, err
	}
	a.Shipping = c.Terms.Shipping
	if c.Shipping != nil {
		a.Shipping = *c.Shipping
	}
	if a.Shipping < 0 {
		return a, ErrPrice.In("shipping").About("the shipping price")
	}
	taxable, err := money.Sum(a.Goods, a.Shipping)
	if err != nil {
		return a, err
	}
	if a.Tax, err = money.Share(taxable, c.Terms.TaxBasisPoints, step); err != nil {
		return a, err
	}
	share, err := money.Share(a.Goods, c.Terms.FeeBasisPoints, step)
	if err != nil {
		return a, err
	}
	if a.Fee, err = money.Sum(share, c.Terms.FeeFixed); err != nil {
		return a, err
	}
	a.Fee = max(a.Fee, c.Terms.FeeMinimum)
	if c.Terms.FeeCap > 0 {
		a.Fee = min(a.Fee, c.Terms.FeeCap)
	}
	// A fixed fee never eats more than the goods are worth: the shop would owe
	// money for having sold.
	a.Fee = min(a.Fee, a.Goods)
	a.Fee -= a.Fee % step
	if (a.Goods+a.Shipping)%step != 0 {
		return a, ErrTooFine.In("shipping").About("the shipping price")
	}
	_, err = money.Sum(taxable, a.Tax)
	return a, err
}

// Of is the allocation of some units of a line: those after the first skip, in
// whole steps (see [Placed.Step]).
func (l Line) Of(skip, units int64, step money.Minor) Allocation {
	return l.upTo(skip+units, l.Quantity, step).Minus(l.upTo(skip, l.Quantity, step))
}
