package command_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kicau/adapters/command"
	"kicau/domain/event"
	"kicau/domain/offer"
)

// sizes of the appends that were tried.
func sizes(appends []sent) []int {
	var n []int
	for _, a := range appends {
		n = append(n, len(a.events))
	}
	return n
}

// queue has so many orders ask for a mug, the first of which is being recorded
// and keeps the others waiting; what it returns lets them go on.
func (s *scene) queue(orders int, then ...fault) (answers []func() error, goOn func()) {
	signal := make(chan struct{})
	s.wire.meet(append([]fault{once(signal)}, then...)...)
	for n := 1; n <= orders; n++ {
		answers = append(answers, s.ask(func() error { return hold(s.Context(), s.kicau, n) }))
	}
	return answers, func() { close(signal) }
}

func TestBuyersWhoWaitAreServedInOneAppend(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(1000)
		answers, goOn := s.queue(1 + 2*command.MaxTogether + 88)
		goOn()
		for _, answer := range answers {
			s.ok(answer())
		}
		if got, want := sizes(s.wire.appends()), []int{1, command.MaxTogether, command.MaxTogether, 88}; !slices.Equal(got, want) {
			t.Fatalf("appends of %v events, want %v", got, want)
		}
		if left := s.look().Available; left != 1000-601 {
			t.Fatalf("%d mugs left, want 399", left)
		}
	})
}

func TestEachBuyerSeesWhatTheOnesBeforeGot(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		answers, goOn := s.queue(30)
		goOn()
		for n, answer := range answers {
			if err := answer(); n < 10 {
				s.ok(err)
			} else {
				s.wants(err, offer.ErrSoldOut)
			}
		}
		if got := sizes(s.wire.appends()); !slices.Equal(got, []int{1, 9}) {
			t.Fatalf("appends of %v events, want 1 and 9", got)
		}
	})
}

func TestACommandSentTwiceWaitsTwiceAndHappensOnce(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		answers, goOn := s.queue(1)
		first := s.ask(func() error { return hold(s.Context(), s.kicau, 2) })
		again := s.ask(func() error { return hold(s.Context(), s.kicau, 2) })
		goOn()
		s.ok(answers[0]())
		s.ok(first())
		s.ok(again())
		if left := s.look().Available; left != 8 {
			t.Fatalf("%d mugs left, want 8", left)
		}
	})
}

// A defect is for who gave the command; whoever waits behind it is served.
func TestADecisionThatPanics(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		gate := make(chan struct{})
		first := s.ask(func() (err error) {
			defer func() { err = fmt.Errorf("panicked: %v", recover()) }()
			_, err = s.kicau.Offers.Handle(s.Context(), offer.Stream(mugs), event.Meta{Command: id(99)}, func(offer.State) ([]event.Data, error) {
				<-gate
				panic("a defect")
			})
			return err
		})
		behind := s.ask(func() error { return hold(s.Context(), s.kicau, 1) })
		close(gate)
		if err := first(); err.Error() != "panicked: a defect" {
			t.Fatal(err)
		}
		s.ok(behind())
		s.ok(hold(s.Context(), s.kicau, 2))
		if left := s.look().Available; left != 8 {
			t.Fatalf("%d mugs left, want 8", left)
		}
	})
}

func TestAnotherStreamDoesNotWait(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		answers, goOn := s.queue(1)
		other := offer.Tweet{ShopCurrency: "GBP", Terms: offer.Tweeted{Title: "Tea", Currency: "GBP", Price: 500}}
		_, err := s.kicau.Offer(s.Context(), by(99), id(99), other)
		s.ok(err)
		goOn()
		s.ok(answers[0]())
	})
}

func TestAResultSaysWhereItIs(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		cmd := offer.HoldStock{At: time.Now(), Order: id(1), Quantity: 1}
		res, err := s.kicau.Offer(s.Context(), by(1), mugs, cmd)
		s.ok(err)
		recorded := s.events(offer.Stream(mugs))
		if last := recorded[len(recorded)-1]; len(res.Events) != 1 || res.Position != last.Position {
			t.Fatalf("got %+v, the log has %s", res, last.Position)
		}
		res, err = s.kicau.Offer(s.Context(), by(1), mugs, cmd)
		s.ok(err)
		if len(res.Events) != 0 || !res.Position.IsStart() {
			t.Fatalf("said again it is in effect already; got %+v", res)
		}
	})
}

