package reconcile_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"kicau/domain/decider"
	"kicau/domain/decider/decidertest"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/reconcile"
)

var (
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now  = noon.Add(24 * time.Hour)
)

func move(kind reconcile.Kind, object string, net, fee money.Minor) reconcile.Movement {
	return reconcile.Movement{Key: reconcile.Key{Kind: kind, Object: object}, Currency: "GBP", Net: net, Fee: fee, At: noon, Order: "o1", Text: "said so"}
}

// A sale of 27.60 with a fee of 1.10, of which 6.00 were refunded and 10.00 went
// to the shop: 9.50 are left.
var (
	sale     = move(reconcile.Sale, "ch_1", 2650, 110)
	refund   = move(reconcile.Refund, "re_1", -600, 0)
	transfer = move(reconcile.Transfer, "tr_1", -1000, 0)
	left     = reconcile.Balance{Currency: "GBP", Pending: 1050}
)

func both() reconcile.Run {
	return reconcile.Run{At: now, Ours: []reconcile.Movement{sale, refund, transfer}, Theirs: []reconcile.Movement{sale, refund, transfer}, Balance: []reconcile.Balance{left}}
}

func with(change func(*reconcile.Run)) reconcile.Run {
	r := both()
	change(&r)
	return r
}

func found(class reconcile.Class, kind reconcile.Kind, object string, ours, theirs money.Minor) reconcile.BreakFound {
	name := class
	switch class { // what a break is called outlives its class
	case reconcile.Duplicate, reconcile.Orphan, reconcile.UnknownCategory:
		name = reconcile.MissingInLedger
	case reconcile.FeeMismatch, reconcile.CurrencyMismatch:
		name = reconcile.AmountMismatch
	}
	return reconcile.BreakFound{Break: event.NameID("break", string(name)+"|"+string(kind)+"|"+object), Class: class, Key: reconcile.Key{Kind: kind, Object: object},
		Currency: "GBP", Ours: ours, Theirs: theirs, Since: noon, Order: "o1", Text: "said so"}
}

func done(run, matched, open int) reconcile.RunCompleted {
	return reconcile.RunCompleted{Run: run, Through: now, Matched: matched, Open: open}
}

// decides is what a run says; a run that is said twice is another run, so this is
// no decidertest story.
func decides(t *testing.T, r reconcile.Run, want ...event.Data) {
	t.Helper()
	after(t, nil, r, want...)
}

func after(t *testing.T, given []event.Data, r reconcile.Run, want ...event.Data) {
	t.Helper()
	got, err := reconcile.Decider.Decide(decider.Fold(reconcile.Decider, given...), r)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("decided %+v\nwant %+v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("fact %d is %+v\nwant %+v", i, got[i], want[i])
		}
	}
}

func TestBothSidesAgree(t *testing.T) {
	decides(t, both(), done(1, 3, 0))
	// A capture of a part is two movements of theirs: all of it, and the rest back.
	decides(t, with(func(r *reconcile.Run) {
		r.Theirs = []reconcile.Movement{refund, transfer, move(reconcile.Sale, "ch_1", -1000, -29), move(reconcile.Sale, "ch_1", 3650, 139)}
	}), done(1, 3, 0))
}

