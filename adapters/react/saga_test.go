package react_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/react"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/payment"
	"kicau/domain/shop"
)

func TestBoughtShippedSettled(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.react()
		w.ordered(order.AuthorisationRequested{}, order.Authorised{})
		w.stock(offer.StockHeld{}, offer.StockSold{})

		w.ask(order.Ship{At: w.clock.now()})
		w.react()
		w.ordered(order.AuthorisationRequested{}, order.Authorised{}, order.Shipped{}, order.CaptureRequested{}, order.Captured{})
		w.stock(offer.StockHeld{}, offer.StockSold{})

		w.clock.wait(72 * time.Hour)
		ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
		w.ordered(order.AuthorisationRequested{}, order.Authorised{}, order.Shipped{}, order.CaptureRequested{}, order.Captured{},
			order.Released{}, order.SettlementRequested{}, order.Settled{})

		want := []payment.Effect{
			{Step: order.Authorise, Amount: 2000, PaymentMethod: "pm_1"},
			{Step: order.Capture, Amount: 2000, Intent: intentOf(bought)},
			{Step: order.Settle, Amount: 1800, Charge: "ch_1", Destination: "acct_potter"},
		}
		for i, e := range w.processor.calls {
			want[i].Key = fmt.Sprintf("v1:%s:%s:%d", bought, e.Step, i+1)
			want[i].Account, want[i].Order, want[i].Currency, want[i].RequestedAt = "acct_platform", bought, "GBP", e.RequestedAt
			if e != want[i] {
				t.Errorf("call %d is\n%+v, want\n%+v", i+1, e, want[i])
			}
		}
		w.quiet(func() { ok(t, w.saga.Step(t.Context(), bought, uuid.New())) })
	})
}

func TestDeclined(t *testing.T) {
	for name, c := range map[string]struct {
		outcome payment.Outcome
		then    []event.Data
	}{
		"and given up by the processor": {payment.Declined{Intent: "pi_1", Code: "canceled"},
			[]event.Data{order.AuthorisationRequested{}, order.Declined{}, order.VoidRequested{}, order.Voided{}}},
		"by the processor: there is no intent": {payment.Failed{Code: "parameter_invalid"},
			[]event.Data{order.AuthorisationRequested{}, order.Declined{}}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.processor.says(order.Authorise, says(c.outcome))
				w.place(bought)
				w.react()
				w.ordered(c.then...)
				w.stock(offer.StockHeld{}, offer.StockReleased{})
			})
		})
	}
}

// The bank says no, and the buyer gives another card: the same intent is asked
// again, and the stock stays held all the while.
func TestAnotherCard(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, says(payment.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}))
		w.place(bought)
		w.react()
		w.ordered(order.AuthorisationRequested{}, order.Declined{})
		w.stock(offer.StockHeld{})

		w.ask(order.Pay{At: w.clock.now(), PaymentMethod: "pm_2"})
		w.react()
		w.ordered(order.AuthorisationRequested{}, order.Declined{}, order.MethodGiven{}, order.AuthorisationRequested{}, order.Authorised{})
		w.stock(offer.StockHeld{}, offer.StockSold{})
		if last := w.processor.calls[len(w.processor.calls)-1]; last.Intent != "pi_1" || last.PaymentMethod != "pm_2" {
			t.Errorf("the last call was %+v", last)
		}
	})
}

// A buyer who walks away after a decline leaves nothing behind.
func TestDeclinedAndLeft(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, says(payment.Declined{Intent: "pi_1", Code: "card_declined"}))
		w.place(bought)
		w.react()
		w.dueAfter(command.DefaultStockHold)
		w.ordered(order.AuthorisationRequested{}, order.Declined{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
		w.stock(offer.StockHeld{}, offer.StockReleased{})
	})
}

// The buyer has to act; the processor tells us when that is done.
func TestActionRequired(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, says(payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}))
		w.place(bought)
		w.react()
		w.ordered(order.AuthorisationRequested{}, order.ActionRequired{})
		w.stock(offer.StockHeld{})

		notice := func(o payment.Outcome) {
			w.Helper()
			w.processor.news("pi_1", bought, o)
			ok(t, w.saga.Notice(t.Context(), "pi_1", uuid.New()))
		}
		w.quiet(func() { notice(payment.ActionRequired{Intent: "pi_1", Action: "authenticate"}) }) // nothing new
		notice(payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2000})
		w.ordered(order.AuthorisationRequested{}, order.ActionRequired{}, order.Authorised{})
		w.stock(offer.StockHeld{}, offer.StockSold{})
		w.quiet(func() { notice(payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2000}) }) // told again
	})
}

