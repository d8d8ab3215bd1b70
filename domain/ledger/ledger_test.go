package ledger_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/shop"
)

var (
	potter = uuid.UUID{0: 5}
	noon   = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

func of(goods, shipping, tax, fee money.Minor) order.Allocation {
	return order.Allocation{Goods: goods, Shipping: shipping, Tax: tax, Fee: fee}
}

// A purchase of 20.00 of goods, 3.00 to ship, 4.60 of tax, 2.00 of fee.
func captured(change func(*order.Captured)) order.Captured {
	c := order.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: order.Stripe, Currency: "GBP",
		Jurisdiction: "GB", Amount: 2760, Authorised: 2760, Allocation: of(2000, 300, 460, 200), ProcessorFee: 59, SettleAfter: noon}
	if change != nil {
		change(&c)
	}
	return c
}

func refunded(change func(*order.Refunded)) order.Refunded {
	r := order.Refunded{Refund: uuid.UUID{1}, Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB",
		Amount: 1380, Allocation: of(1000, 150, 230, 100), Taken: order.Taken{FromPayable: 1050}}
	if change != nil {
		change(&r)
	}
	return r
}

// posting is a row: what an event posts as a bookkeeper writes it, a line an
// account, debit to the left, credit to the right, "shop" where the sub-ledger
// of the shop is posted to.
type posting struct {
	name  string
	event event.Data
	want  string
}

// Sales, plain settlements and adjustments.
var plainPostings = []posting{
	{"authorised: a memo, no money", order.Authorised{Intent: "pi_1", Amount: 2760, Currency: "GBP"}, `
		GBP authorised
		9010 authorised                27.60
		9011 authorised_contra                  27.60`},
	{"given up", order.Voided{Intent: "pi_1", Released: 2760, Currency: "GBP", Cause: "requested"}, `
		GBP authorisation given up
		9010 authorised                         27.60
		9011 authorised_contra         27.60`},
	{"given up before anything was held", order.Voided{Intent: "pi_1", Currency: "GBP", Cause: "requested"}, ``},
	{"captured whole", captured(nil), `
		GBP captured
		1020 stripe_balance            27.01            shop
		5010 processor_fees             0.59            shop
		2010 shop_payable                       21.00   shop
		4010 platform_fee_revenue                2.00   shop
		2030 tax_payable                         4.60   shop
		9010 authorised                         27.60
		9011 authorised_contra         27.60`},
	{"captured in part: the whole authorisation is off the memo", captured(func(c *order.Captured) {
		c.Amount, c.Allocation, c.ProcessorFee = 1380, of(1000, 150, 230, 100), 40
	}), `
		GBP captured
		1020 stripe_balance            13.40            shop
		5010 processor_fees             0.40            shop
		2010 shop_payable                       10.50   shop
		4010 platform_fee_revenue                1.00   shop
		2030 tax_payable                         2.30   shop
		9010 authorised                         27.60
		9011 authorised_contra         27.60`},
	{"captured without fee and tax", captured(func(c *order.Captured) {
		c.Amount, c.Authorised, c.Allocation, c.ProcessorFee = 2300, 2300, of(2000, 300, 0, 0), 0
	}), `
		GBP captured
		1020 stripe_balance            23.00            shop
		2010 shop_payable                       23.00   shop
		9010 authorised                         23.00
		9011 authorised_contra         23.00`},
	{"captured outside", captured(func(c *order.Captured) { c.Processor, c.ProcessorFee = "market", 0 }), `
		GBP captured
		1030 outside_processors        27.60            shop
		2010 shop_payable                       21.00   shop
		4010 platform_fee_revenue                2.00   shop
		2030 tax_payable                         4.60   shop
		9010 authorised                         27.60
		9011 authorised_contra         27.60`},
	{"captured for less than the processor takes", captured(func(c *order.Captured) {
		c.Amount, c.Authorised, c.Allocation, c.ProcessorFee = 10, 10, of(10, 0, 0, 1), 30
	}), `
		GBP captured
		1020 stripe_balance                      0.20   shop
		5010 processor_fees             0.30            shop
		2010 shop_payable                        0.09   shop
		4010 platform_fee_revenue                0.01   shop
		9010 authorised                          0.10
		9011 authorised_contra          0.10`},
	{"refunded before the shop was settled with", refunded(nil), `
		GBP refunded
		2010 shop_payable              10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		1020 stripe_balance                     13.80   shop`},
	{"refunded after the shop was settled with", refunded(func(r *order.Refunded) { r.FromPayable, r.FromReceivable = 0, 1050 }), `
		GBP refunded
		1050 shop_receivable           10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		1020 stripe_balance                     13.80   shop`},
	{"refunded, part of it still owed", refunded(func(r *order.Refunded) { r.FromPayable, r.FromReceivable = 50, 1000 }), `
		GBP refunded
		2010 shop_payable               0.50            shop
		1050 shop_receivable           10.00            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		1020 stripe_balance                     13.80   shop`},
	{"refunded outside", refunded(func(r *order.Refunded) { r.Processor = "market" }), `
		GBP refunded
		2010 shop_payable              10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		1030 outside_processors                 13.80   shop`},
	{"settled", order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 2100, Payable: 2100}, `
		GBP settled with the shop
		2010 shop_payable              21.00            shop
		1020 stripe_balance                     21.00   shop`},
	{"settled less what the shop owed", order.Settled{Transfer: "tr_1", Shop: potter, Currency: "GBP", Amount: 2000, Payable: 2100, Netted: 100}, `
		GBP settled with the shop
		2010 shop_payable              21.00            shop
		1050 shop_receivable                     1.00   shop
		1020 stripe_balance                     20.00   shop`},
	{"adjusted in the shop's favour", shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: potter, Kind: "goodwill", Currency: "GBP", Amount: 500}, `
		GBP adjustment: goodwill
		5030 adjustments                5.00            shop
		2010 shop_payable                        5.00   shop`},
	{"adjusted in its disfavour", shop.Adjusted{Adjustment: uuid.UUID{9}, Shop: potter, Kind: "bank charge", Currency: "GBP", Amount: -500}, `
		GBP adjustment: bank charge
		5030 adjustments                         5.00   shop
		2010 shop_payable               5.00            shop`},
	{"no minor unit, no point", order.Settled{Transfer: "tr_1", Shop: potter, Currency: "JPY", Amount: 2100, Payable: 2100}, `
		JPY settled with the shop
		2010 shop_payable               2100            shop
		1020 stripe_balance                      2100   shop`},
	{"agreed: nothing yet", order.RefundAgreed{Refund: uuid.UUID{1}, Allocation: of(1000, 150, 230, 100)}, ``},
	{"refused: nothing", order.RefundFailed{Refund: uuid.UUID{1}}, ``},
	{"placed: nothing", order.Placed{Currency: "GBP", Allocation: of(2000, 300, 460, 200)}, ``},
	{"shipped: nothing", order.Shipped{Allocation: of(2000, 300, 460, 200)}, ``},
	{"asked: nothing", order.SettlementRequested{Amount: 2100, Payable: 2100}, ``},
	{"stock: nothing", offer.StockSold{Quantity: 2}, ``},
}

