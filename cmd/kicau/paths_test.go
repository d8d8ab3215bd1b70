package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/order"
	"kicau/domain/reconcile"
	"kicau/domain/shop"
)

// The paths of a payment, each from end to end: the real log, the real saga, the
// production client over HTTP against the sandbox, and a clock for all of them.
// No webhook is sent: news come as a reconciliation hears them, and at the end of
// each path the books agree with the sandbox's to the minor unit.

type walker struct {
	*testing.T
	mu       sync.Mutex
	now      time.Time
	log      command.Log
	commands *command.Commands
	sandbox  *sandbox.Server
	client   *stripe.Client
	saga     *react.Saga
	shopAcct string
	order    uuid.UUID
	differs  bool // on purpose
	faults   func(method, path string) sandbox.Fault
}

func (p *walker) time() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *walker) meets(method, path, _ string) sandbox.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.faults == nil {
		return sandbox.NoFault
	}
	return p.faults(method, path)
}

func (p *walker) ok(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p *walker) by(actor string) command.By {
	return command.By{Command: uuid.New(), Actor: actor, At: p.time()}
}

// walk a path: a shop whose money is held a day, of which it gets 90 %.
func walk(t *testing.T, name string, story func(p *walker)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		p := &walker{T: t, now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC), order: uuid.New()}
		quiet := slog.New(slog.DiscardHandler)
		n, err := node.Open(node.Options{Dir: filepath.Join(t.TempDir(), "events"), Logger: quiet})
		p.ok(err)
		t.Cleanup(func() { p.ok(n.Close()) })
		p.sandbox = sandbox.New(sandbox.Options{SecretKey: sandboxKey, Now: p.time, Logger: quiet, Faults: p.meets})
		p.ok(p.sandbox.Start())
		t.Cleanup(func() { p.ok(errors.Join(p.sandbox.Verify(), p.sandbox.Close())) })
		p.client, err = stripe.New(stripe.Options{SecretKey: sandboxKey, BaseURL: p.sandbox.URL(), PayURL: p.sandbox.PayURL, Now: p.time})
		p.ok(err)
		p.log, p.commands = n.Log(), command.New(n.Log(), domain.Events)
		p.saga = react.New(react.Options{Commands: p.commands, Payments: p.client, Now: p.time, NewID: uuid.New, Logger: quiet})
		p.shopAcct, err = p.client.CreateAccount(t.Context(), "Potter", "account")
		p.ok(err)
		terms := shop.Onboarded{Name: "Potter", Currency: "GBP", Account: p.shopAcct, HoldHours: 24, Fees: shop.Fees{BasisPoints: 1000}}
		_, err = p.commands.Shop(t.Context(), p.by("shop"), benchShop, shop.Onboard{At: p.time(), Terms: terms})
		p.ok(err)
		ten := int64(10)
		_, err = p.commands.Tweet(t.Context(), p.by("shop"), benchOffer, offer.Tweeted{Shop: benchShop, Title: "Mug", Tweet: "A mug", Currency: "GBP", Price: 1000, Stock: &ten})
		p.ok(err)
		story(p)
		if !p.differs {
			p.agree()
		}
	})
}

// buys two mugs, 20.00 in all.
func (p *walker) buys(card string, keep bool) {
	p.Helper()
	p.places(card, keep)
	p.step()
}

func (p *walker) places(card string, keep bool) {
	p.Helper()
	_, err := p.commands.Place(p.Context(), p.by("buyer"), command.Place{Order: p.order, Buyer: uuid.New(), Processor: order.Stripe, PaymentMethod: card, KeepCard: keep,
		Lines: []command.Line{{Offer: benchOffer, Quantity: 2}}})
	p.ok(err)
}

func (p *walker) step() {
	p.Helper()
	p.ok(p.saga.Step(p.Context(), p.order, uuid.New()))
}

func (p *walker) does(cmd order.Command) {
	p.Helper()
	_, err := p.commands.Order(p.Context(), p.by("somebody"), p.order, cmd)
	p.ok(err)
	p.step()
}

func (p *walker) ships() {
	p.Helper()
	p.does(order.Ship{At: p.time(), Carrier: "post", Tracking: "RM1"})
}

