package stripe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"kicau/adapters/sandbox"
	"kicau/adapters/stripe"
	"kicau/domain/money"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// world is a sandbox, a way to it that a test can break, and a clock for both.
type world struct {
	t      *testing.T
	server *sandbox.Server
	way    *httptest.Server
	client *stripe.Client
	shop   string // a connected account

	mu    sync.Mutex
	now   time.Time
	fault fault
	saved map[string]bool // keys whose answer is a 500 for as long as they live
	calls int             // of this order so far, as the saga counts them
	order uuid.UUID
}

// fault breaks one POST on its way to the sandbox, or its answer on the way back.
type fault struct {
	name         string
	done, always bool // the sandbox does it; every call with the key fails the same
	status       int  // 0: the connection breaks
}

// faults come in twins: not done, and done all the same.
var faults = []fault{
	{name: "connection lost before"}, {name: "connection lost after", done: true},
	{name: "500 before", status: 500}, {name: "500 after", status: 500, done: true},
	{name: "saved 500, done", status: 500, done: true, always: true},
}

var savedNotDone = fault{name: "saved 500, not done", status: 500, always: true}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: noon, saved: map[string]bool{}, order: uuid.New()}
	w.server = sandbox.New(sandbox.Options{SecretKey: "sk_test_sandbox", Now: w.time, Logger: slog.New(slog.DiscardHandler)})
	if err := w.server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.server.Verify(); err != nil {
			t.Error(err)
		}
		if err := w.server.Close(); err != nil {
			t.Error(err)
		}
	})
	w.way = httptest.NewServer(http.HandlerFunc(w.carry))
	t.Cleanup(w.way.Close)
	// A broken connection that was used before is tried again by net/http, see
	// TestABrokenIdleConnection.
	w.way.Config.SetKeepAlivesEnabled(false)
	w.client = newClient(t, w.way.URL, func(o *stripe.Options) {
		o.SecretKey, o.Now, o.PayURL = "sk_test_sandbox", w.time, w.server.PayURL
	})
	w.shop = w.api("POST", "/v1/accounts", url.Values{"type": {"express"}, "capabilities[transfers][requested]": {"true"}})["id"].(string)
	return w
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) wait(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// carry takes a request to the sandbox and its answer back, unless it is broken.
func (w *world) carry(rw http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	w.mu.Lock()
	var broken fault
	if r.Method == http.MethodPost && w.fault.name != "" {
		if broken = w.fault; broken.always {
			w.saved[key] = true
			broken.always = false
		}
		w.fault = fault{}
	} else if w.saved[key] {
		broken = fault{name: "saved", status: 500}
	}
	w.mu.Unlock()

	var answer *http.Response
	if broken.name == "" || broken.done {
		body, _ := io.ReadAll(r.Body)
		out, err := http.NewRequest(r.Method, w.server.URL()+r.URL.RequestURI(), bytes.NewReader(body))
		if err != nil {
			panic(err)
		}
		out.Header = r.Header.Clone()
		if answer, err = http.DefaultClient.Do(out); err != nil {
			panic(err)
		}
		defer answer.Body.Close()
	}
	switch {
	case broken.name == "":
		for k, v := range answer.Header {
			rw.Header()[k] = v
		}
		rw.WriteHeader(answer.StatusCode)
		io.Copy(rw, answer.Body)
	case broken.status != 0:
		reply(rw, broken.status, failing(object{"type": "api_error", "message": "An unknown error occurred"}))
	default:
		drop(rw, request{})
	}
}

// api asks the sandbox directly.
func (w *world) api(method, path string, form url.Values) object {
	w.t.Helper()
	r, err := http.NewRequest(method, w.server.URL()+path, strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_sandbox")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var o object
	if err := json.NewDecoder(res.Body).Decode(&o); err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s %s: %d %v %v", method, path, res.StatusCode, o, err)
	}
	return o
}

// payOut sends money of the shop's to its bank.
func (w *world) payOut(amount int) {
	w.t.Helper()
	r, err := http.NewRequest("POST", w.server.URL()+"/v1/payouts", strings.NewReader(url.Values{"amount": {fmt.Sprint(amount)}, "currency": {"gbp"}}.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer sk_test_sandbox")
	r.Header.Set("Stripe-Account", w.shop)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("payout: %v %v", res, err)
	}
	res.Body.Close()
}

// intention is the next call of the order, for £25.00 unless it is changed.
func (w *world) intention(step order.Step, change func(*payment.Effect)) payment.Effect {
	w.calls++
	e := payment.Effect{Step: step, Key: fmt.Sprintf("v1:%s:%s:%d", w.order, step, w.calls), RequestedAt: w.time(),
		Order: w.order, Amount: 2500, Currency: "GBP", Destination: w.shop}
	if change != nil {
		change(&e)
	}
	return e
}

func (w *world) perform(e payment.Effect) payment.Outcome {
	return w.client.Perform(context.Background(), e)
}

// authorised is an order whose amount is held.
func (w *world) authorised() payment.Authorised { w.t.Helper(); return w.authorisedOn("pm_card_visa") }

func (w *world) authorisedOn(card string) payment.Authorised {
	w.t.Helper()
	a, ok := w.perform(w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod = card })).(payment.Authorised)
	if !ok {
		w.t.Fatalf("%#v, want an authorisation", a)
	}
	return a
}

