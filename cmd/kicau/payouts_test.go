package main

import (
	"context"
	"errors"
	"iter"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/stripe"
	"kicau/domain"
	"kicau/domain/money"
	"kicau/domain/payout"
	"kicau/domain/shop"
)

// banks gives the shop's account a bank account of its own.
func (p *walker) banks(account, number string) {
	p.Helper()
	p.atStripe("POST", "/v1/accounts/"+account+"/external_accounts", url.Values{"external_account[object]": {"bank_account"}, "external_account[country]": {"US"},
		"external_account[currency]": {"gbp"}, "external_account[routing_number]": {"110000000"}, "external_account[account_number]": {number}, "default_for_currency": {"true"}}, "")
}

func (p *walker) pays(amount, account string) {
	p.Helper()
	p.atStripe("POST", "/v1/payouts", url.Values{"amount": {amount}, "currency": {"gbp"}}, account)
}

// sleeps: time passes, and nobody does anything.
func (p *walker) sleeps(d time.Duration) {
	p.mu.Lock()
	p.now = p.now.Add(d)
	p.mu.Unlock()
}

// earns 18.00 for the shop, which have come in at its account.
func (p *walker) earns() {
	p.Helper()
	p.order = uuid.New()
	p.buys("pm_card_visa", false)
	p.ships()
	p.waits(24 * time.Hour)
	p.waits(48 * time.Hour)
}

// payouts in the log, one line an event.
func (p *walker) payouts() (lines []string) {
	p.Helper()
	for rec, err := range p.log.ReadAll(p.Context(), command.Forwards, command.ReadFrom{}, command.Filter{StreamPrefixes: []string{"payout-"}}, 0) {
		p.ok(err)
		e, err := domain.Events.Decode(rec)
		p.ok(err)
		whose := func(shop uuid.UUID) string {
			if shop == benchShop {
				return " of the shop"
			}
			if shop == uuid.Nil {
				return " of the platform"
			}
			return " of " + shop.String()
		}
		switch b := e.Body.(type) {
		case payout.Sent:
			lines = append(lines, "sent"+whose(b.Shop))
		case payout.Paid:
			lines = append(lines, "paid"+whose(b.Shop))
		case payout.Failed:
			lines = append(lines, "failed"+whose(b.Shop)+": "+b.Code)
		}
	}
	return lines
}

// learns what a reconciliation says of shops' payouts, and that their money was
// none of ours.
func (p *walker) learns(sent, paid, failed int) {
	p.Helper()
	r := p.hears()
	if d := cmp.Diff(command.ShopPayouts{Sent: sent, Paid: paid, Failed: failed}, r.Payouts); d != "" || len(r.Open) > 0 {
		p.Errorf("payouts: %s; breaks: %+v", d, r.Open)
	}
}

func (p *walker) recorded(want ...string) {
	p.Helper()
	if d := cmp.Diff(want, p.payouts()); d != "" {
		p.Errorf("payouts in the log: %s", d)
	}
}

// Payouts of shops' accounts, which no webhook tells of.
func TestPayoutsOfShops(t *testing.T) {
	walk(t, "arrives", func(p *walker) {
		p.earns()
		p.banks(p.shopAcct, "000123456789")
		p.learns(0, 0, 0)
		p.pays("1800", p.shopAcct)
		p.learns(1, 0, 0)
		p.learns(0, 0, 0)
		p.sleeps(48 * time.Hour)
		p.learns(0, 1, 0)
		p.learns(0, 0, 0)
		p.recorded("sent of the shop", "paid of the shop")
	})
	walk(t, "fails on arrival", func(p *walker) {
		p.earns()
		p.banks(p.shopAcct, "000111111116")
		p.pays("1000", p.shopAcct)
		p.learns(1, 0, 0)
		p.sleeps(48 * time.Hour)
		p.learns(0, 0, 1)
		p.recorded("sent of the shop", "failed of the shop: no_account")
	})
	walk(t, "fails after it had arrived, while later ones were made", func(p *walker) {
		p.earns()
		p.banks(p.shopAcct, "000111111113")
		p.pays("1000", p.shopAcct)
		p.sleeps(48 * time.Hour)
		p.learns(1, 1, 0) // first heard of when it had arrived
		p.banks(p.shopAcct, "000123456789")
		p.pays("800", p.shopAcct)
		p.learns(1, 0, 0)
		p.sleeps(72 * time.Hour)
		p.learns(0, 1, 1)
		p.recorded("sent of the shop", "paid of the shop", "sent of the shop", "failed of the shop: account_closed", "paid of the shop")
	})
	walk(t, "all of it missed", func(p *walker) {
		p.earns()
		p.banks(p.shopAcct, "000222222227")
		p.pays("1000", p.shopAcct)
		p.sleeps(100 * time.Hour)
		p.banks(p.shopAcct, "000123456789")
		p.pays("300", p.shopAcct)
		p.learns(2, 0, 1)
		p.recorded("sent of the shop", "failed of the shop: insufficient_funds", "sent of the shop")
	})
	walk(t, "beside the platform's own", func(p *walker) {
		p.order = uuid.New()
		p.buys("pm_card_bypassPending", false)
		p.ships()
		p.waits(24 * time.Hour)
		p.waits(48 * time.Hour)
		p.pays("100", "")
		p.pays("1000", p.shopAcct)
		p.learns(1, 0, 0)
		p.recorded("sent of the platform", "sent of the shop")
	})
	walk(t, "cancelled", func(p *walker) {
		p.earns()
		p.pays("1000", p.shopAcct)
		var id string
		for o, err := range p.client.ConnectedPayouts(p.Context(), p.shopAcct, time.Time{}) {
			p.ok(err)
			id = o.Sent.Payout
		}
		p.atStripe("POST", "/v1/payouts/"+id+"/cancel", nil, p.shopAcct)
		p.learns(1, 0, 1)
		p.recorded("sent of the shop", "failed of the shop: canceled")
	})
}

