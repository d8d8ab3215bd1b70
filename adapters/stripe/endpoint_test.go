package stripe_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"
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

	secret, created, err := client.EnsureWebhook(context.Background(), hookURL)
	if secret != "whsec_new" || !created || err != nil {
		t.Errorf("%q, %v, %v", secret, created, err)
	}
	sent := f.last()
	if sent.form.Get("url") != hookURL || sent.form.Get("api_version") != "2023-10-16" || len(there) != 1 || sent.key == "" {
		t.Errorf("sent %v with key %q", sent.form, sent.key)
	}
	events := there[0]["enabled_events"].([]string)
	for _, want := range []string{"payment_intent.succeeded", "charge.dispute.created", "radar.early_fraud_warning.created", "charge.refund.updated", "payout.failed"} {
		if !slices.Contains(events, want) {
			t.Errorf("%s is not sent", want)
		}
	}

	// It is there, and needs nothing.
	secret, created, err = client.EnsureWebhook(context.Background(), hookURL)
	if secret != "" || created || err != nil || f.last().line != "GET /v1/webhook_endpoints" {
		t.Errorf("%q, %v, %v after %s", secret, created, err, f.last().line)
	}

	// It was switched off, or lacks something: it is mended, and keeps what others want.
	for name, change := range map[string]object{
		"off":     {"status": "disabled"},
		"lacking": {"enabled_events": []string{"customer.created"}},
	} {
		there = []object{endpoint.with(object{"enabled_events": events}).with(change)}
		if secret, created, err := client.EnsureWebhook(context.Background(), hookURL); secret != "" || created || err != nil {
			t.Errorf("%s: %q, %v, %v", name, secret, created, err)
		}
		got := f.last()
		if got.line != "POST /v1/webhook_endpoints/we_1" || got.form.Get("disabled") != "false" || name == "lacking" && !strings.Contains(got.form.Encode(), "customer.created") {
			t.Errorf("%s: %s %v", name, got.line, got.form)
		}
	}
	there = []object{endpoint.with(object{"enabled_events": []string{"*"}})}
	if _, created, err := client.EnsureWebhook(context.Background(), hookURL); created || err != nil || f.last().line != "GET /v1/webhook_endpoints" {
		t.Errorf("one that is sent everything: %v, %v after %s", created, err, f.last().line)
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
	secret, created, err := newClient(t, f.url).EnsureWebhook(context.Background(), hookURL)
	if secret != "whsec_2" || !created || err != nil || len(keys) != 2 {
		t.Errorf("%q, %v, %v with %d keys", secret, created, err, len(keys))
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
	if secret, _, err := newClient(t, f.url).EnsureWebhook(context.Background(), hookURL); secret != "whsec_1" || err != nil {
		t.Errorf("%q, %v", secret, err)
	}
}

func TestAWebhookThatCannotBeRegistered(t *testing.T) {
	refusal := always(400, failing(object{"type": "invalid_request_error", "message": "Invalid URL"}))
	for name, answer := range map[string]func(http.ResponseWriter, request){
		"no list":   drop,
		"refused":   by(map[string]func(http.ResponseWriter, request){"GET /v1/webhook_endpoints": always(200, list()), "POST /v1/webhook_endpoints": refusal}),
		"no secret": by(map[string]func(http.ResponseWriter, request){"GET /v1/webhook_endpoints": always(200, list()), "POST /v1/webhook_endpoints": always(200, object{"id": "we_1"})}),
	} {
		if secret, created, err := newClient(t, newFake(t, answer).url).EnsureWebhook(context.Background(), hookURL); secret != "" || created || err == nil {
			t.Errorf("%s: %q, %v, %v", name, secret, created, err)
		}
	}
	f := newFake(t, drop)
	for _, address := range []string{"", "shop.example/hook", "ftp://shop.example", "https://user:pass@shop.example/"} {
		if _, _, err := newClient(t, f.url).EnsureWebhook(context.Background(), address); err == nil || len(f.lines()) > 0 {
			t.Errorf("%q: %v after %d requests", address, err, len(f.lines()))
		}
	}
}
