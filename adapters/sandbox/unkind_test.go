package sandbox_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v76"

	"kicau/adapters/sandbox"
)

// What a fault answers, what it leaves, and what the same key gets afterwards.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  sandbox.Fault
		status int // 0: the connection breaks
		code   string
		done   bool
		again  int // status of the same request with the same key
	}{
		{"429", sandbox.RateLimited, 429, "rate_limit", false, 200},
		{"lock", sandbox.LockTimeout, 429, "lock_timeout", false, 200},
		{"409", sandbox.KeyInUse, 409, "idempotency_key_in_use", false, 200},
		{"500 before", sandbox.ErrorBefore, 500, "", false, 500},
		{"500 after", sandbox.ErrorAfter, 500, "", true, 500},
		{"cut before", sandbox.CutBefore, 0, "", false, 200},
		{"cut after", sandbox.CutAfter, 0, "", true, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := sandbox.NoFault
			w := start(t, sandbox.Options{Faults: func(_, path, _ string) sandbox.Fault {
				f := next
				next = sandbox.NoFault
				return f
			}})
			next = c.fault
			_, err := w.PaymentIntents.New(keyed(2000, "k"))
			if e := (*stripe.Error)(nil); errors.As(err, &e) != (c.status != 0) || e != nil && (e.HTTPStatusCode != c.status || string(e.Code) != c.code) {
				t.Errorf("%v", err)
			}
			if n := w.read(w.PaymentIntents.List(nil)); (n == 1) != c.done {
				t.Errorf("%d intents, want done %t", n, c.done)
			}
			_, err = w.PaymentIntents.New(keyed(2000, "k"))
			if c.again == 200 && err != nil || c.again != 200 && w.refusal(err).HTTPStatusCode != c.again {
				t.Errorf("again: %v, want %d", err, c.again)
			}
			if n, want := w.read(w.PaymentIntents.List(nil)), 1; c.fault != sandbox.ErrorBefore && n != want {
				t.Errorf("%d intents in the end", n)
			}
		})
	}
}

