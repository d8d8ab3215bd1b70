package stripe_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"kicau/adapters/stripe"
	"kicau/domain/order"
	"kicau/domain/payment"
)

// Every way a call can fail is exactly one outcome, the same for every step but
// where the rightmost columns say otherwise. A void or capture that was refused
// is read again; here that shows the money held still.
func TestFailures(t *testing.T) {
	bad := func(status int, fields object) func(http.ResponseWriter, request) {
		return always(status, failing(fields))
	}
	invalid := func(status int, code string) func(http.ResponseWriter, request) {
		return bad(status, object{"type": "invalid_request_error", "code": code, "message": "It cannot be."})
	}
	for _, c := range []struct {
		name                                string
		answer                              func(http.ResponseWriter, request)
		authorise, void, otherwise, capture string
	}{
		{"connection dropped", drop, "unknown", "unknown", "unknown", "unknown"},
		{"connection cut", cut, "unknown", "unknown", "unknown", "unknown"},
		{"empty answer", func(http.ResponseWriter, request) {}, "unknown", "unknown", "unknown", "unknown"},
		{"null", always(200, nil), "unknown", "unknown", "unknown", "unknown"},
		{"a list", always(200, []int{1}), "unknown", "unknown", "unknown", "unknown"},
		{"a page of HTML", func(w http.ResponseWriter, _ request) { io.WriteString(w, "<html>hello</html>") }, "unknown", "unknown", "unknown", "unknown"},
		{"a page of HTML, 404", func(w http.ResponseWriter, _ request) { http.Error(w, "<html>", 404) }, "unknown", "unknown", "unknown", "unknown"},
		{"an error of somebody else", always(400, object{"error": "bad"}), "unknown", "unknown", "unknown", "unknown"},
		{"an error without any type", bad(400, object{}), "unknown", "unknown", "unknown", "unknown"},
		{"redirect", func(w http.ResponseWriter, r request) { http.Redirect(w, r.http, "/v1/elsewhere", 307) }, "unknown", "unknown", "unknown", "unknown"},
		{"endless answer", endless, "unknown", "unknown", "unknown", "unknown"},
		{"500", bad(500, object{"type": "api_error", "message": "Sorry"}), "unknown", "unknown", "unknown", "unknown"},
		{"500 with a card_error", bad(500, object{"type": "card_error", "code": "card_declined"}), "unknown", "unknown", "unknown", "unknown"},
		{"502 by a proxy", func(w http.ResponseWriter, _ request) { http.Error(w, "Bad Gateway", 502) }, "unknown", "unknown", "unknown", "unknown"},
		{"503", bad(503, object{"type": "api_error"}), "unknown", "unknown", "unknown", "unknown"},
		{"409 in use", bad(409, object{"type": "idempotency_error", "code": "idempotency_key_in_use"}), "unknown", "unknown", "unknown", "unknown"},
		{"409 conflict", invalid(409, "resource_already_exists"), "unknown", "unknown", "unknown", "unknown"},
		{"400 other parameters", bad(400, object{"type": "idempotency_error", "message": "Keys for idempotent requests…"}), "unknown", "unknown", "unknown", "unknown"},
		{"429 too fast", invalid(429, "rate_limit"), "unknown", "unknown", "unknown", "unknown"},
		{"429 locked", invalid(429, "lock_timeout"), "unknown", "unknown", "unknown", "unknown"},
		{"400 locked", invalid(400, "lock_timeout"), "unknown", "unknown", "unknown", "unknown"},
		{"400 too fast", invalid(400, "rate_limit"), "unknown", "unknown", "unknown", "unknown"},
		{"400 in use", invalid(400, "idempotency_key_in_use"), "unknown", "unknown", "unknown", "unknown"},
		{"400 expired key", invalid(400, "api_key_expired"), "unknown", "unknown", "unknown", "unknown"},
		{"400 expired platform key", invalid(400, "platform_api_key_expired"), "unknown", "unknown", "unknown", "unknown"},
		{"400 wrong mode", invalid(400, "livemode_mismatch"), "unknown", "unknown", "unknown", "unknown"},
		{"401", invalid(401, ""), "unknown", "unknown", "unknown", "unknown"},
		{"401 expired key", invalid(401, "api_key_expired"), "unknown", "unknown", "unknown", "unknown"},
		{"403", invalid(403, ""), "unknown", "unknown", "unknown", "unknown"},
		{"424", bad(424, object{"type": "api_error"}), "unknown", "unknown", "unknown", "unknown"},
		{"404 no such address", invalid(404, ""), "unknown", "unknown", "unknown", "unknown"},
		{"404 in the other mode", bad(404, object{"type": "invalid_request_error", "code": "resource_missing",
			"message": "No such payment_intent: 'pi_1'; a similar object exists in live mode, but a test mode key was used to make this request."}),
			"unknown", "unknown", "unknown", "unknown"},

		{"400", invalid(400, "parameter_invalid_integer"), "failed", "unknown", "failed", "failed"},
		{"400 too small", invalid(400, "amount_too_small"), "failed", "unknown", "failed", "failed"},
		{"400 no balance", invalid(400, "balance_insufficient"), "failed", "unknown", "failed", "failed"},
		{"402 not of the card", invalid(402, "payouts_not_allowed"), "failed", "unknown", "failed", "failed"},
		{"404 no such object", invalid(404, "resource_missing"), "failed", "unknown", "failed", "failed"},
		{"400 about an intent", bad(400, object{"type": "invalid_request_error", "code": "payment_intent_authentication_failure",
			"payment_intent": intent}), "declined", "unknown", "failed", "failed"},
		{"402 declined", bad(402, object{"type": "card_error", "code": "card_declined", "decline_code": "generic_decline",
			"payment_intent": refusedCard}), "declined", "unknown", "failed", "failed"},
		{"402 declined before there was an intent", bad(402, object{"type": "card_error", "code": "incorrect_number"}), "declined", "unknown", "failed", "failed"},
	} {
		for _, s := range allSteps {
			t.Run(c.name+" "+string(s.step), func(t *testing.T) {
				f := newFake(t, func(w http.ResponseWriter, r request) {
					if r.line == "GET /v1/payment_intents/pi_1" {
						reply(w, 200, capturable)
						return
					}
					c.answer(w, r)
				})
				want := map[order.Step]string{order.Authorise: c.authorise, order.Void: c.void, order.Capture: c.capture}[s.step]
				if s.step == order.Contest || s.step == order.Accept {
					// A refusal is for the dispute itself to confirm, which this
					// fake does not show.
					if want = c.otherwise; want == "failed" && !strings.Contains(c.name, "no such object") {
						want = "unknown"
					}
				}
				if want == "" {
					want = c.otherwise
				}
				got := newClient(t, f.url).Perform(context.Background(), effect(s.step))
				if kind(got) != want {
					t.Errorf("%#v, want %s", got, want)
				}
				if sent := f.lines(); sent[0] != s.line || slices.Contains(sent[1:], s.line) {
					t.Errorf("asked %s: it retries nothing", joined(sent))
				}
			})
		}
	}
}