func TestPostings(t *testing.T) {
	posted := map[string]bool{}
	for _, c := range slices.Concat(plainPostings, disputePostings, platformPostings) {
		t.Run(c.name, func(t *testing.T) {
			entry, posts := ledger.Post(c.event)
			if want := lines(c.want); posts != (len(want) > 0) {
				t.Errorf("posts: %v", posts)
			} else if diff := cmp.Diff(want, written(entry, posts)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if posts && !slices.Contains(ledger.Handles, c.event.EventType()) {
				t.Errorf("%s posts but is not in Handles", c.event.EventType())
			}
			posted[c.event.EventType()] = posted[c.event.EventType()] || posts
		})
	}
	for _, name := range ledger.Handles {
		if !posted[name] {
			t.Errorf("%s is in Handles, and no row above has it post", name)
		}
	}
}

func lines(text string) (all []string) {
	for l := range strings.Lines(text) {
		if l = strings.TrimSpace(l); l != "" {
			all = append(all, l)
		}
	}
	return all
}

// written is an entry as the table above has it.
func written(e ledger.Entry, posts bool) []string {
	if !posts {
		return nil
	}
	all := []string{string(e.Currency) + " " + e.Text}
	for _, p := range e.Postings {
		debit, credit, sub := amount(p.Amount, e.Currency), "", ""
		if p.Amount < 0 {
			debit, credit = "", amount(-p.Amount, e.Currency)
		}
		if p.Shop == potter {
			sub = "shop"
		} else if p.Shop != uuid.Nil {
			sub = p.Shop.String()
		}
		all = append(all, strings.TrimSpace(fmt.Sprintf("%-27s%9s%9s   %s", p.Account, debit, credit, sub)))
	}
	return all
}

func amount(m money.Minor, c money.Currency) string {
	return strings.TrimSuffix(money.Format(m, c), " "+string(c))
}

func TestHandlesAreEventsOfTheLog(t *testing.T) {
	for _, name := range ledger.Handles {
		if !domain.Events.Knows(name) {
			t.Errorf("%s is in no stream", name)
		}
	}
}

func TestMemoAccounts(t *testing.T) {
	for a, memo := range map[ledger.Account]bool{
		ledger.StripeBalance: false, ledger.OutsideProcessors: false, ledger.ShopReceivable: false, ledger.ShopPayable: false,
		ledger.TaxPayable: false, ledger.PlatformFees: false, ledger.FeesRefunded: false, ledger.ProcessorFees: false,
		ledger.Adjustments: false, ledger.MemoAuthorised: true, ledger.MemoAuthorisedBack: true,
	} {
		if a.Memo() != memo {
			t.Errorf("%s is a memo account: %v", a, a.Memo())
		}
	}
}

// An event that no decider made must not get into the books.
func TestOutOfBalance(t *testing.T) {
	for name, e := range map[string]event.Data{
		"captured a penny more than its parts": captured(func(c *order.Captured) { c.Amount++ }),
		"refunded a penny less than its parts": refunded(func(r *order.Refunded) { r.Amount-- }),
		"the shop's part of a refund twice":    refunded(func(r *order.Refunded) { r.FromReceivable = r.FromPayable }),
		"settled more than was owed":           order.Settled{Shop: potter, Currency: "GBP", Amount: 2101, Payable: 2100},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "out of balance") {
					t.Errorf("recovered %v", r)
				}
			}()
			ledger.Post(e)
		})
	}
}
