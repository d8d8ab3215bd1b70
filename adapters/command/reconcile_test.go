package command_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

// theirs is a processor's side of the books.
type theirs struct {
	news  []string
	moved []reconcile.Movement
}

func listOf[T any](all []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range all {
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (b theirs) Account(context.Context) (string, error) { return "acct", nil }
func (b theirs) Movements(context.Context) iter.Seq2[reconcile.Movement, error] {
	return listOf(b.moved)
}
func (b theirs) Balances(context.Context) ([]reconcile.Balance, error) { return nil, nil }
func (b theirs) Payouts(context.Context) iter.Seq2[payout.Observe, error] {
	return listOf[payout.Observe](nil)
}
func (b theirs) ConnectedPayouts(context.Context, string, time.Time) iter.Seq2[payout.Observe, error] {
	return listOf[payout.Observe](nil)
}
func (b theirs) News(context.Context, time.Time) iter.Seq2[string, error] { return listOf(b.news) }

// A payment that cannot be read keeps no other from being heard, and is read after
// them. For ever it is not tried: the run fails, and the next hears the same news.
func TestNewsThatCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		var read []string
		away := errors.New("the processor is away")
		fails := map[string]int{"pi_2": 2}
		notice := func(_ context.Context, intent string) error {
			read = append(read, intent)
			if fails[intent]--; fails[intent] >= 0 {
				return away
			}
			return nil
		}
		books := theirs{news: []string{"pi_1", "pi_2", "pi_3"}}
		r, err := s.kicau.Reconcile(t.Context(), by(1), books, notice)
		if err != nil || r.Noticed != 3 || !slices.Equal(read, []string{"pi_1", "pi_2", "pi_3", "pi_2", "pi_2"}) {
			t.Errorf("%d were heard of %v, %v", r.Noticed, read, err)
		}
		fails, read = map[string]int{"pi_1": 100}, nil
		if _, err := s.kicau.Reconcile(t.Context(), by(2), books, notice); !errors.Is(err, away) || !slices.Contains(read, "pi_3") {
			t.Errorf("heard %v, %v", read, err)
		}
	})
}

// What was moved and never heard of is read again, news or none; what cannot be
// read is a break.
func TestMovedAndNeverHeardOf(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		var read []string
		notice := func(_ context.Context, intent string) error {
			read = append(read, intent)
			return errors.New("it cannot be read")
		}
		books := theirs{moved: []reconcile.Movement{{Key: reconcile.Key{Kind: reconcile.Refund, Object: "re_1"}, Currency: "GBP", Net: -100, At: time.Now(), Intent: "pi_1"}}}
		r, err := s.kicau.Reconcile(t.Context(), by(1), books, notice)
		if err != nil || len(read) == 0 || read[0] != "pi_1" || len(r.Open) == 0 {
			t.Errorf("read %v, open %+v, %v", read, r.Open, err)
		}
	})
}
