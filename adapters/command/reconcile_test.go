package command_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"kicau/adapters/command"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
)

// theirs is a processor's side of the books.
type theirs struct {
	news  []string
	since *time.Time // from when on its news were asked for
	moved []reconcile.Movement

	account     string // of the platform; "": acct
	balances    []reconcile.Balance
	payouts     []payout.Observe
	shopPayouts map[string][]payout.Observe // by account
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

func (b theirs) Account(context.Context) (string, error) { return cmp.Or(b.account, "acct"), nil }
func (b theirs) Movements(context.Context) iter.Seq2[reconcile.Movement, error] {
	return listOf(b.moved)
}
func (b theirs) Balances(context.Context) ([]reconcile.Balance, error) { return b.balances, nil }
func (b theirs) Payouts(context.Context) iter.Seq2[payout.Observe, error] {
	return listOf(b.payouts)
}
func (b theirs) ConnectedPayouts(_ context.Context, account string, _ time.Time) iter.Seq2[payout.Observe, error] {
	return listOf(b.shopPayouts[account])
}
func (b theirs) News(_ context.Context, since time.Time) iter.Seq2[command.News, error] {
	if b.since != nil {
		*b.since = since
	}
	var news []command.News
	for _, intent := range b.news {
		news = append(news, command.News{Intent: intent, At: time.Now().Add(-time.Second)})
	}
	return listOf(news)
}

// hearing is a processor of which some payments cannot be read.
type hearing struct {
	read  []string
	fails map[string]int // how often yet
}

var errAway = errors.New("the processor is away")

func (h *hearing) notice(_ context.Context, intent string) error {
	h.read = append(h.read, intent)
	if h.fails[intent] == 0 {
		return nil
	}
	h.fails[intent]--
	return errAway
}

// said is what was read since it was last asked.
func (h *hearing) said() []string {
	defer func() { h.read = nil }()
	return h.read
}

const forEver = 1 << 30

// unread are the payments of which a break says that they cannot be read.
func unread(t *testing.T, open []reconcile.BreakFound) (intents []string) {
	t.Helper()
	for _, b := range open {
		if b.Class != reconcile.Unread || b.Text != errAway.Error() {
			t.Errorf("open is %+v", b)
		}
		intents = append(intents, b.Key.Object)
	}
	return intents
}

// A payment that cannot be read keeps no other from being heard, and is read again
// after them. For ever it is not tried in one run: it is a break, the run goes on,
// and the next runs read it again, with their own news, until it can be read.
func TestNewsThatCannotBeRead(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		h := &hearing{fails: map[string]int{"pi_2": 2}}
		run := func(n, noticed int, news, read, open []string) {
			t.Helper()
			var since time.Time
			time.Sleep(time.Minute)
			books := theirs{news: news, since: &since}
			r, err := s.kicau.Reconcile(t.Context(), by(n), books, h.notice)
			if err != nil || r.Run != n || r.Noticed != noticed || r.Unread != len(open) || r.Behind || !slices.Equal(unread(t, r.Open), open) {
				t.Errorf("run %d: %+v, %v", n, r, err)
			}
			if got := h.said(); !slices.Equal(got, read) {
				t.Errorf("run %d read %v, want %v", n, got, read)
			}
			if want := time.Now().Add(-time.Minute); n > 1 && !since.Equal(want) {
				t.Errorf("run %d asked for news since %s, want %s: what was heard is not heard again", n, since, want)
			}
		}
		run(1, 3, []string{"pi_1", "pi_2", "pi_3"}, []string{"pi_1", "pi_2", "pi_3", "pi_2", "pi_2"}, nil)
		h.fails = map[string]int{"pi_1": forEver}
		run(2, 1, []string{"pi_1", "pi_3"}, []string{"pi_1", "pi_3", "pi_1", "pi_1"}, []string{"pi_1"})
		run(3, 1, []string{"pi_4"}, []string{"pi_4", "pi_1", "pi_1", "pi_1"}, []string{"pi_1"})
		run(4, 1, []string{"pi_1", "pi_4"}, []string{"pi_1", "pi_4", "pi_1", "pi_1"}, []string{"pi_1"}) // news of it again: once
		h.fails = nil
		run(5, 1, nil, []string{"pi_1"}, nil)
		run(6, 0, nil, nil, nil)
	})
}

