package stripe_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

const hookURL = "https://shop.example/webhooks/stripe"

func TestAWebhookIsRegisteredOnce(t *testing.T) {
	endpoint := object{"id": "we_1", "object": "webhook_endpoint", "url": hookURL, "status": "enabled", "api_version": "2023-10-16"}
	var there []object
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/webhook_endpoints": func(w http.ResponseWriter, _ request) { reply(w, 200, list(there...)) },
		"POST /v1/webhook_endpoints": func(w http.ResponseWriter, r request) {
			events := r.form["enabled_events[0]"]
			for k, v := range r.form {
				if strings.HasPrefix(k, "enabled_events") && k != "enabled_events[0]" {
					events = append(events, v...)
				}
			}
			there = append(there, endpoint.with(object{"enabled_events": events}))
			reply(w, 200, endpoint.with(object{"secret": "whsec_new"}))
		},
		"POST /v1/webhook_endpoints/we_1": always(200, endpoint),
	}))
	client := newClient(t, f.url)

	got, err := client.EnsureWebhook(context.Background(), hookURL)
	if got.Secret != "whsec_new" || got.Change != stripe.Created || got.ID != "we_1" || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
	sent := f.last()
	if sent.form.Get("url") != hookURL || sent.form.Get("api_version") != "2023-10-16" || len(there) != 1 || sent.key == "" {
		t.Errorf("sent %v with key %q", sent.form, sent.key)
	}
	events := there[0]["enabled_events"].([]string)
	for _, want := range []string{"payment_intent.succeeded", "charge.dispute.created", "radar.early_fraud_warning.created", "charge.refund.updated"} {
		if !slices.Contains(events, want) {
			t.Errorf("%s is not sent", want)
		}
	}

	// It is there, and needs nothing.
	got, err = client.EnsureWebhook(context.Background(), hookURL)
	if got.Secret != "" || got.Change != stripe.Unchanged || got.ID != "we_1" || len(got.Events) != len(events) || err != nil || f.last().line != "GET /v1/webhook_endpoints" {
		t.Errorf("%+v, %v after %s", got, err, f.last().line)
	}

	// It was switched off, lacks something or is sent what nobody listens to.
	for name, change := range map[string]object{
		"off":        {"status": "disabled"},
		"lacking":    {"enabled_events": events[1:]},
		"other":      {"enabled_events": append([]string{"payout.paid"}, events...)},
		"everything": {"enabled_events": []string{"*"}},
	} {
		there = []object{endpoint.with(object{"enabled_events": events}).with(change)}
		if got, err := client.EnsureWebhook(context.Background(), hookURL); got.Secret != "" || got.Change != stripe.Updated || err != nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		r := f.last()
		if r.line != "POST /v1/webhook_endpoints/we_1" || r.form.Get("disabled") != "false" || strings.Contains(r.form.Encode(), "payout.paid") || !strings.Contains(r.form.Encode(), events[0]) {
			t.Errorf("%s: %s %v", name, r.line, r.form)
		}
	}
	for e, err := range client.Webhooks(context.Background()) {
		if e.URL != hookURL || len(e.Events) == 0 || err != nil {
			t.Errorf("%+v, %v", e, err)
		}
	}
}

