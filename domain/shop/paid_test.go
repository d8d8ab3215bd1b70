package shop_test

import (
	"testing"

	"github.com/google/uuid"

	"kicau/domain/decider"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/shop"
)

// A shop without an account is paid from the platform's bank, and one with an account
// its share of sales that others took the money for; that is recorded once.
func TestPaidOutside(t *testing.T) {
	payment, payee := uuid.UUID{0: 0x41}, uuid.UUID{0: 0x05}
	record := func(f func(*shop.RecordPayment)) shop.RecordPayment {
		c := shop.RecordPayment{At: noon, Shop: payee, Payment: payment, Amount: 12000, Reference: "SEPA 4711"}
		if f != nil {
			f(&c)
		}
		return c
	}
	paid := shop.PaidOutside{Payment: payment, Shop: payee, Currency: "GBP", Amount: 12000, Reference: "SEPA 4711"}
	back := paid
	back.Payment, back.Amount = uuid.UUID{0: 0x42}, -12000
	outside := []event.Data{terms(func(o *shop.Onboarded) { o.Account = "" })}
	tell(t, outside, []story{
		{"paid", record(nil), paid, nil},
		{"what was never paid came back", record(func(c *shop.RecordPayment) { c.Payment, c.Amount = back.Payment, -12000 }), nil, shop.ErrNeverPaid},
		{"nothing", record(func(c *shop.RecordPayment) { c.Amount = 0 }), nil, shop.ErrZeroPayment},
		{"more than there is", record(func(c *shop.RecordPayment) { c.Amount = money.Max + 1 }), nil, money.ErrOverflow},
	})
	tell(t, append(outside, paid), []story{
		{"recorded again", record(nil), nil, nil},
		{"the bank sent it back", record(func(c *shop.RecordPayment) { c.Payment, c.Amount = back.Payment, -12000 }), back, nil},
		{"and more of it", record(func(c *shop.RecordPayment) { c.Payment, c.Amount = back.Payment, -12001 }), nil, shop.ErrNeverPaid},
		{"with another reference", record(func(c *shop.RecordPayment) { c.Reference = "SEPA 4712" }), nil, shop.ErrPaymentDiffers},
	})
	tell(t, []event.Data{terms(func(o *shop.Onboarded) { o.Account = "acct_shop" })}, []story{
		{"a shop whose money is transferred", record(nil), nil, shop.ErrPaidByTransfer},
		{"its share of sales that others took the money for", record(func(c *shop.RecordPayment) { c.OutsideSales = true }), paid, nil},
	})
	tell(t, nil, []story{{"of nobody", record(nil), nil, shop.ErrNotOnboarded}})

	if s := decider.Fold(shop.Decider, append(outside, paid)...); s.Owed != 0 {
		t.Errorf("the shop owes %d for having been paid", s.Owed)
	}
}
