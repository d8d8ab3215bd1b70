package react_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/domain/event"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/projections"
	"kicau/projections/deadline"
)

// dueAfter checks that nothing fires before d has passed, and one deadline then.
func (w *world) dueAfter(d time.Duration) {
	w.Helper()
	w.clock.wait(d - time.Second)
	w.quiet(func() { w.look(0) })
	w.clock.wait(time.Second)
	w.look(1)
}

func TestNotPaidInTime(t *testing.T) {
	t.Run("the order expires, its intent is closed, its stock released once", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.processor.says(order.Authorise, says(payment.ActionRequired{Intent: "pi_1", Action: "card"}))
			w.place(bought)
			w.react()
			w.dueAfter(command.DefaultStockHold)
			w.ordered(order.AuthorisationRequested{}, order.ActionRequired{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
			w.stock(offer.StockHeld{}, offer.StockReleased{})
			w.clock.wait(time.Hour)
			w.quiet(func() {
				w.look(0)
				w.react()
			})
		})
	})
	t.Run("while its call is open: what became of it comes first", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.processor.says(order.Authorise, lost, lost, lost, lost, lost, lost, lost, lostButDone)
			w.place(bought)
			w.react()
			for range 8 {
				w.clock.wait(payment.RetryMost)
				w.look(1)
			}
			w.happened(order.Stream(bought), order.OutcomeUnknown{}, order.Authorised{})
			w.stock(offer.StockHeld{}, offer.StockSold{})
		})
	})
	t.Run("after an outage: late, and the same", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.place(bought)
			w.clock.wait(30 * 24 * time.Hour)
			w.look(1)
			w.ordered(order.Expired{})
			w.stock(offer.StockHeld{}, offer.StockReleased{})
		})
	})
}

func TestAnUnknownOutcomeIsLookedUpInTime(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, lostButDone)
		w.place(bought)
		w.react()
		w.dueAfter(payment.RetryFirst)
		w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{}, order.Authorised{})
		w.stock(offer.StockHeld{}, offer.StockSold{})
	})
}

// The process died between an intention and its outcome, and the page is lost:
// the deadline of the open call finds it.
func TestAnOpenCallIsLookedAfter(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.processor.says(order.Authorise, dies)
		untilDeath(func() { _ = w.saga.Step(t.Context(), bought, uuid.New()) })
		w.restart()
		w.dueAfter(deadline.OpenCall)
		w.ordered(order.AuthorisationRequested{}, order.Authorised{})
	})
}

func TestPaidAndNeverShipped(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.react()
		w.dueAfter(7*24*time.Hour - payment.ExpiryWarning)
		w.ordered(order.AuthorisationRequested{}, order.Authorised{}, order.Expiring{})
		w.dueAfter(payment.ExpiryWarning - order.AuthorisationMargin)
		w.ordered(order.AuthorisationRequested{}, order.Authorised{}, order.Expiring{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
		w.stock(offer.StockHeld{}, offer.StockSold{}, offer.StockReleased{})
	})
}

func TestTheShopIsPaidAfterItsHold(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			upTo[order.Refunding](w) // shipped, and to be refunded
			w.processor.says(order.Refunding, says(payment.Failed{Code: "charge_disputed"}))
			w.react()
			w.dueAfter(72 * time.Hour)
			w.happened(order.Stream(bought), order.RefundFailed{}, order.Released{}, order.SettlementRequested{}, order.Settled{})
		})
	})
	t.Run("or, if its account cannot be paid, later", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			shipped(w)
			w.processor.says(order.Settle, says(payment.Failed{Code: "account_closed"}))
			w.dueAfter(72 * time.Hour)
			w.dueAfter(payment.RefusedFirst)
			w.happened(order.Stream(bought), order.SettlementFailed{}, order.SettlementRequested{}, order.Settled{})
		})
	})
	t.Run("but not for what was given back", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			upTo[order.Refunding](w)
			w.react()
			w.clock.wait(72 * time.Hour)
			w.quiet(func() { w.look(0) })
		})
	})
}

// hold stock for an order that is not there yet.
func (w *world) hold(offers ...uuid.UUID) {
	w.Helper()
	for _, o := range offers {
		_, err := w.commands.Offer(w.Context(), w.by(), o, offer.HoldStock{At: w.clock.now(), Order: bought, Quantity: 1,
			ExpiresAt: w.clock.now().Add(command.DefaultStockHold)})
		ok(w.T, err)
	}
}

