// Package stripe asks Stripe to hold, take, give back and transfer money. It is
// the only place that knows stripe-go, and implements command.Payments.
//
// Its laws:
//   - it retries nothing. A call is made once, under the key of its effect; the
//     saga decides when it is made again (net/http alone may replace a connection
//     that broke, see [httpClient]);
//   - of an answer it makes exactly one outcome, and only what is proven is not
//     payment.Unknown: a refusal is final only when Stripe says so of this very
//     request (see [failure]);
//   - an effect whose answer was lost is looked up before anything is sent;
//   - no more is asked per second than Stripe answers; where it says "too many"
//     (429) all the same, that is payment.Unknown, and the saga waits;
//   - a key older than [KeyLife] is never sent, since Stripe may have forgotten
//     it and would take the call for a new one;
//   - nothing that Stripe answers reaches a log or an event but ids, codes,
//     amounts and the sentence that says why a request was refused: an answer
//     can hold a client secret, which lets its holder pay.
//
// From the outside in: perform.go (an effect), look.go (what became of it),
// intent.go and seen.go (what a payment says), failure.go (what an error says),
// shapes.go (what is read of Stripe's objects), amount.go (minor units here and
// there), webhook.go (who is calling), books.go (what Stripe's own books say, and
// what happened there), pace.go (how fast Stripe is asked).
package stripe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"
	stripego "github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/form"

	"kicau/adapters/command"
)

// Bounds of a call.
const (
	// DefaultTimeout bounds a request, from waiting for a connection to the
	// last byte of its answer.
	DefaultTimeout = 30 * time.Second
	// maxConnections to Stripe at a time; more calls wait, within their timeout.
	maxConnections = 64
	// maxAnswer bounds the bytes of an answer: a page of a hundred payment
	// intents with their charges is well under a megabyte.
	maxAnswer = 8 << 20
	// maxRequestsPerSecond is more than Stripe lets anybody send.
	maxRequestsPerSecond = 10_000
)

// Options of a client.
type Options struct {
	SecretKey string // sk_… or rk_…
	// BaseURL of a sandbox that speaks Stripe's API; empty is Stripe itself.
	BaseURL string
	// PayURL is the page where the buyer types a card for a payment intent, or
	// answers its 3-D Secure challenge, and goes on to returnURL. Who has the
	// client secret can pay the intent, and nothing else. Nil: there is none.
	PayURL  func(intent, clientSecret, returnURL string) string
	Timeout time.Duration // of one request; 0 is DefaultTimeout
	// Transport carries the requests; nil: the network. A simulation connects
	// the client to a sandbox in the same process.
	Transport http.RoundTripper
	// RequestsPerSecond bounds how fast requests are sent; more wait, within
	// their timeout. 0 is [LiveRequestsPerSecond] or [TestRequestsPerSecond], by
	// the key, and no bound where a BaseURL or a Transport is named.
	RequestsPerSecond int
	Now               func() time.Time // nil is time.Now
	Logger            *slog.Logger     // nil logs nothing
}

// Client of one Stripe account.
type Client struct {
	key     string
	backend *stripego.BackendImplementation
	calls   *http.Client
	timeout time.Duration // of a call
	payURL  func(intent, clientSecret, returnURL string) string
	now     func() time.Time
	logger  *slog.Logger
	account atomic.Pointer[string]
}

var _ command.Payments = (*Client)(nil)