// waits, and lets the deadlines of that time fire.
func (p *walker) waits(d time.Duration) {
	p.Helper()
	p.mu.Lock()
	p.now = p.now.Add(d)
	p.mu.Unlock()
	_, err := p.commands.Order(p.Context(), p.by("deadline"), p.order, order.Expire{At: p.time()})
	p.ok(err)
	p.step()
}

// hears what webhooks would have told.
func (p *walker) hears() reconciledRun {
	p.Helper()
	notice := func(ctx context.Context, intent string) error {
		if err := p.saga.Notice(ctx, intent, uuid.New()); !errors.Is(err, react.ErrNotOurs) {
			return err
		}
		return nil // for the comparison to find
	}
	r, err := p.commands.Reconcile(p.Context(), p.by("reconcile"), p.client, notice)
	p.ok(err)
	return reconciledRun{r}
}

type reconciledRun struct{ command.Reconciliation }

// agree: the books are what the sandbox's are, at once and after whatever was
// under way.
func (p *walker) agree() {
	p.Helper()
	r := p.hears()
	if len(r.Open) > 0 {
		p.Errorf("the books differ: %+v", r.Open)
	}
	ours := map[money.Currency]money.Minor{}
	for _, b := range r.Ours {
		ours[b.Currency] = b.Pending
	}
	for _, b := range r.Theirs {
		if ours[b.Currency] != b.Pending+b.Available {
			p.Errorf("the ledger has %d %s, the sandbox %d", ours[b.Currency], b.Currency, b.Pending+b.Available)
		}
	}
}

// ends with these events on the order's stream.
func (p *walker) ends(want ...event.Data) {
	p.Helper()
	var got, types []string
	for rec, err := range p.log.ReadStream(p.Context(), order.Stream(p.order), command.Forwards, 0, 0) {
		p.ok(err)
		got = append(got, rec.Type)
	}
	for _, w := range want {
		types = append(types, w.EventType())
	}
	if len(got) < len(types) || !slices.Equal(got[len(got)-len(types):], types) {
		p.Errorf("the order's stream is\n  %s\nwhich does not end with\n  %s", strings.Join(got, "\n  "), strings.Join(types, "\n  "))
	}
}

func (p *walker) state() (s order.State) {
	p.Helper()
	p.ok(p.commands.Orders.Look(p.Context(), order.Stream(p.order), func(now order.State) error { s = order.After(now); return nil }))
	return s
}

// atStripe does something by hand at the processor.
func (p *walker) atStripe(method, to string, form url.Values, account string) {
	p.Helper()
	r, err := http.NewRequest(method, p.sandbox.URL()+to, strings.NewReader(form.Encode()))
	p.ok(err)
	r.Header.Set("Authorization", "Bearer "+sandboxKey)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if account != "" {
		r.Header.Set("Stripe-Account", account)
	}
	res, err := http.DefaultClient.Do(r)
	p.ok(err)
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
		p.Fatalf("%s %s: %s %s", method, to, res.Status, bytes.TrimSpace(body))
	}
}

// answers the bank's question on the hosted page, or fails to.
func (p *walker) answers(decision string) {
	p.Helper()
	page, err := p.client.PayURL(p.Context(), p.state().Payment.Intent, "")
	p.ok(err)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.PostForm(strings.Replace(page, "/pay/", "/3ds/", 1), url.Values{"outcome": {decision}})
	p.ok(err)
	res.Body.Close()
	if res.StatusCode >= 400 {
		p.Fatalf("the challenge answered %s", res.Status)
	}
	p.hears()
}