// onboards another shop that is paid at an account.
func (p *walker) onboards(account, platform string) uuid.UUID {
	p.Helper()
	id := uuid.New()
	_, err := p.commands.Shop(p.Context(), p.by("shop"), id, shop.Onboard{At: p.time(), Terms: shop.Onboarded{Name: "Baker", Currency: "GBP", Account: account, Platform: platform}})
	p.ok(err)
	return id
}

// An account that cannot be read is named, keeps no other from being read, and
// nothing of it is missing when it can be read again.
func TestPayoutsThatCannotBeRead(t *testing.T) {
	walk(t, "an account that is gone", func(p *walker) {
		gone := p.onboards("acct_gone", "")
		p.earns()
		p.pays("1000", p.shopAcct)
		r := p.hears()
		u := r.Payouts.Unread
		if len(u) != 1 || u[0].Account != "acct_gone" || u[0].Shop != gone || !strings.Contains(u[0].Reason, "list payouts at Stripe") || r.Payouts.Sent != 1 || len(r.Open) > 0 {
			t.Errorf("%+v", r.Payouts)
		}
	})
	walk(t, "an answer that breaks off in the middle", func(p *walker) {
		p.earns()
		for _, amount := range []string{"100", "200", "300"} {
			p.pays(amount, p.shopAcct)
			p.sleeps(time.Hour)
		}
		notice := func(ctx context.Context, intent string) error { return p.saga.Notice(ctx, intent, uuid.New()) }
		r, err := p.commands.Reconcile(p.Context(), p.by("reconcile"), brokenBooks{p.client, 2}, notice)
		p.ok(err)
		if len(r.Payouts.Unread) != 1 || r.Payouts.Sent != 0 {
			t.Errorf("%+v", r.Payouts)
		}
		p.recorded()
		p.learns(3, 0, 0)
		// The oldest came first, so that the log has no gap wherever it had ended.
		var amounts []money.Minor
		for rec, err := range p.log.ReadAll(p.Context(), command.Forwards, command.ReadFrom{}, command.Filter{Types: []string{payout.Sent{}.EventType()}}, 0) {
			p.ok(err)
			e, err := domain.Events.Decode(rec)
			p.ok(err)
			amounts = append(amounts, e.Body.(payout.Sent).Amount)
		}
		if d := cmp.Diff([]money.Minor{100, 200, 300}, amounts); d != "" {
			t.Error(d)
		}
	})
	walk(t, "accounts that are not ours to read", func(p *walker) {
		platform, err := p.client.Account(p.Context())
		p.ok(err)
		p.onboards("acct_elsewhere", "acct_of_another_platform")
		p.onboards(platform, "")
		p.onboards("", "")
		p.learns(0, 0, 0)
	})
	walk(t, "one account of two shops", func(p *walker) {
		p.onboards(p.shopAcct, "")
		p.earns()
		p.pays("1000", p.shopAcct)
		p.learns(1, 0, 0)
		p.recorded("sent of the shop") // the first
	})
}

// brokenBooks list so many payouts and fail.
type brokenBooks struct {
	*stripe.Client
	after int
}

func (b brokenBooks) ConnectedPayouts(ctx context.Context, account string, since time.Time) iter.Seq2[payout.Observe, error] {
	return func(yield func(payout.Observe, error) bool) {
		n := 0
		for o, err := range b.Client.ConnectedPayouts(ctx, account, since) {
			if n++; n > b.after {
				yield(payout.Observe{}, errors.New("broke off"))
				return
			}
			if !yield(o, err) {
				return
			}
		}
	}
}

// A payout that was asked back is one that came back: its reversal is no payout of
// its own, here or in the books.
func TestAPayoutThatIsReversed(t *testing.T) {
	reverses := func(p *walker, account string) {
		var id string
		for o, err := range p.client.ConnectedPayouts(p.Context(), account, time.Time{}) {
			p.ok(err)
			id = o.Sent.Payout
		}
		p.atStripe("POST", "/v1/payouts/"+id+"/reverse", nil, account)
	}
	walk(t, "a shop's", func(p *walker) {
		p.earns()
		p.pays("1000", p.shopAcct)
		p.sleeps(48 * time.Hour)
		p.learns(1, 1, 0)
		reverses(p, p.shopAcct)
		p.learns(0, 0, 1)
		p.sleeps(72 * time.Hour)
		p.learns(0, 0, 0)
		p.recorded("sent of the shop", "paid of the shop", "failed of the shop: reversed")
	})
	walk(t, "a shop's, when nothing was expected of it any more", func(p *walker) {
		p.earns()
		p.pays("1000", p.shopAcct)
		p.sleeps(48 * time.Hour)
		p.learns(1, 1, 0)
		p.sleeps(payout.ReturnsWithin)
		p.pays("300", p.shopAcct)
		p.learns(1, 0, 0)
		p.sleeps(48 * time.Hour)
		first := ""
		for o, err := range p.client.ConnectedPayouts(p.Context(), p.shopAcct, time.Time{}) {
			p.ok(err)
			first = o.Sent.Payout // the oldest is the last
		}
		p.atStripe("POST", "/v1/payouts/"+first+"/reverse", nil, p.shopAcct)
		p.learns(0, 1, 1)
		p.recorded("sent of the shop", "paid of the shop", "sent of the shop", "failed of the shop: reversed", "paid of the shop")
	})
}
