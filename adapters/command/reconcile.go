package command

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"kicau/domain/event"
	"kicau/domain/ledger"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/refusal"
)

// Books is the processor as a reconciliation sees it: what it says it did with
// the platform's money.
type Books interface {
	// Account is the platform's account at the processor.
	Account(ctx context.Context) (string, error)
	// Movements are all movements of the platform's balance. Several may have
	// one key: together they are one movement of ours.
	Movements(ctx context.Context) iter.Seq2[reconcile.Movement, error]
	// Balances of the platform, by currency.
	Balances(ctx context.Context) ([]reconcile.Balance, error)
	// Payouts of the platform.
	Payouts(ctx context.Context) iter.Seq2[payout.Observe, error]
	// ConnectedPayouts are those of an account that is connected to the platform,
	// which were made from a time on, newest first.
	ConnectedPayouts(ctx context.Context, account string, since time.Time) iter.Seq2[payout.Observe, error]
	// News of payments since a time, for as long as the processor remembers: of each
	// the newest.
	News(ctx context.Context, since time.Time) iter.Seq2[News, error]
}

// News: something happened to a payment intent.
type News struct {
	Intent string // or another id of the payment that [Payments.Read] takes
	At     time.Time
}

// NewsKept is how long the processor remembers its news.
const NewsKept = 30 * 24 * time.Hour

// Reconciliation is what a run found.
type Reconciliation struct {
	Run     int
	Noticed int // payment intents that were read again
	Unread  int // payment intents and payouts that could not be: breaks, and the next run's again
	Matched int
	// Behind: more could not be read than are kept ([reconcile.MaxUnread]). The next
	// run hears the same news again.
	Behind bool
	Open   []reconcile.BreakFound // all that are open now, oldest first
	Theirs []reconcile.Balance    // nil: it did not stand still, and sums were not compared
	Ours   []reconcile.Balance    // as the ledger has it
	// UnderWay is the part of Ours that is younger than their side, less what of theirs
	// may be a call whose answer is not in the log yet.
	UnderWay map[money.Currency]money.Minor
	// Rounding is what Theirs has more than Ours because it is rounded as a whole, where
	// the processor counts more finely than the currency.
	Rounding map[money.Currency]money.Minor
	// Elsewhere are the orders that are other accounts' of the platform, by account: a
	// run compares those of its own.
	Elsewhere map[string]int
	// Payouts of shops' accounts. They move none of the platform's money, so no
	// break comes of them.
	Payouts ShopPayouts
}

// Reconcile the books with the processor. Their side is read first; then the news
// that webhooks may have missed are heard (notice reads a payment intent again),
// and then ours is read: so whatever is on their side, ours has heard of, or it is
// a break. What cannot be read stops no run. It keeps every movement of both sides
// in memory, some 300 bytes each.
func (c *Commands) Reconcile(ctx context.Context, by By, books Books, notice func(context.Context, string) error) (Reconciliation, error) {
	var r Reconciliation
	account, err := books.Account(ctx)
	if err != nil {
		return r, err
	}
	run := reconcile.Run{At: by.At}
	before, err := c.before(ctx, run, account)
	if err != nil {
		return r, err
	}
	if run.Theirs, run.Balance, err = theirSide(ctx, books); err != nil {
		return r, err
	}
	if err := hearNews(ctx, &run, before, books, notice); err != nil {
		return r, err
	}
	if err := c.observePayouts(ctx, by, &run, books); err != nil {
		return r, err
	}
	if err := c.ourSide(ctx, account, &run, &r); err != nil {
		return r, err
	}
	// The processor forgets its news. What it moved and we have not heard of is
	// read again however old it is, unless this run has just failed to.
	var unheard []News
	for _, intent := range run.Unheard() {
		if !slices.ContainsFunc(run.Unread, func(p reconcile.NotRead) bool { return p.Key == unreadKey(intent) }) {
			unheard = append(unheard, News{Intent: intent})
		}
	}
	if len(unheard) > 0 {
		if err := hear(ctx, &run, unheard, notice); err != nil {
			return r, err
		}
		if err := c.ourSide(ctx, account, &run, &r); err != nil {
			return r, err
		}
	}
	r.Theirs, r.UnderWay, r.Rounding = run.Balance, run.UnderWay(), run.Rounding()
	r.Noticed, r.Unread = len(run.Heard), len(run.Unread)
	posted, err := c.record(ctx, by, account, run, before.runs, &r)
	if err != nil {
		return r, fmt.Errorf("reconciliation with %s: %w", account, err)
	}
	r.Ours = ourBalances(run.Ours, posted)
	// From here on the run is recorded; what follows is taken up by the next one.
	r.Payouts, err = c.observeShopPayouts(ctx, by, account, books)
	return r, err
}