// New makes a client. It calls nobody yet.
func New(o Options) (*Client, error) {
	if err := checkKey(o.SecretKey); err != nil {
		return nil, err
	}
	base, err := baseURL(o.BaseURL, o.SecretKey)
	if err != nil {
		return nil, err
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("stripe: a timeout of %s cannot be kept; leave it 0 for %s", o.Timeout, DefaultTimeout)
	}
	if o.RequestsPerSecond < 0 || o.RequestsPerSecond > maxRequestsPerSecond {
		return nil, fmt.Errorf("stripe: %d requests per second cannot be kept; name 1 to %d, or 0 for Stripe's own limit", o.RequestsPerSecond, maxRequestsPerSecond)
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	// It writes requests only; its log line about one that cannot be written would
	// hold the whole of it.
	backend := stripego.GetBackendWithConfig(stripego.APIBackend, &stripego.BackendConfig{
		URL:           &base,
		LeveledLogger: &stripego.LeveledLogger{Level: stripego.LevelNull},
	}).(*stripego.BackendImplementation)
	return &Client{
		key:     o.SecretKey,
		backend: backend,
		calls:   httpClient(o.Transport, newPaces(requestsPerSecond(o))),
		timeout: o.Timeout,
		payURL:  o.PayURL, now: o.Now, logger: o.Logger,
	}, nil
}

// Close lets go of the connections that no call uses, so that a server on the
// other side need not wait for them. The client can be used on.
func (c *Client) Close() { c.calls.CloseIdleConnections() }

// checkKey does not repeat the key: its error may be logged.
func checkKey(key string) error {
	for _, prefix := range []string{"sk_", "rk_"} {
		if len(key) > len(prefix) && strings.HasPrefix(key, prefix) && !strings.ContainsFunc(key, notInKey) {
			return nil
		}
	}
	return errors.New("stripe: the secret key does not look like one (sk_… or rk_…); copy it from Stripe's Dashboard, Developers, API keys")
}

func notInKey(r rune) bool { return r <= ' ' || r > '~' }

// baseURL refuses to send a key where it does not belong: a live one anywhere
// but to Stripe, any one in the clear over a network.
func baseURL(base, key string) (string, error) {
	if base == "" {
		return stripego.APIURL, nil
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
		return "", fmt.Errorf("stripe: %q is not the address of a sandbox; write it like http://127.0.0.1:4242", base)
	}
	if strings.Contains(key, "_live_") {
		return "", fmt.Errorf("stripe: a live key is sent to Stripe only, not to %s; use a test key with a sandbox", u.Host)
	}
	if u.Scheme == "http" && !loopback(u.Hostname()) {
		return "", fmt.Errorf("stripe: %s is reached over a network in the clear; use https, or a sandbox on this machine", u.Host)
	}
	return u.Scheme + "://" + u.Host, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// httpClient bounds how fast requests follow each other, follows no redirect, and
// cuts an endless answer. Its transport may send a request again on a new connection
// when an idle one turned out to be closed: it does so because the request has
// an Idempotency-Key, which makes it the same call (net/http, Transport).
func httpClient(transport http.RoundTripper, p *paces) *http.Client {
	if transport == nil {
		network := http.DefaultTransport.(*http.Transport).Clone()
		network.MaxConnsPerHost = maxConnections
		network.MaxIdleConnsPerHost = maxConnections
		transport = network
	}
	return &http.Client{
		Transport: bounded{transport, p},
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("answered with a redirect, which Stripe's API never does")
		},
	}
}

type bounded struct {
	http.RoundTripper
	pace *paces
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := b.pace.wait(r); err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

func (b bounded) CloseIdleConnections() {
	if c, ok := b.RoundTripper.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

// Account is the id of the account that the key belongs to. It never changes,
// so it is asked for once.
func (c *Client) Account(ctx context.Context) (string, error) {
	if id := c.account.Load(); id != nil {
		return *id, nil
	}
	a := &account{}
	err := c.call(http.MethodGet, "/v1/account", &stripego.AccountParams{Params: params(ctx)}, a)
	if err != nil {
		return "", fmt.Errorf("read the platform's account at Stripe: %s", failureOf(err).reason)
	}
	if a.ID == "" {
		return "", errors.New("read the platform's account at Stripe: the answer has no account in it")
	}
	c.account.Store(&a.ID)
	return a.ID, nil
}

// call makes a request, and reads its answer into v, see shapes.go. A path is
// made with stripego.FormatURLPath, which escapes ids.
func (c *Client) call(method, path string, p stripego.ParamsContainer, v any) error {
	query := &form.Values{}
	form.AppendTo(query, p)
	return c.send(method, path, query, p.GetParams(), v)
}

// send is one request. stripe-go writes it; the answer is read here, since stripe-go
// would scan it three times and keep a copy.
func (c *Client) send(method, path string, query *form.Values, p *stripego.Params, v any) error {
	body := query.Encode()
	if method == http.MethodGet && body != "" {
		path, body = path+"?"+body, ""
	}
	req, err := c.backend.NewRequest(method, path, c.key, "application/x-www-form-urlencoded", p)
	if err != nil {
		return err
	}
	// http.Client's own timeout costs a goroutine a request, which a panic of the
	// transport leaves behind.
	ctx, stop := context.WithTimeout(req.Context(), c.timeout)
	defer stop()
	req = req.WithContext(ctx)
	if body != "" {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(body))
	}
	res, err := c.calls.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= http.StatusBadRequest {
		return refusalOf(res)
	}
	if r, ok := v.(interface{ setRepeated() }); ok && res.Header.Get("Idempotent-Replayed") == "true" {
		r.setRepeated()
	}
	return json.UnmarshalRead(res.Body, v, asSent)
}

func params(ctx context.Context) stripego.Params { return stripego.Params{Context: ctx} }

func keyed(ctx context.Context, key string) stripego.Params {
	return stripego.Params{Context: ctx, IdempotencyKey: &key}
}
