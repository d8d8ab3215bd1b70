package stripe_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// inProcess answers requests without a network.
type inProcess func(*http.Request) (*http.Response, error)

func (f inProcess) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// In no second more requests are sent than a quarter more than agreed, and none
// is lost; time is the test's own.
func TestRequestsAreSentAtTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, calls = 20, 100
		var sent []time.Time
		begin := time.Now()
		client := newClient(t, "", func(o *stripe.Options) {
			o.RequestsPerSecond, o.Transport = rate, recorded(&sent)
		})
		for range calls {
			client.Perform(context.Background(), effect(order.Void))
		}
		if len(sent) != calls {
			t.Fatalf("%d requests were sent, want %d", len(sent), calls)
		}
		for i := range sent[:calls-rate*5/4] {
			if took := sent[i+rate*5/4].Sub(sent[i]); took < time.Second {
				t.Fatalf("%d requests in %s", rate*5/4+1, took)
			}
		}
		if took := time.Since(begin); took > (calls/rate)*time.Second {
			t.Errorf("%d requests took %s", calls, took)
		}
	})
}

// One endpoint lets fewer through than all of them together, whatever the ids in its
// paths; another is not held up by it.
func TestAnEndpointsPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []time.Time
		client := newClient(t, "", func(o *stripe.Options) {
			o.RequestsPerSecond, o.Transport = stripe.LiveRequestsPerSecond, recorded(&sent)
		})
		const calls, limit = 200, 25
		for n := range calls {
			e := effect(order.Void)
			e.Intent = fmt.Sprintf("pi_%dAb", n)
			client.Perform(context.Background(), e)
		}
		for i := range sent[:calls-limit] {
			if took := sent[i+limit].Sub(sent[i]); took < time.Second {
				t.Fatalf("%d requests in %s", limit+1, took)
			}
		}
		before := time.Now()
		client.Read(context.Background(), "pi_1")
		if took := time.Since(before); took > 20*time.Millisecond {
			t.Errorf("another endpoint waited for %s", took)
		}
	})
}

// Who cannot be sent in time is told at once, and nothing is sent.
func TestTooManyRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent []time.Time
		client := newClient(t, "", func(o *stripe.Options) {
			o.RequestsPerSecond, o.Transport, o.Timeout = 1, recorded(&sent), 2500*time.Millisecond
		})
		outcomes := make(chan payment.Outcome, 10)
		begin := time.Now()
		for range cap(outcomes) {
			go func() { outcomes <- client.Perform(context.Background(), effect(order.Void)) }()
		}
		synctest.Wait()
		if refused := len(outcomes) - 1; refused != 7 {
			t.Errorf("%d were refused at once, want 7 of 10: one was sent, two wait", refused)
		}
		tooFast := 0
		for range cap(outcomes) {
			if u, ok := (<-outcomes).(payment.Unknown); ok && strings.Contains(u.Reason, "RequestsPerSecond") {
				tooFast++
			}
		}
		if len(sent) != 3 || tooFast != 7 || time.Since(begin) != 2*time.Second {
			t.Errorf("%d sent, %d refused, in %s", len(sent), tooFast, time.Since(begin))
		}

		// Who gives up waiting is not sent.
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		client.Perform(context.Background(), effect(order.Void))
		before := len(sent)
		if o := client.Perform(ctx, effect(order.Void)); kind(o) != "unknown" || len(sent) != before {
			t.Errorf("%#v after %d requests more", o, len(sent)-before)
		}
	})
}

// A sandbox is not spared; Stripe is, whoever asks.
func TestDefaultPace(t *testing.T) {
	for _, c := range []struct {
		key, base string
		named     bool // a transport
		want      int
	}{
		{"sk_live_1", "", false, stripe.LiveRequestsPerSecond},
		{"rk_live_1", "", false, stripe.LiveRequestsPerSecond},
		{"sk_test_1", "", false, stripe.TestRequestsPerSecond},
		{"sk_test_1", "http://127.0.0.1:1", false, 0},
		{"sk_test_1", "", true, 0},
	} {
		o := stripe.Options{SecretKey: c.key, BaseURL: c.base}
		if c.named {
			o.Transport = http.DefaultTransport
		}
		if got := stripe.PaceOf(o); got != c.want {
			t.Errorf("%+v: %d a second, want %d", c, got, c.want)
		}
	}
	for _, rate := range []int{-1, 10_001} {
		if _, err := stripe.New(stripe.Options{SecretKey: secretKey, RequestsPerSecond: rate}); err == nil {
			t.Errorf("%d requests a second are taken for a bound", rate)
		}
	}
}

// A client that is too fast all the same is told so by Stripe, and learns nothing
// of its call.
func TestStripeSaysTooMany(t *testing.T) {
	f := newFake(t, always(429, failing(object{"type": "invalid_request_error", "code": "rate_limit", "message": "Too many requests"})))
	for _, s := range allSteps {
		if o := newClient(t, f.url).Perform(context.Background(), effect(s.step)); kind(o) != "unknown" {
			t.Errorf("%s: %#v", s.step, o)
		}
	}
}
