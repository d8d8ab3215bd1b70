package ledger_test

import (
	"github.com/google/uuid"

	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// A dispute about half of the purchase: 10.00 of goods, 1.50 to ship, 2.30 of
// tax, so 10.50 for the shop; 0.20 that nobody had earned, and 1.00 more than
// was paid at all.
var half = of(1000, 150, 230, 100)

func withdrawn(t order.Taken, principal bool) order.DisputeWithdrawn {
	return order.DisputeWithdrawn{Dispute: "dp_1", Transaction: "txn_6", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: principal,
		Amount: 1500, DisputeFee: 1500, Allocation: half, Unearned: 20, Excess: 100, Taken: t}
}

func reinstated(change func(*order.DisputeReinstated)) order.DisputeReinstated {
	r := order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_8", Shop: potter, Currency: "GBP", Jurisdiction: "GB",
		Amount: 1500, Allocation: half, Unearned: 20, Excess: 100, Restored: order.Restored{ToPayable: 1050}}
	change(&r)
	return r
}

func reallocated(lost bool) order.DisputeReallocated {
	return order.DisputeReallocated{Dispute: "dp_1", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Allocation: half, Unearned: 20,
		Taken: order.Taken{FromPayable: 500, FromReceivable: 550}, WasLost: lost}
}

func closed(result order.DisputeResult, principal bool) order.DisputeClosed {
	return order.DisputeClosed{Dispute: "dp_1", Result: result, Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: principal,
		Amount: 1500, Allocation: half, Unearned: 20, Excess: 100}
}

