package stripe_test

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

const secretKey = "sk_test_51NotAKey"

// noon is now in all tests that do not move the clock.
var noon = time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)

// request is one that a fake Stripe got.
type request struct {
	line string // "POST /v1/refunds"
	key  string // Idempotency-Key
	form url.Values
	http *http.Request
}

// fake is a Stripe that answers as a test tells it.
type fake struct {
	url    string
	mu     sync.Mutex
	got    []request
	answer func(w http.ResponseWriter, r request)
}

func newFake(t *testing.T, answer func(w http.ResponseWriter, r request)) *fake {
	f := &fake{answer: answer}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		got := request{r.Method + " " + r.URL.Path, r.Header.Get("Idempotency-Key"), r.Form, r}
		f.mu.Lock()
		f.got = append(f.got, got)
		f.mu.Unlock()
		f.answer(w, got)
	}))
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// lines are the requests so far.
func (f *fake) lines() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, r := range f.got {
		lines = append(lines, r.line)
	}
	return lines
}

func (f *fake) first() request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[0]
}

func (f *fake) last() request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.got[len(f.got)-1]
}

func newClient(t *testing.T, baseURL string, change ...func(*stripe.Options)) *stripe.Client {
	t.Helper()
	o := stripe.Options{SecretKey: secretKey, BaseURL: baseURL, Now: func() time.Time { return noon }, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&o)
	}
	client, err := stripe.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// object is one of Stripe's, as JSON.
type object map[string]any

// with is o with some fields changed.
func (o object) with(more object) object {
	changed := object{}
	for _, m := range []object{o, more} {
		for k, v := range m {
			changed[k] = v
		}
	}
	return changed
}

func reply(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Request-Id", "req_test")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

// always answers every request the same.
func always(status int, body any) func(http.ResponseWriter, request) {
	return func(w http.ResponseWriter, _ request) { reply(w, status, body) }
}

// by answers by what is asked.
func by(answers map[string]func(http.ResponseWriter, request)) func(http.ResponseWriter, request) {
	return func(w http.ResponseWriter, r request) {
		if answer := answers[r.line]; answer != nil {
			answer(w, r)
			return
		}
		http.Error(w, "the test has no answer to "+r.line, http.StatusTeapot)
	}
}

func failing(fields object) object { return object{"error": fields} }

func list(items ...object) object {
	if items == nil {
		items = []object{}
	}
	return object{"object": "list", "has_more": false, "url": "/v1/list", "data": items}
}

// cut closes the connection in the middle of an answer.
func cut(w http.ResponseWriter, _ request) {
	conn, buffer, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	io.WriteString(buffer, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"id\": \"pi_1\", \"status\"")
	buffer.Flush()
	conn.Close()
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter, _ request) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	conn.Close()
}

var (
	orderID  = uuid.MustParse("5b0f6f5e-5d0a-4c5b-9d0e-1f2a3b4c5d6e")
	refundID = uuid.MustParse("0a1b2c3d-4e5f-4a6b-8c7d-9e0f1a2b3c4d")
	expiry   = time.Unix(1774000000, 0).UTC()
)

// effect of a step, as the saga asks for it.
func effect(step order.Step) payment.Effect {
	e := payment.Effect{Step: step, Key: "v1:" + orderID.String() + ":" + string(step) + ":1", RequestedAt: noon,
		Order: orderID, Amount: 2500, Currency: "GBP"}
	switch step {
	case order.Authorise:
		e.PaymentMethod = "pm_1"
	case order.Void:
		e.Intent, e.Amount = "pi_1", 0
	case order.Capture:
		e.Intent = "pi_1"
	case order.Refunding:
		e.Intent, e.Refund = "pi_1", refundID
	case order.Settle:
		e.Charge, e.Destination = "ch_1", "acct_shop"
	case order.Reverse:
		e.Transfer = "tr_1"
	case order.Contest:
		e.Dispute, e.Amount = "dp_1", 0
		e.Evidence = order.Evidence{Product: "2 × Mug", Carrier: "post", Tracking: "RM1", ShippedOn: "2026-11-24", History: "placed, shipped"}
	case order.Accept:
		e.Dispute, e.Amount = "dp_1", 0
	}
	return e
}

