package react_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

// settled is the order shipped and its shop paid.
func settled(w *world) {
	w.Helper()
	shipped(w)
	w.dueAfter(72 * time.Hour)
	w.happened(order.Stream(bought), order.Released{}, order.SettlementRequested{}, order.Settled{})
}

func chargeback(w *world) payment.SeenDispute {
	due := w.clock.now().AddDate(0, 0, 10)
	return payment.SeenDispute{ID: "dp_1", Charge: "ch_1", Amount: 2000, Reason: "fraudulent", EvidenceDue: &due,
		Movements: []payment.Movement{{Transaction: "txn_d", Amount: -2000, Fee: 1500}}}
}

func (w *world) hears(d payment.SeenDispute) {
	w.Helper()
	w.processor.shows(bought, payment.Seen{Disputes: []payment.SeenDispute{d}})
	ok(w.T, w.saga.Notice(w.Context(), intentOf(bought), uuid.New()))
}

// A chargeback after the shop was paid: its share is taken back, the bank is
// told the order's history in time, and when it is won the shop is paid again.
func TestDisputed(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		settled(w)
		d := chargeback(w)
		w.hears(d)
		w.happened(order.Stream(bought), order.DisputeOpened{}, order.DisputeWithdrawn{}, order.ReversalRequested{}, order.Reversed{})

		w.dueAfter(10*24*time.Hour - order.EvidenceMargin)
		w.happened(order.Stream(bought), order.ContestRequested{}, order.Contested{})
		told := w.processor.calls[len(w.processor.calls)-1].Evidence
		if told.Product != "2 × Mug" || !strings.Contains(told.History, "were shipped") || told.ShippedOn == "" {
			t.Errorf("the bank is told %+v", told)
		}

		d.Result, d.Submitted = order.Won, true
		d.Movements = append(d.Movements, payment.Movement{Transaction: "txn_w", Amount: 2000})
		w.hears(d)
		w.react()
		w.happened(order.Stream(bought), order.DisputeReinstated{}, order.DisputeClosed{}, order.Released{}, order.SettlementRequested{}, order.Settled{})
		w.quiet(func() { w.hears(d) })
	})
}

// The shop's account is empty: what it owes is carried to the shop, and paid by
// the next order it is paid for.
func TestTheShopOwes(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		settled(w)
		w.processor.says(order.Reverse, says(payment.Failed{Code: "balance_insufficient", Reason: "the account has not as much"}))
		w.ask(order.GiveBack{At: w.clock.now(), Refund: uuid.New(), Amount: 1000})
		w.react()
		w.happened(order.Stream(bought), order.Refunded{}, order.ReversalRequested{}, order.DebtCarried{})
		w.happened(shop.Stream(potter), shop.DebtCarried{})

		next := uuid.UUID{0: 5}
		w.place(next)
		w.react()
		_, err := w.commands.Order(w.Context(), w.by(), next, order.Ship{At: w.clock.now()})
		ok(t, err)
		w.react()
		w.dueAfter(72 * time.Hour)
		w.happened(shop.Stream(potter), shop.DebtCarried{}, shop.DebtNetted{})
		last := w.processor.calls[len(w.processor.calls)-1]
		if last.Step != order.Settle || last.Amount != 1800-900 {
			t.Errorf("the next transfer is %s of %d, want 900 less than 1800", last.Step, last.Amount)
		}
		w.quiet(func() { ok(t, w.again()) })
	})
}