// What banks take back, and what becomes of it; refunds with parts that were
// never earned.
var disputePostings = []posting{
	{"refunded with what was not earned", refunded(func(r *order.Refunded) { r.Amount, r.Unearned = 1400, 20 }), `
		GBP refunded
		2010 shop_payable              10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		1020 stripe_balance                     14.00   shop`},
	{"nothing earned, all of it refunded", order.Refunded{Shop: potter, Processor: order.Stripe, Currency: "GBP", Amount: 2760, Unearned: 2760}, `
		GBP refunded
		2040 deferred_revenue          27.60            shop
		1020 stripe_balance                     27.60   shop`},
	{"refunded out of three pockets", refunded(func(r *order.Refunded) {
		r.Taken = order.Taken{FromPayable: 500, FromReserve: 300, FromReceivable: 250}
	}), `
		GBP refunded
		2010 shop_payable               5.00            shop
		2012 shop_reserve               3.00            shop
		1050 shop_receivable            2.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		1020 stripe_balance                     13.80   shop`},
	{"captured, shipped in part: the rest is the buyer's", captured(func(c *order.Captured) { c.Allocation, c.Unearned = half, 1380 }), `
		GBP captured
		1020 stripe_balance            27.01            shop
		5010 processor_fees             0.59            shop
		2010 shop_payable                       10.50   shop
		4010 platform_fee_revenue                1.00   shop
		2030 tax_payable                         2.30   shop
		2040 deferred_revenue                   13.80   shop
		9010 authorised                         27.60
		9011 authorised_contra         27.60`},
	{"earned", order.Earned{Shop: potter, Processor: order.Stripe, Currency: "GBP", Jurisdiction: "GB", Allocation: half}, `
		GBP earned
		2040 deferred_revenue          13.80            shop
		2010 shop_payable                       10.50   shop
		4010 platform_fee_revenue                1.00   shop
		2030 tax_payable                         2.30   shop`},
	{"accepted, and later refused by the buyer's bank", order.RefundReturned{Shop: potter, Processor: order.Stripe, Currency: "GBP", Amount: 1400, Allocation: half,
		Unearned: 20, Restored: order.Restored{ToReceivable: 1050}, WasPending: true}, `
		GBP refund came back
		2020 refunds_pending           14.00            shop
		1050 shop_receivable                    10.50   shop
		4090 fee_revenue_refunds                 1.00   shop
		2030 tax_payable                         2.30   shop
		2040 deferred_revenue                    0.20   shop`},
	{"accepted", order.RefundPending{Shop: potter, Currency: "GBP", Amount: 1400, Allocation: half, Unearned: 20, Taken: order.Taken{FromReceivable: 1050}}, `
		GBP refund accepted
		1050 shop_receivable           10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		2020 refunds_pending                    14.00   shop`},

	{"an inquiry: nothing", order.DisputeOpened{Dispute: "dp_1", Charge: "ch_1", Currency: "GBP", Amount: 1500, Inquiry: true}, ``},
	{"disputed, taken from what is still owed", withdrawn(order.Taken{FromPayable: 1050}, false), `
		GBP dispute opened
		1040 disputed_funds            15.00            shop
		5020 dispute_fees              15.00            shop
		1020 stripe_balance                     30.00   shop
		2010 shop_payable              10.50            shop
		2013 shop_dispute_hold                  10.50   shop`},
	{"disputed as principal: the same", withdrawn(order.Taken{FromReserve: 1050}, true), `
		GBP dispute opened
		1040 disputed_funds            15.00            shop
		5020 dispute_fees              15.00            shop
		1020 stripe_balance                     30.00   shop
		2012 shop_reserve              10.50            shop
		2013 shop_dispute_hold                  10.50   shop`},
	{"answered for a fee", order.DisputeCharged{Dispute: "dp_1", Transaction: "txn_7", Shop: potter, Currency: "GBP", Fee: 1500}, `
		GBP fee for answering a dispute
		5020 dispute_fees              15.00            shop
		1020 stripe_balance                     15.00   shop`},
	{"more of it stands for the sale after all", reallocated(false), `
		GBP disputed after all
		2010 shop_payable               5.00            shop
		1050 shop_receivable            5.50            shop
		2013 shop_dispute_hold                  10.50   shop`},
	{"and when it is lost by then", reallocated(true), `
		GBP lost to a dispute after all
		2010 shop_payable               5.00            shop
		1050 shop_receivable            5.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		5030 adjustments                        14.00   shop`},
	{"won", reinstated(func(*order.DisputeReinstated) {}), `
		GBP dispute won
		1020 stripe_balance            15.00            shop
		2010 shop_payable                       10.50   shop
		2013 shop_dispute_hold         10.50            shop
		1040 disputed_funds                     15.00   shop`},
	{"won by a shop that owes, where the fee comes back too", reinstated(func(r *order.DisputeReinstated) {
		r.DisputeFee, r.Restored = 1500, order.Restored{ToReceivable: 50, ToPayable: 1000}
	}), `
		GBP dispute won
		1020 stripe_balance            30.00            shop
		5020 dispute_fees                       15.00   shop
		1050 shop_receivable                     0.50   shop
		2010 shop_payable                       10.00   shop
		2013 shop_dispute_hold         10.50            shop
		1040 disputed_funds                     15.00   shop`},
	{"the end of a won one: nothing more", order.DisputeClosed{Dispute: "dp_1", Result: order.Won, Shop: potter, Currency: "GBP"}, ``},
	{"the end of one won in part: the rest is given up", closed(order.Won, false), `
		GBP dispute won in part
		2013 shop_dispute_hold         10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		5030 adjustments                1.00            shop
		1040 disputed_funds                     15.00   shop`},
	{"an inquiry that came to nothing", order.DisputeClosed{Dispute: "dp_1", Result: order.Withdrawn, Shop: potter, Currency: "GBP"}, ``},
	{"an inquiry that was lost without money", order.DisputeClosed{Dispute: "dp_1", Result: order.Lost, Shop: potter, Currency: "GBP"}, ``},
	{"lost", closed(order.Lost, false), `
		GBP dispute lost
		2013 shop_dispute_hold         10.50            shop
		4090 fee_revenue_refunds        1.00            shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		5030 adjustments                1.00            shop
		1040 disputed_funds                     15.00   shop`},
	{"lost as principal", closed(order.Lost, true), `
		GBP dispute lost
		2013 shop_dispute_hold         10.50            shop
		4091 sales_refunds             11.50            shop
		5060 cost_of_shop_supply                10.50   shop
		2030 tax_payable                2.30            shop
		2040 deferred_revenue           0.20            shop
		5030 adjustments                1.00            shop
		1040 disputed_funds                     15.00   shop`},
	{"lost, and won after all", reinstated(func(r *order.DisputeReinstated) { r.WasLost = true }), `
		GBP lost dispute won after all
		1020 stripe_balance            15.00            shop
		2010 shop_payable                       10.50   shop
		4090 fee_revenue_refunds                 1.00   shop
		2030 tax_payable                         2.30   shop
		2040 deferred_revenue                    0.20   shop
		5030 adjustments                         1.00   shop`},
}