// maxFacts bounds what is appended of a run at a time, at up to 1 KB each.
const maxFacts = 500

// ErrOtherRun: what this run has read is older than what another has recorded.
var ErrOtherRun = &refusal.Refusal{Kind: refusal.Clash, Code: "other-run", Field: "run", Subject: "the reconciliation",
	Reason: "was overtaken by another one, which has been recorded meanwhile", Remedy: "run it again"}

// record what a run finds, in parts: what is recorded already is not found again, so a
// run that breaks off in the middle is gone on with by the next one.
func (c *Commands) record(ctx context.Context, by By, account string, run reconcile.Run, runs int, r *Reconciliation) (posted []event.Data, err error) {
	for part, done := 0, false; !done; part++ {
		res, err := c.Reconciliations.Handle(ctx, reconcile.Stream(account), by.step(fmt.Sprintf("part:%d", part)).Meta(), func(s reconcile.State) ([]event.Data, error) {
			if s.Runs != runs {
				return nil, ErrOtherRun
			}
			events, err := reconcile.Decider.Decide(s, run)
			if done = len(events) <= maxFacts; !done {
				return events[:maxFacts], err
			}
			r.Open = s.OpenAfter(events...)
			for _, e := range events {
				if end, ok := e.(reconcile.RunCompleted); ok {
					r.Run, r.Matched, r.Behind = end.Run, end.Matched, end.Through.Before(run.At)
				}
			}
			return events, err
		})
		if err != nil {
			return nil, err
		}
		posted = append(posted, res.Events...)
	}
	return posted, nil
}

// earlier is what earlier runs have left to a new one.
type earlier struct {
	runs   int
	since  time.Time // from when on there are news
	unread []string  // payments
}

func (c *Commands) before(ctx context.Context, run reconcile.Run, account string) (e earlier, err error) {
	err = c.Reconciliations.Look(ctx, reconcile.Stream(account), func(s reconcile.State) error {
		e = earlier{s.Runs, run.At.Add(-NewsKept), s.Unread()}
		if s.Through.After(e.since) {
			e.since = s.Through
		}
		return nil
	})
	return e, err
}

// maxReadings bounds how often their side is read until its balance has stood
// still meanwhile.
const maxReadings = 3

// theirSide is their movements and the balance that goes with them: it was the
// same before and after they were listed. On an account that never stands still
// there is none.
func theirSide(ctx context.Context, books Books) (moved []reconcile.Movement, balance []reconcile.Balance, err error) {
	before, err := books.Balances(ctx)
	if err != nil {
		return nil, nil, err
	}
	for range maxReadings {
		moved = moved[:0]
		for m, err := range books.Movements(ctx) {
			if err != nil {
				return nil, nil, err
			}
			moved = append(moved, m)
		}
		after, err := books.Balances(ctx)
		if err != nil {
			return nil, nil, err
		}
		if sameSums(before, after) {
			return moved, append([]reconcile.Balance{}, after...), nil
		}
		before = after
	}
	return moved, nil, nil
}

// sameSums: what becomes available in the meantime moves nothing.
func sameSums(a, b []reconcile.Balance) bool {
	sums := map[money.Currency]money.Minor{}
	for _, x := range a {
		sums[x.Currency] += x.Pending + x.Available
	}
	for _, x := range b {
		sums[x.Currency] -= x.Pending + x.Available
	}
	for _, rest := range sums {
		if rest != 0 {
			return false
		}
	}
	return true
}

// ourBalances is what the movements come to, with the fees that the run posted.
func ourBalances(ours []reconcile.Movement, posted []event.Data) (all []reconcile.Balance) {
	add := func(m reconcile.Movement) {
		i := slices.IndexFunc(all, func(b reconcile.Balance) bool { return b.Currency == m.Currency })
		if i < 0 {
			i = len(all)
			all = append(all, reconcile.Balance{Currency: m.Currency})
		}
		all[i].Pending += m.Net
	}
	for _, m := range ours {
		add(m)
	}
	for _, e := range posted {
		if m, moves := ledger.AtProcessor(e); moves {
			add(m)
		}
	}
	return all
}

