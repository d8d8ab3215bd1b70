package stripe_test

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"kicau/adapters/stripe"
	"kicau/domain/order"
)

func TestOptionsThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		o    stripe.Options
		err  string
	}{
		{"no key", stripe.Options{}, "does not look like one"},
		{"a publishable key", stripe.Options{SecretKey: "pk_test_1"}, "does not look like one"},
		{"a key with a line break", stripe.Options{SecretKey: "sk_test_1\n"}, "does not look like one"},
		{"a live key to a sandbox", stripe.Options{SecretKey: "sk_live_1", BaseURL: "http://127.0.0.1:4242"}, "sent to Stripe only"},
		{"in the clear over a network", stripe.Options{SecretKey: "sk_test_1", BaseURL: "http://sandbox.example"}, "in the clear"},
		{"not an address", stripe.Options{SecretKey: "sk_test_1", BaseURL: "127.0.0.1:4242"}, "not the address of a sandbox"},
		{"an address with more", stripe.Options{SecretKey: "sk_test_1", BaseURL: "http://127.0.0.1/pay"}, "not the address of a sandbox"},
		{"a timeout before now", stripe.Options{SecretKey: "sk_test_1", Timeout: -1}, "cannot be kept"},
	} {
		_, err := stripe.New(c.o)
		if err == nil || !strings.Contains(err.Error(), c.err) || c.o.SecretKey != "" && strings.Contains(err.Error(), c.o.SecretKey) {
			t.Errorf("%s: %v, want an error with %q and without the key", c.name, err, c.err)
		}
	}
	for _, o := range []stripe.Options{
		{SecretKey: "sk_test_1"}, {SecretKey: "rk_live_1"}, {SecretKey: "sk_live_1", Timeout: time.Second},
		{SecretKey: "sk_test_1", BaseURL: "http://[::1]:1/"}, {SecretKey: "sk_test_1", BaseURL: "http://localhost:1"}, {SecretKey: "sk_test_1", BaseURL: "https://sandbox.example"},
	} {
		if _, err := stripe.New(o); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestAccountIsAskedForOnce(t *testing.T) {
	answers := []func(http.ResponseWriter, request){
		drop,
		always(401, failing(object{"type": "invalid_request_error", "message": "Invalid API Key provided: " + secretKey})),
		always(200, object{}),
		always(200, object{"id": "acct_1", "object": "account"}),
	}
	n := 0
	f := newFake(t, func(w http.ResponseWriter, r request) { n++; answers[n-1](w, r) })
	client := newClient(t, f.url)
	for range len(answers) - 1 {
		if id, err := client.Account(context.Background()); err == nil || strings.Contains(err.Error(), secretKey) {
			t.Errorf("%q, %v; want an error without the key", id, err)
		}
	}
	for range 3 {
		if id, err := client.Account(context.Background()); err != nil || id != "acct_1" {
			t.Errorf("%q, %v", id, err)
		}
	}
	if n != len(answers) {
		t.Errorf("asked %d times, want %d", n, len(answers))
	}
	if f.last().line != "GET /v1/account" {
		t.Errorf("asked %s", f.last().line)
	}
}

// stripe-go writes errors, and answers with their client secrets, to the
// process's own output unless it is told not to.
func TestNothingIsPrinted(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, stderr := os.Stdout, os.Stderr
	os.Stdout, os.Stderr = w, w
	f := newFake(t, always(500, failing(object{"type": "api_error", "message": clientSecret})))
	newClient(t, f.url).Perform(context.Background(), effect(order.Authorise))
	f.answer = always(200, capturable)
	newClient(t, f.url).Perform(context.Background(), effect(order.Authorise))
	os.Stdout, os.Stderr = stdout, stderr
	w.Close()
	var printed bytes.Buffer
	if _, err := printed.ReadFrom(r); err != nil {
		t.Fatal(err)
	}
	if printed.Len() > 0 {
		t.Errorf("printed %q", printed.String())
	}
}