func TestPaths(t *testing.T) {
	walk(t, "bought, shipped, settled after the hold", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.ends(order.Shipped{}, order.CaptureRequested{}, order.Captured{})
		p.waits(24 * time.Hour)
		p.ends(order.Captured{}, order.Released{}, order.SettlementRequested{}, order.Settled{})
	})
	walk(t, "declined, declined, and a card that pays", func(p *walker) {
		p.buys("pm_card_visa_chargeDeclined", false)
		p.does(order.Pay{At: p.time(), PaymentMethod: "pm_card_visa_chargeDeclinedInsufficientFunds"})
		p.does(order.Pay{At: p.time(), PaymentMethod: "pm_card_mastercard"})
		p.ends(order.Declined{}, order.MethodGiven{}, order.AuthorisationRequested{}, order.Declined{}, order.MethodGiven{}, order.AuthorisationRequested{}, order.Authorised{})
		p.ships()
	})
	walk(t, "declined and left", func(p *walker) {
		p.buys("pm_card_chargeDeclinedProcessingError", false)
		if s := p.state(); s.Payment.Remedy != order.SameAgain {
			p.Errorf("the buyer may try %q", s.Payment.Remedy)
		}
		p.waits(command.DefaultStockHold)
		p.ends(order.Declined{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
	})
	walk(t, "3-D Secure passed", func(p *walker) {
		p.buys("pm_card_authenticationRequired", false)
		p.answers("complete")
		p.ends(order.ActionRequired{}, order.Authorised{})
		p.ships()
	})
	walk(t, "3-D Secure failed, then another card", func(p *walker) {
		p.buys("pm_card_authenticationRequired", false)
		p.answers("fail")
		p.ends(order.ActionRequired{}, order.Declined{})
		p.does(order.Pay{At: p.time(), PaymentMethod: "pm_card_visa"})
		p.ends(order.MethodGiven{}, order.AuthorisationRequested{}, order.Authorised{})
	})
	walk(t, "3-D Secure abandoned", func(p *walker) {
		p.buys("pm_card_threeDSecure2Required", false)
		p.waits(command.DefaultStockHold)
		p.ends(order.ActionRequired{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
	})
	walk(t, "cancelled after authorisation", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.does(order.Cancel{At: p.time()})
		p.ends(order.Authorised{}, order.Cancelled{}, order.VoidRequested{}, order.Voided{})
	})
	walk(t, "shipped in part: the rest is released", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.does(order.Ship{At: p.time(), Units: []order.Units{{Line: 1, Quantity: 1}}})
		if s := p.state(); s.Payment.Taken != 1000 {
			p.Errorf("%d was captured, want 1000", s.Payment.Taken)
		}
	})
	walk(t, "never shipped: warned, and given up", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.waits(6 * 24 * time.Hour)
		p.ends(order.Authorised{}, order.Expiring{})
		p.waits(18 * time.Hour)
		p.ends(order.Expiring{}, order.Expired{}, order.VoidRequested{}, order.Voided{})
	})
	walk(t, "shipped late on a kept card", func(p *walker) {
		p.buys("pm_card_visa", true)
		p.waits(6*24*time.Hour + 12*time.Hour)
		p.ends(order.Expiring{}, order.AuthorisationRequested{}, order.Authorised{}, order.VoidRequested{}, order.Voided{})
		p.ships()
		p.ends(order.CaptureRequested{}, order.Captured{})
	})
	walk(t, "the authorisation ran out at the processor", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.mu.Lock()
		p.now = p.now.Add(7 * 24 * time.Hour)
		p.mu.Unlock()
		p.hears()
		p.ends(order.Authorised{}, order.Voided{}, order.Expired{})
	})
	walk(t, "refunded in part before and after the settlement", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New(), Amount: 500})
		p.waits(24 * time.Hour)
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New(), Units: []order.Units{{Line: 1, Quantity: 1}}})
		p.ends(order.RefundAgreed{}, order.RefundRequested{}, order.Refunded{}, order.ReversalRequested{}, order.Reversed{})
	})
	walk(t, "a refund that waits", func(p *walker) {
		p.buys("pm_card_pendingRefund", false)
		p.ships()
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New()})
		p.ends(order.RefundRequested{}, order.RefundPending{})
		p.agree()
		p.waits(time.Minute)
		p.hears()
		p.ends(order.RefundPending{}, order.Refunded{})
	})
	walk(t, "a refund that comes back", func(p *walker) {
		p.buys("pm_card_refundFail", false)
		p.ships()
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New()})
		p.waits(time.Minute)
		p.hears()
		p.ends(order.Refunded{}, order.RefundReturned{})
		p.waits(24 * time.Hour)
		p.ends(order.RefundReturned{}, order.Released{}, order.SettlementRequested{}, order.Settled{})
	})
	walk(t, "a refund by hand that came back before anybody heard of it", func(p *walker) {
		p.buys("pm_card_refundFail", false)
		p.ships()
		p.atStripe("POST", "/v1/refunds", url.Values{"payment_intent": {p.state().Payment.Intent}, "amount": {"700"}}, "")
		p.waits(time.Minute)
		p.hears()
		p.ends(order.Captured{}, order.RefundAgreed{}, order.Refunded{}, order.RefundReturned{})
	})
	walk(t, "a warning of fraud", func(p *walker) {
		p.buys("pm_card_createIssuerFraudRecord", false)
		p.ships()
		p.hears()
		p.ends(order.Captured{}, order.FraudWarned{})
	})
	disputes(t)
	elsewhere(t)
	debts(t)
	cards(t)
	cancelled(t)
	refunds(t)
	banks(t)
	shops(t)
}