// The answer to a call is lost, and whether the call was made is found out by
// asking the processor, at the time that was written down.
func TestTheAnswerOfTheProcessorIsLost(t *testing.T) {
	for name, lost := range map[string]answer{"not done": lost, "done": lostButDone} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, w *world) {
				w.processor.says(order.Authorise, lost)
				w.place(bought)
				w.react()
				w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{})
				w.quiet(func() {
					w.clock.wait(payment.RetryFirst - 1)
					ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
				})
				w.clock.wait(1)
				ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
				w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{}, order.Authorised{})
				w.stock(offer.StockHeld{}, offer.StockSold{})
				calls := w.processor.calls
				if len(calls) != 2 || calls[0].Key != calls[1].Key || calls[0].Tries != 0 || calls[1].Tries != 1 {
					t.Errorf("calls: %+v; want one, and one look with the same key", calls)
				}
				if n := w.processor.performed(order.Authorise); n != 1 {
					t.Errorf("authorised %d times", n)
				}
			})
		})
	}
}

// upTo brings the order to where a step is the next one.
var upTo = map[order.Step]func(w *world){
	order.Authorise: func(w *world) { w.place(bought) },
	order.Void: func(w *world) {
		w.place(bought)
		w.react()
		w.ask(order.Cancel{At: w.clock.now()})
	},
	order.Capture: func(w *world) {
		w.place(bought)
		w.react()
		w.ask(order.Ship{At: w.clock.now()})
	},
	order.Refunding: func(w *world) {
		shipped(w)
		w.ask(order.GiveBack{At: w.clock.now(), Refund: uuid.UUID{0: 7}})
	},
	order.Settle: func(w *world) {
		shipped(w)
		w.clock.wait(72 * time.Hour)
	},
}

func shipped(w *world) {
	w.place(bought)
	w.react()
	w.ask(order.Ship{At: w.clock.now()})
	w.react()
}

var asked = map[order.Step]event.Data{
	order.Authorise: order.AuthorisationRequested{}, order.Void: order.VoidRequested{}, order.Capture: order.CaptureRequested{},
	order.Refunding: order.RefundRequested{}, order.Settle: order.SettlementRequested{},
}

var answered = map[order.Step]event.Data{
	order.Authorise: order.Authorised{}, order.Void: order.Voided{}, order.Capture: order.Captured{},
	order.Refunding: order.Refunded{}, order.Settle: order.Settled{},
}

// The process dies after the intention was written, before the call or after it.
// The next one makes the same call, and it happens once.
func TestDeathAroundACall(t *testing.T) {
	for step := range upTo {
		for name, death := range map[string]answer{"before": dies, "after": diesAfter} {
			t.Run(fmt.Sprintf("%s, death %s the call", step, name), func(t *testing.T) {
				play(t, func(t *testing.T, w *world) {
					upTo[step](w)
					w.processor.says(step, death)
					untilDeath(func() { _ = w.saga.Step(t.Context(), bought, uuid.New()) })
					w.happened(order.Stream(bought), asked[step])

					w.restart()
					w.react()
					ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
					w.happened(order.Stream(bought), asked[step], answered[step])
					if n := w.processor.performed(step); n != 1 {
						t.Errorf("done %d times", n)
					}
					var keys []string
					for _, e := range w.processor.calls {
						if e.Step == step {
							keys = append(keys, e.Key)
						}
					}
					if len(keys) != 2 || keys[0] != keys[1] {
						t.Errorf("called with keys %v, want one key twice", keys)
					}
				})
			})
		}
	}
}

