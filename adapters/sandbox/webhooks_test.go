package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"
	"github.com/stripe/stripe-go/v76/webhook"

	"kicau/adapters/sandbox"
)

const hookSecret = "whsec_test_secret"

// endpoint is a webhook endpoint that checks what it gets as stripe-go does, and
// answers what the test wants.
type endpoint struct {
	*httptest.Server
	got     chan stripe.Event
	answers chan int // status of the next answers; 200 when there is none
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{got: make(chan stripe.Event, 100), answers: make(chan int, 100)}
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		event, err := webhook.ConstructEvent(body, r.Header.Get("Stripe-Signature"), hookSecret)
		if err != nil {
			t.Error(err)
		}
		select {
		case status := <-e.answers:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		default:
		}
		e.got <- event
	}))
	t.Cleanup(e.Close)
	return e
}

// take waits for n events and returns their types, sorted: order is not promised.
func (e *endpoint) take(n int) (types []string, events []stripe.Event) {
	for range n {
		ev := <-e.got
		types, events = append(types, string(ev.Type)), append(events, ev)
	}
	slices.Sort(types)
	return types, events
}

func TestWebhooks(t *testing.T) {
	e := newEndpoint(t)
	w := start(t, sandbox.Options{WebhookURL: e.URL, WebhookSecret: hookSecret})
	p := order(2000)
	p.Confirm, p.PaymentMethod = stripe.Bool(true), stripe.String("pm_card_visa")
	p.SetIdempotencyKey("key-1")
	pi, err := w.PaymentIntents.New(p)
	w.must(err)
	types, events := e.take(3)
	if want := []string{"charge.succeeded", "payment_intent.amount_capturable_updated", "payment_intent.created"}; !slices.Equal(types, want) {
		t.Errorf("got %v, want %v", types, want)
	}
	for _, ev := range events {
		if ev.APIVersion != stripe.APIVersion || ev.Livemode || ev.PendingWebhooks != 1 || ev.Request.ID != pi.LastResponse.RequestID || ev.Request.IdempotencyKey != "key-1" {
			t.Errorf("event: %+v", ev)
		}
		if ev.Type != "payment_intent.amount_capturable_updated" {
			continue
		}
		var then stripe.PaymentIntent
		w.must(json.Unmarshal(ev.Data.Raw, &then))
		if then.ID != pi.ID || then.Status != stripe.PaymentIntentStatusRequiresCapture || then.AmountCapturable != 2000 || then.ClientSecret != pi.ClientSecret {
			t.Errorf("object: %+v", then)
		}
	}
	// An event is a snapshot: what happens later does not change it.
	_, err = w.PaymentIntents.Capture(pi.ID, nil)
	w.must(err)
	e.take(2)
	for _, ev := range events {
		kept, err := w.Events.Get(ev.ID, nil)
		w.must(err)
		if string(kept.Data.Raw) != string(ev.Data.Raw) {
			t.Errorf("%s changed", ev.ID)
		}
	}
}

func TestWebhookIsSentAgain(t *testing.T) {
	e := newEndpoint(t)
	e.answers <- http.StatusInternalServerError
	e.answers <- http.StatusFound // a redirect is not followed, and no success
	w := start(t, sandbox.Options{})
	_, err := w.PaymentIntents.New(order(1000)) // nobody is told
	w.must(err)
	w.box.SetWebhook(e.URL, hookSecret)
	_, err = w.PaymentIntents.New(order(2000))
	w.must(err)
	_, events := e.take(3)
	if events[0].ID != events[1].ID || events[1].ID != events[2].ID || events[0].Data.Object["amount"] != 2000.0 {
		t.Errorf("got %v", events)
	}
}

// Where an address is to follow, what happens before waits for it.
func TestWebhooksWaitForTheirAddress(t *testing.T) {
	e := newEndpoint(t)
	w := start(t, sandbox.Options{WebhookLater: true})
	pi, err := w.PaymentIntents.New(order(1000))
	w.must(err)
	w.box.SetWebhook(e.URL, hookSecret)
	if _, events := e.take(1); events[0].Data.Object["id"] != pi.ID {
		t.Errorf("got %v", events)
	}
}

// What happens by itself is told when it happens: nobody has to ask for it first.
func TestWebhooksOfWhatHappensByItself(t *testing.T) {
	e := newEndpoint(t)
	w := start(t, sandbox.Options{Dir: t.TempDir(), Now: time.Now, Lag: func() time.Duration { return time.Second },
		WebhookURL: e.URL, WebhookSecret: hookSecret, WebhookEvents: []string{"refund.failed"}})
	re, err := w.Refunds.New(&stripe.RefundParams{PaymentIntent: stripe.String(w.paid(1000, "pm_card_refundFail").ID)})
	w.must(err)
	select {
	case ev := <-e.got:
		if ev.Data.Object["id"] != re.ID || ev.Request.ID != "" {
			t.Errorf("%+v", ev)
		}
	case <-time.After(20 * time.Second):
		t.Error("the refund's failure was not told")
	}
}