// hearNews reads again what something happened to since the last run, and what
// earlier runs could not read.
func hearNews(ctx context.Context, run *reconcile.Run, before earlier, books Books, notice func(context.Context, string) error) error {
	var all []News
	for n, err := range books.News(ctx, before.since) {
		if err != nil {
			return err
		}
		all = append(all, n)
	}
	for _, intent := range before.unread {
		if !slices.ContainsFunc(all, func(n News) bool { return n.Intent == intent }) {
			all = append(all, News{Intent: intent})
		}
	}
	return hear(ctx, run, all, notice)
}

func unreadKey(intent string) reconcile.Key {
	return reconcile.Key{Kind: reconcile.Payment, Object: intent}
}

// maxHearings bounds how often a run reads a payment again that cannot be read.
const maxHearings = 3

// hear reads payments again, for a run, of which there are news or not. One that cannot
// be read keeps no other from being heard, and is tried again after them: of many calls
// some go wrong. It fails when the run is to end.
func hear(ctx context.Context, run *reconcile.Run, all []News, notice func(context.Context, string) error) error {
	var unread []reconcile.NotRead
	for range maxHearings {
		var failed []News
		unread = nil
		for _, n := range all {
			err := notice(ctx, n.Intent)
			if ctx.Err() != nil {
				return fmt.Errorf("news of %s: %w", n.Intent, ctx.Err())
			}
			if err == nil {
				run.Heard = append(run.Heard, n.Intent)
				continue
			}
			failed = append(failed, n)
			unread = append(unread, reconcile.NotRead{Key: unreadKey(n.Intent), NewsAt: n.At, Reason: err.Error()})
		}
		all = failed
	}
	run.Unread = append(run.Unread, unread...)
	return nil
}

// ourSide is what a run is to compare: the movements of ours with an account at the
// processor, from the log itself.
func (c *Commands) ourSide(ctx context.Context, account string, run *reconcile.Run, r *Reconciliation) error {
	run.Ours, run.Waiting, r.Elsewhere = nil, nil, map[string]int{}
	pending := map[string]reconcile.Movement{}
	others := map[string]bool{} // streams of orders and payouts of another account
	filter := Filter{StreamPrefixes: []string{order.Category + "-", payout.Category + "-", reconcile.Category + "-"}}
	for rec, err := range c.Log.ReadAll(ctx, Forwards, ReadFrom{}, filter, 0) {
		if err != nil {
			return fmt.Errorf("read the log: %w", err)
		}
		e, err := c.events.Decode(rec)
		if err != nil {
			if errors.Is(err, event.ErrUnknownType) {
				return fmt.Errorf("the books cannot be compared: %w", err)
			}
			return err
		}
		switch b := e.Body.(type) { // each comes before its stream moves anything
		case order.AuthorisationRequested:
			if b.Account != account && !others[e.Stream] {
				others[e.Stream] = true
				r.Elsewhere[b.Account]++
			}
		case payout.Sent: // also a shop's, which moves nothing of the platform's
			others[e.Stream] = b.Account != account
		}
		if others[e.Stream] || rec.Stream != reconcile.Stream(account) && strings.HasPrefix(rec.Stream, reconcile.Category+"-") {
			continue
		}
		name := strings.TrimPrefix(e.Stream, order.Category+"-")
		switch b := e.Body.(type) {
		case order.RefundPending:
			pending[b.RefundID] = reconcile.Movement{Key: reconcile.Key{Kind: reconcile.Refund, Object: b.RefundID}, Currency: b.Currency, Net: -b.Amount,
				At: e.OccurredAt, Order: name, Text: "a refund that was accepted and is not paid"}
		case order.Refunded:
			delete(pending, b.RefundID)
		case order.RefundReturned:
			delete(pending, b.RefundID)
		}
		if m, moves := ledger.AtProcessor(e.Body); moves {
			m.At, m.Order = e.OccurredAt, name
			run.Ours = append(run.Ours, m)
		}
	}
	for _, m := range pending {
		run.Waiting = append(run.Waiting, m)
	}
	return nil
}

// Breaks that are open with the account.
func (c *Commands) Breaks(ctx context.Context, account string) (open []reconcile.BreakFound, err error) {
	err = c.Reconciliations.Look(ctx, reconcile.Stream(account), func(s reconcile.State) error {
		open = s.Open.List()
		return nil
	})
	return open, err
}

// ResolveBreak by hand.
func (c *Commands) ResolveBreak(ctx context.Context, by By, account string, cmd reconcile.Resolve) (Result, error) {
	return c.Reconciliations.Handle(ctx, reconcile.Stream(account), by.Meta(), func(s reconcile.State) ([]event.Data, error) {
		return reconcile.Decider.Decide(s, cmd)
	})
}