// Stock is held for an order that never came.
func TestAnOrphanedHold(t *testing.T) {
	var (
		closes   = func(w *world) { w.ask(order.Expire{At: w.clock.now()}) }
		releases = func(w *world) {
			_, err := w.commands.Offer(w.Context(), w.by(), mugs, offer.ReleaseStock{Order: bought})
			ok(w.T, err)
		}
	)
	for name, happens := range map[string][]func(*world){
		"is given back":                                     nil,
		"after the order was closed":                        {closes},
		"after a part of it was released":                   {closes, releases},
		"after a part of it was released, and nothing else": {releases},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.hold(mugs, tea)
				for _, h := range happens {
					h(w) // and then the process died
				}
				w.dueAfter(command.DefaultStockHold)
				w.happened(order.Stream(bought), order.Expired{})
				w.stock(offer.StockHeld{}, offer.StockReleased{})
				w.happened(offer.Stream(tea), offer.Tweeted{}, offer.StockHeld{}, offer.StockReleased{})
				w.clock.wait(time.Hour)
				w.quiet(func() { w.look(0) })
			})
		})
	}
	t.Run("beside an order that was placed without it", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.hold(tea)
			w.place(bought) // of mugs
			w.dueAfter(command.DefaultStockHold)
			w.happened(offer.Stream(tea), offer.Tweeted{}, offer.StockHeld{}, offer.StockReleased{})
		})
	})
}

// A deadline whose order does not move fires again, less and less often.
func TestPausesDouble(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		// The call is another account's to look after, which is not there.
		other := newProcessor("acct_other", w.clock)
		other.says(order.Authorise, dies)
		w.place(bought)
		untilDeath(func() { _ = w.sagaOf(other).Step(t.Context(), bought, uuid.New()) })
		w.dueAfter(deadline.OpenCall)
		w.quiet(func() {
			for pause := react.AgainFirst; pause < 8*react.AgainMost; pause *= 2 {
				w.dueAfter(min(pause, react.AgainMost))
			}
		})
	})
}

// However many deadlines do not move, the others fire, and those no more often
// than their pauses allow.
func TestStuckDeadlinesAreInNobodysWay(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.look(0)
		const stuck = react.MaxLooked + 2*react.MaxDue
		var rows []projections.RowData
		for n := range stuck {
			row := deadline.Row{Order: fmt.Sprintf("stuck-%05d", n), Due: projections.Time(w.clock.now().Add(-time.Hour))}
			data, err := json.Marshal(row)
			ok(t, err)
			rows = append(rows, projections.RowData{Key: row.Order, Data: data})
		}
		at := w.view.Checkpoint()
		ok(t, w.store.Commit(t.Context(), projections.Batch{Table: w.view.Name(), From: at, To: at, Rows: rows}))

		w.place(bought)
		w.clock.wait(command.DefaultStockHold)
		for range stuck / react.MaxDue {
			w.look(react.MaxDue)
		}
		w.look(1)
		w.ordered(order.Expired{})
		for range 2 * stuck / react.MaxLooked {
			w.look(0)
		}
		w.clock.wait(react.AgainFirst)
		fired := 0
		for range stuck/react.MaxDue + 2 { // the first of them ends a round
			n, err := w.deadlines.Look(t.Context())
			ok(t, err)
			fired += n
		}
		if fired != stuck {
			t.Fatalf("%d deadlines fired again, want each of %d once", fired, stuck)
		}
	})
}

// hangs is a processor that answers nothing until whoever asks gives up.
type hangs struct{ *processor }

func (h hangs) Perform(ctx context.Context, e payment.Effect) payment.Outcome {
	<-ctx.Done()
	return payment.Unknown{Reason: ctx.Err().Error()}
}

// A call that hangs holds deadlines up for no longer than a step may take, and
// is looked up later.
func TestAHangingCallIsGivenUp(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.processor.says(order.Authorise, dies)
		untilDeath(func() { _ = w.saga.Step(t.Context(), bought, uuid.New()) })
		w.restart()
		w.deadlines = react.NewDeadlines(w.sagaOf(hangs{w.processor}), w.store)
		w.clock.wait(deadline.OpenCall)
		began := time.Now()
		w.look(1)
		if took := time.Since(began); took != react.StepTimeout {
			t.Fatalf("the look took %s, want %s", took, react.StepTimeout)
		}
		w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{})
		w.deadlines = react.NewDeadlines(w.saga, w.store)
		w.clock.wait(payment.RetryFirst)
		w.look(1)
		w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{}, order.Authorised{})
	})
}

func TestDeadlinesRun(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.deadlines.Close() // not started: nothing to close
		w.place(bought)
		w.clock.wait(command.DefaultStockHold)
		p := w.page(event.Position{})
		ok(t, w.view.Apply(t.Context(), &p))
		w.deadlines.Start()
		synctest.Wait()
		w.ordered(order.Expired{})

		w.place(uuid.UUID{0: 5})
		w.clock.wait(command.DefaultStockHold)
		p = w.page(event.Position{})
		ok(t, w.view.Apply(t.Context(), &p))
		time.Sleep(react.LookEvery)
		synctest.Wait()
		w.happened(order.Stream(uuid.UUID{0: 5}), order.Placed{}, order.Expired{})
		w.deadlines.Close()
	})
}

func TestWhatIsDueCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if _, err := w.deadlines.Look(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}