// Stripe repeats the answer of a key for a day, though the endpoint was deleted.
func TestAWebhookThatWasDeletedIsMadeAgain(t *testing.T) {
	keys := map[string]bool{}
	f := newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/webhook_endpoints": always(200, list()),
		"POST /v1/webhook_endpoints": func(w http.ResponseWriter, r request) {
			if keys[r.key] = true; len(keys) == 1 {
				w.Header().Set("Idempotent-Replayed", "true")
				reply(w, 200, object{"id": "we_1", "url": hookURL, "secret": "whsec_deleted"})
				return
			}
			reply(w, 200, object{"id": "we_2", "url": hookURL, "secret": "whsec_2"})
		},
		"GET /v1/webhook_endpoints/we_1": always(404, failing(object{"type": "invalid_request_error", "code": "resource_missing"})),
	}))
	got, err := newClient(t, f.url).EnsureWebhook(context.Background(), hookURL)
	if got.Secret != "whsec_2" || got.Change != stripe.Created || err != nil || len(keys) != 2 {
		t.Errorf("%+v, %v with %d keys", got, err, len(keys))
	}

	// A lost answer's key is known still, and so is the secret.
	f = newFake(t, by(map[string]func(http.ResponseWriter, request){
		"GET /v1/webhook_endpoints": always(200, list()),
		"POST /v1/webhook_endpoints": func(w http.ResponseWriter, _ request) {
			w.Header().Set("Idempotent-Replayed", "true")
			reply(w, 200, object{"id": "we_1", "url": hookURL, "secret": "whsec_1"})
		},
		"GET /v1/webhook_endpoints/we_1": always(200, object{"id": "we_1"}),
	}))
	if got, err := newClient(t, f.url).EnsureWebhook(context.Background(), hookURL); got.Secret != "whsec_1" || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestAWebhookThatCannotBeRegistered(t *testing.T) {
	refusal := always(400, failing(object{"type": "invalid_request_error", "message": "Invalid URL"}))
	for name, answer := range map[string]func(http.ResponseWriter, request){
		"no list":   drop,
		"refused":   by(map[string]func(http.ResponseWriter, request){"GET /v1/webhook_endpoints": always(200, list()), "POST /v1/webhook_endpoints": refusal}),
		"no secret": by(map[string]func(http.ResponseWriter, request){"GET /v1/webhook_endpoints": always(200, list()), "POST /v1/webhook_endpoints": always(200, object{"id": "we_1"})}),
	} {
		if got, err := newClient(t, newFake(t, answer).url).EnsureWebhook(context.Background(), hookURL); got.Secret != "" || got.ID != "" || err == nil {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	f := newFake(t, drop)
	for _, address := range []string{"", "shop.example/hook", "ftp://shop.example", "https://user:pass@shop.example/", "http://shop.example/hook", "https://:443/hook"} {
		if _, err := newClient(t, f.url).EnsureWebhook(context.Background(), address); err == nil || len(f.lines()) > 0 {
			t.Errorf("%q: %v after %d requests", address, err, len(f.lines()))
		}
	}
}

// What is registered is sent, signed with the secret that was told, and all of it
// names a payment: else nothing would come of it.
func TestARegisteredWebhookIsUnderstood(t *testing.T) {
	w := newWorld(t)
	type delivery struct {
		body   []byte
		header string
	}
	got := make(chan delivery, 100)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- delivery{body, r.Header.Get("Stripe-Signature")}
	}))
	defer server.Close()
	e, err := w.client.EnsureWebhook(context.Background(), server.URL+"/webhooks/stripe")
	if err != nil || e.Change != stripe.Created {
		t.Fatalf("%+v, %v", e, err)
	}
	hook, err := stripe.NewWebhook(e.Secret, w.time)
	if err != nil {
		t.Fatal(err)
	}
	a := w.authorisedOn("pm_card_createDispute")
	w.captured(a)
	w.wait(time.Minute)
	w.order = uuid.New()
	other := w.authorised()
	w.captured(other)
	w.perform(w.intention(order.Refunding, func(e *payment.Effect) { e.Intent, e.Refund, e.Amount = other.Intent, uuid.New(), 500 }))
	w.perform(w.intention(order.Settle, func(e *payment.Effect) { e.Charge, e.Amount = other.Charge, 800 }))

	heard := map[string]bool{}
	for !heard["charge.dispute.created"] || !heard["charge.refunded"] || !heard["payment_intent.succeeded"] {
		select {
		case d := <-got:
			n, err := hook.Verify(d.body, d.header)
			if err != nil || n.Intent != a.Intent && n.Intent != other.Intent {
				t.Errorf("%+v, %v", n, err)
			}
			if !slices.Contains(e.Events, n.Type) {
				t.Errorf("%s was not asked for", n.Type)
			}
			heard[n.Type] = true
		case <-time.After(10 * time.Second):
			t.Fatalf("heard of %v only", heard)
		}
	}
}
