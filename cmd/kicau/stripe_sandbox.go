package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/sandbox"
)

// stripeSandboxCmd is Stripe without Stripe, for programs that have nothing to
// do with Kicau, too.
type stripeSandboxCmd struct {
	Listen        string   `default:"127.0.0.1:12111" help:"Address of the API and of the payment pages; loopback only." env:"KICAU_STRIPE_SANDBOX_LISTEN"`
	Memory        bool     `help:"Keep nothing: all is forgotten when it stops. Otherwise it is kept in DIR/sandbox of --data."`
	Key           string   `default:"sk_test_kicau_sandbox" help:"Secret key that clients must send. It begins with sk_test_." env:"KICAU_STRIPE_SANDBOX_KEY" placeholder:"sk_test_…"`
	Webhook       string   `help:"Send events to this URL, too, besides the endpoints that are registered through the API." placeholder:"URL"`
	WebhookSecret string   `help:"Sign them with this secret; by default with a new one, which is printed." placeholder:"whsec_…" env:"KICAU_STRIPE_SANDBOX_WEBHOOK_SECRET"`
	Clock         string   `enum:"real,virtual" default:"real" help:"The real clock, or a virtual one: it stands still until POST /v1/test_helpers/clock/advance moves it." placeholder:"real|virtual"`
	Seed          uint64   `help:"Make ids, faults and chaos repeatable. By default ids are random, and the seed of faults and chaos is drawn and printed." placeholder:"N"`
	Faults        []string `help:"What goes wrong with requests and how often: 429, lock-timeout, 409, 500-before, 500-after, cut-before, cut-after (before or after it was done)." placeholder:"FAULT=RATE,…"`
	WebhookChaos  []string `help:"What goes wrong with webhooks: duplicate, twin, reorder, lose, forge, old, each with a rate, and delay with a longest time." placeholder:"WHAT=RATE,…"`
	Limit         int      `help:"Serve so many requests a second, answer 429 to more. Stripe's own sandbox has 25. 0: no limit." placeholder:"N"`
	Fee           string   `default:"2.9%+30" help:"Fee of a charge: a part of it and an amount in minor units." placeholder:"PERCENT+MINOR"`
	AvailableDays int      `default:"2" help:"Days until the funds of a charge are available. 0: at once." placeholder:"N"`
	Payouts       string   `enum:"manual,daily" default:"manual" help:"How the platform's available funds go to its bank: by POST /v1/payouts, or every midnight (UTC) by themselves." placeholder:"manual|daily"`
	HoldRefunds   bool     `help:"Keep a refund pending that the available balance does not cover, until it does. Otherwise the balance becomes negative."`
}

func (stripeSandboxCmd) Help() string {
	return `It speaks Stripe's API, version 2023-10-16, and remembers: payments with the published test
cards, refunds, disputes, connected accounts, transfers, payouts, webhooks. Point a client
library at the address it prints, with the key it prints. What it serves is told in
docs/stripe-sandbox.md; what it does not serve it refuses by name.

Examples:
  kicau stripe-sandbox --memory
  kicau stripe-sandbox --webhook http://127.0.0.1:4242/webhooks --webhook-secret whsec_test
  kicau stripe-sandbox --seed 7 --faults 500-after=2%,429=1% --webhook-chaos duplicate=5%,reorder=10%,delay=30s,lose=1%
  kicau stripe-sandbox --clock virtual --fee 1.5%+25 --available-days 7
  curl http://127.0.0.1:12111/v1/test_helpers/clock/advance -u sk_test_kicau_sandbox: -d seconds=604800
Stop it with Ctrl-C or SIGTERM.`
}

// servingSandbox is what it prints when it is up.
type servingSandbox struct {
	URL           string    `json:"url"`
	Key           string    `json:"key"`
	Account       string    `json:"account"`
	Data          string    `json:"data,omitempty"` // empty: in memory
	Clock         string    `json:"clock"`
	Now           time.Time `json:"now"`
	Webhook       string    `json:"webhook,omitempty"`
	WebhookSecret string    `json:"webhookSecret,omitempty"`
	Seed          uint64    `json:"seed"`
	Unkind        []string  `json:"unkind,omitempty"` // what goes wrong on purpose
}

