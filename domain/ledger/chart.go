package ledger

import "kicau/domain/order"

// Account of the chart.
type Account string

// The chart of accounts. Memo accounts say what is authorised; they are kept in
// balance apart and stand outside the trial balance.
const (
	Bank               Account = "1010 bank"                 // asset: what payouts brought to the bank, less what shops were paid from it
	StripeBalance      Account = "1020 stripe_balance"       // asset: ours at Stripe, not yet available
	StripeAvailable    Account = "1021 stripe_available"     // asset: ours at Stripe, to be paid out
	OutsideProcessors  Account = "1030 outside_processors"   // asset: taken for us by others
	PayoutInTransit    Account = "1035 payout_in_transit"    // asset: on the way to the bank
	DisputedFunds      Account = "1040 disputed_funds"       // asset: with the buyers' banks until a dispute is decided
	ShopReceivable     Account = "1050 shop_receivable"      // asset: shops owe us, after refunds and disputes of settled orders
	ShopPayable        Account = "2010 shop_payable"         // liability: we owe shops, on hold
	ShopAvailable      Account = "2011 shop_available"       // liability: we owe shops, to be transferred
	ShopReserve        Account = "2012 shop_reserve"         // liability: we owe shops, kept for longer
	ShopDisputed       Account = "2013 shop_dispute_hold"    // liability: we owe shops if a dispute is won
	RefundsPending     Account = "2020 refunds_pending"      // liability: accepted by Stripe, not paid yet
	TaxPayable         Account = "2030 tax_payable"          // liability: kept for the tax office
	DeferredRevenue    Account = "2040 deferred_revenue"     // liability: captured, not earned
	PlatformFees       Account = "4010 platform_fee_revenue" // revenue: our fees, as agent
	Sales              Account = "4020 sales_revenue"        // revenue: the price of the goods, as principal
	FeesRefunded       Account = "4090 fee_revenue_refunds"  // contra revenue: fees given up with refunds and lost disputes
	SalesRefunded      Account = "4091 sales_refunds"        // contra revenue: sales given up with them, as principal
	ProcessorFees      Account = "5010 processor_fees"       // expense: what Stripe takes of each payment, and fees of its own
	DisputeFees        Account = "5020 dispute_fees"         // expense: what a dispute and its answer cost
	Adjustments        Account = "5030 adjustments"          // expense or income: adjusting shops, what disputes take beyond a sale, debts given up
	SupplyCost         Account = "5060 cost_of_shop_supply"  // expense: the shops' share, as principal
	MemoAuthorised     Account = "9010 authorised"           // memo: held on cards, not taken
	MemoAuthorisedBack Account = "9011 authorised_contra"    // memo: its other side
)

// Chart is every account, in order.
var Chart = []Account{
	Bank, StripeBalance, StripeAvailable, OutsideProcessors, PayoutInTransit, DisputedFunds, ShopReceivable,
	ShopPayable, ShopAvailable, ShopReserve, ShopDisputed, RefundsPending, TaxPayable, DeferredRevenue,
	PlatformFees, Sales, FeesRefunded, SalesRefunded, ProcessorFees, DisputeFees, Adjustments, SupplyCost,
	MemoAuthorised, MemoAuthorisedBack,
}

// Owed are the accounts whose balances together are what we owe a shop (credits)
// or it owes us (debits).
var Owed = []Account{ShopReceivable, ShopPayable, ShopAvailable, ShopReserve, ShopDisputed}

// AtStripe are the accounts that together are Stripe's balance of ours.
var AtStripe = []Account{StripeBalance, StripeAvailable}

// Memo tells whether a stands outside the trial balance.
func (a Account) Memo() bool { return a == MemoAuthorised || a == MemoAuthorisedBack }

func processorAccount(processor string) Account {
	if processor == order.Stripe {
		return StripeBalance
	}
	return OutsideProcessors
}