// What shops owe and are paid, and the platform's own money.
var platformPostings = []posting{
	{"released, netted and reserved", order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Netted: 300, Debt: 200, Reserved: 180}, `
		GBP released after the hold
		2010 shop_payable              21.00            shop
		1050 shop_receivable                     3.00   shop
		2012 shop_reserve                        1.80   shop
		2011 shop_available                     16.20   shop`},
	{"released, all of it netted", order.Released{Shop: potter, Currency: "GBP", Payable: 2100, Netted: 2100}, `
		GBP released after the hold
		2010 shop_payable              21.00            shop
		1050 shop_receivable                    21.00   shop`},
	{"the reserve's time is over", order.ReserveReleased{Shop: potter, Currency: "GBP", Amount: 180}, `
		GBP reserve released
		2012 shop_reserve               1.80            shop
		2011 shop_available                      1.80   shop`},
	{"taken back from a transfer", order.Reversed{Transfer: "tr_1", Reversal: "trr_1", Shop: potter, Currency: "GBP", Amount: 1050}, `
		GBP transfer reversed
		1020 stripe_balance            10.50            shop
		1050 shop_receivable                    10.50   shop`},
	{"carried to the shop: it owes as before", order.DebtCarried{Number: 1, Shop: potter, Currency: "GBP", Amount: 1050}, ``},
	{"carried, on the shop's side: nothing", shop.DebtCarried{Order: uuid.UUID{1}, Number: 1, Amount: 1050}, ``},
	{"netted, on the shop's side: the release posts it", shop.DebtNetted{Order: uuid.UUID{2}, Release: 1, Amount: 200}, ``},
	{"paid outside", shop.PaidOutside{Payment: uuid.UUID{3}, Shop: potter, Currency: "GBP", Amount: 850, Reference: "SEPA 4711"}, `
		GBP paid to the shop's bank
		2010 shop_payable               8.50            shop
		1010 bank                                8.50   shop`},
	{"written off", shop.DebtWrittenOff{WriteOff: uuid.UUID{3}, Shop: potter, Currency: "GBP", Amount: 850, Reason: "closed down"}, `
		GBP debt written off
		5030 adjustments                8.50            shop
		1050 shop_receivable                     8.50   shop`},

	{"became available", reconcile.BecameAvailable{Currency: "GBP", Amount: 2701}, `
		GBP became available
		1021 stripe_available          27.01
		1020 stripe_balance                     27.01`},
	{"what became available was owed to the processor", reconcile.BecameAvailable{Currency: "GBP", Amount: -1380}, `
		GBP became available
		1021 stripe_available                   13.80
		1020 stripe_balance            13.80`},
	{"charged by the processor for something of its own", reconcile.Charged{Transaction: "txn_11", Currency: "GBP", Amount: 200, Text: "Radar"}, `
		GBP charged by the processor
		5010 processor_fees             2.00
		1020 stripe_balance                      2.00`},
	{"paid out", payout.Sent{Payout: "po_1", Account: "acct", Currency: "GBP", Amount: 100000}, `
		GBP paid out
		1035 payout_in_transit       1000.00
		1021 stripe_available                 1000.00`},
	{"arrived", payout.Paid{Payout: "po_1", Currency: "GBP", Amount: 100000}, `
		GBP arrived at the bank
		1010 bank                    1000.00
		1035 payout_in_transit                1000.00`},
	{"failed on the way", payout.Failed{Payout: "po_1", Currency: "GBP", Amount: 100000, Code: "account_closed"}, `
		GBP payout came back
		1021 stripe_available        1000.00
		1035 payout_in_transit                1000.00`},
	{"sent back after it had arrived", payout.Failed{Payout: "po_1", Currency: "GBP", Amount: 100000, Code: "account_closed", WasPaid: true}, `
		GBP payout came back
		1021 stripe_available        1000.00
		1010 bank                             1000.00`},
	{"a shop's own payout: its books, not ours", payout.Sent{Payout: "po_2", Account: "acct_shop", Shop: potter, Currency: "GBP", Amount: 2100}, ``},
	{"and its arrival", payout.Paid{Payout: "po_2", Shop: potter, Currency: "GBP", Amount: 2100}, ``},
	{"and its return", payout.Failed{Payout: "po_2", Shop: potter, Currency: "GBP", Amount: 2100}, ``},
}