// Who has no time left begins no other call: what is open waits, and nothing of
// it is unknown.
func TestNoTimeLeftForAnotherCall(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		shipped(w)
		w.ask(order.GiveBack{At: w.clock.now(), Refund: uuid.UUID{0: 7}, Amount: 100})
		w.ask(order.GiveBack{At: w.clock.now(), Refund: uuid.UUID{0: 8}, Amount: 100})
		ctx, stop := context.WithCancel(t.Context())
		w.processor.says(order.Refunding, func(_ payment.Effect, do func() payment.Outcome) payment.Outcome {
			stop()
			return do()
		})
		if err := w.saga.Step(ctx, bought, uuid.New()); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		w.happened(order.Stream(bought), order.RefundRequested{}, order.Refunded{}, order.RefundRequested{})
		w.react()
		w.happened(order.Stream(bought), order.RefundRequested{}, order.Refunded{}, order.RefundRequested{}, order.Refunded{})
		if n := w.processor.performed(order.Refunding); n != 2 {
			t.Fatalf("refunded %d times", n)
		}
	})
}

// The outcome is written down even if the process is asked to stop meanwhile.
func TestAskedToStopDuringACall(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		ctx, stop := context.WithCancel(t.Context())
		w.processor.says(order.Authorise, func(_ payment.Effect, do func() payment.Outcome) payment.Outcome {
			stop()
			return do()
		})
		placed := w.page(event.Position{}).Events[0]
		if err := w.saga.React(ctx, placed); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		w.ordered(order.AuthorisationRequested{}, order.Authorised{})
		w.react()
		w.stock(offer.StockHeld{}, offer.StockSold{})
	})
}

// An order is called off while its authorisation is on its way.
func TestAuthorisedTooLate(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, lostButDone)
		w.place(bought)
		w.react()
		w.ask(order.Cancel{At: w.clock.now()})
		w.react()
		w.stock(offer.StockHeld{}, offer.StockReleased{})
		w.clock.wait(payment.RetryFirst)
		ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
		w.ordered(order.AuthorisationRequested{}, order.OutcomeUnknown{}, order.Cancelled{}, order.Authorised{}, order.VoidRequested{}, order.Voided{})
		w.stock(offer.StockHeld{}, offer.StockReleased{})
	})
}

// Two processes look after one log, each with its own account.
func TestTwoAccountsOnOneLog(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		other := newProcessor("acct_other", w.clock)
		second := w.sagaOf(other)
		for n := range 20 {
			id := uuid.UUID{0: 4, 1: byte(n)}
			_, err := w.commands.Offer(t.Context(), w.by(), mugs, offer.Restock{Restock: id, Add: 2})
			ok(t, err)
			w.place(id)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.reactWith(second)
		}()
		w.react()
		<-done
		w.react()
		w.reactWith(second)

		keys := map[string]string{}
		for _, p := range []*processor{w.processor, other} {
			for _, e := range p.calls {
				if by, twice := keys[e.Key]; twice {
					t.Errorf("%s was called by %s and %s", e.Key, by, p.account)
				}
				if keys[e.Key] = p.account; e.Account != p.account {
					t.Errorf("%s performed what %s intended", p.account, e.Account)
				}
			}
		}
		if len(keys) != 20 {
			t.Errorf("%d authorisations of 20 orders", len(keys))
		}
	})
}

func TestAnEventComesAgain(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.react()
		w.quiet(func() { ok(t, w.again()) })
		w.restart() // it remembers nothing
		w.quiet(func() { ok(t, w.again()) })
	})
}

func TestALogThatCannotBeReadForAWhile(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.log.trouble(order.Stream(bought), 1)
		placed := w.page(event.Position{}).Events[0]
		if err := w.saga.React(t.Context(), placed); !errors.Is(err, errTrouble) || react.ForGood(err) {
			t.Fatalf("got %v, want trouble that passes", err)
		}
		ok(t, w.saga.React(t.Context(), placed)) // it comes again
		w.ordered(order.AuthorisationRequested{}, order.Authorised{})
	})
}