// endless is longer than any answer of Stripe's.
func endless(w http.ResponseWriter, _ request) {
	chunk := bytes.Repeat([]byte(" "), 1<<20)
	for range 16 {
		w.Write(chunk)
	}
}

func TestAnEndlessAnswerIsCut(t *testing.T) {
	got := newClient(t, newFake(t, endless).url).Perform(context.Background(), effect(order.Settle))
	if want := (payment.Unknown{Reason: "Stripe's answer was too long to be one"}); got != want {
		t.Errorf("%#v, want %#v", got, want)
	}
}

func TestADeclineSaysWhy(t *testing.T) {
	f := newFake(t, always(402, failing(object{"type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
		"message": "Your card has insufficient funds.", "payment_intent": refusedCard, "charge": "ch_1"})))
	got := newClient(t, f.url).Perform(context.Background(), effect(order.Authorise))
	if want := (payment.Declined{Intent: "pi_1", Code: "card_declined", DeclineCode: "insufficient_funds"}); got != want {
		t.Errorf("%#v, want %#v", got, want)
	}
}

// A call that is not answered ends with its context, and with its timeout.
func TestNoAnswerInTime(t *testing.T) {
	hang := func(arrived func()) func(http.ResponseWriter, request) {
		return func(_ http.ResponseWriter, r request) {
			arrived()
			<-r.http.Context().Done()
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	got := newClient(t, newFake(t, hang(cancel)).url).Perform(ctx, effect(order.Capture))
	if want := (payment.Unknown{Reason: "the call was given up before Stripe answered"}); got != want {
		t.Errorf("cancelled: %#v", got)
	}
	late := payment.Unknown{Reason: "Stripe did not answer in time"}
	impatient := func(o *stripe.Options) { o.Timeout = 20 * time.Millisecond }
	if got := newClient(t, newFake(t, hang(func() {})).url, impatient).Perform(context.Background(), effect(order.Capture)); got != late {
		t.Errorf("timed out: %#v", got)
	}
	ctx, cancel = context.WithDeadline(context.Background(), time.Now().Add(-time.Second))
	defer cancel()
	f := newFake(t, always(200, succeeded))
	if got := newClient(t, f.url).Perform(ctx, effect(order.Capture)); got != late || len(f.lines()) != 0 {
		t.Errorf("too late before it began: %#v, %s", got, joined(f.lines()))
	}
}

func TestNobodyListens(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	got := newClient(t, "http://"+l.Addr().String()).Perform(context.Background(), effect(order.Settle))
	if u, ok := got.(payment.Unknown); !ok || !strings.Contains(u.Reason, "connection refused") || strings.Contains(u.Reason, "/v1/") {
		t.Errorf("%#v", got)
	}
}

// Reasons go into events, which are kept for ever, and outcomes into the log. No
// answer may put a client secret or a part of the key there.
func TestReasonsHoldNoSecrets(t *testing.T) {
	const key = "sk_test_51Not*****Key"
	answers := map[string]func(http.ResponseWriter, request){
		"half an intent": func(w http.ResponseWriter, _ request) {
			fmt.Fprintf(w, `{"id":"pi_1","client_secret":"%s","status":`, clientSecret)
		},
		"an intent for an error": func(w http.ResponseWriter, _ request) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"id":"pi_1","client_secret":"%s"}`, clientSecret)
		},
		"an error with an intent": always(400, failing(object{"type": "invalid_request_error", "message": "No.", "payment_intent": waiting})),
		"a decline":               always(402, failing(object{"type": "card_error", "code": "card_declined", "payment_intent": refusedCard})),
		"an intent gone astray":   always(200, intent.with(object{"status": "pondering"})),
		"a wrong key":             always(401, failing(object{"type": "invalid_request_error", "message": "Invalid API Key provided: " + key})),
		"a weak key":              always(403, failing(object{"type": "invalid_request_error", "message": "The provided key '" + key + "' may not."})),
		"a crash":                 always(500, failing(object{"type": "api_error", "message": clientSecret})),
	}
	for name, answer := range answers {
		for _, s := range allSteps {
			var log bytes.Buffer
			client := newClient(t, newFake(t, answer).url, func(o *stripe.Options) {
				o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			})
			ctx := context.Background()
			said := []string{fmt.Sprintf("%#v", client.Perform(ctx, effect(s.step))), fmt.Sprintf("%#v", client.Perform(ctx, again(effect(s.step))))}
			_, o := client.Read(ctx, "pi_1")
			_, err := client.PayURL(ctx, "pi_1", "")
			_, err2 := client.Account(ctx)
			said = append(said, fmt.Sprintf("%#v %v %v", o, err, err2), log.String())
			for _, text := range said {
				for _, secret := range []string{clientSecret, "sk_test"} {
					if strings.Contains(text, secret) {
						t.Errorf("%s, %s: %s", name, s.step, text)
					}
				}
			}
			if !strings.Contains(log.String(), "step="+string(s.step)) {
				t.Errorf("%s, %s: nothing in the log:\n%s", name, s.step, log.String())
			}
		}
	}
}

func TestReasonsAreShort(t *testing.T) {
	for _, filler := range []string{"x", "é", "\xff"} {
		f := newFake(t, always(400, failing(object{"type": "invalid_request_error", "message": strings.Repeat(filler, 10_000)})))
		got := newClient(t, f.url).Perform(context.Background(), effect(order.Settle)).(payment.Failed)
		if len(got.Reason) > 400 || !utf8.ValidString(got.Reason) || !strings.HasSuffix(got.Reason, "… (req_test)") {
			t.Errorf("%d bytes: %q", len(got.Reason), got.Reason)
		}
	}
}

// Whatever is answered, a step has one of its own outcomes, and nothing panics.
func FuzzAnswers(f *testing.F) {
	own := map[order.Step][]string{
		order.Authorise: {"authorised", "action required", "declined", "failed", "unknown"},
		order.Void:      {"voided", "failed", "unknown"},
		order.Capture:   {"captured", "voided", "failed", "unknown"},
		order.Refunding: {"refunded", "failed", "unknown"},
		order.Settle:    {"transferred", "failed", "unknown"},
	}
	for _, body := range []string{``, `null`, `"pi_1"`, `[]`, `{"error":null}`, `{"error":{"type":"invalid_request_error"}}`,
		`{"id":"pi_1","status":"succeeded","currency":"gbp","latest_charge":{"balance_transaction":{"currency":"usd","amount":-1},"refunds":{"data":[null]}}}`,
		`{"id":"pi_1","status":"requires_capture","currency":"gbp","latest_charge":"ch_1"}`,
		`{"id":"pi_1","status":"canceled"}`, `{"has_more":true,"data":[null,{}]}`, `{"has_more":true,"data":[{"id":"x","metadata":null}]}`,
		`{"id":"pi_1","status":"requires_action","next_action":null}`, `{"id":"re_1","status":"pending"}`} {
		for _, status := range []int{200, 400, 402, 404, 500} {
			f.Add(status, body)
		}
	}
	transport := answering{}
	client, err := stripe.New(stripe.Options{SecretKey: secretKey, BaseURL: "http://127.0.0.1:1", Now: func() time.Time { return noon }})
	if err != nil {
		f.Fatal(err)
	}
	stripe.SetTransport(client, &transport)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		transport.status, transport.body = status, body
		for step, outcomes := range own {
			for _, e := range []payment.Effect{effect(step), again(effect(step)), old(effect(step), stripe.KeyLife)} {
				if o := client.Perform(context.Background(), e); !slices.Contains(outcomes, kind(o)) {
					t.Errorf("%s after %d %q: %#v", step, status, body, o)
				}
			}
		}
		client.Read(context.Background(), "pi_1")
		client.PayURL(context.Background(), "pi_1", "")
	})
}

type answering struct {
	status int
	body   string
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Body: io.NopCloser(strings.NewReader(a.body)), Header: http.Header{}, Request: r}, nil
}