// Each class of break, by what makes it.
func TestBreaks(t *testing.T) {
	wrong := func(ours, theirs money.Minor) reconcile.BreakFound {
		b := found(reconcile.BalanceMismatch, reconcile.Other, "GBP", ours, theirs)
		b.Since, b.Order, b.Text = now, "", "the books and the balance at the processor"
		return b
	}
	t.Run("missing in the ledger", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Ours = r.Ours[:2] }),
			wrong(2050, 1050), found(reconcile.MissingInLedger, reconcile.Transfer, "tr_1", 0, -1000), done(1, 2, 2))
	})
	t.Run("missing at the processor", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Theirs = r.Theirs[:2] }),
			found(reconcile.MissingAtProcessor, reconcile.Transfer, "tr_1", -1000, 0), done(1, 2, 1))
		// A transfer that is not there leaves more in the balance.
		decides(t, with(func(r *reconcile.Run) { r.Theirs, r.Balance[0].Pending = r.Theirs[:2], 2050 }),
			wrong(1050, 2050), found(reconcile.MissingAtProcessor, reconcile.Transfer, "tr_1", -1000, 0), done(1, 2, 2))
	})
	t.Run("nothing of the currency at the processor", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Balance = []reconcile.Balance{} }), wrong(1050, 0), done(1, 3, 1))
	})
	t.Run("a balance that did not stand still", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Balance = nil }), done(1, 3, 0))
		open := []event.Data{wrong(1050, 1051), done(1, 3, 1)}
		after(t, open, with(func(r *reconcile.Run) { r.Balance = nil }), done(2, 3, 1)) // nobody knows whether it is over
		after(t, open, both(), reconcile.BreakResolved{Break: wrong(0, 0).Break, How: reconcile.AgreesNow}, done(2, 3, 0))
	})
	t.Run("missing at the processor, but young", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) {
			r.Theirs, r.Balance[0].Pending = r.Theirs[:2], 2050
			r.Ours[2].At = now.Add(-reconcile.Grace + 1)
			if got := r.UnderWay(); len(got) != 1 || got["GBP"] != -1000 {
				t.Errorf("under way: %v", got)
			}
		}), done(1, 2, 0))
	})
	t.Run("another amount", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Theirs[1].Net = -601 }),
			found(reconcile.AmountMismatch, reconcile.Refund, "re_1", -600, -601), done(1, 2, 1))
	})
	t.Run("another fee", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Theirs[0].Fee = 111 }),
			found(reconcile.FeeMismatch, reconcile.Sale, "ch_1", 110, 111), done(1, 2, 1))
	})
	t.Run("another currency", func(t *testing.T) {
		b := found(reconcile.CurrencyMismatch, reconcile.Refund, "re_1", -600, -600)
		b.Currency, b.Text = "EUR", "ours is GBP, theirs EUR"
		decides(t, with(func(r *reconcile.Run) { r.Theirs[1].Currency = "EUR" }), b, done(1, 2, 1))
	})
	t.Run("done twice", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Theirs = append(r.Theirs, move(reconcile.Transfer, "tr_2", -1000, 0)) }),
			found(reconcile.Duplicate, reconcile.Transfer, "tr_2", 0, -1000), done(1, 3, 1))
	})
	t.Run("nobody's", func(t *testing.T) {
		theirs := move(reconcile.Sale, "ch_9", 500, 0)
		theirs.Order = ""
		b := found(reconcile.Orphan, reconcile.Sale, "ch_9", 0, 500)
		b.Order = ""
		decides(t, with(func(r *reconcile.Run) { r.Theirs = append(r.Theirs, theirs) }), b, done(1, 3, 1))
	})
	t.Run("of a kind unheard of", func(t *testing.T) {
		decides(t, with(func(r *reconcile.Run) { r.Theirs = append(r.Theirs, move(reconcile.Other, "txn_9", 5, 0)) }),
			found(reconcile.UnknownCategory, reconcile.Other, "txn_9", 0, 5), done(1, 3, 1))
	})
	t.Run("a refund that waits too long", func(t *testing.T) {
		waits := move(reconcile.Refund, "re_2", -100, 0)
		decides(t, with(func(r *reconcile.Run) { r.Waiting = []reconcile.Movement{waits} }), done(1, 3, 0))
		waits.At = now.Add(-reconcile.PatienceWithRefunds)
		b := found(reconcile.StalePending, reconcile.Refund, "re_2", -100, 0)
		b.Since = waits.At
		decides(t, with(func(r *reconcile.Run) { r.Waiting = []reconcile.Movement{waits} }), b, done(1, 3, 1))
	})
}

// What theirs has and ours has not is read again, if they say of which payment it
// is; each payment once.
func TestUnheard(t *testing.T) {
	of := func(m reconcile.Movement, intent string) reconcile.Movement { m.Intent = intent; return m }
	r := both()
	r.Theirs = []reconcile.Movement{of(sale, "pi_1"), of(refund, "pi_1"), of(move(reconcile.Refund, "re_2", -100, 0), "pi_2"),
		of(move(reconcile.Dispute, "txn_d", -900, 1500), "pi_2"), move(reconcile.Fee, "txn_f", -5, 0), transfer}
	if got := r.Unheard(); !slices.Equal(got, []string{"pi_2"}) {
		t.Errorf("unheard of: %v, want pi_2", got)
	}
	if got := both().Unheard(); got != nil {
		t.Errorf("both sides agree, and unheard of are %v", got)
	}
}