// A seed repeats its faults, and their rates hold.
func TestSeededFaults(t *testing.T) {
	rates, err := sandbox.ParseFaultRates([]string{"429=10%", "500-after=0.5%", "cut-before=2.25%"})
	if err != nil {
		t.Fatal(err)
	}
	count := func(seed uint64) (n [10]int, sequence string) {
		fault := rates.Seeded(seed)
		var b strings.Builder
		for range 20_000 {
			f := fault("POST", "/v1/refunds", "k")
			n[f]++
			b.WriteByte('0' + byte(f))
		}
		return n, b.String()
	}
	n, first := count(1)
	if n[sandbox.RateLimited] < 1800 || n[sandbox.RateLimited] > 2200 || n[sandbox.ErrorAfter] < 60 || n[sandbox.ErrorAfter] > 140 || n[sandbox.CutBefore] < 380 || n[sandbox.CutBefore] > 520 || n[sandbox.KeyInUse] != 0 {
		t.Errorf("of 20,000: %v", n)
	}
	if _, same := count(1); same != first {
		t.Error("a seed does not repeat")
	}
	if _, other := count(2); other == first {
		t.Error("seeds do not differ")
	}
	for _, bad := range []string{"429", "429=1", "429=-1%", "429=1.234%", "429=101%", "418=1%", "=1%", "429=%"} {
		if _, err := sandbox.ParseFaultRates([]string{bad}); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	if _, err := sandbox.ParseFaultRates([]string{"429=60%", "409=60%"}); err == nil {
		t.Error("more than all")
	}
}

func TestRequestsPerSecond(t *testing.T) {
	w := start(t, sandbox.Options{RequestsPerSecond: 3})
	status := func() int {
		resp, _ := w.raw("GET", "/v1/balance", nil)
		return resp.StatusCode
	}
	for i, want := range []int{200, 200, 200, 429, 429} {
		if got := status(); got != want {
			t.Errorf("request %d of the second: %d", i+1, got)
		}
	}
	w.clock.add(time.Second)
	if got := status(); got != 200 {
		t.Errorf("the next second: %d", got)
	}
}

// chaotic sells until an endpoint has got n events, and returns them by id.
func chaotic(t *testing.T, c sandbox.WebhookChaos, sales, n int) (*world, map[string]int) {
	e := newEndpoint(t)
	w := start(t, sandbox.Options{WebhookURL: e.URL, WebhookSecret: hookSecret, WebhookChaos: c})
	for range sales {
		_, err := w.PaymentIntents.New(order(2000))
		w.must(err)
	}
	_, events := e.take(n)
	got := map[string]int{}
	for _, ev := range events {
		got[ev.ID]++
	}
	return w, got
}

func TestWebhookChaos(t *testing.T) {
	const all = 10_000
	t.Run("duplicate", func(t *testing.T) {
		_, got := chaotic(t, sandbox.WebhookChaos{Duplicate: all}, 3, 6)
		for id, n := range got {
			if n != 2 {
				t.Errorf("%s came %d times", id, n)
			}
		}
	})
	t.Run("twin", func(t *testing.T) {
		w, got := chaotic(t, sandbox.WebhookChaos{Twin: all}, 2, 4)
		if len(got) != 4 || w.read(w.Events.List(nil)) != 4 {
			t.Errorf("two facts as %d events", len(got))
		}
	})
	t.Run("lose", func(t *testing.T) {
		w, got := chaotic(t, sandbox.WebhookChaos{Seed: 2, Lose: all / 2}, 12, 3)
		lost := w.read(w.Events.List(&stripe.EventListParams{DeliverySuccess: stripe.Bool(false)}))
		if len(got) != 3 || lost == 0 {
			t.Errorf("%d came, %d are known as undelivered", len(got), lost)
		}
	})
	t.Run("reorder", func(t *testing.T) {
		// The first of two is overtaken by the second.
		seed := uint64(0)
		for ; ; seed++ {
			c := sandbox.WebhookChaos{Seed: seed, Reorder: all / 2}
			if f := sandbox.Late(c, 2); f[0] && !f[1] {
				break
			}
		}
		e := newEndpoint(t)
		w := start(t, sandbox.Options{WebhookURL: e.URL, WebhookSecret: hookSecret, WebhookChaos: sandbox.WebhookChaos{Seed: seed, Reorder: all / 2}})
		first, err := w.PaymentIntents.New(order(1000))
		w.must(err)
		_, err = w.PaymentIntents.New(order(2000))
		w.must(err)
		_, events := e.take(2)
		if events[1].Data.Object["id"] != first.ID {
			t.Errorf("%s came first", first.ID)
		}
	})
	t.Run("forged and old ones come first", func(t *testing.T) {
		got := make(chan [2]string, 10)
		e := rawEndpoint(t, got)
		w := start(t, sandbox.Options{WebhookURL: e, WebhookSecret: hookSecret, WebhookChaos: sandbox.WebhookChaos{Forge: all, Old: all}})
		_, err := w.PaymentIntents.New(order(1000))
		w.must(err)
		forged, old, right := verdict(<-got), verdict(<-got), verdict(<-got)
		if !strings.Contains(forged, "signature") || !strings.Contains(old, "API version") || right != "" {
			t.Errorf("%q, %q, %q", forged, old, right)
		}
	})
	for _, bad := range []string{"lose", "lose=1", "vanish=1%", "delay=x", "delay=-1s", "delay=100h"} {
		if _, err := sandbox.ParseWebhookChaos([]string{bad}, 1); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

// Endpoints that the API makes get what they ask for, signed with their own
// secrets, until they are gone; what they miss survives a restart.
func TestEndpointsOfTheAPI(t *testing.T) {
	dir := t.TempDir()
	got := make(chan [2]string, 10)
	at := rawEndpoint(t, got)
	w := start(t, sandbox.Options{Dir: dir})
	we, err := w.WebhookEndpoints.New(&stripe.WebhookEndpointParams{URL: stripe.String(at), EnabledEvents: stripe.StringSlice([]string{"charge.*"})})
	w.must(err)
	if !strings.HasPrefix(we.Secret, "whsec_") {
		t.Fatalf("secret %q", we.Secret)
	}
	w.authorised(1000, "pm_card_visa")
	if came := <-got; checkSigned(came, we.Secret) != "" || !strings.Contains(came[1], `"charge.succeeded"`) {
		t.Errorf("%s", came)
	}
	w.must(w.box.Close())
	w = start(t, sandbox.Options{Dir: dir})
	again, err := w.WebhookEndpoints.Get(we.ID, nil)
	w.must(err)
	if again.Secret != "" || again.URL != at {
		t.Errorf("%+v", again)
	}
	w.authorised(2000, "pm_card_visa")
	if came := <-got; checkSigned(came, we.Secret) != "" {
		t.Errorf("after the restart: %s", came)
	}
	for range 15 {
		_, err := w.WebhookEndpoints.New(&stripe.WebhookEndpointParams{URL: stripe.String(at), EnabledEvents: stripe.StringSlice([]string{"payout.paid"})})
		w.must(err)
	}
	resp, v := w.raw("POST", "/v1/webhook_endpoints", url.Values{"url": {at}, "enabled_events[]": {"*"}})
	if resp.StatusCode != 400 || !strings.Contains(messageOf(v), "maximum of 16") {
		t.Error("the seventeenth:", v)
	}
	_, err = w.WebhookEndpoints.Del(we.ID, nil)
	w.must(err)
	w.authorised(3000, "pm_card_visa")
	w.must(w.box.Close())
	if len(got) != 0 {
		t.Errorf("after it was deleted: %s", <-got)
	}
}
