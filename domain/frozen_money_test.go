package domain_test

import (
	"maps"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// The examples of what money does, and the newer versions of those in frozen.
func init() {
	taken := order.Taken{FromPayable: 2000, FromReserve: 500, FromReceivable: 513}
	restored := order.Restored{ToReceivable: 513, ToPayable: 2500}
	evidence := order.Evidence{Product: "3 × Mug", Carrier: "post", Tracking: "RM1", ShippedOn: "2026-11-24",
		History: "2026-11-23 12:00 UTC: the order was placed for 39.60 GBP\n", Text: "signed for"}
	fees := shop.Fees{ValidFrom: later, BasisPoints: 800, Fixed: 10, Minimum: 20, Cap: 5000}
	maps.Copy(frozen, map[string]event.Data{
		"ShopOnboarded.v2": shop.Onboarded{Name: "Potter & Söhne", Handle: "@potter", Currency: "GBP", Account: "acct_shop", Platform: "acct", HoldHours: 72, Shipping: 350,
			Taxes: []shop.Tax{{Jurisdiction: "GB", BasisPoints: 2000}}, Fees: fees},
		"ShopFeesChanged.v2": shop.FeesChanged{Fees: fees},
		"ShopSettlementChanged.v1": shop.SettlementChanged{Settlement: shop.Settlement{ValidFrom: later, HoldHours: 96, ReserveBasisPoints: 1000, ReserveDays: 30,
			Principal: true}},
		"ShopDebtCarried.v1":    shop.DebtCarried{Order: first, Number: 1, Amount: 513},
		"ShopDebtNetted.v1":     shop.DebtNetted{Order: mugs, Release: 1, Amount: 500},
		"ShopPaidOutside.v1":    shop.PaidOutside{Payment: refund, Shop: potter, Currency: "GBP", Amount: 12000, Reference: "SEPA 4711"},
		"ShopDebtWrittenOff.v1": shop.DebtWrittenOff{WriteOff: refund, Shop: potter, Currency: "GBP", Amount: 13, Reason: "not worth a letter"},

		"OrderPlaced.v2": order.Placed{Order: first, Shop: potter, Buyer: ann, Currency: "GBP",
			Lines:          []order.Line{{No: 1, Offer: mugs, Title: "Mug", Quantity: 3, UnitPrice: 1000, Allocation: made}},
			Allocation:     made,
			FeeBasisPoints: 900, FeeFixed: 17, FeeMinimum: 20, FeeCap: 5000, TaxBasisPoints: 2000, Jurisdiction: "GB",
			HoldHours: 72, ReserveBasisPoints: 1000, ReserveDays: 30, Principal: true, Destination: "acct_shop", Platform: "acct",
			Processor: "stripe", PaymentMethod: "pm_1", KeepCard: true, Held: []uuid.UUID{mugs}, StockHeldUntil: later, Contact: sealed, Reference: "A-17"},
		"OrderPaymentMethodGiven.v1": order.MethodGiven{PaymentMethod: "pm_2"},
		"OrderDelivered.v1":          order.Delivered{By: order.ByBuyer},
		"OrderRefundAgreed.v2": order.RefundAgreed{Refund: refund, Units: []order.Units{{Line: 1, Quantity: 1}}, Allocation: made, Unearned: 5,
			Rest: true, Reason: "broken"},

		"PaymentAuthorisationRequested.v2": order.AuthorisationRequested{Key: "v1:o:authorise:1", Account: "acct", Amount: 3960, PaymentMethod: "pm_1", At: noon,
			Intent: "pi_1", KeepCard: true, Customer: "cus_1"},
		"PaymentAuthorised.v2": order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 3960, Currency: "GBP", ExpiresAt: &later,
			Brand: "visa", Last4: "4242", Reference: "A-17", Customer: "cus_1", PaymentMethod: "pm_1"},
		"PaymentAuthorised.v3": order.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 3960, Currency: "GBP", ExpiresAt: &later, EndAssumed: true,
			Brand: "visa", Last4: "4242", Reference: "A-17", Customer: "cus_1", PaymentMethod: "pm_1"},
		"PaymentAuthorisationExpiring.v1": order.Expiring{Intent: "pi_1", ExpiresAt: later},
		"PaymentDeclined.v2":              order.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds", Next: order.OtherCard},
		"PaymentCaptured.v2": order.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Shop: potter, Processor: "stripe", Currency: "GBP",
			Jurisdiction: "GB", Principal: true, Amount: 3965, Authorised: 3966, Allocation: made, Unearned: 5, ProcessorFee: 75, SettleAfter: later},
		"PaymentEarned.v1": order.Earned{Shop: potter, Processor: "stripe", Currency: "GBP", Jurisdiction: "GB", Principal: true, Allocation: made, SettleAfter: later},
		"PaymentRefunded.v2": order.Refunded{Refund: refund, RefundID: "re_1", Transaction: "txn_2", Shop: potter, Processor: "stripe", Currency: "GBP",
			Jurisdiction: "GB", Principal: true, Amount: 3965, Allocation: made, Unearned: 5, Taken: taken, WasPending: true},
		"PaymentRefundPending.v1": order.RefundPending{Refund: refund, RefundID: "re_1", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: true,
			Amount: 3965, Allocation: made, Unearned: 5, Taken: taken},
		"PaymentRefundReturned.v1": order.RefundReturned{Refund: refund, RefundID: "re_1", Transaction: "txn_3", Code: "lost_or_stolen_card", Shop: potter,
			Processor: "stripe", Currency: "GBP", Jurisdiction: "GB", Principal: true, Amount: 3965, Allocation: made, Unearned: 5, Restored: restored, WasPending: true},
		"PaymentRefundReturned.v2": order.RefundReturned{Refund: refund, RefundID: "re_1", Transaction: "txn_3", Code: "lost_or_stolen_card", Shop: potter,
			Processor: "stripe", Currency: "GBP", Jurisdiction: "GB", Principal: true, Amount: 3965, Allocation: made, Unearned: 5, Restored: restored, WasPending: true,
			RetryAt: &later},
		"PaymentRefundFailed.v2": order.RefundFailed{Refund: refund, Code: "expired_or_canceled_card", Reason: "the card is gone", Unearned: 5, RetryAt: &later},
		"PaymentFraudWarned.v1":  order.FraudWarned{Warning: "issfr_1", Charge: "ch_1", Kind: "made_with_stolen_card", Actionable: true},

		"SettlementNettingRequested.v1": order.NettingRequested{Number: 2, UpTo: 2100},
		"SettlementReleased.v1":         order.Released{Shop: potter, Currency: "GBP", Payable: 3013, Netted: 513, Debt: 500, Reserved: 250, ReserveUntil: &later},
		"SettlementReserveReleased.v1":  order.ReserveReleased{Shop: potter, Currency: "GBP", Amount: 250},
		"SettlementRequested.v2": order.SettlementRequested{Key: "v1:o:settle:3", Destination: "acct_shop", Charge: "ch_1", Amount: 2237, Payable: 1, Available: 2249,
			Netted: 13, At: later},
		"SettlementPaid.v2":              order.Settled{Transfer: "tr_1", Transaction: "txn_4", Shop: potter, Currency: "GBP", Amount: 2237, Payable: 1, Available: 2249, Netted: 13},
		"SettlementReversalRequested.v1": order.ReversalRequested{Key: "v1:o:reverse:4", Transfer: "tr_1", Amount: 513, At: later},
		"SettlementReversed.v1":          order.Reversed{Transfer: "tr_1", Reversal: "trr_1", Transaction: "txn_5", Shop: potter, Currency: "GBP", Amount: 513},
		"SettlementDebtCarried.v1": order.DebtCarried{Number: 1, Shop: potter, Currency: "GBP", Amount: 513, Code: "balance_insufficient",
			Reason: "the account has not as much"},

		"DisputeOpened.v1":    order.DisputeOpened{Dispute: "dp_1", Charge: "ch_1", Currency: "GBP", Amount: 3970, Reason: "fraudulent", Inquiry: true, EvidenceDue: &later},
		"DisputeEscalated.v1": order.DisputeEscalated{Dispute: "dp_1", EvidenceDue: &later},
		"DisputeFundsWithdrawn.v1": order.DisputeWithdrawn{Dispute: "dp_1", Transaction: "txn_6", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: true,
			Amount: 3970, DisputeFee: 1500, Allocation: made, Unearned: 5, Excess: 5, Taken: taken},
		"DisputeReallocated.v1": order.DisputeReallocated{Dispute: "dp_1", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: true,
			Allocation: made, Unearned: 5, Taken: taken, WasLost: true},
		"DisputeAnswered.v1":         order.DisputeAnswered{Dispute: "dp_1", Text: "signed for"},
		"DisputeContestRequested.v1": order.ContestRequested{Key: "v1:o:contest:5", Dispute: "dp_1", Evidence: evidence, At: later},
		"DisputeContested.v1":        order.Contested{Dispute: "dp_1"},
		"DisputeContestFailed.v1":    order.ContestFailed{Dispute: "dp_1", Code: "too_late", Reason: "the evidence was due before"},
		"DisputeConceded.v1":         order.DisputeConceded{Dispute: "dp_1"},
		"DisputeAcceptRequested.v1":  order.AcceptRequested{Key: "v1:o:accept:5", Dispute: "dp_1", At: later},
		"DisputeFeeCharged.v1":       order.DisputeCharged{Dispute: "dp_1", Transaction: "txn_7", Shop: potter, Currency: "GBP", Fee: 1500},
		"DisputeFundsReinstated.v1": order.DisputeReinstated{Dispute: "dp_1", Transaction: "txn_8", Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: true,
			Amount: 3970, DisputeFee: 1500, Allocation: made, Unearned: 5, Excess: 5, Restored: restored, WasLost: true},
		"DisputeClosed.v1": order.DisputeClosed{Dispute: "dp_1", Result: order.Lost, Shop: potter, Currency: "GBP", Jurisdiction: "GB", Principal: true,
			Amount: 3970, Allocation: made, Unearned: 5, Excess: 5},

		"PayoutSent.v2": payout.Sent{Payout: "po_1", Account: "acct_shop", Shop: potter, Currency: "GBP", Amount: 100000, SentAt: noon, ArrivesOn: later, Transaction: "txn_9", Automatic: true},
		"PayoutSent.v1": payout.Sent{Payout: "po_1", Account: "acct_shop", Shop: potter, Currency: "GBP", Amount: 100000, ArrivesOn: later, Transaction: "txn_9", Automatic: true},
		"PayoutPaid.v1": payout.Paid{Payout: "po_1", Shop: potter, Currency: "GBP", Amount: 100000},
		"PayoutFailed.v1": payout.Failed{Payout: "po_1", Shop: potter, Currency: "GBP", Amount: 100000, Transaction: "txn_10", Code: "account_closed",
			WasPaid: true},
		"ReconciliationFundsAvailable.v1": reconcile.BecameAvailable{Currency: "GBP", Amount: 3890},
		"ReconciliationBreakFound.v1": reconcile.BreakFound{Break: refund, Class: reconcile.AmountMismatch, Key: reconcile.Key{Kind: reconcile.Refund, Object: "re_1"},
			Currency: "GBP", Ours: -600, Theirs: -601, Since: noon, Order: first.String(), Text: "refund"},
		"ReconciliationBreakResolved.v1": reconcile.BreakResolved{Break: refund, How: reconcile.AgreesNow},
		"ReconciliationRunCompleted.v1":  reconcile.RunCompleted{Run: 1, Through: later, Matched: 3, Open: 1},
		"ReconciliationFeeCharged.v1":    reconcile.Charged{Transaction: "txn_11", Currency: "GBP", Amount: 200, Text: "Radar"},
	})
}