func (w *world) captured(a payment.Authorised) payment.Captured {
	w.t.Helper()
	c, ok := w.perform(w.intention(order.Capture, func(e *payment.Effect) { e.Intent = a.Intent })).(payment.Captured)
	if !ok {
		w.t.Fatalf("%#v, want a capture", c)
	}
	return c
}

// fee of the sandbox: 2.9 % and 30.
func fee(amount money.Minor) money.Minor { return (amount*29+500)/1000 + 30 }

// The life of a purchase: held, shipped in part, partly given back, paid out.
func TestAPurchase(t *testing.T) {
	w := newWorld(t)
	if id, err := w.client.Account(context.Background()); err != nil || id != w.server.AccountID() {
		t.Fatalf("account %q (%v), want %q", id, err, w.server.AccountID())
	}
	a := w.authorised()
	until := noon.Add(7 * 24 * time.Hour)
	if d := cmp.Diff(payment.Authorised{Intent: a.Intent, Charge: a.Charge, Amount: 2500, ExpiresAt: &until, Brand: "visa", Last4: "4242"}, a); d != "" {
		t.Error(d)
	}

	c := w.perform(w.intention(order.Capture, func(e *payment.Effect) { e.Intent, e.Amount = a.Intent, 1800 }))
	if d := cmp.Diff(payment.Captured{Intent: a.Intent, Charge: a.Charge, Transaction: c.(payment.Captured).Transaction, Amount: 1800, ProcessorFee: fee(1800)}, c.(payment.Captured)); d != "" {
		t.Error(d)
	}
	if id, o := w.client.Read(context.Background(), a.Intent); id != w.order || o.Outcome != c {
		t.Errorf("read back: order %s, %#v", id, o)
	}

	refund := w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 500 })
	r, ok := w.perform(refund).(payment.Refunded)
	if !ok || !strings.HasPrefix(r.RefundID, "re_") || !strings.HasPrefix(r.Transaction, "txn_") {
		t.Errorf("%#v", r)
	}
	if twice := w.perform(again(refund)); twice != r {
		t.Errorf("looked up: %#v, want %#v", twice, r)
	}
	tooMuch := w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 1301 })
	if o := w.perform(tooMuch); kind(o) != "failed" {
		t.Errorf("£13.01 of the £13.00 left: %#v", o)
	}

	settle := w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = a.Charge, 1170 })
	tr, ok := w.perform(settle).(payment.Transferred)
	if !ok || !strings.HasPrefix(tr.Transfer, "tr_") {
		t.Errorf("%#v", tr)
	}
	if twice := w.perform(again(settle)); twice != tr {
		t.Errorf("looked up: %#v, want %#v", twice, tr)
	}
	if o := w.perform(w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount, e.Destination = a.Charge, 100, "acct_nobody" })); kind(o) != "failed" {
		t.Errorf("paid to nobody: %#v", o)
	}
	if o := w.perform(w.intention(order.Void, func(e *payment.Effect) { e.Intent = a.Intent })); o != c {
		t.Errorf("void of what is captured: %#v", o)
	}
}

func TestVoidAndLapse(t *testing.T) {
	w := newWorld(t)
	a := w.authorised()
	void := w.intention(order.Void, func(e *payment.Effect) { e.Intent = a.Intent })
	capture := w.intention(order.Capture, func(e *payment.Effect) { e.Intent = a.Intent })
	voided := payment.Voided{Intent: a.Intent}
	for _, e := range []payment.Effect{void, void, again(void), w.intention(order.Void, func(e *payment.Effect) { e.Intent = a.Intent }), capture, again(capture)} {
		if o := w.perform(e); o != voided {
			t.Errorf("%s: %#v", e.Key, o)
		}
	}

	w.order = uuid.New()
	b := w.authorised()
	w.wait(7*24*time.Hour + time.Second)
	if o := w.perform(w.intention(order.Capture, func(e *payment.Effect) { e.Intent = b.Intent })); o != (payment.Voided{Intent: b.Intent}) {
		t.Errorf("capture after seven days: %#v", o)
	}
	if id, o := w.client.Read(context.Background(), b.Intent); id != w.order || o.Outcome != (payment.Voided{Intent: b.Intent}) {
		t.Errorf("order %s, %#v", id, o)
	}
}