// A fee that no order caused is posted, once.
func TestFeesOfNobody(t *testing.T) {
	radar := move(reconcile.Fee, "txn_f", -5, 0)
	less := left
	less.Pending -= 5
	r := with(func(r *reconcile.Run) {
		r.Theirs, r.Balance = append(r.Theirs, radar), []reconcile.Balance{less}
	})
	charged := reconcile.Charged{Transaction: "txn_f", Currency: "GBP", Amount: 5, Text: "said so"}
	decides(t, r, charged, done(1, 4, 0))
	r.Ours = append(r.Ours, radar) // the ledger has it now
	after(t, []event.Data{charged, done(1, 4, 0)}, r, done(2, 4, 0))
}

// What may be paid out follows the processor, payouts included.
func TestFundsBecomeAvailable(t *testing.T) {
	r := both()
	r.Balance = []reconcile.Balance{{Currency: "GBP", Pending: 150, Available: 900}}
	became := reconcile.BecameAvailable{Currency: "GBP", Amount: 900}
	decides(t, r, became, done(1, 3, 0))
	after(t, []event.Data{became, done(1, 3, 0)}, r, done(2, 3, 0))

	payout := move(reconcile.Payout, "po_1", -500, 0)
	r.Ours, r.Theirs = append(r.Ours, payout), append(r.Theirs, payout)
	r.Balance = []reconcile.Balance{{Currency: "GBP", Pending: 150, Available: 400}}
	after(t, []event.Data{became, done(1, 3, 0)}, r, done(2, 4, 0))
}

// A break is found once and stays until both sides agree, or a person says why.
func TestABreakStays(t *testing.T) {
	odd := with(func(r *reconcile.Run) { r.Theirs[1].Net = -601 })
	b := found(reconcile.AmountMismatch, reconcile.Refund, "re_1", -600, -601)
	given := []event.Data{b, done(1, 2, 1)}
	after(t, given, odd, done(2, 2, 1))
	after(t, given, both(), reconcile.BreakResolved{Break: b.Break, How: reconcile.AgreesNow}, done(2, 3, 0))

	told := decidertest.For(t, reconcile.Decider).Given(given...)
	why := reconcile.Resolve{Break: b.Break, Reason: "a cent of goodwill"}
	told.When(why).Then(reconcile.BreakResolved{Break: b.Break, How: "a cent of goodwill"})
	told.When(reconcile.Resolve{Break: b.Break}).ThenRefused(reconcile.ErrNoReason)
	told.When(reconcile.Resolve{Break: event.NameID("break", "another"), Reason: "?"}).ThenRefused(reconcile.ErrNoBreak)

	// By another amount it is another matter, open or resolved.
	more := with(func(r *reconcile.Run) { r.Theirs[1].Net = -650 })
	worse := found(reconcile.AmountMismatch, reconcile.Refund, "re_1", -600, -650)
	after(t, given, more, worse, done(2, 2, 1))
	after(t, append(slices.Clip(given), worse), more, done(2, 2, 1))
	after(t, append(slices.Clip(given), reconcile.BreakResolved{Break: b.Break, How: "a cent of goodwill"}), more, worse, done(2, 2, 1))

	// It is not found again; but one that had gone by itself is.
	resolved := append(slices.Clip(given), reconcile.BreakResolved{Break: b.Break, How: "a cent of goodwill"})
	after(t, resolved, odd, done(2, 2, 0))
	gone := append(slices.Clip(given), reconcile.BreakResolved{Break: b.Break, How: reconcile.AgreesNow})
	after(t, gone, odd, b, done(2, 2, 1))
}

func unreadPayment(intent string) reconcile.Key {
	return reconcile.Key{Kind: reconcile.Payment, Object: intent}
}