func disputes(t *testing.T) {
	walk(t, "a dispute, won after the settlement", func(p *walker) {
		p.buys("pm_card_createDispute", false)
		p.does(order.Ship{At: p.time()})
		p.waits(24 * time.Hour) // settled before anybody heard of it
		p.ends(order.Released{}, order.SettlementRequested{}, order.Settled{})
		p.hears()
		p.ends(order.DisputeOpened{}, order.DisputeWithdrawn{}, order.ReversalRequested{}, order.Reversed{})
		p.does(order.Confirm{At: p.time(), By: order.ByBuyer})
		p.does(order.Answer{At: p.time(), Text: "winning_evidence"})
		p.ends(order.DisputeAnswered{}, order.ContestRequested{}, order.Contested{})
		p.hears() // of the fee, which is no transaction of the dispute's own
		p.ends(order.Contested{}, order.DisputeCharged{})
		p.waits(time.Hour)
		p.hears()
		p.ends(order.DisputeReinstated{}, order.DisputeCharged{}, order.DisputeClosed{}, order.Released{}, order.SettlementRequested{}, order.Settled{})
		if s := p.state(); s.Payment.Settled != 1800 || s.Disputes[0].Result != order.Won {
			p.Errorf("the shop has %d of 1800, the dispute is %q", s.Payment.Settled, s.Disputes[0].Result)
		}
	})
	walk(t, "a dispute answered by itself, and lost", func(p *walker) {
		p.buys("pm_card_createDisputeProductNotReceived", false)
		p.ships()
		p.hears()
		p.waits(9*24*time.Hour - order.EvidenceMargin)
		p.ends(order.ContestRequested{}, order.Contested{})
		p.hears()
		p.ends(order.Contested{}, order.DisputeCharged{})
		p.waits(61 * 24 * time.Hour)
		p.hears()
		p.ends(order.DisputeClosed{})
		if s := p.state(); s.Disputes[0].Result != order.Lost {
			p.Errorf("the dispute is %q", s.Disputes[0].Result)
		}
	})
	walk(t, "an inquiry that becomes a chargeback, conceded", func(p *walker) {
		p.buys("pm_card_createDisputeInquiry", false)
		p.ships()
		p.hears()
		p.ends(order.Captured{}, order.DisputeOpened{})
		p.does(order.Answer{At: p.time(), Text: "escalate_inquiry_evidence"})
		p.waits(time.Hour)
		p.hears()
		p.ends(order.DisputeEscalated{}, order.DisputeWithdrawn{})
		p.does(order.Concede{At: p.time()})
		p.ends(order.DisputeConceded{}, order.AcceptRequested{}, order.DisputeClosed{})
	})
	walk(t, "two disputes at once", func(p *walker) {
		p.buys("pm_card_createMultipleDisputes", false)
		p.ships()
		p.hears()
		p.ends(order.DisputeOpened{}, order.DisputeWithdrawn{}, order.DisputeOpened{}, order.DisputeWithdrawn{})
		for _, d := range p.state().Disputes {
			p.does(order.Concede{At: p.time(), Dispute: d.ID})
		}
		p.ends(order.AcceptRequested{}, order.DisputeClosed{})
	})
}