func TestCards(t *testing.T) {
	w := newWorld(t)
	for card, want := range map[string]payment.Outcome{
		"pm_card_visa_chargeDeclined":                  payment.Declined{Code: "card_declined", DeclineCode: "generic_decline"},
		"pm_card_visa_chargeDeclinedInsufficientFunds": payment.Declined{Code: "card_declined", DeclineCode: "insufficient_funds"},
		"pm_card_chargeDeclinedExpiredCard":            payment.Declined{Code: "expired_card", DeclineCode: "expired_card"},
		"pm_card_authenticationRequired":               payment.ActionRequired{Action: "authenticate"},
		"pm_card_nobodys":                              payment.Failed{Code: "resource_missing"},
	} {
		w.order = uuid.New()
		e := w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod = card })
		got := w.perform(e)
		if later := w.perform(again(e)); kind(later) != kind(want) {
			t.Errorf("%s: looked up %#v", card, later)
		}
		if o, read := w.client.Read(context.Background(), intentOf(got)); kind(want) != "failed" && (kind(read.Outcome) != kind(want) || o != w.order) {
			t.Errorf("%s: read back %#v of order %s", card, read, o)
		}
		switch o := got.(type) {
		case payment.Declined:
			o.Intent = ""
			got = o
		case payment.ActionRequired:
			o.Intent = ""
			got = o
		case payment.Failed:
			o.Reason = ""
			got = o
		}
		if got != want {
			t.Errorf("%s: %#v, want %#v", card, got, want)
		}
	}
}

func intentOf(o payment.Outcome) string {
	switch o := o.(type) {
	case payment.Declined:
		return o.Intent
	case payment.ActionRequired:
		return o.Intent
	}
	return ""
}

// post sends a form of a page as a browser would, and stops at the redirect.
func post(t *testing.T, address string, form url.Values) string {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := browser.PostForm(address, form)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.Header.Get("Location")
}

// The buyer types a card on the hosted page, with and without a challenge.
func TestTheHostedPage(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	card := func(number string) url.Values {
		return url.Values{"number": {number}, "expiry": {"12/30"}, "cvc": {"123"}}
	}
	const back = "http://127.0.0.1:1/orders/17"
	for _, c := range []struct {
		number, outcome, kind string
	}{
		{"4242424242424242", "", "authorised"},
		{"4000000000000002", "", "declined"},
		{"4000002760003184", "complete", "authorised"},
		{"4000002760003184", "fail", "declined"},
	} {
		w.order = uuid.New()
		asked, ok := w.perform(w.intention(order.Authorise, nil)).(payment.ActionRequired)
		if !ok || asked.Action != "card" {
			t.Fatalf("%#v", asked)
		}
		page, err := w.client.PayURL(ctx, asked.Intent, back)
		if err != nil {
			t.Fatal(err)
		}
		next := post(t, page, card(c.number))
		if c.outcome != "" {
			if id, o := w.client.Read(ctx, asked.Intent); id != w.order || o.Outcome != (payment.ActionRequired{Intent: asked.Intent, Action: "authenticate"}) {
				t.Errorf("%s: %#v of order %s", c.number, o, id)
			}
			challenge, err := w.client.PayURL(ctx, asked.Intent, back)
			if err != nil || challenge != next {
				t.Errorf("%s: sent to %q, PayURL is %q (%v)", c.number, next, challenge, err)
			}
			next = post(t, challenge, url.Values{"outcome": {c.outcome}})
		}
		if !strings.HasPrefix(next, back+"?") {
			t.Errorf("%s: sent to %q, want back to %q", c.number, next, back)
		}
		if id, o := w.client.Read(ctx, asked.Intent); id != w.order || kind(o.Outcome) != c.kind {
			t.Errorf("%s: order %s, %#v; want %s", c.number, id, o, c.kind)
		}
	}
}

