package command

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/domain/reconcile"
	"kicau/domain/refusal"
	"kicau/domain/shop"
)

// ShopPayouts is what a run learned of payouts from shops' accounts to their
// banks.
type ShopPayouts struct {
	Sent, Paid, Failed int
	Unread             []Unread
}

// Unread is an account whose payouts could not be read whole; what was recorded of
// it stands, and the next run goes on from there.
type Unread struct {
	Account string    `json:"account"`
	Shop    uuid.UUID `json:"shop"`
	Reason  string    `json:"reason"`
}

// connected is an account of shops, as the log knows it.
type connected struct {
	account string
	shops   []ownShop // oldest first
	since   time.Time // from when on its payouts are to be read
}

type ownShop struct {
	id       uuid.UUID
	currency money.Currency
}

// shopOf is the shop that a payout in a currency is of: the first with the account
// that sells in it, or else the first.
func (a *connected) shopOf(c money.Currency) uuid.UUID {
	i := slices.IndexFunc(a.shops, func(s ownShop) bool { return s.currency == c })
	return a.shops[max(i, 0)].id
}

// observePayouts of the platform itself, for a run. One that contradicts what was
// recorded stays as it was recorded, and stops no run.
func (c *Commands) observePayouts(ctx context.Context, by By, run *reconcile.Run, books Books) error {
	for o, err := range books.Payouts(ctx) {
		if err != nil {
			return err
		}
		_, err := c.observePayout(ctx, by, o)
		if refusal.From(err) != nil {
			key := reconcile.Key{Kind: reconcile.Payout, Object: o.Sent.Payout}
			run.Unread = append(run.Unread, reconcile.NotRead{Key: key, Reason: err.Error()})
		} else if err != nil {
			return err
		}
	}
	return nil
}

func (c *Commands) observePayout(ctx context.Context, by By, o payout.Observe) (Result, error) {
	res, err := c.Payouts.Handle(ctx, payout.Stream(o.Sent.Payout), by.step("payout:"+o.Sent.Payout).Meta(), func(s payout.State) ([]event.Data, error) {
		return payout.Decider.Decide(s, o)
	})
	if err != nil {
		return res, fmt.Errorf("payout %s: %w", o.Sent.Payout, err)
	}
	return res, nil
}

// observeShopPayouts records what became of shops' payouts since the last run. No
// webhook tells of them. An account that cannot be read keeps no other from being
// read.
func (c *Commands) observeShopPayouts(ctx context.Context, by By, platform string, books Books) (p ShopPayouts, err error) {
	accounts, err := c.connectedAccounts(ctx, platform, by.At)
	if err != nil {
		return p, err
	}
	for _, a := range accounts {
		unread, err := c.observeAccount(ctx, by, a, books, &p)
		if err != nil {
			return p, err
		}
		if unread != nil {
			p.Unread = append(p.Unread, Unread{a.account, a.shops[0].id, unread.Error()})
		}
	}
	return p, nil
}

// observeAccount records the payouts of an account, oldest first: so wherever it
// stops, what is recorded has no gap, and the newest of it is where to go on.
func (c *Commands) observeAccount(ctx context.Context, by By, a *connected, books Books, p *ShopPayouts) (unread, err error) {
	var list []payout.Observe
	for o, err := range books.ConnectedPayouts(ctx, a.account, a.since) {
		if err != nil && ctx.Err() != nil {
			return nil, err
		}
		if err != nil {
			return err, nil
		}
		o.Sent.Shop = a.shopOf(o.Sent.Currency)
		list = append(list, o)
	}
	for _, o := range slices.Backward(list) {
		res, err := c.observePayout(ctx, by, o)
		if refusal.From(err) != nil {
			unread = cmp.Or(unread, err) // it stays as it was recorded, and leaves no gap
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, e := range res.Events {
			switch e.(type) {
			case payout.Sent:
				p.Sent++
			case payout.Paid:
				p.Paid++
			case payout.Failed:
				p.Failed++
			}
		}
	}
	return unread, nil
}

// clocksApart bounds how far the processor's clock may be from ours.
const clocksApart = 24 * time.Hour

// connectedAccounts are the accounts of shops that the platform's account pays,
// from the log: in the order in which they came. Of each, payouts are read from
// the oldest on of which something may still become, or else from the newest on,
// or else from when its shop was onboarded.
func (c *Commands) connectedAccounts(ctx context.Context, platform string, at time.Time) (all []*connected, err error) {
	of := map[string]*connected{}
	payouts := map[string]payout.State{}
	filter := Filter{Types: []string{shop.Onboarded{}.EventType(), payout.Sent{}.EventType(), payout.Paid{}.EventType(), payout.Failed{}.EventType()}}
	for rec, err := range c.Log.ReadAll(ctx, Forwards, ReadFrom{}, filter, 0) {
		if err != nil {
			return nil, fmt.Errorf("read the log: %w", err)
		}
		e, err := c.events.Decode(rec)
		if err != nil {
			return nil, fmt.Errorf("which accounts are shops' cannot be told: %w", err)
		}
		b, onboarded := e.Body.(shop.Onboarded)
		if !onboarded {
			payouts[e.Stream] = payout.Decider.Evolve(payouts[e.Stream], e.Body)
			continue
		}
		if b.Account == "" || b.Account == platform || b.Platform != "" && b.Platform != platform {
			continue
		}
		if of[b.Account] == nil {
			of[b.Account] = &connected{account: b.Account, since: e.OccurredAt.Add(-clocksApart)}
			all = append(all, of[b.Account])
		}
		id, err := uuid.Parse(strings.TrimPrefix(e.Stream, shop.Category+"-"))
		if err != nil {
			return nil, fmt.Errorf("%s is no stream of a shop: %w", e.Stream, err)
		}
		of[b.Account].shops = append(of[b.Account].shops, ownShop{id, b.Currency})
	}
	newest, oldest := map[string]time.Time{}, map[string]time.Time{}
	for _, s := range payouts {
		if s.Sent == nil || s.Sent.SentAt.IsZero() {
			continue
		}
		account, sent := s.Sent.Account, s.Sent.SentAt
		if sent.After(newest[account]) {
			newest[account] = sent
		}
		if first, open := oldest[account]; !s.Over(at) && (!open || sent.Before(first)) {
			oldest[account] = sent
		}
	}
	for _, a := range all {
		if t, known := newest[a.account]; known {
			a.since = t
		}
		if t, open := oldest[a.account]; open {
			a.since = t
		}
	}
	return all, nil
}