func (c *stripeSandboxCmd) Run(ctx context.Context, g *Global) (err error) {
	seed := cmp.Or(c.Seed, uint64(rand.Uint32()))
	o, err := c.options(seed)
	if err != nil {
		return usageError{err}
	}
	o.Logger = g.serverLogger()
	if !c.Memory {
		o.Dir = filepath.Join(g.Data, "sandbox")
	}
	server := sandbox.New(o)
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	s := servingSandbox{URL: server.URL(), Key: c.Key, Account: server.AccountID(), Data: o.Dir, Clock: c.Clock, Now: server.Now(),
		Webhook: o.WebhookURL, WebhookSecret: o.WebhookSecret, Seed: seed, Unkind: append(c.Faults[:len(c.Faults):len(c.Faults)], c.WebhookChaos...)}
	if o.Dir != "" {
		at := filepath.Join(o.Dir, "serving.json")
		if err := leaveFile(at, map[string]any{"pid": os.Getpid(), "url": s.URL, "account": s.Account}); err != nil {
			return err
		}
		defer os.Remove(at)
	}
	if err := s.say(g); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func (s servingSandbox) say(g *Global) error {
	text := fmt.Sprintf("serving Stripe's API, version %s (no money moves)\n  address     %s\n  secret key  %s\n  account     %s\n  kept in     %s\n  clock       %s, %s",
		sandbox.APIVersion, s.URL, s.Key, s.Account, cmp.Or(s.Data, "memory"), s.Clock, s.Now.Format(time.RFC3339))
	if s.Webhook != "" {
		text += fmt.Sprintf("\n  webhooks    %s, signed with %s", s.Webhook, s.WebhookSecret)
	}
	if len(s.Unkind) > 0 {
		text += fmt.Sprintf("\n  goes wrong  %s, by seed %d", strings.Join(s.Unkind, ", "), s.Seed)
	}
	return g.say(s, "%s\nStop with Ctrl-C.", text)
}

func (c *stripeSandboxCmd) options(seed uint64) (o sandbox.Options, err error) {
	o = sandbox.Options{Listen: c.Listen, SecretKey: c.Key, WebhookURL: c.Webhook, WebhookSecret: c.WebhookSecret, Seed: c.Seed, RequestsPerSecond: c.Limit}
	if !strings.HasPrefix(c.Key, "sk_test_") {
		return o, errors.New("--key must begin with sk_test_: no live key belongs in a sandbox")
	}
	if u, err := url.Parse(c.Webhook); c.Webhook != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		return o, fmt.Errorf("--webhook %q is not an http or https URL", c.Webhook)
	}
	if c.Webhook == "" && c.WebhookSecret != "" {
		return o, errors.New("--webhook-secret signs what goes to --webhook: give that, too, or leave it out")
	}
	if c.Webhook != "" && c.WebhookSecret == "" {
		o.WebhookSecret = "whsec_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	}
	if c.Clock == "virtual" {
		o.Clock = sandbox.NewClock(time.Now())
	}
	if c.Limit < 0 || c.Limit > 0 && o.Clock != nil {
		return o, errors.New("--limit counts the requests of a second, which a virtual clock does not have: it must be 0 with that, and never negative")
	}
	if o.Terms, err = c.terms(); err != nil {
		return o, err
	}
	rates, err := sandbox.ParseFaultRates(c.Faults)
	if err != nil {
		return o, fmt.Errorf("--faults: %w", err)
	}
	if len(rates) > 0 {
		o.Faults = rates.Seeded(seed)
	}
	if o.WebhookChaos, err = sandbox.ParseWebhookChaos(c.WebhookChaos, seed); err != nil {
		return o, fmt.Errorf("--webhook-chaos: %w", err)
	}
	return o, nil
}

// maxAvailableDays is the longest delay that Stripe itself sets.
const maxAvailableDays = 31

func (c *stripeSandboxCmd) terms() (*sandbox.Terms, error) {
	percent, minor, _ := strings.Cut(c.Fee, "+")
	rate, err := sandbox.ParseRate(percent)
	fixed, wrong := strconv.ParseUint(cmp.Or(minor, "0"), 10, 31)
	if err != nil || wrong != nil {
		return nil, fmt.Errorf("--fee %q: write it like 2.9%%+30, a part of the charge and an amount in minor units", c.Fee)
	}
	if c.AvailableDays < 0 || c.AvailableDays > maxAvailableDays {
		return nil, fmt.Errorf("--available-days can be 0 to %d", maxAvailableDays)
	}
	return &sandbox.Terms{FeeBasisPoints: int64(rate), FeeFixed: int64(fixed), AvailableDays: c.AvailableDays, DailyPayouts: c.Payouts == "daily", HoldRefunds: c.HoldRefunds}, nil
}
