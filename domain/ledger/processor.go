package ledger

import (
	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

// AtProcessor is the movement of money at the processor that an event tells of,
// for the reconciliation; false: none. Its Net is what the event posts to the
// accounts that are [AtStripe], together.
func AtProcessor(e event.Data) (m reconcile.Movement, moves bool) {
	of := func(kind reconcile.Kind, object string) reconcile.Movement {
		m.Key = reconcile.Key{Kind: kind, Object: object}
		return m
	}
	switch e := e.(type) {
	case order.Captured:
		m.Currency, m.Net, m.Fee, m.Text = e.Currency, e.Amount-e.ProcessorFee, e.ProcessorFee, "captured"
		return of(reconcile.Sale, e.Charge), e.Processor == order.Stripe
	case order.Refunded:
		m.Currency, m.Net, m.Text = e.Currency, -e.Amount, "refunded"
		return of(reconcile.Refund, e.RefundID), e.Processor == order.Stripe
	case order.RefundReturned:
		m.Currency, m.Net, m.Text = e.Currency, e.Amount, "a refund that came back"
		return of(reconcile.RefundReturned, e.RefundID), e.Processor == order.Stripe && !e.WasPending
	case order.DisputeWithdrawn:
		m.Currency, m.Net, m.Fee, m.Text = e.Currency, -e.Amount-e.DisputeFee, e.DisputeFee, "dispute opened"
		return of(reconcile.Dispute, e.Transaction), true
	case order.DisputeCharged:
		m.Currency, m.Net, m.Text = e.Currency, -e.Fee, "fee for answering a dispute"
		return of(reconcile.Dispute, e.Transaction), true
	case order.DisputeReinstated:
		m.Currency, m.Net, m.Fee, m.Text = e.Currency, e.Amount+e.DisputeFee, -e.DisputeFee, "dispute won"
		return of(reconcile.Dispute, e.Transaction), true
	case order.Settled:
		m.Currency, m.Net, m.Text = e.Currency, -e.Amount, "transferred to the shop"
		return of(reconcile.Transfer, e.Transfer), e.Transfer != ""
	case order.Reversed:
		m.Currency, m.Net, m.Text = e.Currency, e.Amount, "transfer reversed"
		return of(reconcile.Reversal, e.Reversal), true
	case payout.Sent:
		m.Currency, m.Net, m.Text = e.Currency, -e.Amount, "paid out"
		return of(reconcile.Payout, e.Payout), e.Shop == uuid.Nil
	case payout.Failed:
		m.Currency, m.Net, m.Text = e.Currency, e.Amount, "a payout that came back"
		return of(reconcile.PayoutReturned, e.Payout), e.Shop == uuid.Nil
	case reconcile.Charged:
		m.Currency, m.Net, m.Text = e.Currency, -e.Amount, e.Text
		return of(reconcile.Fee, e.Transaction), true
	}
	return m, false
}