// While nothing at all can be read, a run is recorded and says so; nothing of it is
// lost to the next one, however much it was.
func TestNothingCanBeRead(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		h := &hearing{fails: map[string]int{}}
		var news []string
		for n := range reconcile.MaxUnread + 5 {
			news = append(news, fmt.Sprintf("pi_%d", n))
			h.fails[news[n]] = forEver
		}
		var since, first time.Time
		r, err := s.kicau.Reconcile(t.Context(), by(1), theirs{news: news, since: &first}, h.notice)
		if err != nil || r.Run != 1 || r.Noticed != 0 || r.Unread != len(news) || !r.Behind || len(unread(t, r.Open)) != reconcile.MaxUnread {
			t.Errorf("run %d, %d heard, %d unread, %d open, %v", r.Run, r.Noticed, r.Unread, len(r.Open), err)
		}
		h.fails = nil
		r, err = s.kicau.Reconcile(t.Context(), by(2), theirs{news: news, since: &since}, h.notice)
		if err != nil || r.Noticed != len(news) || r.Behind || len(r.Open) > 0 || !since.Equal(first) {
			t.Errorf("%d heard since %s, %d open, %v", r.Noticed, since, len(r.Open), err)
		}
	})
}

// A run that is told to end, ends: what it has not read is no break.
func TestARunThatIsToldToEnd(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		ctx, cancel := context.WithCancel(t.Context())
		notice := func(context.Context, string) error { cancel(); return errAway }
		if _, err := s.kicau.Reconcile(ctx, by(1), theirs{news: []string{"pi_1", "pi_2"}}, notice); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
		if open, err := s.kicau.Breaks(t.Context(), "acct"); err != nil || len(open) > 0 {
			t.Errorf("open: %+v, %v", open, err)
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
		if err != nil || len(read) == 0 || read[0] != "pi_1" || r.Unread != 1 {
			t.Errorf("read %v, %d unread, %v", read, r.Unread, err)
		}
		var open []reconcile.Class
		for _, b := range r.Open {
			open = append(open, b.Class)
		}
		if !slices.Equal(open, []reconcile.Class{reconcile.MissingInLedger, reconcile.Unread}) {
			t.Errorf("open is %v", open)
		}
	})
}

// A payout that contradicts what was recorded of it is a break, and what was recorded
// stays. Payouts after it are recorded, and movements compared.
func TestAPayoutThatContradictsTheRecord(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		sent := func(id string, amount money.Minor) payout.Observe {
			return payout.Observe{Status: payout.OnItsWay, Sent: payout.Sent{Payout: id, Account: "acct", Currency: "GBP", Amount: amount, SentAt: time.Now(), ArrivesOn: time.Now().Add(48 * time.Hour)}}
		}
		moved := func(id string, net money.Minor) reconcile.Movement {
			return reconcile.Movement{Key: reconcile.Key{Kind: reconcile.Payout, Object: id}, Currency: "GBP", Net: net, At: time.Now()}
		}
		books := theirs{balances: []reconcile.Balance{{Currency: "GBP", Available: -500}}, payouts: []payout.Observe{sent("po_1", 500)}, moved: []reconcile.Movement{moved("po_1", -500)}}
		notice := func(context.Context, string) error { return nil }
		run := func(n, matched int, open ...reconcile.Key) {
			t.Helper()
			r, err := s.kicau.Reconcile(t.Context(), by(n), books, notice)
			var keys []reconcile.Key
			for _, b := range r.Open {
				keys = append(keys, b.Key)
			}
			if err != nil || r.Run != n || r.Matched != matched || r.Unread != len(open) || !slices.Equal(keys, open) {
				t.Errorf("run %d: %+v, %v", n, r, err)
			}
		}
		run(1, 1)
		books.payouts = []payout.Observe{sent("po_1", 600), sent("po_2", 30)}
		books.moved, books.balances[0].Available = append(books.moved, moved("po_2", -30)), -530
		run(2, 2, reconcile.Key{Kind: reconcile.Payout, Object: "po_1"})
		books.payouts[0] = sent("po_1", 500)
		run(3, 2)
	})
}

// What a run finds may be more than one append takes: an account that other programs
// have used for years. It is recorded all the same, in parts.
func TestMoreBreaksThanAnAppendTakes(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		const many = 5000
		var books theirs
		for n := range many {
			m := reconcile.Movement{Key: reconcile.Key{Kind: reconcile.Sale, Object: fmt.Sprintf("ch_3PoXyz%016d", n)}, Currency: "GBP", Net: 970, Fee: 30, At: time.Now(), Text: "charge"}
			if n%2 == 1 {
				m.Kind, m.Net, m.Fee = reconcile.Fee, -5, 0
			}
			books.moved = append(books.moved, m)
		}
		for n := 1; n <= 2; n++ {
			r, err := s.kicau.Reconcile(t.Context(), by(n), books, func(context.Context, string) error { return nil })
			open, _ := s.kicau.Breaks(t.Context(), "acct")
			if err != nil || r.Run != n || r.Matched != many/2 || len(r.Open) != len(open) || len(open) != many/2+1 || r.Ours[0].Pending != -5*many/2 {
				t.Errorf("run %d: %d agree, %d open, ours %v, %v", r.Run, r.Matched, len(open), r.Ours, err)
			}
		}
	})
}