// A payment that could not be read is a break until it was read, or until a person
// says that it need not be. Meanwhile every run is to read it again.
func TestAPaymentThatCannotBeRead(t *testing.T) {
	tooMany := reconcile.NotRead{Key: unreadPayment("pi_1"), Reason: "it has more refunds than Stripe lists"}
	fails := func(all ...reconcile.NotRead) reconcile.Run {
		return with(func(r *reconcile.Run) { r.Unread = all })
	}
	b := reconcile.BreakFound{Break: event.NameID("break", "unread|payment|pi_1"), Class: reconcile.Unread,
		Key: reconcile.Key{Kind: reconcile.Payment, Object: "pi_1"}, Since: now, Text: tooMany.Reason}
	decides(t, fails(tooMany), b, done(1, 3, 1))

	given := []event.Data{b, done(1, 3, 1)}
	again := func(want []string, given ...event.Data) {
		t.Helper()
		if got := decider.Fold(reconcile.Decider, given...).Unread(); !slices.Equal(got, want) {
			t.Errorf("to be read again: %v, want %v", got, want)
		}
	}
	again([]string{"pi_1"}, given...)
	after(t, given, fails(tooMany), done(2, 3, 1))
	after(t, given, both(), done(2, 3, 1)) // it was not read: nobody knows
	after(t, given, with(func(r *reconcile.Run) { r.Balance, r.Heard = nil, []string{"pi_2", "pi_1"} }), reconcile.BreakResolved{Break: b.Break, How: reconcile.AgreesNow}, done(2, 3, 0))

	// Why it cannot be read may change; since when it could not, does not.
	later := fails(reconcile.NotRead{Key: unreadPayment("pi_1"), Reason: "Stripe is away"})
	later.At = now.Add(time.Hour)
	other, ran := b, done(2, 3, 1)
	other.Text, ran.Through = "Stripe is away", later.At
	after(t, given, later, other, ran)

	told := append(slices.Clip(given), reconcile.BreakResolved{Break: b.Break, How: "refunded by hand, all of it is in the books"})
	again(nil, told...)
	after(t, told, fails(tooMany), done(2, 3, 0))
	after(t, told, later, reconcile.RunCompleted{Run: 2, Through: later.At, Matched: 3})
}

// A payout that is shown otherwise than before is a break, until it is shown as it was
// or a person says what became of it. Every run sees all payouts.
func TestAPayoutThatIsShownOtherwise(t *testing.T) {
	differs := with(func(r *reconcile.Run) {
		r.Unread = []reconcile.NotRead{{Key: reconcile.Key{Kind: reconcile.Payout, Object: "po_1"}, Reason: "it has another amount"}}
	})
	b := reconcile.BreakFound{Break: event.NameID("break", "unread|payout|po_1"), Class: reconcile.Unread,
		Key: reconcile.Key{Kind: reconcile.Payout, Object: "po_1"}, Since: now, Text: "it has another amount"}
	decides(t, differs, b, done(1, 3, 1))
	given := []event.Data{b, done(1, 3, 1)}
	after(t, given, differs, done(2, 3, 1))
	after(t, given, both(), reconcile.BreakResolved{Break: b.Break, How: reconcile.AgreesNow}, done(2, 3, 0))
	if again := decider.Fold(reconcile.Decider, given...).Unread(); again != nil {
		t.Errorf("payments to be read again: %v", again)
	}
	told := append(slices.Clip(given), reconcile.BreakResolved{Break: b.Break, How: "Stripe support corrected it"})
	after(t, told, differs, done(2, 3, 0))
}

// Only so many that could not be read are kept. When there are more, the news are
// not done with: the next run hears them again.
func TestMoreThatCannotBeReadThanAreKept(t *testing.T) {
	var all []reconcile.NotRead
	for n := range reconcile.MaxUnread + 1 {
		all = append(all, reconcile.NotRead{Key: unreadPayment(fmt.Sprintf("pi_%d", n)), Reason: "Stripe is away"})
	}
	decide := func(r reconcile.Run, given ...event.Data) (facts []event.Data, end reconcile.RunCompleted) {
		t.Helper()
		facts, err := reconcile.Decider.Decide(decider.Fold(reconcile.Decider, given...), r)
		if err != nil {
			t.Fatal(err)
		}
		return facts, facts[len(facts)-1].(reconcile.RunCompleted)
	}
	before := done(1, 3, 0)
	run := func(unread ...reconcile.NotRead) reconcile.Run {
		return with(func(r *reconcile.Run) { r.At, r.Unread = now.Add(time.Hour), unread })
	}
	facts, end := decide(run(all...), before)
	if end.Open != reconcile.MaxUnread || !end.Through.Equal(before.Through) {
		t.Errorf("%+v", end)
	}
	// Those that are kept already take no more room.
	full := append([]event.Data{before}, facts...)
	if facts, end := decide(run(all[:reconcile.MaxUnread]...), full...); len(facts) != 1 || !end.Through.Equal(now.Add(time.Hour)) {
		t.Errorf("%+v", facts)
	}
	if facts, end := decide(run(all[reconcile.MaxUnread]), full...); len(facts) != 1 || !end.Through.Equal(before.Through) {
		t.Errorf("%+v", facts)
	}
}

