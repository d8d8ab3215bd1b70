package command_test

import (
	"context"
	"iter"
	"testing"

	"kicau/adapters/command"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
)

func TestAnotherProcessWasFaster(t *testing.T) {
	t.Run("look again and decide again", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			s.wire.meet(after(func() { s.ok(hold(s.Context(), s.elsewhere(), 2)) }))
			s.ok(hold(s.Context(), s.kicau, 1))
			if left := s.look().Available; left != 8 {
				t.Fatalf("%d mugs left, want 8", left)
			}
		})
	})
	t.Run("and took the last one", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(1)
			s.wire.meet(after(func() { s.ok(hold(s.Context(), s.elsewhere(), 2)) }))
			s.wants(hold(s.Context(), s.kicau, 1), offer.ErrSoldOut)
			if held := s.look().Holds; len(held) != 1 || held[id(2)].Quantity != 1 {
				t.Fatalf("held: %v; want order 2 alone", held)
			}
		})
	})
	t.Run("and gave one back", func(t *testing.T) {
		// The third in line was out of luck, until it turned out that the second
		// had been decided too early.
		play(t, func(t *testing.T, s *scene) {
			s.tweet(2)
			answers, goOn := s.queue(3, after(func() {
				_, err := s.elsewhere().Offer(s.Context(), by(50), mugs, offer.Restock{Restock: id(50), Add: 1})
				s.ok(err)
			}))
			goOn()
			for _, answer := range answers {
				s.ok(answer())
			}
		})
	})
	t.Run("every time: nothing is written, and nobody is told what never was", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(2)
			price := money.Minor(1000)
			s.wire.rest = after(func() {
				price++
				_, err := s.elsewhere().Offer(s.Context(), by(int(price)), mugs, offer.Reprice{Price: price})
				s.ok(err)
			})
			answers, goOn := s.queue(1)
			withoutHold := s.ask(func() error {
				_, err := s.kicau.Offer(s.Context(), by(500), mugs, offer.SellStock{Order: id(77)})
				return err
			})
			lucky := s.ask(func() error { return hold(s.Context(), s.kicau, 2) })
			unlucky := s.ask(func() error { return hold(s.Context(), s.kicau, 3) })
			goOn()
			s.ok(answers[0]())
			s.wants(withoutHold(), offer.ErrNoHold) // decided on what is in the log: it stands
			s.wants(lucky(), command.ErrBusy)
			s.wants(unlucky(), command.ErrBusy) // not "sold out": nobody has the last one
			if left := s.look().Available; left != 1 {
				t.Fatalf("%d mugs left, want 1", left)
			}
			if tries := len(s.wire.appends()) - 1; tries != command.MaxConflicts {
				t.Fatalf("tried %d times, want %d", tries, command.MaxConflicts)
			}
		})
	})
}

func TestTheCacheIsNeverBehind(t *testing.T) {
	t.Run("two processes take turns", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(3)
			here, there := s.process(), s.process()
			s.ok(hold(s.Context(), here, 1))
			s.ok(hold(s.Context(), there, 2))
			s.ok(hold(s.Context(), here, 3))
			s.wants(hold(s.Context(), there, 4), offer.ErrSoldOut)
			_, err := there.Offer(s.Context(), by(50), mugs, offer.Restock{Restock: id(50), Add: 1})
			s.ok(err)
			s.ok(hold(s.Context(), here, 5))
		})
	})
	t.Run("after an append that failed", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(1)
			s.ok(s.kicau.Offers.Look(s.Context(), offer.Stream(mugs), func(offer.State) error { return nil }))
			s.wire.meet(failing(command.ErrReadOnly))
			s.wants(hold(s.Context(), s.kicau, 1), command.ErrReadOnly)
			s.ok(hold(s.Context(), s.kicau, 2))
		})
	})
	t.Run("only what is new is read", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			var from []uint64
			s.wire.reads = func(_ context.Context, _ string, revision uint64) error {
				from = append(from, revision)
				return nil
			}
			for n := 1; n <= 3; n++ {
				s.ok(hold(s.Context(), s.kicau, n))
			}
			for i, revision := range from {
				if revision != uint64(i+1) {
					t.Fatalf("read from %v, want 1, 2, 3", from)
				}
			}
		})
	})
	t.Run("and it has an end: the oldest are forgotten, not wrong", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			shelves := shelf{s.log, s.events(offer.Stream(mugs))[0].Recorded, map[string]uint64{}}
			h := command.NewHandler(shelves, domain.Events, offer.Decider)
			look := func(n int) {
				s.ok(h.Look(s.Context(), offer.Stream(id(n)), func(st offer.State) error {
					if !st.Exists {
						t.Fatalf("offer %d is gone", n)
					}
					return nil
				}))
			}
			for n := range command.MaxCachedStreams + 1 {
				look(n)
			}
			look(0)
			look(2)
			if from := shelves.from[offer.Stream(id(0))]; from != 0 {
				t.Errorf("the oldest is still there: read from %d", from)
			}
			if from := shelves.from[offer.Stream(id(2))]; from != 1 {
				t.Errorf("a newer one is gone: read from %d", from)
			}
		})
	})
}

// Two processes are sent the same command at the same time, with other content.
// One of them may win; the other must not believe that it did.
func TestTheSameCommandWithOtherContentElsewhere(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		place := func(price money.Minor) order.Place {
			return order.Place{Order: id(1), Processor: order.Stripe, Terms: order.Terms{Currency: "GBP"},
				Lines: []order.Ask{{Offer: mugs, Quantity: 1, Price: price, Agreed: &price}}}
		}
		s.wire.meet(after(func() {
			_, err := s.elsewhere().Order(s.Context(), by(1), id(1), place(1000))
			s.ok(err)
		}))
		_, err := s.kicau.Order(s.Context(), by(1), id(1), place(1))
		s.wants(err, command.ErrCommandReused)

		var total money.Minor
		s.ok(s.kicau.Orders.Look(s.Context(), order.Stream(id(1)), func(st order.State) error {
			total = st.Placed.Total()
			return nil
		}))
		if total != 1000 {
			t.Fatalf("this process takes the order for one of %d, the log says 1000", total)
		}
	})
}

func TestTheSameCommandElsewhere(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		s.wire.meet(after(func() { s.ok(hold(s.Context(), s.elsewhere(), 1)) }))
		s.ok(hold(s.Context(), s.kicau, 1))
		if left := s.look().Available; left != 9 {
			t.Fatalf("%d mugs left, want 9: one order, one mug", left)
		}
	})
}

// shelf is a log in which every offer has the same one event.
type shelf struct {
	command.Log
	event event.Recorded
	from  map[string]uint64 // where each stream was read from last
}

func (l shelf) ReadStream(_ context.Context, stream string, _ command.Direction, from uint64, _ int) iter.Seq2[event.Recorded, error] {
	l.from[stream] = from
	return func(yield func(event.Recorded, error) bool) {
		if from == 0 {
			rec := l.event
			rec.Stream = stream
			yield(rec, nil)
		}
	}
}
