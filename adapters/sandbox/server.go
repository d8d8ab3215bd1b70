package sandbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// Options of a sandbox. SecretKey is required, all else has a default.
type Options struct {
	// Listen is the address to serve at; loopback only. Default "127.0.0.1:0",
	// any free port.
	Listen string
	// SecretKey is the API key that clients must send, such as
	// "sk_test_sandbox".
	SecretKey string
	// Dir is where the state is kept. Empty: in memory, and lost when closed.
	Dir string
	// WebhookURL is where events are sent, signed with WebhookSecret. Empty:
	// nowhere, until [Server.SetWebhook].
	WebhookURL, WebhookSecret string
	// WebhookEvents are the types of events that are sent; one may end in a
	// wildcard, "charge.*". Empty: all.
	WebhookEvents []string
	// WebhookLater: [Server.SetWebhook] is going to be called. What happens before
	// waits for it.
	WebhookLater bool
	// ReturnHosts are hosts ("shop.example" or "shop.example:8443") that the
	// hosted pages may send a buyer back to, besides loopback ones.
	ReturnHosts []string
	// Now is the sandbox's clock. Default time.Now. It must not go backwards, and
	// is asked by many goroutines.
	Now func() time.Time
	// Clock, when there is one, is the sandbox's clock instead of Now: it stands
	// still until it is told to move, by POST /v1/test_helpers/clock/advance. In a
	// Dir it goes on from where it was. Webhooks are signed at the real time all
	// the same, for whoever gets them lives in it.
	Clock *Clock
	// Terms of the account; nil: [StandardTerms].
	Terms *Terms
	// RequestsPerSecond of Now are served, more are told to slow down. 0: all.
	RequestsPerSecond int
	// WebhookChaos is what goes wrong with webhooks; the zero one: nothing.
	WebhookChaos WebhookChaos
	// Logger; default slog.Default(). No card data and no request bodies.
	Logger *slog.Logger
	// Seed makes ids repeatable, for simulations. 0: random. With a seed,
	// client secrets can be guessed.
	Seed uint64
	// Faults decides what goes wrong with a request; nil: nothing. It is called
	// once a request, with its method, path and idempotency key.
	Faults func(method, path, key string) Fault
	// Lag is how long what test cards do at once takes instead: what comes after
	// a capture (a dispute, a warning of fraud), and a refund that waits or fails.
	// It is asked once for each; nil: no time, and [refundDelay].
	Lag func() time.Duration
}

// Server is a sandbox: New, Start, URL, Close. Its methods may be called from
// many goroutines.
type Server struct {
	opts    Options
	log     *slog.Logger
	ids     *ids
	courier *courier
	journal *journal // nil in memory
	lock    *os.File // nil in memory
	http    *http.Server
	served  chan struct{} // closed when http has returned
	baseURL string

	local   bool         // see [Server.Open]
	handler http.Handler // of a local one
	outbox  []string     // events that wait for [Server.Take]

	keeper timekeeper

	limit    limiter
	underWay underWay
	slots    chan struct{} // one for each request under way

	mu      sync.Mutex
	state   *state
	stopped error // a defect: nothing is served any more

	closing sync.Once
	closed  error
}

// closeTimeout bounds how long Close waits for requests under way.
const closeTimeout = 10 * time.Second

// New makes a sandbox; it does nothing before Start.
func New(o Options) *Server {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Clock != nil {
		o.Now = o.Clock.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	s := &Server{opts: o, log: o.Logger, state: newState(), courier: newCourier(o.WebhookChaos), slots: make(chan struct{}, maxAtOnce)}
	s.courier.contents, s.courier.address, s.courier.report, s.courier.log = s.undelivered, s.hookAddress, s.hookDone, s.log.Warn
	s.courier.setEndpoint(o.WebhookURL, o.WebhookSecret)
	if o.Terms != nil {
		s.state.terms = *o.Terms
	}
	return s
}

// Start opens the state and serves. It is called once; after it has failed there
// is nothing to close.
func (s *Server) Start() error {
	if err := s.open(); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	return nil
}

func (s *Server) open() (err error) {
	if !strings.HasPrefix(s.opts.SecretKey, "sk_test_") {
		return errors.New("the secret key must begin with sk_test_: no live key belongs in a sandbox")
	}
	if host, _, err := net.SplitHostPort(s.opts.Listen); err != nil || !isLoopback(host) {
		return fmt.Errorf("cannot listen at %q: the address must be a loopback one with a port, such as 127.0.0.1:0", s.opts.Listen)
	}
	if s.opts.Dir != "" {
		if err := s.openDir(); err != nil {
			return err
		}
		defer func() {
			if err != nil {
				s.journal.close()
				s.lock.Close()
			}
		}()
	}
	listener, err := net.Listen("tcp", s.opts.Listen)
	if err != nil {
		return err
	}
	s.baseURL = "http://" + listener.Addr().String()
	s.state.baseURL = s.baseURL
	if err := s.boot(); err != nil {
		listener.Close()
		return err
	}
	s.http = &http.Server{
		Handler: s.routes(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, WriteTimeout: time.Minute, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	if s.opts.Clock == nil {
		s.keeper.start(s)
	}
	s.courier.start()
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); err != http.ErrServerClosed {
			s.log.Error("sandbox: no longer serving", "error", err)
		}
	}()
	return nil
}

func (s *Server) openDir() error {
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return err
	}
	lock, err := lockDir(s.opts.Dir)
	if err != nil {
		return err
	}
	j, err := openJournal(s.opts.Dir, s.state.apply)
	if err != nil {
		lock.Close()
		return err
	}
	s.lock, s.journal = lock, j
	return nil
}

