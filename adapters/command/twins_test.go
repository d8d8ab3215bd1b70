package command_test

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"kicau/adapters/command"
	"kicau/domain/offer"
)

// The answer to an append is lost: it failed, or it was done all the same. The
// same append is sent until there is an answer, and counts once.
func TestTheAnswerIsLost(t *testing.T) {
	for name, faults := range map[string][]fault{
		"failed":                                 {lostBefore},
		"failed but done":                        {lostAfter},
		"failed, silently":                       {silentBefore},
		"failed but done, silently":              {silentAfter},
		"failed three times":                     {lostBefore, lostBefore, lostBefore},
		"failed but done three times":            {lostAfter, lostAfter, lostAfter},
		"failed, then failed but done":           {lostBefore, lostAfter},
		"failed but done, then failed":           {lostAfter, lostBefore},
		"as often as may be, but done":           slices.Repeat([]fault{lostAfter}, command.MaxResends),
		"as often as may be, done the last time": slices.Repeat([]fault{lostBefore}, command.MaxResends),
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.tweet(10)
				answers, goOn := s.queue(3, faults...)
				began := time.Now()
				goOn()
				for _, answer := range answers {
					s.ok(answer())
				}
				if waited := time.Since(began); waited > command.AppendTimeout+time.Minute {
					t.Errorf("answered after %s", waited)
				}
				s.wasResent(len(faults))
				s.heldOnce(1, 2, 3)
			})
		})
	}
}

// wasResent checks that the append after the first was tried n more times, the
// same each time.
func (s *scene) wasResent(n int) {
	s.Helper()
	tries := s.wire.appends()[1:]
	if len(tries) != n+1 {
		s.Fatalf("tried %d times, want %d", len(tries), n+1)
	}
	for _, try := range tries[1:] {
		if !reflect.DeepEqual(try, tries[0]) {
			s.Fatalf("sent %+v, then %+v", tries[0], try)
		}
	}
}

// heldOnce checks that exactly these orders hold a mug, and that the log says so
// once.
func (s *scene) heldOnce(orders ...int) {
	s.Helper()
	var held []int
	for _, e := range s.events(offer.Stream(mugs)) {
		if h, ok := e.Body.(offer.StockHeld); ok {
			held = append(held, int(h.Order[14])<<8|int(h.Order[15]))
		}
	}
	slices.Sort(held)
	if !slices.Equal(held, orders) {
		s.Fatalf("orders %v hold a mug, want %v", held, orders)
	}
}

// The answer is lost, and then the log says no. That no is about the second try
// and says nothing of the first.
func TestTheAnswerIsLostAndThenNo(t *testing.T) {
	t.Run("for a while", func(t *testing.T) {
		for name, first := range map[string]fault{"failed": lostBefore, "failed but done": lostAfter} {
			t.Run(name, func(t *testing.T) {
				play(t, func(t *testing.T, s *scene) {
					s.tweet(10)
					s.wire.meet(first, failing(command.ErrReadOnly), failing(command.ErrReadOnly))
					s.ok(hold(s.Context(), s.kicau, 1))
					s.heldOnce(1)
				})
			})
		}
	})
	t.Run("for good", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			s.wire.meet(lostAfter, failing(command.ErrClosed))
			s.wants(hold(s.Context(), s.kicau, 1), command.ErrUnknownOutcome)
			if tries := len(s.wire.appends()); tries != 2 {
				t.Errorf("a closed log was tried %d times", tries-1)
			}
			s.heldOnce(1)
		})
	})
}

// The answer never comes. Nobody claims to know, and who asks again finds out.
func TestTheAnswerNeverComes(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		held  []int
	}{
		"failed":          {lostBefore, nil},
		"failed but done": {lostAfter, []int{1}},
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.tweet(10)
				s.wire.rest = c.fault
				began := time.Now()
				s.wants(hold(s.Context(), s.kicau, 1), command.ErrUnknownOutcome)
				if waited := time.Since(began); waited > time.Minute {
					t.Errorf("waited %s between the tries", waited)
				}
				if tries := len(s.wire.appends()) - 1; tries != command.MaxResends+1 {
					t.Errorf("tried %d times, want %d", tries, command.MaxResends+1)
				}
				s.heldOnce(c.held...)

				s.wire.rest = nil
				s.ok(hold(s.Context(), s.kicau, 1))
				s.heldOnce(1)
			})
		})
	}
}

// An answer is lost, and before the append is sent again others have written.
func TestTheAnswerIsLostAndOthersWrite(t *testing.T) {
	for name, c := range map[string]struct {
		fault fault
		tries int // of our append
	}{
		"failed":          {lostBefore, 3}, // sent, a conflict, decided again
		"failed but done": {lostAfter, 2},  // sent, and its answer
	} {
		t.Run(name, func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.tweet(2)
				s.wire.meet(c.fault, after(func() { s.ok(hold(s.Context(), s.elsewhere(), 2)) }))
				s.ok(hold(s.Context(), s.kicau, 1))
				if tries := len(s.wire.appends()); tries != c.tries {
					t.Errorf("tried %d times, want %d", tries, c.tries)
				}
				s.heldOnce(1, 2)
				s.wants(hold(s.Context(), s.kicau, 3), offer.ErrSoldOut)
			})
		})
	}
}

// An append that failed for certain is not sent again. It fails for all who were
// decided on its events, and for nobody else.
func TestAnAppendFailsForCertain(t *testing.T) {
	for _, failure := range []error{command.ErrReadOnly, command.ErrClosed, command.ErrTooLarge, command.ErrStreamDeleted} {
		t.Run(failure.Error(), func(t *testing.T) {
			play(t, func(t *testing.T, s *scene) {
				s.tweet(2)
				answers, goOn := s.queue(1, failing(failure))
				sell := func(order int) func() error {
					return func() error {
						_, err := s.kicau.Offer(s.Context(), by(500+order), mugs, offer.SellStock{Order: id(order)})
						return err
					}
				}
				unheld := s.ask(sell(2))
				again := s.ask(func() error { return hold(s.Context(), s.kicau, 1) })
				last := s.ask(func() error { return hold(s.Context(), s.kicau, 2) })
				held := s.ask(sell(2))
				tooLate := s.ask(func() error { return hold(s.Context(), s.kicau, 3) })
				behind := s.ask(func() error { return hold(s.Context(), s.kicau, 1) })
				goOn()

				s.ok(answers[0]())
				s.wants(unheld(), offer.ErrNoHold) // before the last one was held
				s.ok(again())                      // in effect already, then and now
				s.wants(last(), failure)
				s.wants(held(), failure)
				s.wants(tooLate(), failure)
				s.wants(behind(), failure)
				if tries := len(s.wire.appends()); tries != 2 {
					t.Errorf("%d appends, want 2: what failed is not sent again", tries)
				}
				s.heldOnce(1)
				s.ok(hold(s.Context(), s.kicau, 3)) // nothing stays of what failed
				s.wants(hold(s.Context(), s.kicau, 2), offer.ErrSoldOut)
			})
		})
	}
}

// The stream cannot be read: nobody is decided on a guess.
func TestTheStreamCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(1)
		answers, goOn := s.queue(1)
		next := s.ask(func() error { return hold(s.Context(), s.kicau, 2) })
		s.wire.reads = func(context.Context, string, uint64) error { return errCut }
		goOn()
		s.ok(answers[0]())
		s.wants(next(), errCut)
		s.wire.reads = nil
		s.wants(hold(s.Context(), s.kicau, 2), offer.ErrSoldOut)
	})
}
