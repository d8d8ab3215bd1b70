package sandbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/client"

	"kicau/adapters/sandbox"
)

const secretKey = "sk_test_sandbox_0123456789"

// world is a sandbox, stripe-go pointed at it, and its clock.
type world struct {
	*testing.T
	*client.API
	box   *sandbox.Server
	clock *clock
	front string // where raw requests go instead of to the box
}

// clock is a time that moves when it is told to.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}

// start runs a sandbox until the test ends. A zero Now is a clock that stands at
// the present second.
func start(t *testing.T, o sandbox.Options) *world {
	t.Helper()
	w := &world{T: t, clock: &clock{at: time.Now().Truncate(time.Second)}}
	if o.Now == nil {
		o.Now = w.clock.now
	}
	w.box = launch(t, o)
	w.API = newClient(w.box.URL(), secretKey)
	return w
}

func launch(t testing.TB, o sandbox.Options) *sandbox.Server {
	t.Helper()
	if o.SecretKey == "" {
		o.SecretKey = secretKey
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := sandbox.New(o)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Verify(); err != nil {
			t.Error("the books:", err)
		}
		if err := s.CheckSnapshot(); err != nil {
			t.Error(err)
		}
		if err := s.Close(); err != nil {
			t.Error("close:", err)
		}
	})
	return s
}

func newClient(base, key string) *client.API {
	b := stripe.GetBackendWithConfig(stripe.APIBackend, &stripe.BackendConfig{
		URL:               stripe.String(base),
		MaxNetworkRetries: stripe.Int64(0),
		LeveledLogger:     &stripe.LeveledLogger{Level: stripe.LevelNull},
		EnableTelemetry:   stripe.Bool(false),
		HTTPClient:        &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	})
	return client.New(key, &stripe.Backends{API: b, Connect: b, Uploads: b})
}

// order is an intent for amount USD, to be authorised and captured later.
func order(amount int64) *stripe.PaymentIntentParams {
	return &stripe.PaymentIntentParams{
		Amount: stripe.Int64(amount), Currency: stripe.String("usd"), CaptureMethod: stripe.String("manual"),
		PaymentMethodTypes: stripe.StringSlice([]string{"card"}),
	}
}

// authorised is an intent that holds amount on a card.
func (w *world) authorised(amount int64, card string) *stripe.PaymentIntent {
	w.Helper()
	p := order(amount)
	p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String(card)
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	if pi.Status != stripe.PaymentIntentStatusRequiresCapture {
		w.Fatalf("status %s, want requires_capture", pi.Status)
	}
	return pi
}

// paid is an intent whose amount was captured.
func (w *world) paid(amount int64, card string) *stripe.PaymentIntent {
	w.Helper()
	pi, err := w.PaymentIntents.Capture(w.authorised(amount, card).ID, nil)
	w.must(err)
	return pi
}

func (w *world) seller() *stripe.Account {
	w.Helper()
	a, err := w.Accounts.New(&stripe.AccountParams{
		Type: stripe.String("express"), Country: stripe.String("US"),
		Capabilities: &stripe.AccountCapabilitiesParams{Transfers: &stripe.AccountCapabilitiesTransfersParams{Requested: stripe.Bool(true)}},
	})
	w.must(err)
	return a
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// refusal is err as Stripe's error, which it must be.
func (w *world) refusal(err error) *stripe.Error {
	w.Helper()
	var e *stripe.Error
	if !errors.As(err, &e) {
		w.Fatalf("got %v, want an error of Stripe's", err)
	}
	return e
}

// expect checks an error's status, code and a part of its message.
func (w *world) expect(err error, status int, code, message string) *stripe.Error {
	w.Helper()
	e := w.refusal(err)
	if e.HTTPStatusCode != status || string(e.Code) != code || !strings.Contains(e.Msg, message) {
		w.Errorf("got %d %q %q,\nwant %d %q %q", e.HTTPStatusCode, e.Code, e.Msg, status, code, message)
	}
	if e.RequestID == "" {
		w.Error("no Request-Id")
	}
	return e
}

// books checks that the balance that the API shows is the sum of the balance
// transactions that it lists, and returns it.
func (w *world) books() (available, pending int64) {
	w.Helper()
	w.must(w.box.Verify())
	b, err := w.Balance.Get(nil)
	w.must(err)
	sums := map[stripe.Currency]int64{}
	it := w.BalanceTransactions.List(&stripe.BalanceTransactionListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}})
	for it.Next() {
		x := it.BalanceTransaction()
		if x.Net != x.Amount-x.Fee {
			w.Errorf("%s: net %d of amount %d and fee %d", x.ID, x.Net, x.Amount, x.Fee)
		}
		sums[x.Currency] += x.Net
	}
	w.must(it.Err())
	for i, a := range b.Available {
		if got := a.Amount + b.Pending[i].Amount; got != sums[a.Currency] {
			w.Errorf("balance %d %s, balance transactions sum to %d", got, a.Currency, sums[a.Currency])
		}
		if a.Currency == "usd" {
			available, pending = a.Amount, b.Pending[i].Amount
		}
	}
	return available, pending
}

// events lists the types of all events about an object, oldest first.
func (w *world) events(id string) []string {
	w.Helper()
	return w.eventsOf("", id)
}

// eventsOf lists those that happened to an account; "" is the platform.
func (w *world) eventsOf(account, id string) []string {
	w.Helper()
	var types []string
	p := &stripe.EventListParams{ListParams: stripe.ListParams{Limit: stripe.Int64(100)}}
	if account != "" {
		p.SetStripeAccount(account)
	}
	it := w.Events.List(p)
	for it.Next() {
		o := it.Event().Data.Object
		if o["id"] == id || o["payment_intent"] == id {
			types = append([]string{string(it.Event().Type)}, types...)
		}
	}
	w.must(it.Err())
	return types
}

func (w *world) base() string {
	if w.front != "" {
		return w.front
	}
	return w.box.URL()
}

// raw sends a request without stripe-go.
func (w *world) raw(method, path string, form url.Values, header ...string) (*http.Response, map[string]any) {
	w.Helper()
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader(form.Encode())
	} else if len(form) > 0 {
		path += "?" + form.Encode()
	}
	req, err := http.NewRequest(method, w.base()+path, body)
	w.must(err)
	req.Header.Set("Authorization", "Bearer "+secretKey)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
		if header[i+1] == "" {
			req.Header.Del(header[i])
		}
	}
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	defer resp.Body.Close()
	var v map[string]any
	w.must(json.NewDecoder(resp.Body).Decode(&v))
	return resp, v
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// messageOf is what an error says.
func messageOf(v map[string]any) string {
	e, _ := v["error"].(map[string]any)
	s, _ := e["message"].(string)
	return s
}

func asJSON(w *world, v any) string {
	w.Helper()
	b, err := json.Marshal(v)
	w.must(err)
	return string(b)
}