// A person's word on a payment that cannot be read is on what had happened to it by
// then. It is not taken back by news that are as old.
func TestNewsOfAPaymentThatWasExplained(t *testing.T) {
	fails := func(news, at time.Time) reconcile.Run {
		return with(func(r *reconcile.Run) {
			r.At, r.Unread = at, []reconcile.NotRead{{Key: unreadPayment("pi_1"), NewsAt: news, Reason: "Stripe is away"}}
		})
	}
	b := reconcile.BreakFound{Break: event.NameID("break", "unread|payment|pi_1"), Class: reconcile.Unread,
		Key: unreadPayment("pi_1"), Since: now, Text: "Stripe is away"}
	told := []event.Data{b, done(1, 3, 1), reconcile.BreakResolved{Break: b.Break, How: "refunded by hand, all of it is in the books"}}
	tomorrow := now.AddDate(0, 0, 1)
	ran := func(run, open int) reconcile.RunCompleted {
		return reconcile.RunCompleted{Run: run, Through: tomorrow, Matched: 3, Open: open}
	}
	after(t, told, fails(time.Time{}, tomorrow), ran(2, 0))
	after(t, told, fails(now, tomorrow), ran(2, 0))
	again := b
	again.Since = tomorrow
	after(t, told, fails(now.Add(time.Second), tomorrow), again, ran(2, 1))
	after(t, append(told, again, ran(2, 1)), fails(now.Add(time.Second), tomorrow), ran(3, 1)) // once
	told = append(told, again, ran(2, 1), reconcile.BreakResolved{Break: b.Break, How: "the same"})
	after(t, told, fails(now.Add(time.Second), tomorrow), ran(3, 0))
}

// Explaining makes room: a run is behind for as long only as there are more that cannot
// be read than are kept, and nobody has looked at them.
func TestCatchingUpByExplaining(t *testing.T) {
	var all []reconcile.NotRead
	for n := range reconcile.MaxUnread + 20 {
		all = append(all, reconcile.NotRead{Key: unreadPayment(fmt.Sprintf("pi_%03d", n)), NewsAt: noon, Reason: "it cannot be"})
	}
	given := []event.Data{done(1, 3, 0)}
	for n := range 2 {
		run := with(func(r *reconcile.Run) { r.At, r.Unread = now.AddDate(0, 0, n+1), all })
		facts, err := reconcile.Decider.Decide(decider.Fold(reconcile.Decider, given...), run)
		if err != nil {
			t.Fatal(err)
		}
		given = append(given, facts...)
		for _, b := range decider.Fold(reconcile.Decider, given...).Open.List() {
			given = append(given, reconcile.BreakResolved{Break: b.Break, How: "looked at"})
		}
	}
	if s := decider.Fold(reconcile.Decider, given...); !s.Through.Equal(now.AddDate(0, 0, 2)) {
		t.Errorf("all is explained, and the run is behind since %s", s.Through)
	}
}

// Breaks were once called by their class. They are the same ones, under the name that a
// person has in hand, too.
func TestABreakThatWasCalledOtherwise(t *testing.T) {
	old := found(reconcile.FeeMismatch, reconcile.Sale, "ch_1", 110, 111)
	named := old.Break
	old.Break = event.NameID("break", "fee mismatch|sale|ch_1")
	dear := with(func(r *reconcile.Run) { r.Theirs[0].Fee = 111 })
	after(t, []event.Data{old, done(1, 2, 1)}, dear, done(2, 2, 1))
	after(t, []event.Data{old, done(1, 2, 1), reconcile.BreakResolved{Break: old.Break, How: "known"}}, dear, done(2, 2, 0))
	got, err := reconcile.Decider.Decide(decider.Fold(reconcile.Decider, old), reconcile.Resolve{Break: old.Break, Reason: "known"})
	if err != nil || len(got) != 1 || got[0] != (reconcile.BreakResolved{Break: named, How: "known"}) {
		t.Errorf("%+v, %v", got, err)
	}
}