// between lets something happen once a run has read their side.
type between struct {
	theirs
	then func()
}

func (b between) Payouts(context.Context) iter.Seq2[payout.Observe, error] {
	b.then()
	return listOf(b.payouts)
}

// Of two runs at once the one that has read first has read what is old. It decides
// nothing.
func TestARunThatIsOvertaken(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		notice := func(context.Context, string) error { return nil }
		newer := theirs{moved: []reconcile.Movement{{Key: reconcile.Key{Kind: reconcile.Transfer, Object: "tr_1"}, Currency: "GBP", Net: -100, At: time.Now()}}}
		slow := between{then: func() {
			if r, err := s.kicau.Reconcile(t.Context(), by(2), newer, notice); err != nil || len(r.Open) != 1 {
				t.Errorf("the newer: %+v, %v", r.Open, err)
			}
		}}
		if _, err := s.kicau.Reconcile(t.Context(), by(1), slow, notice); !errors.Is(err, command.ErrOtherRun) {
			t.Errorf("the older: %v", err)
		}
		if open, err := s.kicau.Breaks(t.Context(), "acct"); err != nil || len(open) != 1 {
			t.Errorf("open %+v, %v", open, err)
		}
	})
}

// Two accounts of the platform have one log. Each is compared with its own
// payouts, sent and come back; those of the other, and of shops, are none of its
// movements.
func TestPayoutsOfAnotherAccount(t *testing.T) {
	play(t, func(t *testing.T, s *scene) {
		s.open(1) // the potter, of acct_potter
		sent := func(id, account string, amount money.Minor) payout.Observe {
			return payout.Observe{Status: payout.OnItsWay, Sent: payout.Sent{Payout: id, Account: account, Currency: "GBP", Amount: amount, SentAt: time.Now(), ArrivesOn: time.Now().Add(48 * time.Hour)}}
		}
		back := func(o payout.Observe) payout.Observe {
			o.Status, o.Code, o.Returned = payout.Returned, "account_closed", "txn_back"
			return o
		}
		moved := func(kind reconcile.Kind, id string, net money.Minor) reconcile.Movement {
			return reconcile.Movement{Key: reconcile.Key{Kind: kind, Object: id}, Currency: "GBP", Net: net, At: time.Now()}
		}
		// Both had money; what is left of it owes what was paid out.
		one := theirs{account: "acct_1", balances: []reconcile.Balance{{Currency: "GBP", Available: -500}}, payouts: []payout.Observe{sent("po_1", "acct_1", 500)},
			moved: []reconcile.Movement{moved(reconcile.Payout, "po_1", -500)}, shopPayouts: map[string][]payout.Observe{"acct_potter": {sent("po_shop", "acct_potter", 900)}}}
		two := theirs{account: "acct_2", balances: []reconcile.Balance{{Currency: "GBP", Available: -30}}, payouts: []payout.Observe{sent("po_2", "acct_2", 30), back(sent("po_3", "acct_2", 7))},
			moved:       []reconcile.Movement{moved(reconcile.Payout, "po_2", -30), moved(reconcile.Payout, "po_3", -7), moved(reconcile.PayoutReturned, "po_3", 7)},
			shopPayouts: one.shopPayouts}
		notice := func(context.Context, string) error { return nil }
		for n := range 6 {
			books, matched, ours := one, 1, money.Minor(-500)
			if n%2 == 1 {
				books, matched, ours = two, 3, -30
			}
			r, err := s.kicau.Reconcile(t.Context(), by(10+n), books, notice)
			if err != nil || r.Matched != matched || len(r.Open) > 0 || len(r.UnderWay) > 0 || len(r.Ours) != 1 || r.Ours[0].Pending != ours {
				t.Errorf("run %d, of %s: %d agree, ours %v, under way %v, open %+v, %v", n+1, books.account, r.Matched, r.Ours, r.UnderWay, r.Open, err)
			}
			time.Sleep(reconcile.Grace)
		}
	})
}
