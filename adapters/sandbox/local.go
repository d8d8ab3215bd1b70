package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// In one process with its client a sandbox needs neither a socket nor a
// goroutine: a simulation opens it with Open, reaches it through Transport, and
// delivers its webhooks itself. With [Options.Seed] and [Options.Now] of its own
// such a run is repeatable to the byte.

// localURL is the base of the API for [Server.Transport]. Nothing listens there.
const localURL = "http://127.0.0.1:1"

// Open the state without serving it. Instead of being sent, webhooks wait for
// [Server.Take]; the newest [maxEvents] are kept.
func (s *Server) Open() error {
	s.local = true
	s.baseURL, s.state.baseURL = localURL, localURL
	if err := s.boot(); err != nil {
		return fmt.Errorf("sandbox: %w", err)
	}
	s.handler = s.routes()
	return nil
}

// Transport carries requests to the sandbox without a network.
func (s *Server) Transport() http.RoundTripper { return local{s} }

type local struct{ s *Server }

// errCut is what the client sees of a connection that breaks.
var errCut = errors.New("connection reset by peer")

func (l local) RoundTrip(r *http.Request) (res *http.Response, err error) {
	defer func() {
		if cause := recover(); cause == http.ErrAbortHandler {
			res, err = nil, errCut
		} else if cause != nil {
			panic(cause)
		}
	}()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &recorder{status: http.StatusOK, header: http.Header{}}
	l.s.handler.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: r}, nil
}

// recorder is the answer to a request that came over no network.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(status int)      { w.status = status }
func (w *recorder) Write(b []byte) (int, error) { return w.body.Write(b) }

// Delivery is a webhook to be delivered: once, twice, late or never.
type Delivery struct {
	Event, Type string
	Body        []byte
}

// Take the webhooks that wait, oldest first. What was taken is not kept.
func (s *Server) Take() []Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Delivery
	for _, id := range s.outbox {
		if ev := s.state.events.get(id); ev != nil {
			out = append(out, Delivery{ev.ID, ev.Type, webhookOf(ev)})
		}
	}
	s.outbox = nil
	return out
}

// Sign a delivery as it is sent now: the Stripe-Signature header.
func (s *Server) Sign(d Delivery) string { return sign(d.Body, s.opts.WebhookSecret, s.opts.Now()) }

// keepForTaking keeps what would be sent. The caller holds mu.
func (s *Server) keepForTaking(ids []string) {
	s.outbox = append(s.outbox, ids...)
	if n := len(s.outbox) - maxEvents; n > 0 {
		s.outbox = s.outbox[n:]
	}
}

// Tick lets happen what is due by now, as any request does.
func (s *Server) Tick() {
	s.execute(request{}, func(*tx) (any, *apiError) { return nil, nil }, nil)
}

// NextDue is when something happens that nobody asks for: an authorisation runs
// out, a refund ends, a bank decides. False: never.
func (s *Server) NextDue() (at time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := int64(0)
	sooner := func(at int64) {
		if next == 0 || at < next {
			next = at
		}
	}
	if h := s.state.holds; len(h) > 0 {
		sooner(h[0].until)
	}
	if a := s.state.alarms; len(a) > 0 {
		sooner(a[0].at)
	}
	return time.Unix(next, 0).UTC(), next != 0
}

// Facts are what the sandbox's own book says of a payment intent: the other side
// of Kicau's books, in Stripe's units of Currency.
type Facts struct {
	Intent     string
	Order      string // metadata kicau_order
	Currency   string
	Authorised int64 // held now
	Captured   int64
	Captures   int // charges that were captured
	Refunded   int64
	Waiting    int64 // refunds that are accepted and not paid
	Disputed   int64 // with banks now
	Lost       int64
	Paid       int64 // transferred, less what was reversed
}

// FactsOf the intents that were made for an order, by its transfer group.
func (s *Server) FactsOf(order string) (f Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.Order = order
	for c := range s.state.charges.where("transfer_group", order) {
		f.Intent, f.Currency = c.Intent, c.Currency
		if c.Captured {
			f.Captures++
			f.Captured += c.CapturedSum
		} else if c.Status == chargeSucceeded && c.RefundedSum == 0 {
			f.Authorised += c.Amount
		}
		for r := range s.state.refunds.where("charge", c.ID) {
			switch {
			case !c.Captured || r.Txn != "" && s.state.txns.get(r.Txn).Category == "partial_capture_reversal" || r.Status == refundFails:
			case r.Status == refundWaits:
				f.Waiting += r.Amount
			default:
				f.Refunded += r.Amount
			}
		}
		for d := range s.state.disputes.where("charge", c.ID) {
			switch d.Status {
			case needsResponse, underReview:
				f.Disputed += d.Amount
			case disputeLost:
				f.Lost += d.Amount
			}
		}
	}
	for tr := range s.state.transfers.where("transfer_group", order) {
		f.Paid += tr.Amount - tr.Reversed
	}
	return f
}

// Has is what a connected account has of a currency (as Stripe writes it), in
// Stripe's units.
func (s *Server) Has(account, currency string) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.book.balance[purse{account, currency}]
}