func elsewhere(t *testing.T) {
	walk(t, "captured by hand after it was cancelled", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.atStripe("POST", "/v1/payment_intents/"+p.state().Payment.Intent+"/capture", nil, "")
		p.does(order.Cancel{At: p.time()})
		p.ends(order.Cancelled{}, order.VoidRequested{}, order.Captured{}, order.RefundAgreed{}, order.RefundRequested{}, order.Refunded{})
	})
	walk(t, "captured by hand before the shipment of a part", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.atStripe("POST", "/v1/payment_intents/"+p.state().Payment.Intent+"/capture", nil, "")
		p.hears()
		p.does(order.Ship{At: p.time(), Units: []order.Units{{Line: 1, Quantity: 1}}})
		p.ends(order.Captured{}, order.Shipped{}, order.Earned{}, order.RefundAgreed{}, order.RefundRequested{}, order.Refunded{})
	})
	walk(t, "refunded by hand", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.atStripe("POST", "/v1/refunds", url.Values{"payment_intent": {p.state().Payment.Intent}, "amount": {"700"}}, "")
		p.hears()
		p.ends(order.Captured{}, order.RefundAgreed{}, order.Refunded{})
	})
	walk(t, "refunded by hand, and heard of when Stripe has forgotten it", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.waits(24 * time.Hour)
		p.hears()
		p.atStripe("POST", "/v1/refunds", url.Values{"payment_intent": {p.state().Payment.Intent}, "amount": {"700"}}, "")
		p.waits(command.NewsKept + 24*time.Hour)
		p.hears()
		p.ends(order.Settled{}, order.RefundAgreed{}, order.Refunded{}, order.ReversalRequested{}, order.Reversed{})
	})
	walk(t, "cancelled by hand", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.atStripe("POST", "/v1/payment_intents/"+p.state().Payment.Intent+"/cancel", nil, "")
		p.hears()
		p.ends(order.Authorised{}, order.Voided{}, order.Expired{})
	})
	walk(t, "charged by hand, for nobody: a break", func(p *walker) {
		p.atStripe("POST", "/v1/payment_intents", url.Values{"amount": {"500"}, "currency": {"gbp"}, "payment_method": {"pm_card_visa"}, "confirm": {"true"},
			"payment_method_types[]": {"card"}}, "")
		r := p.hears()
		if len(r.Open) != 2 || r.Open[0].Class != reconcile.BalanceMismatch || r.Open[1].Class != reconcile.Orphan || r.Open[1].Difference() != 455 {
			p.Errorf("found %+v", r.Open)
		}
		for _, b := range r.Open {
			account, err := p.client.Account(p.Context())
			p.ok(err)
			_, err = p.commands.ResolveBreak(p.Context(), p.by("auditor"), account, reconcile.Resolve{Break: b.Break, Reason: "a test charge of ours"})
			p.ok(err)
		}
		p.differs = true
	})
}

func debts(t *testing.T) {
	walk(t, "a shop that emptied its account owes, and the next sale pays", func(p *walker) {
		p.buys("pm_card_visa", false)
		p.ships()
		p.waits(24 * time.Hour)
		p.waits(48 * time.Hour) // until what it was paid has come in
		p.atStripe("POST", "/v1/payouts", url.Values{"amount": {"1800"}, "currency": {"gbp"}}, p.shopAcct)
		p.does(order.GiveBack{At: p.time(), Refund: uuid.New()})
		p.ends(order.Refunded{}, order.ReversalRequested{}, order.DebtCarried{})
		p.order = uuid.New()
		p.buys("pm_card_visa", false)
		p.ships()
		p.waits(24 * time.Hour)
		p.ends(order.Captured{}, order.NettingRequested{}, order.Released{}) // all of it is netted
		p.ok(p.commands.Shops.Look(p.Context(), shop.Stream(benchShop), func(s shop.State) error {
			if s.Owed != 0 {
				p.Errorf("the shop owes %d still", s.Owed)
			}
			return nil
		}))
	})
	walk(t, "a payout of the platform", func(p *walker) {
		p.buys("pm_card_bypassPending", false)
		p.ships()
		p.hears()
		p.atStripe("POST", "/v1/payouts", url.Values{"amount": {"500"}, "currency": {"gbp"}}, "")
		p.waits(72 * time.Hour)
	})
}