// A challenge of a card given beforehand has no return address, so it is
// answered over Options.PayURL.
func TestAChallengeWithoutAnAddress(t *testing.T) {
	w := newWorld(t)
	asked := w.perform(w.intention(order.Authorise, func(e *payment.Effect) { e.PaymentMethod = "pm_card_authenticationRequired" })).(payment.ActionRequired)
	page, err := w.client.PayURL(context.Background(), asked.Intent, "http://127.0.0.1:1/back")
	if err != nil || !strings.HasPrefix(page, w.server.URL()+"/pay/"+asked.Intent) {
		t.Errorf("%q, %v", page, err)
	}
}

// prepared is an intention of each step whose turn it is.
func prepared(w *world, step order.Step) payment.Effect {
	w.t.Helper()
	switch step {
	case order.Authorise:
		return w.intention(step, func(e *payment.Effect) { e.PaymentMethod = "pm_card_visa" })
	case order.Void, order.Capture:
		a := w.authorised()
		return w.intention(step, func(e *payment.Effect) { e.Intent = a.Intent })
	case order.Refunding:
		a := w.authorised()
		w.captured(a)
		return w.intention(step, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = a.Intent, uuid.New(), 700 })
	case order.Contest, order.Accept:
		a := w.authorisedOn("pm_card_createDispute")
		w.captured(a)
		d := w.read(a.Intent).Disputes[0]
		return w.intention(step, func(e *payment.Effect) { e.Dispute, e.Amount, e.Evidence = d.ID, 0, order.Evidence{Product: "mugs"} })
	}
	a := w.authorised()
	w.captured(a)
	settle := w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = a.Charge, 900 })
	if step == order.Settle {
		return settle
	}
	tr := w.perform(settle).(payment.Transferred)
	return w.intention(order.Reverse, func(e *payment.Effect) { e.Transfer, e.Amount = tr.Transfer, 400 })
}

// read is all that the sandbox shows of a payment.
func (w *world) read(intent string) payment.Seen {
	w.t.Helper()
	id, seen := w.client.Read(context.Background(), intent)
	if _, unknown := seen.Outcome.(payment.Unknown); unknown || id != w.order {
		w.t.Fatalf("read %s of order %s: %#v", intent, id, seen)
	}
	return seen
}

// things are how many objects of each kind the sandbox has.
func (w *world) things() string {
	count := func(path string) int { return len(w.api("GET", path+"?limit=100", nil)["data"].([]any)) }
	return fmt.Sprintf("%d intents, %d charges, %d refunds, %d transfers, %d movements of money",
		count("/v1/payment_intents"), count("/v1/charges"), count("/v1/refunds"), count("/v1/transfers"), count("/v1/balance_transactions"))
}

// Each step, broken each way: the outcome is unknown, the next look resolves it,
// and the sandbox has done it once.
func TestBrokenCallsAreDoneOnce(t *testing.T) {
	for _, s := range allSteps {
		whole := newWorld(t)
		if o := whole.perform(prepared(whole, s.step)); kind(o) != kind(s.want) {
			t.Fatalf("%s unbroken: %#v", s.step, o)
		}
		once := whole.things()
		for _, f := range faults {
			t.Run(string(s.step)+" "+f.name, func(t *testing.T) {
				w := newWorld(t)
				e := prepared(w, s.step)
				w.fault = f
				if o := w.perform(e); kind(o) != "unknown" {
					t.Fatalf("broken: %#v", o)
				}
				e.Tries++
				o := w.perform(e)
				if kind(o) != kind(s.want) {
					t.Errorf("looked up: %#v", o)
				}
				e.Tries++
				if same := w.perform(e); !cmp.Equal(same, o) {
					t.Errorf("looked up again: %#v, want %#v", same, o)
				}
				if got := w.things(); got != once {
					t.Errorf("the sandbox has %s, want %s", got, once)
				}
			})
		}
	}
}

// A connection that breaks when it is used again may be replaced by net/http,
// which sends the request once more: it can, because of the key. Whether it does
// depends on what it notices first; the call is done once either way.
func TestABrokenIdleConnection(t *testing.T) {
	for _, s := range allSteps {
		whole := newWorld(t)
		whole.perform(prepared(whole, s.step))
		once := whole.things()
		for _, f := range faults[:2] {
			t.Run(string(s.step)+" "+f.name, func(t *testing.T) {
				w := newWorld(t)
				w.way.Config.SetKeepAlivesEnabled(true)
				e := prepared(w, s.step)
				if _, err := w.client.Account(context.Background()); err != nil { // leaves an idle connection
					t.Fatal(err)
				}
				w.fault = f
				if o := w.perform(e); kind(o) != kind(s.want) && kind(o) != "unknown" {
					t.Errorf("%#v", o)
				}
				if o := w.perform(again(e)); kind(o) != kind(s.want) || w.things() != once {
					t.Errorf("looked up: %#v with %s, want %s with %s", o, w.things(), kind(s.want), once)
				}
			})
		}
	}
}