func TestTooLarge(t *testing.T) {
	// An order that gives back its mug with a very long reason.
	giveBack := func(s *scene, n, bytes int) error {
		_, err := s.kicau.Offer(s.Context(), by(100+n), mugs, offer.ReleaseStock{Order: id(n), Reason: strings.Repeat("x", bytes)})
		return err
	}
	t.Run("one command alone is refused, and nobody beside it", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			answers, goOn := s.queue(3)
			huge := s.ask(func() error { return giveBack(s, 2, command.MaxAppendBytes) })
			next := s.ask(func() error { return hold(s.Context(), s.kicau, 4) })
			goOn()
			for _, answer := range answers {
				s.ok(answer())
			}
			s.wants(huge(), command.ErrTooLarge)
			s.ok(next())
			if left := s.look().Available; left != 6 {
				t.Fatalf("%d mugs left, want 6", left)
			}
		})
	})
	t.Run("many that are too large together go one append after the other", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			for n := range 7 {
				s.ok(hold(s.Context(), s.kicau, n+1))
			}
			signal := make(chan struct{})
			s.wire.meet(once(signal))
			var answers []func() error
			for n := range 7 {
				answers = append(answers, s.ask(func() error { return giveBack(s, n+1, command.MaxAppendBytes*3/10) }))
			}
			close(signal)
			for _, answer := range answers {
				s.ok(answer())
			}
			if got := sizes(s.wire.appends()); !slices.Equal(got, []int{1, 3, 3}) {
				t.Fatalf("appends of %v events, want 1, 3 and 3", got)
			}
			if left := s.look().Available; left != 10 {
				t.Fatalf("%d mugs left, want all 10", left)
			}
		})
	})
}

func TestGivingUp(t *testing.T) {
	t.Run("before it began: nothing is written", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			ctx, giveUp := context.WithCancel(s.Context())
			giveUp()
			s.wants(hold(ctx, s.kicau, 1), context.Canceled)
			if left := s.look().Available; left != 10 {
				t.Fatalf("%d mugs left, want 10", left)
			}
		})
	})
	t.Run("in line: at once, and the line goes on without", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			answers, goOn := s.queue(2)
			ctx, giveUp := context.WithCancel(s.Context())
			impatient := s.ask(func() error { return hold(ctx, s.kicau, 3) })
			last := s.ask(func() error { return hold(s.Context(), s.kicau, 4) })
			giveUp()
			s.wants(impatient(), context.Canceled) // while the first is still being recorded
			goOn()
			for _, answer := range append(answers, last) {
				s.ok(answer())
			}
			if held := s.look().Holds; len(held) != 3 || held[id(3)].Quantity != 0 {
				t.Fatalf("held: %v; want orders 1, 2 and 4", held)
			}
		})
	})
	t.Run("once sent: it is known what became of it", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			signal := make(chan struct{})
			s.wire.meet(once(signal))
			ctx, giveUp := context.WithCancel(s.Context())
			answer := s.ask(func() error { return hold(ctx, s.kicau, 1) })
			giveUp()
			synctest.Wait()
			close(signal)
			s.ok(answer())
			if left := s.look().Available; left != 9 {
				t.Fatalf("%d mugs left, want 9", left)
			}
		})
	})
	t.Run("once its turn has come, and before it is decided: nothing is written", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			answers, goOn := s.queue(2)
			ctx, giveUp := context.WithCancel(s.Context())
			impatient := s.ask(func() error { return hold(ctx, s.kicau, 3) })
			s.wire.reads = func(context.Context, string, uint64) error {
				giveUp()
				return nil
			}
			goOn()
			for _, answer := range answers {
				s.ok(answer())
			}
			s.wants(impatient(), context.Canceled)
			s.heldOnce(1, 2)
		})
	})
	t.Run("while the stream is read for all: the others are served", func(t *testing.T) {
		play(t, func(t *testing.T, s *scene) {
			s.tweet(10)
			answers, goOn := s.queue(1)
			ctx, giveUp := context.WithCancel(s.Context())
			impatient := s.ask(func() error { return hold(ctx, s.kicau, 2) })
			last := s.ask(func() error { return hold(s.Context(), s.kicau, 3) })
			s.wire.reads = func(reader context.Context, _ string, _ uint64) error {
				giveUp()
				return reader.Err()
			}
			goOn()
			s.ok(answers[0]())
			s.wants(impatient(), context.Canceled)
			s.ok(last())
		})
	})
}

func TestTheLineHasAnEnd(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.tweet(10)
		leave := command.Crowd(s.kicau.Offers, offer.Stream(mugs), command.MaxWaiting)
		s.wants(hold(s.Context(), s.kicau, 1), command.ErrBusy)
		leave()
		if left := s.look().Available; left != 10 {
			t.Fatalf("%d mugs left, want 10", left)
		}
		s.ok(hold(s.Context(), s.kicau, 1))
	})
}