func TestAnOrderThatCannotBeRead(t *testing.T) {
	healthy := uuid.UUID{0: 5}
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.place(healthy)
		_, err := w.log.Append(t.Context(), order.Stream(bought), command.At(0), []event.Proposed{{ID: uuid.New(), Type: "OrderTeleported", Data: []byte("{}"), Metadata: []byte("{}")}})
		ok(t, err)
		for _, rec := range w.page(event.Position{}).Events {
			err := w.saga.React(t.Context(), rec)
			if unreadable := rec.Stream == order.Stream(bought); unreadable != (err != nil && react.ForGood(err)) {
				t.Errorf("%s of %s: %v", rec.Type, rec.Stream, err)
			}
			if err != nil && !strings.Contains(err.Error(), "OrderTeleported") {
				t.Errorf("the reason does not say what is wrong: %v", err)
			}
		}
		w.happened(order.Stream(healthy), order.AuthorisationRequested{}, order.Authorised{})
	})
}

func TestTheProcessorCannotBeAsked(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.processor.down = errors.New("invalid API key")
		w.quiet(func() {
			if err := w.saga.Step(t.Context(), bought, uuid.New()); !errors.Is(err, w.processor.down) {
				t.Errorf("got %v", err)
			}
			if err := w.saga.Notice(t.Context(), "pi_1", uuid.New()); !errors.Is(err, w.processor.down) {
				t.Errorf("got %v", err)
			}
		})
	})
}

// The processor's notice of a call of ours is news until the call's answer is in
// the log.
func TestEcho(t *testing.T) {
	echo := func(t *testing.T, w *world, key string) bool {
		t.Helper()
		is, err := w.saga.Echo(t.Context(), key)
		ok(t, err)
		return is
	}
	play(t, func(t *testing.T, w *world) {
		w.processor.says(order.Authorise, lostButDone)
		w.place(bought)
		w.react()
		first := w.processor.calls[0].Key
		w.quiet(func() {
			if echo(t, w, first) {
				t.Error("what the call did is news: its answer was lost")
			}
		})
		w.clock.wait(payment.RetryFirst)
		ok(t, w.saga.Step(t.Context(), bought, uuid.New()))
		w.quiet(func() {
			if !echo(t, w, first) {
				t.Error("what the call did is in the log")
			}
			for _, foreign := range []string{"", "somebody-else", "v1:" + uuid.NewString() + ":capture:1"} {
				if echo(t, w, foreign) {
					t.Errorf("%q is no key of ours", foreign)
				}
			}
		})
	})
}

func TestNotice(t *testing.T) {
	t.Run("of an intent of nobody's", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.quiet(func() {
				w.processor.news("pi_foreign", uuid.Nil, payment.Authorised{Intent: "pi_foreign"})
				if err := w.saga.Notice(t.Context(), "pi_foreign", uuid.New()); !errors.Is(err, react.ErrNotOurs) {
					t.Errorf("got %v", err)
				}
			})
		})
	})
	t.Run("of an order in another log", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.quiet(func() {
				w.processor.news("pi_1", bought, payment.Authorised{Intent: "pi_1"})
				if err := w.saga.Notice(t.Context(), "pi_1", uuid.New()); !errors.Is(err, react.ErrNotOurs) {
					t.Errorf("got %v", err)
				}
			})
		})
	})
	t.Run("of what cannot be read: the processor has to tell again", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.place(bought)
			w.react()
			w.quiet(func() {
				w.processor.news(intentOf(bought), bought, payment.Unknown{Reason: "timeout"})
				err := w.saga.Notice(t.Context(), intentOf(bought), uuid.New())
				if err == nil || errors.Is(err, react.ErrNotOurs) {
					t.Errorf("got %v", err)
				}
			})
		})
	})
	t.Run("of another intent than the order's", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.place(bought)
			w.react()
			w.quiet(func() {
				w.processor.news("pi_2", bought, payment.Voided{Intent: "pi_2"})
				ok(t, w.saga.Notice(t.Context(), "pi_2", uuid.New()))
			})
		})
	})
	t.Run("of a call that we make ourselves", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.processor.says(order.Authorise, lostButDone)
			w.place(bought)
			w.react()
			w.quiet(func() { // its outcome comes by our own look
				w.processor.news(intentOf(bought), bought, payment.Authorised{Intent: intentOf(bought), Amount: 2000})
				ok(t, w.saga.Notice(t.Context(), intentOf(bought), uuid.New()))
			})
		})
	})
	t.Run("of what has to wait: the processor has to tell again", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			shipped(w)
			w.processor.says(order.Refunding, lost)
			w.ask(order.GiveBack{At: w.clock.now(), Refund: uuid.New()})
			w.react()
			w.processor.shows(bought, payment.Seen{Refunds: []payment.SeenRefund{{ID: "re_hand", Amount: 100, Status: payment.RefundSucceeded}}})
			if err := w.saga.Notice(t.Context(), intentOf(bought), uuid.New()); !errors.Is(err, react.ErrNotYet) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("of an authorisation that lapsed: the order ends", func(t *testing.T) {
		play(t, func(t *testing.T, w *world) {
			w.place(bought)
			w.react()
			w.processor.news(intentOf(bought), bought, payment.Voided{Intent: intentOf(bought)})
			ok(t, w.saga.Notice(t.Context(), intentOf(bought), uuid.New()))
			w.happened(order.Stream(bought), order.Authorised{}, order.Voided{}, order.Expired{})
			w.stock(offer.StockHeld{}, offer.StockSold{}, offer.StockReleased{})
		})
	})
}