func again(e payment.Effect) payment.Effect { e.Tries = 1; return e }

func old(e payment.Effect, age time.Duration) payment.Effect {
	e.RequestedAt = noon.Add(-age)
	return e
}

// Objects of an order of £25.00, with the fields that its story is told by.
var (
	txn = object{"id": "txn_1", "object": "balance_transaction", "amount": 2500, "currency": "gbp", "fee": 103, "net": 2397,
		"reporting_category": "charge", "type": "charge", "status": "pending"}
	held = object{"id": "ch_1", "object": "charge", "amount": 2500, "currency": "gbp", "captured": false, "status": "succeeded",
		"payment_intent": "pi_1", "balance_transaction": nil, "refunds": list(),
		"payment_method_details": object{"type": "card", "card": object{"brand": "visa", "last4": "4242", "capture_before": expiry.Unix()}}}
	taken  = held.with(object{"captured": true, "balance_transaction": txn})
	intent = object{"id": "pi_1", "object": "payment_intent", "amount": 2500, "amount_capturable": 0, "amount_received": 0, "currency": "gbp",
		"client_secret": clientSecret, "status": "requires_payment_method", "latest_charge": nil, "last_payment_error": nil, "next_action": nil,
		"metadata": object{"kicau_order": orderID.String(), "kicau_key": effect(order.Authorise).Key}}

	waiting     = intent
	challenged  = intent.with(object{"status": "requires_action", "next_action": object{"type": "use_stripe_sdk", "use_stripe_sdk": object{}}})
	refusedCard = intent.with(object{"last_payment_error": object{"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds"}})
	capturable  = intent.with(object{"status": "requires_capture", "amount_capturable": 2500, "latest_charge": held})
	succeeded   = intent.with(object{"status": "succeeded", "amount_received": 2500, "latest_charge": taken})
	canceled    = intent.with(object{"status": "canceled", "cancellation_reason": "automatic"})
)

const clientSecret = "pi_1_secret_tellnobody"

var (
	isAuthorised  = payment.Authorised{Intent: "pi_1", Charge: "ch_1", Amount: 2500, ExpiresAt: &expiry, Brand: "visa", Last4: "4242"}
	isCaptured    = payment.Captured{Intent: "pi_1", Charge: "ch_1", Transaction: "txn_1", Amount: 2500, ProcessorFee: 103}
	isVoided      = payment.Voided{Intent: "pi_1"}
	isReversed    = payment.Reversed{Reversal: "trr_1", Transaction: "txn_4"}
	isRefunded    = payment.Refunded{RefundID: "re_1", Transaction: "txn_2"}
	isTransferred = payment.Transferred{Transfer: "tr_1"}
)

var (
	givenBack = object{"id": "re_1", "object": "refund", "amount": 2500, "currency": "gbp", "status": "succeeded", "balance_transaction": "txn_2",
		"payment_intent": "pi_1", "metadata": object{"kicau_refund": refundID.String()}}
	paidOut = object{"id": "tr_1", "object": "transfer", "amount": 2500, "currency": "gbp", "destination": "acct_shop", "reversed": false,
		"metadata": object{"kicau_key": effect(order.Settle).Key}}
)

// kind is the name of an outcome's type, which is what the saga acts on.
func kind(o payment.Outcome) string {
	switch o.(type) {
	case payment.Authorised:
		return "authorised"
	case payment.ActionRequired:
		return "action required"
	case payment.Declined:
		return "declined"
	case payment.Captured:
		return "captured"
	case payment.Voided:
		return "voided"
	case payment.Refunded:
		return "refunded"
	case payment.Transferred:
		return "transferred"
	case payment.Failed:
		return "failed"
	case payment.Unknown:
		return "unknown"
	}
	return "nothing"
}

func joined(lines []string) string { return strings.Join(lines, ", ") }

// recorded answers every request in this process, and notes when.
func recorded(sent *[]time.Time) http.RoundTripper {
	var mu sync.Mutex
	return inProcess(func(r *http.Request) (*http.Response, error) {
		mu.Lock()
		defer mu.Unlock()
		*sent = append(*sent, time.Now())
		w := httptest.NewRecorder()
		reply(w, 200, canceled)
		return w.Result(), nil
	})
}
