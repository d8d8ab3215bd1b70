package web_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/command"
	"kicau/adapters/node"
	"kicau/adapters/react"
	"kicau/adapters/sandbox"
	"kicau/adapters/sqlstore"
	"kicau/adapters/stripe"
	"kicau/adapters/vault"
	"kicau/adapters/web"
	"kicau/domain"
	"kicau/domain/event"
	"kicau/domain/money"
	"kicau/domain/offer"
	"kicau/domain/shop"
	"kicau/projections"
	"kicau/projections/order"
	"kicau/projections/timeline"
)

// stack is all of Kicau that a purchase goes through, in one process, over the
// sandbox.
type stack struct {
	t        *testing.T
	logged   *record
	log      command.Log
	commands *command.Commands
	store    *sqlstore.DB
	sandbox  *sandbox.Server
	saga     *react.Saga
	web      *web.Server
	url      string
	shop     uuid.UUID
	views    map[string]*projections.Runner

	transport *http.Transport
	stop      context.CancelFunc
	running   sync.WaitGroup
}

const (
	secretKey     = "sk_test_pages"
	webhookSecret = "whsec_pages"
)

// start assembles a stack. Each change may replace what the pages are given.
func start(t *testing.T, change ...func(*web.Options)) *stack {
	t.Helper()
	t.Parallel()
	s := &stack{t: t, logged: &record{}, transport: &http.Transport{}}
	logger := slog.New(slog.NewTextHandler(s.logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ctx, stop := context.WithCancel(t.Context())
	s.stop = stop
	dir := t.TempDir()

	n := must(node.Open(node.Options{Dir: filepath.Join(dir, "log"), Logger: logger}))(t)
	s.log, s.commands = n.Log(), command.New(n.Log(), domain.Events)
	s.store = must(sqlstore.Open(ctx, sqlstore.Options{Path: filepath.Join(dir, "views.db"), Logger: logger}))(t)
	keys := must(vault.Open(filepath.Join(dir, "vault")))(t)
	s.sandbox = sandbox.New(sandbox.Options{SecretKey: secretKey, Logger: logger})
	check(t, s.sandbox.Start())
	payments := must(stripe.New(stripe.Options{SecretKey: secretKey, BaseURL: s.sandbox.URL(), PayURL: s.sandbox.PayURL, Logger: logger}))(t)
	notices := must(stripe.NewWebhook(webhookSecret, nil))(t)

	s.views = map[string]*projections.Runner{}
	for name, view := range map[string]projections.View{"orders": order.Projection.View(), "timeline": timeline.Projection.View()} {
		runner := must(projections.NewRunner(ctx, view, s.store, domain.Events, n.ID()))(t)
		s.views[name] = runner
		s.follow(ctx, func(p projections.Page) error { return runner.Apply(ctx, &p) })
	}
	s.saga = react.New(react.Options{Commands: s.commands, Payments: payments, Now: time.Now, NewID: uuid.New, Logger: logger})
	s.follow(ctx, func(p projections.Page) error {
		for _, rec := range p.Events {
			if err := s.saga.React(ctx, rec); err != nil {
				return err
			}
		}
		return nil
	})

	o := web.Options{
		Listen: "127.0.0.1:0", Commands: s.commands, Vault: keys, Payments: payments, Store: s.store, Sandbox: true, Logger: logger,
		Wait: func(ctx context.Context, view string, p event.Position) error { return s.views[view].Wait(ctx, p) },
		Notice: func(ctx context.Context, intent, key string, cause uuid.UUID) error {
			if echo, err := s.saga.Echo(ctx, key); echo || err != nil {
				return err
			}
			if err := s.saga.Notice(ctx, intent, cause); !errors.Is(err, react.ErrNotOurs) {
				return err
			}
			return nil
		},
		VerifyWebhook: func(body []byte, header string) (about, key string, err error) {
			notice, err := notices.Verify(body, header)
			return notice.Intent, notice.Key, err
		},
	}
	for _, c := range change {
		c(&o)
	}
	s.web = must(web.New(o))(t)
	check(t, s.web.Start())
	s.url = s.web.URL()
	s.sandbox.SetWebhook(s.url+"/webhooks/stripe", webhookSecret)
	t.Cleanup(func() {
		s.transport.CloseIdleConnections()
		check(t, s.web.Close())
		stop()
		s.running.Wait()
		check(t, s.sandbox.Close())
		check(t, s.store.Close())
		check(t, n.Close())
	})

	s.shop = s.onboard("Batik Rumah", 350, shop.Tax{Jurisdiction: "GB", BasisPoints: 2000})
	return s
}

// follow applies the pages of the log, from the first, until the context ends.
func (s *stack) follow(ctx context.Context, apply func(projections.Page) error) {
	s.running.Go(func() {
		for p, err := range s.log.Subscribe(ctx, event.Position{}, command.Filter{StreamPrefixes: domain.Prefixes}) {
			if err == nil {
				err = apply(projections.Page{Events: p.Events, Last: p.Last})
			}
			if err != nil && ctx.Err() == nil {
				s.t.Errorf("a view or the saga stopped: %v", err)
				return
			}
		}
	})
}

func (s *stack) by() command.By {
	return command.By{Command: uuid.New(), Actor: "shop", At: time.Now()}
}

func (s *stack) onboard(name string, shipping int64, taxes ...shop.Tax) uuid.UUID {
	s.t.Helper()
	id := uuid.New()
	terms := shop.Onboarded{Name: name, Currency: "GBP", Shipping: money.Minor(shipping), Taxes: taxes, Fees: shop.Fees{BasisPoints: 500}}
	_, err := s.commands.Shop(s.t.Context(), s.by(), id, shop.Onboard{At: time.Now(), Terms: terms})
	check(s.t, err)
	return id
}

// tweet an offer of the stack's shop, and wait until it is in the timeline.
func (s *stack) tweet(title string, price int64, change ...func(*offer.Tweeted)) uuid.UUID {
	s.t.Helper()
	id := uuid.New()
	terms := offer.Tweeted{Shop: s.shop, Tweet: "Look: " + title, Title: title, Currency: "GBP", Price: money.Minor(price)}
	for _, c := range change {
		c(&terms)
	}
	by := s.by()
	res, err := s.commands.Tweet(s.t.Context(), by, id, terms)
	check(s.t, err)
	check(s.t, s.views["timeline"].Wait(s.t.Context(), res.Position))
	return id
}

func stock(units int64) func(*offer.Tweeted) { return func(t *offer.Tweeted) { t.Stock = &units } }

// patience bounds what is waited for; nothing takes that long unless it is broken.
const patience = 20 * time.Second

// ordered waits for an order to have a status.
func (s *stack) ordered(id string, want order.Status) order.Row {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	for {
		at := s.views["orders"].Checkpoint().Position
		row, found, err := projections.Get(ctx, s.store, order.Projection, id)
		if check(s.t, err); found && row.Status == want {
			return row
		}
		if s.views["orders"].Wait(ctx, event.At(at.Commit+1)) != nil {
			s.t.Fatalf("order %s is %q, wanted %q", id, row.Status, want)
		}
	}
}

// record is what was logged.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// browse makes a client that goes where it is redirected, stay one that does not.
// Their connections end with the stack: a server that closes waits for those that
// were never used.
func (s *stack) browse() *http.Client { return &http.Client{Transport: s.transport} }

func (s *stack) stay() *http.Client {
	c := s.browse()
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, w := range wanted {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in\n%s", w, text)
		}
	}
}

func lacks(t *testing.T, text string, unwanted ...string) {
	t.Helper()
	for _, w := range unwanted {
		if strings.Contains(text, w) {
			t.Errorf("%q must not be in\n%s", w, text)
		}
	}
}