// The process is killed after a call and before its outcome is recorded, and
// comes back after an hour, or after the key is forgotten: the call is made with
// no tries counted, and is done once.
func TestForgottenCallsAreDoneOnce(t *testing.T) {
	for _, s := range allSteps {
		for _, away := range []time.Duration{time.Hour, 25 * time.Hour} {
			t.Run(fmt.Sprint(s.step, " ", away), func(t *testing.T) {
				w := newWorld(t)
				e := prepared(w, s.step)
				first := w.perform(e)
				once := w.things()
				w.wait(away)
				if o := w.perform(e); !cmp.Equal(o, first) || kind(o) != kind(s.want) {
					t.Errorf("%#v, want %#v", o, first)
				}
				if got := w.things(); got != once {
					t.Errorf("the sandbox has %s, want %s", got, once)
				}
			})
		}
	}
}

// A 500 that is saved before anything was done comes back for as long as the key
// lives. It stays unknown until then, and ends after.
func TestASavedCrashEnds(t *testing.T) {
	for _, s := range allSteps {
		t.Run(string(s.step), func(t *testing.T) {
			w := newWorld(t)
			e := prepared(w, s.step)
			before := w.things()
			w.fault = savedNotDone
			for range 5 {
				if o := w.perform(e); kind(o) != "unknown" {
					t.Fatalf("try %d: %#v", e.Tries, o)
				}
				e.Tries++
				w.wait(4 * time.Hour)
			}
			w.wait(4 * time.Hour) // a day in all
			o := w.perform(e)
			switch s.step {
			case order.Void, order.Capture, order.Contest, order.Accept:
				if kind(o) != kind(s.want) {
					t.Errorf("with another key: %#v", o)
				}
			default:
				if failed, ok := o.(payment.Failed); !ok || failed.Code != "key-expired" || w.things() != before {
					t.Errorf("%#v with %s, want that the key expired with %s", o, w.things(), before)
				}
			}
		})
	}
}

// Calls of many orders at a time, each twice at once: the sandbox answers one of
// the two that the key is in use, or repeats the answer.
func TestManyAtATime(t *testing.T) {
	w := newWorld(t)
	const orders = 20
	var all sync.WaitGroup
	for i := range orders {
		id := uuid.New()
		e := payment.Effect{Step: order.Authorise, Key: "v1:" + id.String(), RequestedAt: noon, Order: id, Amount: money.Minor(1000 + i),
			Currency: "GBP", PaymentMethod: "pm_card_visa"}
		for range 2 {
			all.Go(func() {
				o := w.perform(e)
				for ; kind(o) == "unknown" && e.Tries < 100; e.Tries++ {
					o = w.perform(again(e))
				}
				if a, ok := o.(payment.Authorised); !ok || a.Amount != e.Amount {
					t.Errorf("%#v", o)
				}
			})
		}
	}
	all.Wait()
	if got := w.things(); got != fmt.Sprintf("%d intents, %[1]d charges, 0 refunds, 0 transfers, 0 movements of money", orders) {
		t.Errorf("the sandbox has %s", got)
	}
}

// What the sandbox sends, our verification takes, and names what to read.
func TestNoticesOfTheSandbox(t *testing.T) {
	w := newWorld(t)
	verify, err := stripe.NewWebhook(webhookSecret, w.time)
	if err != nil {
		t.Fatal(err)
	}
	notices := make(chan stripe.Notice, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n, err := verify.Verify(body, r.Header.Get("Stripe-Signature"))
		if err != nil {
			t.Errorf("%v: %s", err, body)
		}
		notices <- n
	}))
	defer hook.Close()
	w.server.SetWebhook(hook.URL, webhookSecret)
	a := w.authorised()
	w.captured(a)
	waitFor := map[string]bool{"payment_intent.created": true, "charge.succeeded": true, "payment_intent.amount_capturable_updated": true,
		"charge.captured": true, "payment_intent.succeeded": true}
	for len(waitFor) > 0 {
		n := <-notices
		if n.Intent != a.Intent || n.Livemode || !n.Created.Equal(noon) || !strings.HasPrefix(n.ID, "evt_") {
			t.Errorf("%+v", n)
		}
		delete(waitFor, n.Type)
	}
}