// What went and came back at the processor under one id, and was told to nobody, is
// nothing.
func TestWhatWentAndCameBack(t *testing.T) {
	decides(t, with(func(r *reconcile.Run) {
		r.Theirs = append(r.Theirs, move(reconcile.PayoutReturned, "po_1", 900, 0), move(reconcile.PayoutReturned, "po_1", -900, 0))
	}), done(1, 3, 0))
}

// What a person explained is explained while it is there. Gone and there again, it is
// another difference.
func TestAnExplainedDifferenceThatComesBack(t *testing.T) {
	odd := with(func(r *reconcile.Run) { r.Balance = []reconcile.Balance{{Currency: "GBP", Pending: 1150}} })
	b := found(reconcile.BalanceMismatch, reconcile.Other, "GBP", 1050, 1150)
	b.Since, b.Order, b.Text = now, "", "the books and the balance at the processor"
	given := []event.Data{b, done(1, 3, 1), reconcile.BreakResolved{Break: b.Break, How: "top-up of 1 March"}}
	after(t, given, odd, done(2, 3, 0))
	gone := reconcile.BreakResolved{Break: b.Break, How: reconcile.AgreesNow}
	after(t, given, both(), gone, done(2, 3, 0))
	given = append(given, gone, done(2, 3, 0))
	after(t, given, both(), done(3, 3, 0)) // said once
	after(t, given, odd, b, done(3, 3, 1))
}

// What a break looks like changes as other movements are matched; that it is the same
// one does not.
func TestABreakOfAnotherClass(t *testing.T) {
	twice := move(reconcile.Transfer, "tr_2", -1000, 0)
	b := found(reconcile.MissingInLedger, reconcile.Transfer, "tr_2", 0, -1000)
	then := with(func(r *reconcile.Run) { r.Theirs, r.Balance = append(r.Theirs, twice), nil }) // the order's own is made, and matched
	as := found(reconcile.Duplicate, reconcile.Transfer, "tr_2", 0, -1000)
	if as.Break != b.Break {
		t.Fatal("two names")
	}
	after(t, []event.Data{b, done(1, 2, 1)}, then, as, done(2, 3, 1))
	after(t, []event.Data{b, done(1, 2, 1), reconcile.BreakResolved{Break: b.Break, How: "by hand, of 3 March"}}, then, done(2, 3, 0))
}

// A transfer of ours, or its reversal, may be made at the processor while its answer is
// still on its way here. After an hour it is nobody's.
func TestACallWhoseAnswerIsOut(t *testing.T) {
	sent := move(reconcile.Transfer, "tr_2", -1000, 0)
	back := move(reconcile.Reversal, "trr_1", 400, 0)
	sent.Order, back.Order = "o2", ""
	run := with(func(r *reconcile.Run) {
		r.At = noon.Add(reconcile.Grace - time.Second)
		r.Theirs, r.Balance = append(r.Theirs, sent, back), []reconcile.Balance{{Currency: "GBP", Pending: 450}}
	})
	end := reconcile.RunCompleted{Run: 1, Through: run.At, Matched: 3}
	decides(t, run, end)
	if on := run.UnderWay()["GBP"]; on != 600 {
		t.Errorf("under way: %d", on)
	}
	run.At = noon.Add(reconcile.Grace)
	end.Through, end.Open = run.At, 3
	wrong := found(reconcile.BalanceMismatch, reconcile.Other, "GBP", 1050, 450)
	wrong.Since, wrong.Order, wrong.Text = run.At, "", "the books and the balance at the processor"
	alone := found(reconcile.MissingInLedger, reconcile.Reversal, "trr_1", 0, 400)
	alone.Order = ""
	lost := found(reconcile.MissingInLedger, reconcile.Transfer, "tr_2", 0, -1000)
	lost.Order = "o2"
	decides(t, run, wrong, alone, lost, end)
	// One that names no order is none of ours, and found at once.
	run.At = noon
	run.Theirs[3].Order = ""
	if facts, err := reconcile.Decider.Decide(reconcile.State{}, run); err != nil || len(facts) != 3 {
		t.Errorf("%+v, %v", facts, err)
	}
}