// What was not delivered when the sandbox stopped is delivered after a restart;
// what was delivered is not sent again.
func TestWebhooksSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	refusing := newEndpoint(t)
	for range 4 {
		refusing.answers <- http.StatusServiceUnavailable
	}
	w := start(t, sandbox.Options{Dir: dir, WebhookURL: refusing.URL, WebhookSecret: hookSecret})
	_, err := w.PaymentIntents.New(order(2000))
	w.must(err)
	_, events := refusing.take(1)
	w.must(w.box.Close())

	e := newEndpoint(t)
	w = start(t, sandbox.Options{Dir: dir})
	p := &stripe.EventListParams{DeliverySuccess: stripe.Bool(false)}
	if it := w.Events.List(p); !it.Next() || it.Event().ID != events[0].ID || it.Event().PendingWebhooks != 1 {
		t.Error("it is not known as undelivered")
	}
	w.box.SetWebhook(e.URL, hookSecret)
	if got := <-e.got; got.ID != events[0].ID {
		t.Errorf("got %s, want %s", got.ID, events[0].ID)
	}
	w.must(w.box.Close())

	w = start(t, sandbox.Options{Dir: dir, WebhookURL: e.URL, WebhookSecret: hookSecret})
	_, err = w.PaymentIntents.New(order(3000))
	w.must(err)
	if got := <-e.got; got.ID == events[0].ID {
		t.Error("a delivered event was sent again")
	}
}

// What happens to a connected account names it, is told to endpoints for Connect
// and to no others, and listed to who asks for the account.
func TestWebhooksForConnect(t *testing.T) {
	dir := t.TempDir()
	own, connect, plain := newEndpoint(t), make(chan [2]string, 20), make(chan [2]string, 20)
	w := start(t, sandbox.Options{Dir: dir, WebhookURL: own.URL, WebhookSecret: hookSecret, WebhookEvents: []string{"payout.*"}})
	register := func(at string, p *stripe.WebhookEndpointParams) string {
		p.URL, p.EnabledEvents = stripe.String(at), stripe.StringSlice([]string{"payout.*", "account.*"})
		we, err := w.WebhookEndpoints.New(p)
		w.must(err)
		return we.Secret
	}
	secret := register(rawEndpoint(t, connect), &stripe.WebhookEndpointParams{Connect: stripe.Bool(true)})
	register(rawEndpoint(t, plain), &stripe.WebhookEndpointParams{})
	w.paid(5000, "pm_card_bypassPending")
	seller := w.seller().ID
	_, err := w.Transfers.New(&stripe.TransferParams{Amount: stripe.Int64(1000), Currency: stripe.String("usd"), Destination: stripe.String(seller)})
	w.must(err)
	w.must(w.box.Close()) // which endpoint is for Connect is kept
	w = start(t, sandbox.Options{Dir: dir, Now: w.clock.now, WebhookURL: own.URL, WebhookSecret: hookSecret, WebhookEvents: []string{"payout.*"}})
	w.bank(seller, "000123456789")
	theirs, err := w.payOut(seller, "", 500)
	w.must(err)
	ours, err := w.payOut(w.box.AccountID(), "", 700)
	w.must(err)

	var kinds []string
	for range 2 {
		came := <-connect
		ev, err := webhook.ConstructEvent([]byte(came[1]), came[0], secret)
		if err != nil || ev.Account != seller {
			t.Errorf("%v: %s", err, came[1])
		}
		kinds = append(kinds, string(ev.Type))
	}
	slices.Sort(kinds)
	if want := []string{"account.external_account.created", "payout.created"}; !slices.Equal(kinds, want) {
		t.Errorf("told %v, want %v", kinds, want)
	}
	if came := <-plain; !strings.Contains(came[1], ours.ID) || strings.Contains(came[1], `"account"`) {
		t.Errorf("an endpoint for no accounts got %s", came[1])
	}
	if _, events := own.take(1); events[0].Data.Object["id"] != ours.ID {
		t.Errorf("the configured endpoint got %+v", events[0])
	}
	if a, b := w.events(theirs.ID), w.eventsOf(seller, theirs.ID); len(a) != 0 || !slices.Equal(b, []string{"payout.created"}) {
		t.Errorf("listed to the platform %v, for the account %v", a, b)
	}
	w.must(w.box.Close())
	if len(connect)+len(plain)+len(own.got) > 0 {
		t.Errorf("%d, %d and %d more were told", len(connect), len(plain), len(own.got))
	}
}

// rawEndpoint takes webhooks as they are: signature and body.
func rawEndpoint(t *testing.T, got chan<- [2]string) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- [2]string{r.Header.Get("Stripe-Signature"), string(body)}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// verdict is why stripe-go refuses a webhook; "" when it does not.
func verdict(came [2]string) string { return checkSigned(came, hookSecret) }

func checkSigned(came [2]string, secret string) string {
	if _, err := webhook.ConstructEvent([]byte(came[1]), came[0], secret); err != nil {
		return err.Error()
	}
	return ""
}