// However many have to do with an order at once: one call at a time.
func TestOneAtATime(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		goOn := make(chan struct{})
		w.processor.says(order.Authorise, func(_ payment.Effect, do func() payment.Outcome) payment.Outcome {
			<-goOn
			return do()
		})
		errs := make(chan error, 3)
		for range 3 {
			go func() { errs <- w.saga.Step(t.Context(), bought, uuid.New()) }()
			synctest.Wait()
		}
		impatient, giveUp := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { gone <- w.saga.Step(impatient, bought, uuid.New()) }()
		synctest.Wait()
		if calls := w.processor.made(); len(calls) != 1 {
			t.Errorf("calls at once: %v", calls)
		}
		giveUp()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("who gives up waits all the same: %v", err)
		}
		close(goOn)
		for range 3 {
			ok(t, <-errs)
		}
		w.ordered(order.AuthorisationRequested{}, order.Authorised{})
		if calls := w.processor.made(); len(calls) != 1 {
			t.Errorf("calls: %v", calls)
		}
	})
}

// What an order itself left its shop owing is paid of its next release, before that is
// transferred: the shop's stream is told of it first.
func TestAnOrdersOwnDebtComesFirst(t *testing.T) {
	play(t, func(t *testing.T, w *world) {
		w.place(bought)
		w.react()
		w.ask(order.Ship{At: w.clock.now()})
		w.react()
		w.clock.wait(72 * time.Hour)
		w.look(1)
		w.react()
		w.happened(order.Stream(bought), order.Settled{})
		// It is refunded, and the answer to the reversal is lost.
		w.processor.says(order.Reverse, lost)
		w.ask(order.GiveBack{At: w.clock.now(), Refund: tea})
		w.react()
		w.happened(order.Stream(bought), order.ReversalRequested{}, order.OutcomeUnknown{})
		look := func(f func(s order.State)) {
			t.Helper()
			ok(t, w.commands.Orders.Look(t.Context(), order.Stream(bought), func(s order.State) error { f(s); return nil }))
		}
		var refund string
		look(func(s order.State) { refund = s.Refunds[0].RefundID })
		// The bank sends the refund back, so the shop is owed all of it again; then the
		// reversal is refused, so it owes what it was sent.
		w.processor.shows(bought, payment.Seen{Refunds: []payment.SeenRefund{{ID: refund, Refund: tea, Amount: 2000, Status: payment.RefundFailed, Returned: "txn_back"}}})
		if err := w.saga.Notice(t.Context(), intentOf(bought), tea); err != nil && !errors.Is(err, react.ErrNotYet) {
			t.Fatal(err)
		}
		w.react()
		w.processor.says(order.Reverse, says(payment.Failed{Code: "balance_insufficient", Reason: "the account has not as much"}))
		w.clock.wait(time.Hour)
		w.look(1)
		w.react()
		var owed money.Minor
		ok(t, w.commands.Shops.Look(t.Context(), shop.Stream(potter), func(s shop.State) error { owed = s.Owed; return nil }))
		look(func(s order.State) {
			if s.Payment.Settled != 1800 || owed != 0 {
				t.Errorf("the shop has %d of an order that is worth 1800 to it, and owes %d", s.Payment.Settled, owed)
			}
		})
	})
}