// A fee that another run has booked since ours was read is booked.
func TestAFeeThatWasBookedMeanwhile(t *testing.T) {
	radar, less := move(reconcile.Fee, "txn_f", -5, 0), left
	less.Pending -= 5
	run := with(func(r *reconcile.Run) { r.Theirs, r.Balance = append(r.Theirs, radar), []reconcile.Balance{less} })
	charged := reconcile.Charged{Transaction: "txn_f", Currency: "GBP", Amount: 5, Text: "said so"}
	after(t, []event.Data{charged, done(1, 4, 0)}, run, done(2, 4, 0))
}

// The processor counts some currencies more finely than they are. Each movement is
// rounded, and so is the balance: that is no difference. Two movements that are one are
// rounded together, as the books have it.
func TestRounding(t *testing.T) {
	krona := func(object string, net, fee money.Minor, netRest, feeRest int64) reconcile.Movement {
		return reconcile.Movement{Key: reconcile.Key{Kind: reconcile.Sale, Object: object}, Currency: "ISK", Net: net, Fee: fee, NetRest: netRest, FeeRest: feeRest, At: noon}
	}
	// Two sales of 100 with a fee of 3.45 each: 193.10 are there.
	ours := []reconcile.Movement{krona("ch_1", 97, 3, 0, 0), krona("ch_2", 97, 3, 0, 0)}
	run := reconcile.Run{At: now, Ours: ours, Theirs: []reconcile.Movement{krona("ch_1", 97, 3, -45, 45), krona("ch_2", 97, 3, -45, 45)},
		Balance: []reconcile.Balance{{Currency: "ISK", Pending: 193}}}
	decides(t, run, reconcile.RunCompleted{Run: 1, Through: now, Matched: 2})
	if r := run.Rounding()["ISK"]; r != -1 {
		t.Errorf("rounded by %d", r)
	}
	run.Balance[0].Pending = 194
	if facts, err := reconcile.Decider.Decide(reconcile.State{}, run); err != nil || len(facts) != 2 {
		t.Errorf("a krona too much: %+v, %v", facts, err)
	}
	// What only they have is rounded too, so that its difference stays what it is.
	run.Balance[0].Pending = 290
	run.Theirs = append(run.Theirs, krona("ch_9", 97, 3, -45, 45))
	facts, _ := reconcile.Decider.Decide(reconcile.State{}, run)
	if b, is := facts[0].(reconcile.BreakFound); !is || b.Class != reconcile.BalanceMismatch || b.Difference() != 97 {
		t.Errorf("%+v", facts)
	}
	// 100 authorised with a fee of 3.45, 80 taken: 20 and 0.60 of the fee went back.
	decides(t, reconcile.Run{At: now, Ours: []reconcile.Movement{krona("ch_1", 77, 3, 0, 0)},
		Theirs: []reconcile.Movement{krona("ch_1", -19, -1, -40, 40), krona("ch_1", 97, 3, -45, 45)}}, reconcile.RunCompleted{Run: 1, Through: now, Matched: 1})
}

// A reason is somebody else's words: a long one is cut, and a card's number is not
// written down.
func TestWhyAPaymentCannotBeRead(t *testing.T) {
	for _, c := range []struct{ reason, want string }{
		{"!" + strings.Repeat("ä", reconcile.MaxReason), "!" + strings.Repeat("ä", reconcile.MaxReason/2-1) + "…"},
		{"no such card: 4242 4242 4242 4242", "why is not kept, as a card number stands in it"},
	} {
		facts, err := reconcile.Decider.Decide(reconcile.State{}, with(func(r *reconcile.Run) { r.Unread = []reconcile.NotRead{{Key: unreadPayment("pi_1"), Reason: c.reason}} }))
		if err != nil || facts[0].(reconcile.BreakFound).Text != c.want {
			t.Errorf("%+v, %v", facts, err)
		}
	}
}