// boot writes down that there is one more start, makes the platform's account at
// the first, and takes up the webhooks that the last one left.
func (s *Server) boot() error {
	head := s.state.header
	head.Format, head.Boot = journalFormat, head.Boot+1
	s.ids = newIDs(s.opts.Seed, head.Boot)
	t := &tx{state: s.state, ids: s.ids}
	if err := s.windClock(t); err != nil {
		return err
	}
	t.now = s.opts.Now()
	if head.Account == "" {
		head.Account = t.newID("acct")
		t.put(entry{Header: &head})
		t.put(entry{Account: &account{
			ID: head.Account, Created: t.now.Unix(), Type: "standard", Country: platformCountry, Currency: platformCurrency,
			Capabilities: []string{"card_payments", "transfers"}, Metadata: map[string]string{},
		}})
	} else {
		t.put(entry{Header: &head})
	}
	if err := s.journal.wait(s.journal.add(t.entries)); err != nil {
		return err
	}
	var left []parcel
	for ev := range s.state.events.all() {
		left = append(left, ev.undelivered()...)
	}
	s.courier.add(left)
	return nil
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, do := range endpoints {
		mux.HandleFunc(pattern, s.serveAPI(do))
	}
	mux.HandleFunc("GET "+clockPath, s.serveAPI(s.retrieveClock))
	mux.HandleFunc("POST "+clockPath+"/advance", s.serveAPI(s.advanceClock))
	mux.HandleFunc("/v1/", s.serveAPI(nil))
	s.routePages(mux)
	return mux
}

// URL is the base of the API and the pages, "http://127.0.0.1:<port>", once
// started.
func (s *Server) URL() string { return s.baseURL }

// AccountID is the platform's own account, once started. It stays the same on
// the same directory.
func (s *Server) AccountID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.header.Account
}

// Now is the sandbox's clock.
func (s *Server) Now() time.Time { return s.opts.Now().UTC() }

// SetWebhook says where events are sent from now on, and with which secret they
// are signed. Events of a time without an endpoint are never sent.
func (s *Server) SetWebhook(url, secret string) { s.courier.setEndpoint(url, secret) }

// PayURL is the page where a person pays a PaymentIntent with a test card. From
// there they are sent back to returnURL, with the query parameters that Stripe
// adds: payment_intent, payment_intent_client_secret and redirect_status
// (succeeded or failed). returnURL must be a loopback address, or at one of
// [Options.ReturnHosts].
func (s *Server) PayURL(paymentIntentID, clientSecret, returnURL string) string {
	q := url.Values{"client_secret": {clientSecret}}
	if returnURL != "" {
		q.Set("return_url", returnURL)
	}
	return s.baseURL + "/pay/" + url.PathEscape(paymentIntentID) + "?" + q.Encode()
}

// Verify checks the sandbox's own books: in every currency the double-entry book
// sums to zero, the platform's balance is the sum of the net amounts of its
// balance transactions, and what a charge brought in is what was captured less
// what was refunded. An error says where it fails; it would be a defect.
func (s *Server) Verify() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.verify()
}

// undelivered is what to send of an event, if it is still to be sent.
func (s *Server) undelivered(p parcel) (body []byte, now time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ev := s.state.events.get(p.event)
	if ev == nil || ev.hookOf(p.endpoint) != pending {
		return nil, time.Time{}, false
	}
	return webhookOf(ev), s.sentAt(), true
}

// hookAddress is where an endpoint that the API made is, while it is.
func (s *Server) hookAddress(id string) (url, secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if we := s.state.endpoints.get(id); we != nil && !we.Disabled {
		return we.URL, we.Secret
	}
	return "", ""
}

// hookDone records what became of a delivery. Nobody waits for it: lost in a
// crash, the event is sent once more.
func (s *Server) hookDone(p parcel, h hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := entry{Hook: &hookResult{p.event, h, p.endpoint}}
	s.state.apply(e)
	s.journal.add([]entry{e})
}

// Close ends what is under way and stops. What was answered is kept.
func (s *Server) Close() error {
	s.closing.Do(func() {
		if s.http == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		err := s.http.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, s.http.Close())
		}
		<-s.served
		s.keeper.close()
		s.courier.close()
		err = errors.Join(err, s.journal.close())
		if s.lock != nil {
			err = errors.Join(err, s.lock.Close())
		}
		s.closed = err
	})
	return s.closed
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
